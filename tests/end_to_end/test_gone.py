"""Deletes, undeletes and merges through the real triggers: nothing is lost, doubled, or told twice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from integration.d365.business_keys import InvoiceKey
from integration.messaging.hints import Hint, bucket_of
from tests.end_to_end import receivables
from tests.end_to_end.gone_world import new_gone_world
from tests.end_to_end.job_runs import document, run_timer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.gone_world import GoneWorld

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = "Deleted in Salesforce"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[GoneWorld]:
    async with new_gone_world() as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: GoneWorld) -> AsyncIterator[GoneWorld]:
    yield running
    await running.calm()


async def caught_up(world: GoneWorld) -> dict[str, Any]:
    state = await run_timer(world, "catch_up_salesforce", "catch-up")
    assert state["status"] == "done", state
    await world.settled()
    return dict(state["counts"])


async def tell_of_invoice(world: GoneWorld, posted: dict[str, Any]) -> None:
    """F&O tells of it again, in an event of its own."""
    key = InvoiceKey(posted["company"], "freetext", posted["invoice"], posted["voucher"])
    hint = Hint(
        source="d365", object="FreeTextInvoice", key=key.text, root=key.root,
        event_id=f"again:{key.text}", seen_at=datetime.now(UTC),
    )  # fmt: skip
    await world.sandbox.send_raw(hint.to_bytes(), session=bucket_of(key.root, 16))
    await world.settled()


def change_event(object_name: str, key: str, kind: str) -> dict[str, Any]:
    """As Change Data Capture words it (Salesforce contract 5.1)."""
    header = {
        "entityName": object_name, "recordIds": [key], "changeType": kind,
        "transactionKey": f"{kind}-{key}", "sequenceNumber": 1,
    }  # fmt: skip
    return {"data": {"payload": {"ChangeEventHeader": header}, "event": {"replayId": 1}}}


# Reviews, the default


async def test_a_deleted_account_is_reported_once_however_often_it_is_told(
    world: GoneWorld,
) -> None:
    await world.run_with()
    key = await world.create_settled()
    before = await world.customer(key)
    await world.delete(key)
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("review", "deleted-in-salesforce")
    assert f"customer {before['CustomerAccount']} in usmf" in letter["description"]
    assert "open orders are not touched" in letter["description"]
    await world.tell_in_turn(key, key)
    answer = await world.sandbox.post_event(change_event("Account", key, "DELETE"))
    assert answer.status_code == 202
    await world.settled()
    assert len(world.letters(key)) == 1
    assert await world.customer(key) == before
    assert world.d365.writes_to_d365() == []


async def test_an_undeleted_account_is_in_step_again_and_its_next_deletion_is_told(
    world: GoneWorld,
) -> None:
    await world.run_with()
    key = await world.create_settled()
    await world.delete(key)
    await world.settled()
    await world.a_second_later()
    await world.undelete("Account", key)
    await world.change(key, Phone="+49 8041 77")
    await world.settled()
    assert (await world.customer(key))["PrimaryContactPhone"] == "+49 8041 77"
    await world.a_second_later()
    await world.delete(key)
    await world.settled()
    assert [letter["reason"] for letter in world.letters(key)] == ["deleted-in-salesforce"] * 2


async def test_an_account_without_customer_goes_unnoticed(world: GoneWorld) -> None:
    await world.run_with()
    key = await world.create(events=False)
    await world.delete(key)
    await world.settled()
    assert world.letters(key) == []
    assert await world.customers(key) == []


@pytest.mark.parametrize("way", ["change events", "gap"])
async def test_a_deletion_that_no_webhook_delivered_takes_the_same_path(
    world: GoneWorld, way: str
) -> None:
    await world.run_with()
    key = await world.create_settled()
    await caught_up(world)
    await world.put("salesforce", "delivery", {"lose_share": 1})
    await world.delete(key)
    await world.settled()
    assert world.letters(key) == []
    if way == "gap":
        await world.put("salesforce", "pubsub/expire", {}, method="POST")
    assert (await caught_up(world))["gap_records" if way == "gap" else "hinted"] >= 1
    assert world.letter(key)["reason"] == "deleted-in-salesforce"
    await world.tell(key)
    await world.settled()
    assert len(world.letters(key)) == 1


async def test_a_merge_that_no_webhook_delivered_is_caught_up_with(world: GoneWorld) -> None:
    await world.run_with()
    loser, winner = await world.create_settled(), await world.create(events=False)
    await caught_up(world)
    await world.a_second_later()
    number = await world.number(loser)
    await world.put("salesforce", "delivery", {"lose_share": 1})
    await world.merge_into(winner, loser)
    await caught_up(world)
    assert (await world.customer(winner))["CustomerAccount"] == number
    assert await world.number(winner) == number


async def test_a_deleted_opportunity_is_reported_once_where_an_order_exists(
    world: GoneWorld,
) -> None:
    await world.run_with()
    account = await world.create_settled()
    ordered = await world.win_settled(account, ("D0001", 1, 100))
    open_ = await world.open_deal(account, ("D0001", 1, 100))
    order = await world.order(ordered)
    for key in (ordered, open_):
        await world.remove("Opportunity", key)
    await world.settled()
    await world.tell_in_turn(ordered, ordered, open_, object_name="Opportunity")
    letter = world.letter(ordered)
    assert (letter["kind"], letter["reason"]) == ("review", "deleted-after-order")
    assert world.letters(open_) == []
    assert await world.order(ordered) == order


async def test_a_deleted_contact_leaves_its_person_and_nobody_is_told(world: GoneWorld) -> None:
    await world.run_with()
    key = await world.contact_of(await world.create_settled())
    before = await world.persons(key)
    await world.remove("Contact", key)
    await world.settled()
    assert await world.persons(key) == before
    assert world.letters(key) == []


# Other policies

BLOCKING = {
    "DELETED_ACCOUNTS": "block",
    "DELETED_CONTACTS": "mark",
    "DELETED_CONTACT_FIELD": "IsInactive",
    "DELETED_CUSTOMER_FIELD": "SalesMemo",
    "DELETED_OPPORTUNITIES": "ignore",
}


async def test_block_puts_the_customer_on_hold_and_an_undelete_takes_that_back(
    world: GoneWorld,
) -> None:
    await world.run_with(**BLOCKING)
    key = await world.create_settled()
    number = await world.number(key)
    await world.delete(key)
    await world.settled()
    blocked = await world.customer_numbered(number)
    assert (blocked["OnHoldStatus"], blocked["SalesMemo"]) == ("All", MARK)
    assert document(world, f"marks/Account/{key}.json")["reason"] == "deleted-in-salesforce"
    world.forget_calls()
    await world.tell_in_turn(key, key)
    assert world.d365.writes_to_d365() == []
    assert world.letters(key) == []
    await world.undelete("Account", key)
    await world.tell(key)
    await world.settled()
    free = await world.customer_numbered(number)
    assert (free["OnHoldStatus"], free["SalesMemo"]) == ("No", "")
    assert document(world, f"marks/Account/{key}.json") is None
    world.forget_calls()
    await world.tell(key)
    await world.settled()
    assert world.d365.writes_to_d365() == []


async def test_a_block_of_a_person_is_left_and_never_taken_back(world: GoneWorld) -> None:
    await world.run_with(**BLOCKING)
    invoice, all_ = await world.create_settled(), await world.create_settled()
    for key, member in ((invoice, "Invoice"), (all_, "All")):
        await world.change_customer(key, OnHoldStatus=member)
        await world.delete(key)
    await world.settled()
    assert (await world.customer(invoice))["OnHoldStatus"] == "Invoice"
    letter = world.letter(invoice)
    assert (letter["kind"], letter["reason"]) == ("review", "deleted-in-salesforce")
    assert "on hold already (Invoice)" in letter["description"]
    assert world.letters(all_) == []
    for key in (invoice, all_):
        await world.undelete("Account", key)
    await world.tell(invoice, all_)
    await world.settled()
    rows = [await world.customer(key) for key in (invoice, all_)]
    assert [row["OnHoldStatus"] for row in rows] == ["Invoice", "All"]
    assert [row["SalesMemo"] for row in rows] == ["", ""]


async def test_what_a_person_decides_after_the_block_stands(world: GoneWorld) -> None:
    """Lifted while the account is gone: not set again, and a later block of theirs is not ours."""
    await world.run_with(**BLOCKING)
    key = await world.create_settled()
    await world.delete(key)
    await world.settled()
    await world.change_customer(key, OnHoldStatus="No", SalesMemo="")
    await world.tell(key)
    await world.settled()
    assert (await world.customer(key))["OnHoldStatus"] == "No"
    await world.undelete("Account", key)
    await world.tell(key)
    await world.settled()
    await world.change_customer(key, OnHoldStatus="All")
    await world.tell(key)
    await world.settled()
    assert (await world.customer(key))["OnHoldStatus"] == "All"
    assert world.letters(key) == []


async def test_a_contact_person_is_set_inactive_and_active_again(world: GoneWorld) -> None:
    await world.run_with(**BLOCKING)
    key = await world.contact_of(await world.create_settled())
    await world.remove("Contact", key)
    await world.settled()
    assert [row["IsInactive"] for row in await world.persons(key)] == ["Yes"]
    await world.undelete("Contact", key)
    await world.tell_of_object("Contact", key)
    await world.settled()
    assert [row["IsInactive"] for row in await world.persons(key)] == ["No"]
    assert world.letters(key) == []


async def test_orders_of_deleted_opportunities_can_be_ignored(world: GoneWorld) -> None:
    await world.run_with(**BLOCKING)
    key = await world.win_settled(await world.create_settled(), ("D0001", 1, 100))
    await world.remove("Opportunity", key)
    await world.settled()
    assert world.letters(key) == []


async def test_deleted_accounts_can_be_ignored(world: GoneWorld) -> None:
    await world.run_with(DELETED_ACCOUNTS="ignore")
    key = await world.create_settled()
    before = await world.customer(key)
    await world.delete(key)
    await world.settled()
    assert await world.customer(key) == before
    assert world.letters(key) == []
    assert world.d365.calls == []


async def test_deletes_and_undeletes_that_waited_for_the_timer_end_the_same(
    world: GoneWorld,
) -> None:
    await world.run_with()
    key = await world.create_settled()
    number = await world.number(key)
    await world.run_with(DELETED_ACCOUNTS="block", ACCOUNTS_ROUTE="scheduled")
    for act, status in ((world.delete(key), "All"), (world.undelete("Account", key), "No")):
        await act
        await world.tell(key)
        await world.settled()
        assert (await world.customer_numbered(number))["OnHoldStatus"] != status
        state = await run_timer(world, "send_packages", "load-accounts")
        assert state["status"] == "done", state
        await world.settled()
        assert (await world.customer_numbered(number))["OnHoldStatus"] == status


# Merges


async def merged_pair(world: GoneWorld, *, linked: str) -> tuple[str, str]:
    """(loser, winner), of which one or both have a customer; merged, and nobody was told."""
    await world.run_with()
    keys = {}
    for name in ("loser", "winner"):
        if linked in (name, "both"):
            keys[name] = await world.create_settled()
        else:
            keys[name] = await world.create(events=False)
    await world.a_second_later()
    await world.merge_into(keys["winner"], keys["loser"], events=False)
    world.forget_calls()
    return keys["loser"], keys["winner"]


@pytest.mark.parametrize("order", ["loser first", "winner first", "both wait", "both, reversed"])
async def test_the_customer_of_the_merged_account_becomes_that_of_the_survivor(
    world: GoneWorld, order: str
) -> None:
    loser, winner = await merged_pair(world, linked="loser")
    count, customer = await world.customer_count(), await world.customer(loser)
    if order == "loser first":
        await world.tell_in_turn(loser, winner, loser)
    elif order == "winner first":
        await world.tell_in_turn(winner, loser, winner)
    elif order == "both wait":
        await world.tell_at_once(loser, winner)
    else:
        await world.tell_at_once(winner, loser)
    now = await world.customer(winner)
    assert now["CustomerAccount"] == customer["CustomerAccount"]
    assert await world.number(winner) == customer["CustomerAccount"]
    assert now["OrganizationName"] == (await world.account(winner))["Name"]
    assert await world.customer_count() == count
    assert await world.customers(loser) == []
    assert world.letters(loser, winner) == []


async def test_one_hint_for_the_merged_account_is_enough(world: GoneWorld) -> None:
    loser, winner = await merged_pair(world, linked="loser")
    number = (await world.customer(loser))["CustomerAccount"]
    await world.tell_in_turn(loser)
    assert await world.number(winner) == number
    assert (await world.customer(winner))["CustomerAccount"] == number


async def test_a_survivor_that_took_over_the_number_takes_over_the_customer(
    world: GoneWorld,
) -> None:
    """People may choose the loser's value of the number field when they merge."""
    loser, winner = await merged_pair(world, linked="loser")
    number = (await world.customer(loser))["CustomerAccount"]
    await world.change(winner, events=False, D365_Customer_Number__c=number)
    await world.tell_in_turn(winner, loser)
    assert (await world.customer(winner))["CustomerAccount"] == number
    assert world.letters(loser, winner) == []


async def test_a_chain_of_merges_is_followed_to_its_end(world: GoneWorld) -> None:
    first, second = await merged_pair(world, linked="loser")
    last = await world.create(events=False)
    await world.a_second_later()
    await world.merge_into(last, second, events=False)
    number = (await world.customer(first))["CustomerAccount"]
    await world.tell_in_turn(last, second, first)
    assert (await world.customer(last))["CustomerAccount"] == number
    assert world.letters(first, second, last) == []


async def test_a_survivor_with_a_customer_keeps_it(world: GoneWorld) -> None:
    loser, winner = await merged_pair(world, linked="winner")
    before = await world.customer(winner)
    await world.change(winner, events=False, Phone="+49 8041 555")
    await world.tell_in_turn(loser)
    after = await world.customer(winner)
    assert after["PrimaryContactPhone"] == "+49 8041 555"  # handled by the hint of the merged one
    assert after["CustomerAccount"] == before["CustomerAccount"]
    assert world.letters(loser, winner) == []


@pytest.mark.parametrize("order", ["loser first", "winner first", "both wait"])
async def test_two_customers_of_one_account_are_reported_once(world: GoneWorld, order: str) -> None:
    loser, winner = await merged_pair(world, linked="both")
    customers = [await world.customer(loser), await world.customer(winner)]
    await world.change(winner, events=False, Phone="+49 8041 556")
    if order == "loser first":
        await world.tell_in_turn(loser, winner, loser, loser)
    elif order == "winner first":
        await world.tell_in_turn(winner, loser, winner, loser)
    else:
        await world.tell_at_once(loser, winner, loser)
        await world.tell_in_turn(loser)
    letter = world.letter(loser)
    assert (letter["kind"], letter["reason"]) == ("review", "merged-customers")
    for customer in customers:
        assert f"{customer['CustomerAccount']} in usmf" in letter["description"]
    assert world.letters(winner) == []
    assert await world.customer(loser) == customers[0]
    assert (await world.customer(winner))["PrimaryContactPhone"] == "+49 8041 556"
    assert await world.number(winner) == customers[1]["CustomerAccount"]


async def test_invoices_of_the_merged_accounts_customer_land_on_the_survivor(
    world: GoneWorld,
) -> None:
    loser, winner = await merged_pair(world, linked="both")
    number = (await world.customer(loser))["CustomerAccount"]
    await world.tell_in_turn(loser)
    posted = await receivables.post(world, customer=number, amount=120, company="usmf", date="")
    await world.until_found(lambda: receivables.invoices(world, posted["invoice"]))
    await world.settled()
    assert (await receivables.invoice(world, posted["invoice"]))["Account__c"] == winner


async def test_invoices_that_came_before_the_merge_stay_in_step(world: GoneWorld) -> None:
    await world.run_with()
    loser, winner = await world.create_settled(), await world.create_settled()
    posted = await receivables.post(
        world, customer=await world.number(loser), amount=80, company="usmf", date=""
    )
    await world.until_found(lambda: receivables.invoices(world, posted["invoice"]))
    await world.settled()
    assert (await receivables.invoice(world, posted["invoice"]))["Account__c"] == loser
    await world.merge_into(winner, loser)
    await world.settled()
    world.forget_calls()
    await tell_of_invoice(world, posted)
    assert len(world.d365.calls) > 0
    assert [call for call in world.salesforce.calls if b"PATCH" in call.body] == []
    assert (await receivables.invoice(world, posted["invoice"]))["Account__c"] == winner


async def test_contacts_and_orders_of_the_merged_account_stay_with_its_customer(
    world: GoneWorld,
) -> None:
    """F&O moves neither; both go on, and nobody is asked about each of them."""
    await world.run_with()
    loser, winner = await world.create_settled(), await world.create_settled()
    contact = await world.contact_of(loser)
    deal = await world.win_settled(loser, ("D0001", 2, 50))
    party = (await world.customer(loser))["PartyNumber"]
    order = await world.order(deal)
    await world.merge_into(winner, loser)
    await world.edit("Contact", contact, Phone="+49 8041 31")
    await world.settled()
    await world.tell_in_turn(deal, object_name="Opportunity")
    assert (await world.contact(contact))["AccountId"] == winner
    [person] = await world.persons(contact)
    assert (person["AssociatedPartyNumber"], person["PrimaryPhoneNumber"]) == (
        party, "+49 8041 31",
    )  # fmt: skip
    assert world.letters(contact, deal) == []
    assert await world.order(deal) == order
    fresh = await world.contact_of(winner)
    assert [row["AssociatedPartyNumber"] for row in await world.persons(fresh)] == [
        (await world.customer(winner))["PartyNumber"]
    ]


async def test_contacts_follow_when_their_customer_does(world: GoneWorld) -> None:
    await world.run_with()
    loser = await world.create_settled()
    winner = await world.create(events=False)
    contact = await world.contact_of(loser)
    await world.a_second_later()
    await world.merge_into(winner, loser, events=False)
    await world.edit("Contact", contact, events=False, Phone="+49 8041 32")
    await world.tell_in_turn(contact, object_name="Contact")  # before anybody told of the accounts
    await world.tell_in_turn(loser)
    [person] = await world.persons(contact)
    assert person["PrimaryPhoneNumber"] == "+49 8041 32"
    assert person["AssociatedPartyNumber"] == (await world.customer(winner))["PartyNumber"]
    assert world.letters(contact, loser, winner) == []


@pytest.mark.parametrize("first", ["loser", "winner"])
async def test_the_person_of_a_merged_contact_becomes_that_of_the_survivor(
    world: GoneWorld, first: str
) -> None:
    await world.run_with()
    account = await world.create_settled()
    loser = await world.contact_of(account)
    [winner] = await world.insert("Contact", {"AccountId": account, "LastName": "Survivor"})
    await world.a_second_later()
    number = (await world.contact(loser))["D365_Contact_Number__c"]
    await world.merge_into(winner, loser, object_name="Contact", events=False)
    keys = (loser, winner) if first == "loser" else (winner, loser)
    await world.tell_in_turn(*keys, object_name="Contact")
    [person] = await world.persons(winner)
    assert (person["ContactPersonId"], person["LastName"]) == (number, "Survivor")
    assert (await world.contact(winner))["D365_Contact_Number__c"] == number
    assert world.letters(loser, winner) == []


async def test_two_persons_of_one_contact_are_reported_once(world: GoneWorld) -> None:
    await world.run_with()
    account = await world.create_settled()
    loser, winner = await world.contact_of(account), await world.contact_of(account)
    before = await world.persons(loser)
    await world.merge_into(winner, loser, object_name="Contact")
    await world.settled()
    await world.tell_in_turn(loser, winner, loser, object_name="Contact")
    letter = world.letter(loser)
    assert (letter["kind"], letter["reason"]) == ("review", "merged-contact-persons")
    assert world.letters(winner) == []
    assert await world.persons(loser) == before


async def test_a_merged_account_that_comes_back_has_its_number_for_itself_again(
    world: GoneWorld,
) -> None:
    loser, winner = await merged_pair(world, linked="both")
    number = (await world.customer(loser))["CustomerAccount"]
    await world.tell_in_turn(loser)
    alias = f"aliases/usmf%7C{number.casefold()}.json"
    assert document(world, alias)["account"] == winner
    await world.undelete("Account", loser)
    await world.tell_in_turn(loser)
    assert document(world, alias) is None
    assert await world.is_in_step(winner)
    assert (await world.customer(loser))["CustomerAccount"] == number


# What it costs


async def test_accounts_that_are_there_cost_no_call_more(world: GoneWorld) -> None:
    await world.run_with()
    key = await world.create()
    await world.settled()
    assert len(world.salesforce.to("query")) == 0
    world.forget_calls()
    await world.change(key, Phone="+49 8041 9")
    await world.settled()
    assert len(world.d365.calls) == 2  # read, write
    assert len(world.salesforce.calls) == 1  # read
    world.forget_calls()
    await world.tell(key)
    await world.settled()
    assert (len(world.d365.calls), len(world.salesforce.calls)) == (1, 1)
