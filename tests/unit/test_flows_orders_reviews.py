"""What differs once an order exists is told to people, on the Opportunity too, and never written over."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from integration.errors import RecordNeedsReview, RecordRejected
from integration.flows.outcomes import Failed, Skipped, Synced
from integration.recovery.decisions import EndState
from integration.salesforce.errors import DuplicateRecord
from tests.unit.order_support import LINE_ID, ORDER_ID, A, B, World, line_id
from tests.unit.test_flows_orders import ERROR, NUMBER, NUMBERINGS, STATUS, lines, ordered, problem


@pytest.fixture(params=NUMBERINGS)
def world(request: pytest.FixtureRequest) -> World:
    return World(ORDER_NUMBERING=request.param)


def dearer(line: dict[str, Any]) -> None:
    """As a price rule of F&O."""
    line["SalesPrice"] = Decimal("12.53")


async def test_other_amounts_are_reported_after_the_number_was_written_back(world: World) -> None:
    world.d365.reprice = dearer
    world.add(A, *lines({"Quantity": "2", "UnitPrice": "10"}))
    error = problem((await world.run())[A])
    assert isinstance(error, RecordNeedsReview)
    assert error.reason == "amounts-differ"
    for text in ("the amount is 20.00 here and 25.06", "amount is 20.00", "add up to 25.06"):
        assert text in error.description
    opportunity = world.opportunity()
    assert opportunity[NUMBER] == world.headers[0]["SalesOrderNumber"]
    assert (opportunity[STATUS], opportunity[ERROR]) == ("Needs review", error.description)


async def test_an_amount_within_the_tolerance_is_equal(world: World) -> None:
    world.add(A, *lines({"TotalPrice": Decimal("20.05")}), Amount=Decimal("20.05"))
    world.opportunity()["Amount"] = Decimal("19.95")
    assert await world.run() == {A: Synced(True)}


async def test_other_amounts_stay_a_review_until_both_sides_agree(world: World) -> None:
    world.d365.reprice = dearer
    world.add(A, *lines({"Quantity": "2"}))
    await world.run()
    world.forget()
    assert problem((await world.run())[A]).reason == "amounts-differ"
    assert world.d365.batches == []
    assert "update Opportunity" not in world.salesforce.calls
    world.lines_of(A)[0]["TotalPrice"] = world.opportunity()["Amount"] = Decimal("25.06")
    assert await world.run() == {A: Synced(True)}
    assert (world.opportunity()[STATUS], world.opportunity()[ERROR]) == ("Ordered", None)


def add_line(world: World) -> None:
    world.add(B, *lines({}))
    extra = world.lines_of(B)[0]
    extra["OpportunityId"] = A


def set_line(**values: Any) -> Callable[[World], None]:
    return lambda world: world.lines_of(A)[0].update(values)


def set_opportunity(**values: Any) -> Callable[[World], None]:
    return lambda world: world.opportunity().update(values)


def move_account(world: World) -> None:
    other = "001Aa0000000002IAA"
    world.add_account(other, Name="Other")
    world.add_customer("US-2", other)
    world.opportunity()["AccountId"] = other


@pytest.mark.parametrize(
    ("amend", "said"),
    [
        (add_line, "is not in the order"),
        (set_line(IsDeleted=True), "which was removed here"),
        (set_line(Quantity=Decimal(4)), "the quantity is 4.00 here and 3.00 in the order"),
        (set_line(TotalPrice=Decimal(1)), "the amount is 1.00 here and 37.50 in the order"),
        (set_opportunity(Amount=Decimal(1)), "opportunity's amount is 1.00"),
        (set_opportunity(CurrencyIsoCode="EUR"), "currency is EUR here and USD"),
        (move_account, "is for customer US-1, the account's customer is US-2"),
    ],
)
async def test_amending_the_opportunity_never_changes_the_order(
    world: World, amend: Callable[[World], None], said: str
) -> None:
    await ordered(world)
    before = [dict(row) for row in (*world.headers, *world.lines)]
    amend(world)
    error = problem((await world.run())[A])
    assert isinstance(error, RecordNeedsReview)
    assert error.reason == "changed-after-order"
    assert "was not changed" in error.description
    assert said in error.description
    assert [*world.headers, *world.lines] == before
    assert world.opportunity()[STATUS] == "Needs review"
    assert world.opportunity()[ERROR] == error.description


async def test_another_product_on_a_line_is_reported(world: World) -> None:
    await ordered(world)
    product = world.lines_of(A)[0]["Product2"]
    product["D365_Item_Number__c"] = "1000"
    assert "is item 1000 here and D0001" in problem((await world.run())[A]).description


async def test_reopening_is_reported_and_taking_it_back_heals(world: World) -> None:
    await ordered(world)
    world.opportunity()["IsWon"] = False
    error = problem((await world.run())[A])
    assert (type(error), error.reason) == (RecordNeedsReview, "no-longer-won")
    assert world.headers[0]["SalesOrderNumber"] in error.description
    await world.flow.ended(A, EndState("review", error.reason, error.description, "d365"))
    assert world.opportunity()[STATUS] == "Needs review"
    world.opportunity()["IsWon"] = True
    assert await world.run() == {A: Synced(True)}
    assert world.opportunity()[STATUS] == "Ordered"
    assert world.d365.batches == []


async def test_deleting_the_opportunity_is_reported(world: World) -> None:
    await ordered(world)
    world.opportunity()["IsDeleted"] = True
    error = problem((await world.run())[A])
    assert error.reason == "deleted-after-order"
    await world.flow.ended(A, EndState("review", error.reason, error.description, "d365"))


async def test_reopening_after_the_order_was_canceled_is_fine(world: World) -> None:
    await ordered(world)
    world.headers[0]["SalesOrderStatus"] = "Canceled"
    world.opportunity()["IsWon"] = False
    assert await world.run() == {A: Skipped("not-won")}
    world.opportunity()["IsWon"] = True
    error = problem((await world.run())[A])
    assert "canceled" in error.description


async def test_lines_that_a_clerk_added_are_left_alone(world: World) -> None:
    await ordered(world)
    world.lines.append({**world.lines[0], "InventoryLotId": "X", LINE_ID: "", "LineAmount": 5})
    assert await world.run() == {A: Synced(False)}


async def test_an_order_in_another_company_is_for_a_person(world: World) -> None:
    world.add(A, *lines())
    header = {"dataAreaId": "demf", "SalesOrderNumber": A, ORDER_ID: A}
    world.headers.append(header)
    assert problem((await world.run())[A]).reason == "other-company"
    assert world.headers == [header]


async def test_two_orders_are_for_a_person() -> None:
    world = World()
    world.add(A, *lines())
    for company, number in (("usmf", "SO-1"), ("demf", "SO-2")):
        world.headers.append({"dataAreaId": company, "SalesOrderNumber": number, ORDER_ID: A})
    error = problem((await world.run())[A])
    assert error.reason == "several-orders"
    assert "SO-1 in usmf, SO-2 in demf" in error.description


async def test_a_number_whose_order_is_gone_is_never_ordered_again(world: World) -> None:
    await ordered(world)
    world.headers.clear()
    world.lines.clear()
    assert problem((await world.run())[A]).reason == "order-gone"
    assert world.headers == []


async def test_a_number_whose_order_carries_another_opportunity_is_for_a_person() -> None:
    world = World()
    await ordered(world)
    world.headers[0][ORDER_ID] = B
    assert problem((await world.run())[A]).reason == "order-of-other-opportunity"


async def test_a_reference_that_a_clerk_edited_is_for_a_person() -> None:
    world = World(
        ORDER_ID_FIELD="CustomersOrderReference", ORDER_LINE_ID_FIELD="ExternalItemNumber"
    )
    await ordered(world)
    assert world.headers[0]["CustomersOrderReference"] == A
    assert world.lines[0]["ExternalItemNumber"] == line_id(1)
    world.headers[0]["CustomersOrderReference"] = "our project"
    assert problem((await world.run())[A]).reason == "order-of-other-opportunity"


async def test_another_number_on_the_opportunity_is_for_a_person() -> None:
    world = World()
    await ordered(world)
    world.opportunity()[NUMBER] = "SO-9"
    assert problem((await world.run())[A]).reason == "order-number-differs"


async def test_with_several_companies_the_number_carries_its_own() -> None:
    world = World('[companies]\nby_country = { Germany = "demf" }\ndefault = "usmf"')
    await ordered(world)
    assert world.opportunity()[NUMBER] == "usmf|SO-000001"
    assert await world.run() == {A: Synced(False)}


async def test_a_number_that_another_opportunity_holds_goes_to_review(world: World) -> None:
    world.add(A, *lines())
    world.salesforce.row_errors[A] = DuplicateRecord("DUPLICATE_VALUE", system="salesforce")
    error = problem((await world.run())[A])
    assert (type(error), error.reason) == (RecordNeedsReview, "number-on-other-opportunity")


@pytest.mark.parametrize(
    ("reason", "system", "text", "shown"),
    [
        ("no-lines", "d365", "It has no products.", "It has no products."),
        ("account-mapping", "app", "Account Acme has no customer", "Account Acme has no customer"),
        ("validation", "d365", "Site must be filled", "Dynamics 365 refused the order: Site must"),
        (
            "outcome-unknown",
            "d365",
            "failed 4 times, last: POST $batch 500",
            "for a technical reason",
        ),
        ("account-flow-off", "d365", "FLOW_ACCOUNTS", "for a technical reason"),
        ("number-on-other-opportunity", "d365", "DUPLICATE_VALUE", "Another opportunity already"),
    ],
)
async def test_the_end_is_told_in_a_salespersons_words(
    world: World, reason: str, system: str, text: str, shown: str
) -> None:
    world.add(A, *lines())
    await world.flow.ended(A, EndState("review", reason, text, system))
    assert world.opportunity()[STATUS] == "Needs review"
    assert world.opportunity()[ERROR].startswith(shown) or shown in world.opportunity()[ERROR]
    if "technical" in shown:
        assert text not in world.opportunity()[ERROR]


async def test_the_same_end_is_told_once_so_that_it_causes_no_circle(world: World) -> None:
    world.add(A)
    end = EndState("review", "no-lines", "No products. " * 1000, "d365")
    for _ in range(2):
        await world.flow.ended(A, end)
    assert world.salesforce.calls.count("update Opportunity") == 1
    assert len(world.opportunity()[ERROR]) == 4000


async def test_an_end_that_cannot_be_told_is_an_error(world: World) -> None:
    world.add(A)
    world.salesforce.row_errors[A] = RecordRejected("locked", system="salesforce")
    with pytest.raises(RecordRejected):
        await world.flow.ended(A, EndState("dead-letter", "undecodable", "x", "d365"))
    del world.salesforce.row_errors[A]
    await world.flow.ended(A, EndState("dead-letter", "undecodable", "x", "d365"))
    assert world.opportunity()[STATUS] == "Failed"


async def test_a_problem_that_is_solved_clears_the_text(world: World) -> None:
    world.add(A)
    outcome = (await world.run())[A]
    assert isinstance(outcome, Failed)
    await world.flow.ended(A, EndState("review", "no-lines", "No products.", "d365"))
    world.add(B, *lines())
    for line in world.lines_of(B):
        line["OpportunityId"] = A
    world.opportunity()["Amount"] = None
    assert await world.run() == {A: Synced(True)}
    assert (world.opportunity()[STATUS], world.opportunity()[ERROR]) == ("Ordered", None)
