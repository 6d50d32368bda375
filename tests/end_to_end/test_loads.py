"""Many accounts at once through the real job, data packages and Bulk API: every row ends where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from integration.jobs.kinds import LOAD_CONTACTS
from sandbox.verification import expected_customer
from tests.end_to_end.load_world import SETTINGS, Loads
from tests.end_to_end.world import account, new_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tests.end_to_end.world import World

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
NUMBER = "D365_Customer_Number__c"
MAPPING = """
[accounts.customer_groups]
field = "Customer_Group__c"
table = { "10" = "10", "99" = "99" }
[accounts.defaults]
CustomerGroupId = "10"
[accounts.fields.PaymentTerms]
source = "D365_Payment_Terms__c"
transform = "cut(10)"
[accounts.fields.OrganizationNumber]
source = "Site"
transform = "direct"
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    file = tmp_path_factory.mktemp("mapping") / "mapping.toml"
    file.write_text(MAPPING, encoding="utf-8")
    return {**SETTINGS, "MAPPING_FILE": str(file)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(settings: dict[str, str]) -> AsyncIterator[World]:
    async with new_world(**settings) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def loads(world: World) -> AsyncIterator[Loads]:
    yield Loads(world)
    await world.put("d365", "packages/faults", None, method="DELETE")


async def insert(world: World, rows: Iterable[dict[str, Any]], events: bool = False) -> list[str]:
    url = f"{world.sandbox.salesforce.url}/sandbox/state/Account"
    params = {} if events else {"events": "false"}
    answer = await world.sandbox.http.post(url, json=list(rows), params=params)
    answer.raise_for_status()
    return list(answer.json()["ids"])


async def all_in_step(world: World, keys: Iterable[str]) -> None:
    accounts = {row["Id"]: row for row in await world._rows("salesforce", "Account")}
    customers: dict[str, list[dict[str, Any]]] = {}
    for row in await world._rows("d365", "CustomersV3"):
        customers.setdefault(row["SalesforceAccountId"], []).append(row)
    for key in keys:
        assert len(customers.get(key, [])) == 1, (key, accounts[key])
        [customer] = customers[key]
        wanted = expected_customer(accounts[key], "usmf")
        assert {name: customer[name] for name in wanted} == wanted
        assert accounts[key][NUMBER] == customer["CustomerAccount"]


BAD_FIELDS = (
    "BillingCountry", "BillingState", "Customer_Group__c", "D365_Payment_Terms__c", "Site",
)  # fmt: skip
BAD: dict[str, dict[str, Any]] = {
    "is not a known country": {"BillingCountry": "Atlantis"},
    "related table 'Customer groups'": {"Customer_Group__c": "99"},
    "related table 'State'": {"BillingCountry": "USA", "BillingState": "QQ"},
    "related table 'Terms of payment'": {"D365_Payment_Terms__c": "Never"},
    "characters long, F&O holds 50": {"Site": "S" * 60},
}


async def test_good_rows_arrive_and_each_bad_row_comes_back_with_its_own_reason(
    world: World, loads: Loads
) -> None:
    good = await insert(world, [account() for _ in range(495)])
    bad = await insert(world, [account(**fields) for fields in BAD.values()])
    world.forget_calls()
    state = await loads.run()
    calls = len(world.d365.calls) + len(world.salesforce.calls)
    await world.settled()
    assert (state.status, state.counts) == (
        "done",
        {"read": 500, "failed": 5, "packages": 1, "created": 495, "written-back": 495},
    )
    assert calls <= 40, (world.d365.calls, world.salesforce.calls)
    await all_in_step(world, good)
    for key, words in zip(bad, BAD, strict=True):
        assert await world.customers(key) == []
        letter = world.letter(key)
        assert words in letter["description"]
        assert (letter["kind"], letter["flow"]) == ("failed", "accounts")
        assert letter["reason"] == ("foreign-key" if "table" in words else "mapping")
    assert loads.documents("spool/") == []
    world.forget_calls()
    again = await loads.run()
    # The few that differ still go to their flow, which F&O tells the same.
    assert again.counts == {"read": 500, "unchanged": 495, "failed": 2, "hinted": 3}
    await world.settled()
    assert world.salesforce.rows_to_salesforce() == []
    for key in bad:  # corrected, it goes on from its dead letter
        fields = {name: account().get(name) for name in BAD_FIELDS}
        await world.change(key, events=False, **fields)
        await world.tell(key)
    await world.settled()
    for key in bad:
        assert len(await world.customers(key)) == 1


async def test_changes_during_a_load_wait_and_win(world: World, loads: Loads) -> None:
    keys = await insert(world, [account() for _ in range(12)])
    await world.sandbox.subscribe("Account", "Contact")
    await world.put("d365", "packages/faults", {"kind": "slow", "seconds": 4}, method="POST")
    job = await loads.start()
    await loads.phase(job, "send")
    await world.change(keys[0], Phone="+49 30 7")
    contact = await insert_contact(world, AccountId=keys[1], LastName="Huber")
    new = await world.create()  # not of the load: nobody makes it wait

    def both_wait() -> bool:
        waiting = world.waiting(keys[0], contact)
        return {hint["key"] for hint in waiting if hint["put_backs"]} == {keys[0], contact}

    await world.until(both_wait, 20)
    assert (await loads.state(job)).position["phase"] == "send"
    assert len(await world.customers(new)) == 1
    await loads.ended(job)
    await world.settled()
    await all_in_step(world, [*keys, new])
    assert (await world.customer(keys[0]))["PrimaryContactPhone"] == "+49 30 7"
    persons = await world._rows("d365", "ContactPersons", f"SalesforceContactId eq '{contact}'")
    assert len(persons) == 1
    await world.sandbox.subscribe("Account")
    for key in keys[:6]:
        await world.change(key, events=False, Phone=None, BillingCity="Lenggries")
    state = await loads.run()
    assert (state.counts["packages"], state.counts["changed"]) == (1, 6)
    assert (await world.customer(keys[0]))["PrimaryContactPhone"] == ""
    await all_in_step(world, keys)


async def insert_contact(world: World, **fields: Any) -> str:
    url = f"{world.sandbox.salesforce.url}/sandbox/state/Contact"
    answer = await world.sandbox.http.post(url, json=[fields])
    answer.raise_for_status()
    return str(answer.json()["ids"][0])


async def test_a_stuck_import_ends_as_a_failure_and_the_next_load_does_its_work(
    world: World, loads: Loads, settings: dict[str, str]
) -> None:
    await world.restart(**settings, PACKAGE_HOURS="0.0012")
    keys = await insert(world, [account() for _ in range(8)])
    await world.put("d365", "packages/faults", {"kind": "stuck"}, method="POST")
    state = await loads.run()
    assert state.status == "failed"
    assert state.error is not None
    assert state.error["reason"] == "package-deadline"
    assert "did not end within" in state.error["description"]
    await world.settled()  # its rows went to their flow, which found no customer
    await all_in_step(world, keys)
    await world.restart(**settings)
    more = await insert(world, [account() for _ in range(8)])
    state = await loads.run()
    assert (state.status, state.counts["created"]) == ("done", 8)
    await all_in_step(world, more)


async def test_the_scheduled_route_collects_changes_for_the_timer(
    world: World, loads: Loads, settings: dict[str, str]
) -> None:
    await world.restart(**settings, ACCOUNTS_ROUTE="scheduled")
    before = {run.id for run in await loads.runs()}
    keys = await world.create_many(10)
    await world.tell(*keys)
    await world.settled()
    assert [await world.customers(key) for key in keys] == [[]] * 10
    assert loads.documents("dirty/accounts/")
    await loads.timer()
    state = await loads.ended(await loads.newest(besides=before))
    await world.settled()
    assert (state.counts["read"], state.counts["created"]) == (10, 10)
    await all_in_step(world, keys)
    assert loads.documents("dirty/accounts/") == []
    few = await world.create_many(2)
    await world.settled()
    before = {run.id for run in await loads.runs()}
    await loads.timer()
    state = await loads.ended(await loads.newest(besides=before))
    await world.settled()
    assert state.counts == {"hinted": 2}
    await all_in_step(world, few)
    await world.restart(**settings)


async def test_contacts_become_contact_persons_in_a_package(world: World, loads: Loads) -> None:
    accounts = await world.create_many(4)
    await world.settled()
    rows = [
        {
            "AccountId": accounts[number % 4],
            "LastName": f"Huber {number}",
            "Email": f"h{number}@x.example",
        }
        for number in range(12)
    ]
    rows.append({**rows[0]})  # the same person again
    url = f"{world.sandbox.salesforce.url}/sandbox/state/Contact"
    answer = await world.sandbox.http.post(url, json=rows, params={"events": "false"})
    keys = list(answer.json()["ids"])
    state = await loads.run(LOAD_CONTACTS)
    await world.settled()
    assert state.counts["created"] == 12
    assert state.counts["hinted"] == 1
    contacts = {row["Id"]: row for row in await world._rows("salesforce", "Contact")}
    persons = await world._rows("d365", "ContactPersons")
    for key in keys[:12]:
        [person] = [row for row in persons if row["SalesforceContactId"] == key]
        assert contacts[key]["D365_Contact_Number__c"] == person["ContactPersonId"]
    assert [row for row in persons if row["SalesforceContactId"] == keys[12]] == []
    again = await loads.run(LOAD_CONTACTS)
    assert again.counts["unchanged"] >= 12
    assert "created" not in again.counts


async def test_changed_since_a_time_and_one_company(world: World, loads: Loads) -> None:
    keys = await insert(world, [account() for _ in range(6)])
    state = await loads.run(since="2100-01-01T00:00:00+00:00")
    assert state.counts == {}
    state = await loads.run(dry=True)
    assert state.counts["would-create"] == 6
    assert await world.customers(keys[0]) == []
    state = await loads.run(since="2020-01-01T00:00:00+00:00", company="usmf")
    assert state.counts["created"] == 6
    await all_in_step(world, keys)
