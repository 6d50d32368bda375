"""The order flow between two tables: one order per won opportunity, and people decide what is unclear."""

from decimal import Decimal
from typing import Any

import pytest

from integration.d365.batch import ChangeSet
from integration.errors import RecordNeedsReview, RecordRejected, Throttled, Unreachable
from integration.flows.outcomes import Failed, Moved, Outcome, Skipped, Synced, WouldChange
from tests.unit.order_support import (
    ACCOUNT,
    HEADERS,
    LINE_ID,
    LINES,
    ORDER_ID,
    A,
    B,
    World,
    line_id,
)

NUMBERINGS = ("sequence", "opportunity-id")
NUMBER, STATUS, ERROR = "D365_Order_Number__c", "D365_Status__c", "D365_Error__c"
TWO = ({"Quantity": "3", "UnitPrice": "12.5"}, {"item": "D0002", "Discount": "10"})


@pytest.fixture(params=NUMBERINGS)
def world(request: pytest.FixtureRequest) -> World:
    return World(ORDER_NUMBERING=request.param)


def problem(outcome: Outcome) -> Any:
    assert isinstance(outcome, Failed), outcome
    return outcome.error


def lines(*given: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(line) for line in given or TWO]


async def ordered(world: World, *given: dict[str, Any]) -> None:
    """An opportunity whose order exists and is reported."""
    world.add(A, *lines(*given))
    assert await world.run() == {A: Synced(True)}
    world.forget()


async def test_a_won_opportunity_becomes_an_order_with_its_lines(world: World) -> None:
    world.add(A, *lines())
    assert await world.run() == {A: Synced(True)}
    [header] = world.headers
    assert header["OrderingCustomerAccountNumber"] == "US-1"
    assert header["InvoiceCustomerAccountNumber"] == "US-1"
    assert (header["CurrencyCode"], header["LanguageId"]) == ("USD", "en-US")
    assert header["RequestedShippingDate"] == "2025-02-20T12:00:00Z"
    assert [row[LINE_ID] for row in world.lines] == [line_id(1), line_id(2)]
    assert [row["LineAmount"] for row in world.lines] == [Decimal("37.50"), Decimal("18.00")]
    assert {row["SalesOrderNumber"] for row in world.lines} == {header["SalesOrderNumber"]}
    opportunity = world.opportunity()
    assert opportunity[NUMBER] == header["SalesOrderNumber"]
    assert (opportunity[STATUS], opportunity[ERROR]) == ("Ordered", None)


async def test_the_opportunity_identifies_the_order() -> None:
    sequence, own = World(), World(ORDER_NUMBERING="opportunity-id")
    for world in (sequence, own):
        await ordered(world)
    assert sequence.headers[0][ORDER_ID] == A
    assert own.headers[0]["SalesOrderNumber"] == A


async def test_header_and_lines_are_one_changeset_where_the_number_is_ours() -> None:
    world = World(ORDER_NUMBERING="opportunity-id")
    world.add(A, *lines())
    world.add(B, *lines())
    assert set((await world.run(A, B)).values()) == {Synced(True)}
    [batch] = world.d365.batches
    assert [type(item) for item in batch] == [ChangeSet, ChangeSet]
    assert world.store.documents == {}


async def test_many_orders_cost_as_many_calls_as_one(world: World) -> None:
    world.add(A, *lines())
    world.add(B, *lines())
    await world.run(A, B)
    writes = 1 if world.settings.orders.numbering == "opportunity-id" else 2
    assert (world.d365.reads, len(world.d365.batches)) == (1, writes)
    assert world.salesforce.calls == ["query", "update Opportunity"]


async def test_handling_it_again_changes_nothing(world: World) -> None:
    await ordered(world)
    assert await world.run() == {A: Synced(False)}
    assert world.d365.batches == []
    assert world.salesforce.calls == ["query"]


async def test_a_dry_run_writes_nothing_and_makes_no_customer(world: World) -> None:
    world.d365.rows["CustomersV3"].clear()
    world.add(A, *lines())
    outcome = (await world.run(dry=True))[A]
    assert isinstance(outcome, WouldChange)
    assert f"{LINES}[{line_id(1)}]" in [change.field for change in outcome.differences]
    assert world.d365.batches == []


async def test_a_missing_customer_is_made_first_and_used(world: World) -> None:
    world.d365.rows["CustomersV3"].clear()
    world.add(A, *lines())
    assert await world.run() == {A: Synced(True)}
    assert world.headers[0]["OrderingCustomerAccountNumber"] == "US-000001"
    account = world.salesforce.records["Account"][ACCOUNT]
    assert account["D365_Customer_Number__c"] == "US-000001"


async def test_what_rejects_the_account_rejects_the_order_in_words(world: World) -> None:
    world.d365.rows["CustomersV3"].clear()
    world.add_account(BillingCountry="Atlantis")
    world.add(A, *lines())
    error = problem((await world.run())[A])
    assert isinstance(error, RecordRejected)
    assert error.reason == "account-mapping"
    assert error.description.startswith("Account Acme has no customer: AddressCountryRegionId")
    assert world.headers == []


async def test_an_account_that_may_have_no_customer_rejects_the_order() -> None:
    world = World(CUSTOMER_CREATION="off")
    world.d365.rows["CustomersV3"].clear()
    world.add(A, *lines())
    error = problem((await world.run())[A])
    assert (type(error), error.reason) == (RecordRejected, "account-without-customer")
    assert "The account Acme" in error.description


async def test_trouble_of_a_system_while_the_customer_is_made_stays_that(world: World) -> None:
    world.d365.rows["CustomersV3"].clear()
    world.add(A, *lines())
    world.d365.answers = [Throttled("slow", system="d365")]
    assert isinstance(problem((await world.run())[A]), Throttled)
    assert world.headers == []


async def test_the_invoice_account_of_the_customer_is_kept(world: World) -> None:
    world.d365.rows["CustomersV3"][0]["InvoiceAccount"] = "US-HQ"
    await ordered(world)
    assert world.headers[0]["InvoiceCustomerAccountNumber"] == "US-HQ"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"IsWon": False}, "not-won"),
        ({"IsDeleted": True}, "deleted-in-salesforce"),
        ({"CloseDate": "2024-12-31"}, "before-cut-over"),
    ],
)
async def test_what_is_not_to_be_ordered_is_skipped(
    world: World, values: dict[str, Any], reason: str
) -> None:
    world.add(A, *lines(), **values)
    assert await world.run() == {A: Skipped(reason)}
    assert world.d365.batches == []


async def test_the_day_of_the_cut_over_counts(world: World) -> None:
    world.add(A, *lines(), CloseDate="2025-01-01")
    assert await world.run() == {A: Synced(True)}


async def test_another_field_may_say_when_it_was_won() -> None:
    world = World(ORDER_WON_DATE_FIELD="Won_At__c")
    world.add(A, *lines(), Won_At__c="2024-12-31T23:59:59.000+0000")
    world.add(B, *lines(), Won_At__c=None)
    outcomes = await world.run(A, B)
    assert outcomes[A] == Skipped("before-cut-over")
    assert problem(outcomes[B]).reason == "no-won-date"


async def test_an_id_that_is_none_is_not_found(world: World) -> None:
    assert await world.run("nonsense") == {"nonsense": Skipped("not-found")}
    assert world.salesforce.calls == []


async def test_the_root_is_the_account(world: World) -> None:
    from integration.flows.engine import converge

    world.add(A, *lines())
    roots: list[str] = []
    outcomes = await converge(
        world.flow, {A: "b"}, owns=lambda root, bucket: roots.append(root) is not None
    )
    assert outcomes == {A: Moved(ACCOUNT, A)}
    assert roots == [ACCOUNT]


@pytest.mark.parametrize(
    ("given", "values", "reason", "said"),
    [
        ([], {}, "no-lines", "no products"),
        ([{"Quantity": "0.004"}], {}, "not-orderable", "line 1 (Product D0001): the quantity"),
        ([{"item": None}], {}, "not-orderable", "names no item"),
        ([{"item": "NOPE"}, {}, {"item": "N2"}], {}, "unknown-items", "item NOPE does not exist"),
        ([{"item": "d0001"}], {}, "unknown-items", "but D0001 does"),
        ([{"item": "D*"}], {}, "unknown-items", "item D* does not exist"),
        ([{}], {"AccountId": None}, "no-account", "no account"),
        ([{"item": "X" * 21}], {}, "not-orderable", "21 characters"),
    ],
)
async def test_what_cannot_be_ordered_is_said_before_anything_is_written(
    world: World,
    given: list[dict[str, Any]],
    values: dict[str, Any],
    reason: str,
    said: str,
) -> None:
    world.add(A, *lines(*given) if given else (), **values)
    error = problem((await world.run())[A])
    assert isinstance(error, RecordNeedsReview)
    assert error.reason == reason
    assert said.lower() in error.description.lower()
    assert world.d365.batches == []


async def test_every_missing_item_is_named(world: World) -> None:
    world.add(A, *lines({"item": "N1"}, {}, {"item": "N2"}))
    text = problem((await world.run())[A]).description
    assert "Line 1 (Product N1): item N1" in text
    assert "Line 3 (Product N2): item N2" in text
    assert "line 2" not in text.lower()


async def test_an_item_of_another_company_does_not_count(world: World) -> None:
    world.d365.rows["ReleasedProductsV2"].append({"dataAreaId": "demf", "ItemNumber": "M1"})
    world.add(A, *lines({"item": "M1"}))
    assert problem((await world.run())[A]).reason == "unknown-items"


async def test_the_quantity_is_rounded_half_up(world: World) -> None:
    world.add(A, *lines({"Quantity": "1.005", "UnitPrice": "1", "TotalPrice": Decimal("1.01")}))
    assert await world.run() == {A: Synced(True)}
    assert world.lines[0]["OrderedSalesQuantity"] == Decimal("1.01")


async def test_a_broken_batch_is_the_trouble_of_the_system(world: World) -> None:
    world.add(A, *lines())
    world.d365.answers = [Unreachable("down", system="d365")]
    assert isinstance(problem((await world.run())[A]), Unreachable)
    assert await world.run() == {A: Synced(True)}
    assert (len(world.headers), len(world.lines)) == (1, 2)


async def test_an_order_of_another_opportunity_leaves_this_one_alone(world: World) -> None:
    await ordered(world)
    world.add(B, *lines())
    assert await world.run(B) == {B: Synced(True)}
    assert len(world.d365.rows[HEADERS]) == 2
