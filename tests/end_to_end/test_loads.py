"""Many accounts at once through the real job, data packages and Bulk API: every row ends where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from integration.jobs.kinds import LOAD_ACCOUNTS, LOAD_CONTACTS
from sandbox.verification import expected_customer
from tests.end_to_end.load_world import SETTINGS, Loads
from tests.end_to_end.operator_desk import Operator
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
    await world.put("d365", "packages/faults", {"kind": "slow", "seconds": 10}, method="POST")
    job = await loads.start()
    await loads.hurried(job)  # nothing changes before the package is on its way
    await loads.package_begun(job)
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


async def test_a_cancelled_load_reads_what_f_and_o_had_begun_and_leaves_the_rest(
    world: World, loads: Loads
) -> None:
    keys = await world.create_many(5)
    await world.settled()
    for key in keys:
        await world.change(key, events=False, Phone="+49 30 8")
    new = await insert(world, [account() for _ in range(5)])
    await world.put("d365", "packages/faults", {"kind": "slow", "seconds": 5}, method="POST")
    job, desk = await loads.start(), Operator(world)
    said = await desk.run("jobs", "cancel", LOAD_ACCOUNTS)
    assert (said.code, "--yes" in said.err) == (2, True)  # nobody is there to answer
    assert not await loads.asked_to_end(job)
    await loads.hurried(job)
    await loads.package_begun(job)
    said = await desk.done("jobs", "cancel", LOAD_ACCOUNTS, "--yes", "--why", "wrong mapping")
    assert f"jobs {job} --wait" in said.out
    [audited] = desk.audited("jobs cancel")
    assert (audited["job"], audited["why"]) == (job, "wrong mapping")
    state = await loads.ended(job)
    assert (state.status, state.error) == ("cancelled", None)
    await world.settled()
    # One package is over with all that follows from it, the other one was never sent.
    assert (state.counts["packages"], state.counts["not-sent"]) == (1, 5)
    assert state.counts.get("created", 0) + state.counts.get("changed", 0) == 5
    done = new if state.counts.get("created") else keys
    await all_in_step(world, done)
    assert loads.documents("spool/") == []
    assert loads.document("holds/index.json") == loads.document("leases/dmf-import.json") == {}
    shown = await desk.done("jobs", job)
    assert "cancelled" in shown.out
    said = await desk.run("jobs", "cancel", job, "--yes")
    assert (said.code, "does not run" in said.err) == (1, True)
    state = await loads.run()
    assert (state.status, state.counts["packages"]) == ("done", 1)
    await all_in_step(world, [*keys, *new])


async def test_a_cancel_while_numbers_go_by_bulk_aborts_the_job_and_the_flow_writes_them(
    world: World, loads: Loads
) -> None:
    keys = await insert(world, [account() for _ in range(210)])
    stuck = {"kind": "stuck", "job_type": "ingest", "after_rows": 50}
    await world.put("salesforce", "bulk/faults", stuck, method="POST")
    job = await loads.start()
    await loads.hurried(job)
    await loads.ingest_begun(job)
    said = await Operator(world).run("jobs", "cancel", job, "--yes", "--wait")
    await world.put("salesforce", "bulk/faults", None, method="DELETE")
    state = await loads.state(job)
    assert (said.code, state.status, state.error) == (0, "cancelled", None), said.err
    listed = await world.sandbox.http.get(f"{world.sandbox.salesforce.url}/sandbox/bulk/jobs")
    assert [each["state"] for each in listed.json() if each["operation"] == "update"][
        -1
    ] == "Aborted"
    assert state.counts["hinted"] == 210
    await world.settled(60)
    await all_in_step(world, keys)
    assert world.letters(*keys) == []


async def insert_contact(world: World, **fields: Any) -> str:
    url = f"{world.sandbox.salesforce.url}/sandbox/state/Contact"
    answer = await world.sandbox.http.post(url, json=[fields])
    answer.raise_for_status()
    return str(answer.json()["ids"][0])


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


async def test_a_stuck_import_ends_as_a_failure_and_the_next_load_does_its_work(
    world: World, loads: Loads, settings: dict[str, str]
) -> None:
    await world.restart(**settings, PACKAGE_HOURS="0.0008")
    keys = await insert(world, [account() for _ in range(8)])
    await world.put("d365", "packages/faults", {"kind": "stuck"}, method="POST")
    state = await loads.run()
    assert state.status == "failed"
    assert state.error is not None
    assert state.error["reason"] == "package-deadline"
    assert "did not end within" in state.error["description"]
    await world.settled()  # its rows went to their flow, which found no customer
    await all_in_step(world, keys)
    await world.run_with(**settings, ACCOUNTS_ROUTE="scheduled")  # as the next test wants it
    more = await insert(world, [account() for _ in range(8)])
    state = await loads.run()
    assert (state.status, state.counts["created"]) == ("done", 8)
    await all_in_step(world, more)


async def test_the_scheduled_route_collects_changes_for_the_timer(
    world: World, loads: Loads, settings: dict[str, str]
) -> None:
    await world.run_with(**settings, ACCOUNTS_ROUTE="scheduled")
    before = {run.id for run in await loads.runs()}
    keys = await world.create_many(10)
    await world.tell(*keys)
    await world.settled()
    assert [await world.customers(key) for key in keys] == [[]] * 10
    assert loads.documents("dirty/accounts/")
    await loads.timer()
    state = await loads.ended(await loads.newest(besides=before), hurry=True)
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


async def test_customers_of_a_large_table_come_out_of_a_package(
    world: World, loads: Loads, settings: dict[str, str]
) -> None:
    await world.restart(**settings, EXPORT_THRESHOLD="5")
    keys = await insert(world, [account() for _ in range(6)])
    await world.tell(*keys)
    await world.settled()
    [new] = await insert(world, [account()])
    await world.change(keys[0], events=False, Name="Renamed")
    world.forget_calls()
    state = await loads.run()
    await world.settled()
    assert (state.status, state.counts["exports"]) == ("done", 1)
    assert (state.counts["hinted"], state.counts["unchanged"]) == (2, state.counts["read"] - 2)
    reads = [call.path for call in world.d365.calls if "CustomersV3" in call.path]
    assert len(reads) <= 4, reads  # two counts, and the flow's look at the two that differ
    await all_in_step(world, [*keys, new])
