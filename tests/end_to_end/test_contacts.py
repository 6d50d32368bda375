"""Flow 2 through the real triggers: a contact becomes a contact person of its account's customer."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from integration.messaging.hints import Hint, bucket_of
from sandbox import topology
from tests.end_to_end.world import new_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRITES = {"method": "POST", "path": r".*\$batch"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[World]:
    async with new_world() as world:
        await world.sandbox.subscribe("Account", "Contact")
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: World) -> AsyncIterator[World]:
    yield running
    await running.put("d365", "settings", {"contact_duplicate_check": False})
    await running.calm()


def contact(account: str | None, **fields: Any) -> dict[str, Any]:
    """A row that F&O accepts; every name and address is used once."""
    own = uuid.uuid4().hex[:8]
    return {
        "AccountId": account,
        "FirstName": "Jörg",
        "LastName": f"Weiß {own}",
        "Email": f"{own}@toelzer.example",
        "Phone": "+49 8041 1",
        "Title": "Einkaufsleiter",
        "Department": "Einkauf",
        "MailingStreet": "Marktstraße 1\nHinterhaus",
        "MailingCity": "Bad Tölz",
        "MailingPostalCode": "83646",
        "MailingCountry": "Germany",
        **fields,
    }


async def create(world: World, *rows: dict[str, Any], events: bool = True) -> list[str]:
    url = f"{world.sandbox.salesforce.url}/sandbox/state/Contact"
    params = {} if events else {"events": "false"}
    answer = await world.sandbox.http.post(url, json=list(rows), params=params)
    answer.raise_for_status()
    return list(answer.json()["ids"])


async def create_settled(world: World, account: str, **fields: Any) -> str:
    [key] = await create(world, contact(account, **fields))
    await world.settled()
    assert (await source(world, key))["D365_Contact_Number__c"]
    world.forget_calls()
    return key


async def change(world: World, key: str, **fields: Any) -> None:
    url = f"{world.sandbox.salesforce.url}/sandbox/state/Contact/{key}"
    (await world.sandbox.http.patch(url, json=fields)).raise_for_status()


async def source(world: World, key: str) -> dict[str, Any]:
    [row] = await world._rows("salesforce", "Contact", Id=key)
    return row


async def persons(world: World, key: str) -> list[dict[str, Any]]:
    return await world._rows("d365", "ContactPersons", filter_=f"SalesforceContactId eq '{key}'")


async def person(world: World, key: str) -> dict[str, Any]:
    found = await persons(world, key)
    assert len(found) == 1, f"{key} has {len(found)} contact persons"
    return found[0]


async def add_person(world: World, account: str, **fields: Any) -> None:
    """As if somebody had made it in F&O for the account's customer."""
    party = (await world.customer(account))["PartyNumber"]
    name = {"LastName": "Other", "ContactPersonName": "Other"}
    row = {"dataAreaId": "usmf", "AssociatedPartyNumber": party, **name, **fields}
    await world.put("d365", "state/ContactPersons", row, method="POST")


async def test_a_new_contact_becomes_a_contact_person_and_gets_its_number_back(
    world: World,
) -> None:
    account = await world.create_settled()
    [key] = await create(world, contact(account))
    await world.settled()
    given, made = await source(world, key), await person(world, key)
    wanted = {
        "dataAreaId": "usmf",
        "AssociatedPartyNumber": (await world.customer(account))["PartyNumber"],
        "FirstName": "Jörg",
        "LastName": given["LastName"],
        "PrimaryEmailAddress": given["Email"],
        "PrimaryPhoneNumber": "+49 8041 1",
        "IsPrimaryPhoneNumberMobile": "No",
        "EmploymentJobTitle": "Einkaufsleiter",
        "EmploymentDepartment": "Einkauf",
        "PrimaryAddressStreet": "Marktstraße 1\nHinterhaus",
        "PrimaryAddressCity": "Bad Tölz",
        "PrimaryAddressZipCode": "83646",
        "PrimaryAddressCountryRegionId": "DEU",
        "ContactInformationLanguageId": "en-US",
    }
    assert {name: made[name] for name in wanted} == wanted
    assert given["D365_Contact_Number__c"] == made["ContactPersonId"]
    assert len(world.d365.writes_to_d365()) == 1


async def test_an_account_and_its_contacts_made_together_become_one_customer_with_persons(
    world: World,
) -> None:
    account = await world.create(events=False)
    keys = await create(world, contact(account), contact(account))
    await world.settled()
    party = (await world.customer(account))["PartyNumber"]
    for key in keys:
        assert (await person(world, key))["AssociatedPartyNumber"] == party
    assert (await world.account(account))["D365_Customer_Number__c"]
    assert world.letters(*keys) == []


async def test_a_change_writes_the_changed_fields_only_and_the_same_event_again_nothing(
    world: World,
) -> None:
    key = await create_settled(world, await world.create_settled())
    await change(world, key, Phone=None, MobilePhone="+49 170 1", Department=None)
    await world.settled()
    [write] = world.d365.writes_to_d365()
    assert write.method == "PATCH"
    assert write.values == {
        "PrimaryPhoneNumber": "+49 170 1",
        "IsPrimaryPhoneNumberMobile": "Yes",
        "EmploymentDepartment": "",
    }
    assert world.salesforce.rows_to_salesforce() == []
    world.forget_calls()
    event = {**world.event(key), "entity": "Contact"}
    assert (await world.sandbox.post_event(event)).status_code == 202
    await world.settled()
    assert world.d365.writes_to_d365() == []
    assert world.salesforce.rows_to_salesforce() == []


async def test_long_names_are_cut_to_what_dynamics_holds(world: World) -> None:
    account = await world.create_settled()
    key = await create_settled(
        world, account, FirstName="ä" * 40, LastName="ß" * 80, Title="t" * 128
    )
    made = await person(world, key)
    lengths = [len(made[name]) for name in ("FirstName", "LastName", "EmploymentJobTitle")]
    assert lengths == [25, 25, 60]


async def test_a_contact_without_account_is_skipped_until_it_has_one(world: World) -> None:
    account = await world.create_settled()
    [key] = await create(world, contact(None))
    await world.settled()
    assert await persons(world, key) == []
    assert world.letters(key) == []
    await change(world, key, AccountId=account)
    await world.settled()
    assert await person(world, key)


async def test_a_hint_hashed_by_the_contact_itself_moves_to_the_bucket_of_its_account(
    world: World,
) -> None:
    account = await world.create_settled()
    [key] = await create(world, contact(account), events=False)
    wrong = next(
        b for b in (bucket_of(str(n), 16) for n in range(99)) if b != bucket_of(account, 16)
    )
    hint = Hint(
        source="salesforce", object="Contact", key=key, event_id=key, seen_at=datetime.now(UTC)
    )
    before = world.totals()["accepted"]
    await world.sandbox.send_raw(hint.to_bytes(), session=wrong)
    await world.settled()
    assert world.totals()["accepted"] - before == 2
    assert await person(world, key)


@pytest.mark.parametrize("same", ["e-mail", "name and phone"])
async def test_a_person_that_dynamics_has_already_is_skipped_and_can_be_linked(
    world: World, same: str
) -> None:
    account = await world.create_settled()
    row = contact(account)
    known = {"PrimaryEmailAddress": row["Email"].upper()}
    if same != "e-mail":
        known = {
            "FirstName": row["FirstName"],
            "LastName": row["LastName"],
            "PrimaryPhoneNumber": row["Phone"],
        }
    number = f"OLD-{uuid.uuid4().hex[:8]}"
    await add_person(world, account, ContactPersonId=number, **known)
    [key] = await create(world, row)
    await world.settled()
    assert await persons(world, key) == []
    assert world.letters(key) == []
    assert (await source(world, key))["D365_Contact_Number__c"] is None
    await change(world, key, D365_Contact_Number__c=number)
    await world.settled()
    assert world.letters(key) == []
    linked = await person(world, key)
    assert linked["ContactPersonId"] == number
    assert linked["LastName"] == row["LastName"]


async def test_two_contacts_of_one_person_at_once_make_one_person(world: World) -> None:
    account = await world.create_settled()
    await world.put("d365", "settings", {"contact_duplicate_check": True})
    first = contact(account)
    keys = await create(world, first, contact(account, Email=first["Email"]))
    await world.settled()
    made = [row for key in keys for row in await persons(world, key)]
    assert len(made) == 1
    assert world.letters(*keys) == []


async def test_a_change_that_dynamics_calls_a_duplicate_is_a_dead_letter(world: World) -> None:
    account = await world.create_settled()
    await world.put("d365", "settings", {"contact_duplicate_check": True})
    key, other = await create_settled(world, account), await create_settled(world, account)
    taken = (await source(world, other))["Email"]
    await change(world, key, Email=taken)
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("failed", "duplicate-contact")
    assert (await person(world, key))["PrimaryEmailAddress"] != taken


async def test_a_contact_that_moved_to_another_account_is_left_to_a_person(world: World) -> None:
    old, new = await world.create_settled(), await world.create_settled()
    key = await create_settled(world, old)
    before = await person(world, key)
    await change(world, key, AccountId=new, Phone="+49 8041 2")
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("review", "moved-to-other-customer")
    assert before["ContactPersonId"] in letter["description"]
    assert await person(world, key) == before


async def test_a_rejected_account_rejects_its_contact_with_the_reason(world: World) -> None:
    account = await world.create(events=False, BillingCountry="Atlantis")
    [key] = await create(world, contact(account))
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("failed", "account-mapping")
    assert "Atlantis" in letter["description"]
    assert await persons(world, key) == []


async def test_a_contact_that_dynamics_refuses_is_a_dead_letter_at_once(world: World) -> None:
    [key] = await create(
        world,
        contact(
            await world.create_settled(),
            MailingCountry="United States",
            MailingState="Nowhere",
        ),
    )
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["hint"]["attempt"]) == ("failed", 1)


async def test_a_lost_answer_makes_no_second_person(world: World) -> None:
    account = await world.create_settled()
    await world.fault("d365", match=WRITES, drop="after", count=1)
    [key] = await create(world, contact(account))
    await world.settled()
    assert await person(world, key)
    assert (await source(world, key))["D365_Contact_Number__c"]


async def test_a_deleted_contact_leaves_its_person(world: World) -> None:
    key = await create_settled(world, await world.create_settled())
    before = await person(world, key)
    url = f"{world.sandbox.salesforce.url}/sandbox/state/Contact/{key}"
    (await world.sandbox.http.delete(url)).raise_for_status()
    await world.settled()
    assert await person(world, key) == before
    assert world.letters(key) == []


async def test_a_hundred_contacts_cost_a_handful_of_calls(world: World) -> None:
    account = await world.create_settled()
    keys = await create(world, *(contact(account) for _ in range(100)), events=False)
    world.sandbox.broker.pause(topology.CHANGES)
    event = {**world.event(*keys), "entity": "Contact", "parentId": account}
    assert (await world.sandbox.post_event(event)).status_code == 202
    world.sandbox.broker.resume(topology.CHANGES)
    await world.settled()
    assert world.letters(*keys) == []
    made = await world._rows("d365", "ContactPersons")
    assert len({row["SalesforceContactId"] for row in made} & set(keys)) == 100
    data = [call for call in world.d365.calls if "/data/" in call.path]
    rows = world.salesforce.to("composite/sobjects")
    assert len(data) + len(rows) <= 15  # a few batches, whatever the broker delivers together
