"""Flow 3 through the real triggers: a won opportunity becomes one sales order, which is never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.order_world import OrderWorld, new_order_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")
TWO = (("D0001", 2, 249.5), ("D0002", 3, 75))


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sequence", "opportunity-id"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[OrderWorld]:
    async with new_order_world(ORDER_NUMBERING=request.param) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: OrderWorld) -> AsyncIterator[OrderWorld]:
    yield running
    await running.put("d365", "settings", {"price_overrides": False})
    await running.calm()


async def test_a_won_opportunity_becomes_an_order_and_gets_its_number_back(
    world: OrderWorld,
) -> None:
    account = await world.create_settled()
    deal = await world.win(account, *TWO)
    await world.settled()
    assert await world.is_ordered(deal)
    order, customer = await world.order(deal), await world.customer(account)
    assert order["OrderingCustomerAccountNumber"] == customer["CustomerAccount"]
    assert order["CurrencyCode"] == "EUR"
    assert order["RequestedShippingDate"] == "2025-06-30T12:00:00Z"
    assert order["OrderTotalAmount"] == 724


async def test_the_customer_of_a_new_account_is_made_with_its_order(world: OrderWorld) -> None:
    account = await world.create(events=False)
    deal = await world.win(account, *TWO)
    await world.settled()
    assert await world.is_ordered(deal)
    assert await world.is_in_step(account)


async def test_twenty_lines_cost_few_calls_in_all(world: OrderWorld) -> None:
    account = await world.create_settled()
    await world.win_settled(account, *TWO)
    deal = await world.win(account, *[("D0001", number, 10) for number in range(1, 21)])
    await world.settled()
    assert await world.is_ordered(deal)
    calls = len(world.salesforce.calls) + len(world.d365.calls)
    manual = (await world.order(deal))["SalesOrderNumber"] == deal
    assert calls <= (5 if manual else 7), [c.path for c in world.d365.calls]


async def test_an_event_that_names_no_account_finds_its_bucket(world: OrderWorld) -> None:
    account = await world.create_settled()
    deal = await world.open_deal(account, *TWO)
    await world.edit("Opportunity", deal, events=False, StageName="Closed Won")
    answer = await world.sandbox.post_event(world.tell_of(deal))
    assert answer.status_code == 202
    await world.settled()
    assert await world.is_ordered(deal)


async def test_the_same_again_and_edits_that_do_not_matter_change_nothing(
    world: OrderWorld,
) -> None:
    deal = await world.win_settled(await world.create_settled(), *TWO)
    await world.edit("Opportunity", deal, NextStep="Send flowers")
    await world.settled()
    assert await world.is_ordered(deal)
    assert world.d365.writes_to_d365() == []
    assert world.salesforce.rows_to_salesforce() == []


async def test_an_open_opportunity_and_one_from_before_the_cut_over_make_no_order(
    world: OrderWorld,
) -> None:
    account = await world.create_settled()
    opened = await world.open_deal(account, *TWO)
    await world.edit("Opportunity", opened, NextStep="Call")
    old = await world.win(account, *TWO, CloseDate="2024-12-31")
    await world.settled()
    for deal in (opened, old):
        assert await world.orders(deal) == []
        assert world.letters(deal) == []
        assert not (await world.deal(deal)).get("D365_Status__c")


async def test_items_that_are_not_released_are_named_to_the_salesperson(world: OrderWorld) -> None:
    lines = (("D0001", 1, 10), ("NOT-RELEASED", 1, 10))
    deal = await world.win(await world.create_settled(), *lines)
    await world.settled()
    letter, opportunity = world.letter(deal), await world.deal(deal)
    assert (letter["kind"], letter["reason"]) == ("review", "unknown-items")
    assert opportunity["D365_Status__c"] == "Needs review"
    assert "Line 2 (Product NOT-RELEASED): item NOT-RELEASED" in opportunity["D365_Error__c"]
    assert await world.orders(deal) == []
    assert world.d365.writes_to_d365() == []


async def test_an_opportunity_without_lines_is_reviewed_and_heals_when_it_gets_some(
    world: OrderWorld,
) -> None:
    deal = await world.win(await world.create_settled())
    await world.settled()
    assert world.letter(deal)["reason"] == "no-lines"
    await world.add_lines(deal, *TWO)
    await world.edit("Opportunity", deal, NextStep="Order it")
    await world.settled()
    opportunity = await world.deal(deal)
    assert opportunity["D365_Status__c"] == "Ordered"
    assert not opportunity.get("D365_Error__c")
    assert len(await world.order_lines(await world.order(deal))) == 2


async def test_an_account_that_cannot_become_a_customer_is_named(world: OrderWorld) -> None:
    account = await world.create(events=False, BillingCountry="Atlantis", Name="Poseidon Ltd")
    deal = await world.win(account, *TWO)
    await world.settled()
    assert world.letter(deal)["kind"] == "review"
    text = (await world.deal(deal))["D365_Error__c"]
    assert "Poseidon Ltd has no customer" in text
    assert "Atlantis" in text
    assert await world.orders(deal) == []


async def test_a_price_that_dynamics_overrules_is_reviewed_beside_the_orders_number(
    world: OrderWorld,
) -> None:
    await world.put("d365", "settings", {"price_overrides": True})
    deal = await world.win(await world.create_settled(), ("D0001", 2, 100))
    await world.settled()
    letter, opportunity = world.letter(deal), await world.deal(deal)
    assert (letter["kind"], letter["reason"]) == ("review", "amounts-differ")
    assert opportunity["D365_Order_Number__c"] == (await world.order(deal))["SalesOrderNumber"]
    assert opportunity["D365_Status__c"] == "Needs review"
    assert "200.00 here and 499.00 in the order" in opportunity["D365_Error__c"]


async def test_reopening_amending_and_deleting_are_reported_and_change_nothing(
    world: OrderWorld,
) -> None:
    account = await world.create_settled()
    reopened, amended, deleted = [await world.win_settled(account, *TWO) for _ in range(3)]
    orders = [await world.order(deal) for deal in (reopened, amended, deleted)]
    lines = [await world.order_lines(order) for order in orders]
    await world.edit("Opportunity", reopened, StageName="Negotiation")
    await world.add_lines(amended, ("D0003", 1, 5))
    await world.edit("Opportunity", amended, NextStep="One more")
    await world.remove("Opportunity", deleted)
    await world.settled()
    reasons = [world.letter(deal)["reason"] for deal in (reopened, amended, deleted)]
    assert reasons == ["no-longer-won", "changed-after-order", "deleted-after-order"]
    assert [await world.order(deal) for deal in (reopened, amended, deleted)] == orders
    assert [await world.order_lines(order) for order in orders] == lines
    assert world.d365.writes_to_d365() == []
    for deal in (reopened, amended):
        assert (await world.deal(deal))["D365_Status__c"] == "Needs review"


async def test_an_outage_delays_the_order_and_uses_up_no_attempt(world: OrderWorld) -> None:
    account = await world.create_settled()
    await world.fault("d365", status=503, count=6)
    deal = await world.win(account, *TWO)
    await world.settled()
    assert await world.is_ordered(deal)


async def test_what_dynamics_keeps_refusing_ends_in_review_after_its_attempts(
    world: OrderWorld,
) -> None:
    account = await world.create_settled()
    await world.put("d365", "update-conflicts", {"SalesOrderLinesV3": 50})
    deal = await world.win(account, *TWO)
    await world.settled()
    await world.put("d365", "update-conflicts", {"SalesOrderLinesV3": 0})
    letter, opportunity = world.letter(deal), await world.deal(deal)
    assert letter["kind"] == "review"
    assert letter["hint"]["attempt"] == 4
    assert opportunity["D365_Status__c"] == "Needs review"
    assert "technical reason" in opportunity["D365_Error__c"]
    assert "conflict" not in opportunity["D365_Error__c"]


async def test_a_lost_answer_makes_no_second_order(world: OrderWorld) -> None:
    account = await world.create_settled()
    deal = await world.open_deal(account, *TWO)
    # The first $batch reads, the second writes.
    await world.fault("d365", match={"path": "batch"}, drop="after", skip=1)
    await world.edit("Opportunity", deal, StageName="Closed Won")
    await world.settled()
    assert await world.is_ordered(deal)


async def test_an_order_in_another_company_is_for_a_person(world: OrderWorld) -> None:
    account = await world.create_settled()
    deal = await world.open_deal(account, *TWO)
    await world.add_customer(CustomerAccount=f"A{deal[-8:]}", dataAreaId="demf")
    await world.put_order(
        dataAreaId="demf", SalesOrderNumber=deal, SalesforceOpportunityId=deal,
        OrderingCustomerAccountNumber=f"A{deal[-8:]}", CurrencyCode="EUR",
    )  # fmt: skip
    await world.edit("Opportunity", deal, StageName="Closed Won")
    await world.settled()
    assert world.letter(deal)["reason"] == "other-company"
    assert len(await world.orders(deal)) == 1
