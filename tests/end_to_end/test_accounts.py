"""Flow 1 through the real triggers: an account becomes a customer, stays one, and nothing is guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from integration.messaging.hints import Hint, bucket_of
from sandbox.verification import expected_customer

if TYPE_CHECKING:
    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_new_account_becomes_a_customer_and_gets_its_number_back(world: World) -> None:
    key = await world.create()
    await world.settled()
    account, customer = await world.account(key), await world.customer(key)
    wanted = expected_customer(account, "usmf")
    assert {name: customer[name] for name in wanted} == wanted
    assert account["D365_Customer_Number__c"] == customer["CustomerAccount"]
    assert len(world.d365.writes_to_d365()) == 1


async def test_a_change_writes_the_changed_fields_only_and_the_same_event_again_nothing(
    world: World,
) -> None:
    key = await world.create_settled()
    await world.change(key, Phone="+49 8041 999", BillingCity="Lenggries")
    await world.settled()
    (write,) = world.d365.writes_to_d365()
    assert write.method == "PATCH"
    assert write.values == {"PrimaryContactPhone": "+49 8041 999", "AddressCity": "Lenggries"}
    assert world.salesforce.rows_to_salesforce() == []
    world.forget_calls()
    await world.tell(key)
    await world.settled()
    assert world.d365.reads_of_customers() == 1
    assert world.d365.writes_to_d365() == []
    assert world.salesforce.rows_to_salesforce() == []


async def test_an_emptied_field_is_emptied_in_dynamics(world: World) -> None:
    key = await world.create_settled()
    await world.change(key, Phone=None)
    await world.settled()
    assert [write.values for write in world.d365.writes_to_d365()] == [{"PrimaryContactPhone": ""}]
    assert (await world.customer(key))["PrimaryContactPhone"] == ""


async def test_fields_that_dynamics_owns_are_left_alone(world: World) -> None:
    key = await world.create_settled()
    await world.change_customer(key, CustomerGroupId="80", PaymentTerms="Net60")
    await world.change(key, Phone="+49 8041 777")
    await world.settled()
    customer = await world.customer(key)
    assert customer["PrimaryContactPhone"] == "+49 8041 777"
    assert (customer["CustomerGroupId"], customer["PaymentTerms"]) == ("80", "Net60")


async def test_the_same_event_twice_is_kept_once(world: World) -> None:
    key = await world.create(events=False)
    event, before = world.event(key), world.totals()
    for _ in range(2):
        assert (await world.sandbox.post_event(event)).status_code == 202
    await world.settled()
    after = world.totals()
    assert after["duplicates"] - before["duplicates"] == 1
    assert after["accepted"] - before["accepted"] == 1
    assert len(await world.customers(key)) == 1


async def test_many_events_for_one_account_make_one_customer(world: World) -> None:
    key = await world.create(events=False)
    for _ in range(8):
        await world.tell(key)
    await world.settled()
    assert len(await world.customers(key)) == 1
    assert [write.method for write in world.d365.writes_to_d365()] == ["POST"]


async def test_the_echo_of_the_write_back_dies_out(world: World) -> None:
    key = await world.create_settled()
    before = world.totals()["accepted"]
    echo = {
        "ChangeEventHeader": {
            "entityName": "Account",
            "recordIds": [key],
            "changeType": "UPDATE",
            "changedFields": ["D365_Customer_Number__c", "LastModifiedDate"],
            "transactionKey": f"echo-{key}",
            "sequenceNumber": 1,
        }
    }
    assert (await world.sandbox.post_event(echo)).status_code == 202
    await world.settled()
    assert world.totals()["accepted"] - before == 1
    assert world.d365.reads_of_customers() == 1
    assert world.d365.writes_to_d365() == []
    assert world.salesforce.rows_to_salesforce() == []


async def test_two_hundred_accounts_cost_a_handful_of_calls(world: World) -> None:
    keys = await world.create_many(200, events=False)
    await world.tell(*keys)
    await world.settled()
    assert world.letters(*keys) == []
    rows = await world._rows("d365", "CustomersV3")
    assert len([row for row in rows if row["SalesforceAccountId"] in keys]) == 200
    assert len(world.d365.calls) + len(world.salesforce.calls) <= 60  # three calls each are 600


async def test_a_deleted_account_leaves_its_customer_and_is_reported(world: World) -> None:
    key = await world.create_settled()
    before = await world.customer(key)
    await world.delete(key)
    await world.settled()
    assert await world.customer(key) == before
    assert world.letter(key)["reason"] == "deleted-in-salesforce"


async def test_a_merged_account_is_handled_as_the_one_it_was_merged_into(world: World) -> None:
    loser, master = await world.create_settled(), await world.create_settled()
    customers = [await world.customer(loser), await world.customer(master)]
    await world.change(master, events=False, Phone="+49 8041 555")
    await world.merge(loser, master)
    await world.tell(loser)
    await world.settled()
    assert await world.customer(loser) == customers[0]
    assert (await world.customer(master))["PrimaryContactPhone"] == "+49 8041 555"
    assert [letter["reason"] for letter in world.letters(loser, master)] == ["merged-customers"]


async def test_an_account_that_never_was_is_skipped(world: World) -> None:
    await world.tell("001Aa0000ZZZZZZIAA")
    await world.settled()
    assert world.letters("001Aa0000ZZZZZZIAA") == []
    assert world.d365.writes_to_d365() == []


async def test_an_account_that_names_a_customer_without_owner_takes_it_over(world: World) -> None:
    await world.add_customer(CustomerAccount="OLD-1")
    key = await world.create(D365_Customer_Number__c="OLD-1")
    await world.settled()
    customer = await world.customer(key)
    assert customer["CustomerAccount"] == "OLD-1"
    assert customer["AddressCity"] == "Bad Tölz"
    assert [write.method for write in world.d365.writes_to_d365()] == ["PATCH"]


async def test_a_hint_in_the_wrong_bucket_is_addressed_again(world: World) -> None:
    key = await world.create(events=False)
    right = bucket_of(key, 16)
    wrong = next(b for b in (f"bucket-{n:03d}" for n in range(16)) if b != right)
    hint = Hint(
        source="salesforce", object="Account", key=key, event_id=key, seen_at=datetime.now(UTC)
    )
    before = world.totals()["accepted"]
    await world.sandbox.send_raw(hint.to_bytes(), session=wrong)
    await world.settled()
    assert world.totals()["accepted"] - before == 2  # as sent, and in its own bucket
    assert len(world.salesforce.to("composite/sobjects/Account")) == 2
    assert len(await world.customers(key)) == 1
    assert len(world.d365.writes_to_d365()) == 1
