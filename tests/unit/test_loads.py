"""The load of accounts: what is sent, what is left to the flow, and what becomes of every row."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integration.d365.business_keys import CustomerKey
from integration.salesforce.errors import DuplicateRecord
from tests.unit.account_support import COMPANY, ID, NUMBER, NUMBER_FIELD, account_id
from tests.unit.load_support import World

COMPANIES = '[companies]\ndefault = "usmf"\n[companies.by_country]\nDE = "demf"\n'


def fill(world: World, count: int, **values: Any) -> list[str]:
    keys = [account_id(number) for number in range(1, count + 1)]
    for number, key in enumerate(keys):
        world.salesforce.add(key, f"Acme {number}", BillingCity="Hamburg", **values)
    return keys


def customer_of(world: World, key: str) -> dict[str, Any]:
    found = [row for row in world.d365.customers if row[ID] == key]
    assert len(found) == 1, (key, found)
    return found[0]


def in_step(world: World, keys: list[str]) -> None:
    for key in keys:
        customer, account = customer_of(world, key), world.salesforce.accounts[key]
        assert customer["OrganizationName"] == account["Name"]
        assert account[NUMBER_FIELD] == customer[NUMBER]


async def test_new_accounts_become_customers_with_their_numbers_back() -> None:
    world = World()
    keys = fill(world, 40)
    counts = await world.run()
    in_step(world, keys)
    assert counts == {"read": 40, "packages": 1, "created": 40, "written-back": 40}
    [table] = world.packages.tables.values()
    assert [c.header for c in table.columns if c.auto_generated] == ["CUSTOMERACCOUNT"]
    assert table.key == ("SALESFORCEACCOUNTID",)
    assert world.left_behind() == []
    assert await world.holds.held("accounts", keys) == {}


async def test_the_second_run_changes_nothing() -> None:
    world = World()
    keys = fill(world, 40)
    await world.run()
    assert await world.run() == {"read": 40, "unchanged": 40}
    assert len(world.packages.imports) == 1
    in_step(world, keys)


async def test_only_what_differs_is_sent_with_its_number() -> None:
    world = World()
    keys = fill(world, 20)
    await world.run()
    for key in keys[:5]:
        world.salesforce.accounts[key]["Name"] = f"New {key}"
    counts = await world.run()
    assert counts == {"read": 20, "unchanged": 15, "packages": 1, "changed": 5}
    rows = list(world.packages.imports.values())[-1]
    assert {row["CUSTOMERACCOUNT"] for row in rows} == {
        customer_of(world, key)[NUMBER] for key in keys[:5]
    }
    in_step(world, keys)


async def test_few_differences_go_as_hints_to_the_flow() -> None:
    world = World()
    keys = fill(world, 2)
    counts = await world.run()
    assert counts == {"read": 2, "hinted": 2}
    assert world.packages.imports == {}
    assert world.outbox.hinted == set(keys)
    await world.follow_hints()
    in_step(world, keys)


async def test_every_refused_row_ends_as_a_dead_letter_with_its_own_reason() -> None:
    world = World()
    keys = fill(world, 30)
    world.salesforce.accounts[keys[0]]["BillingCountry"] = "Nowhere"
    world.salesforce.accounts[keys[1]]["CurrencyIsoCode"] = "Euro"
    refusals = {
        keys[2]: ("CUSTOMERGROUPID", "The value '99' in field 'Customer group' is not found in the"
                  " related table 'Customer groups'."),
        keys[3]: ("", "validateField failed on field 'CustTable.ZipCode'"),
        keys[4]: ("ADDRESSZIPCODE", ""),
    }  # fmt: skip
    world.packages.refuse = lambda row: refusals.get(row["SALESFORCEACCOUNTID"])
    counts = await world.run()
    assert counts["failed"] == 5
    assert counts["created"] == 25
    letters = {letter.hint.key: letter for letter in world.outbox.letters.values() if letter.hint}
    assert letters.keys() == set(keys[:5])
    assert {letter.kind for letter in letters.values()} == {"failed"}
    assert {letter.flow for letter in letters.values()} == {"accounts"}
    assert [letters[key].reason for key in keys[:5]] == [
        "mapping", "mapping", "foreign-key", "validation", "validation",
    ]  # fmt: skip
    assert "Nowhere" in letters[keys[0]].description
    assert "SalesCurrencyCode" in letters[keys[1]].description
    assert letters[keys[2]].description.startswith("CUSTOMERGROUPID: The value '99'")
    in_step(world, keys[5:])
    assert world.outbox.hinted == set()


async def test_what_needs_a_person_is_left_to_the_flow() -> None:
    world = World(COMPANIES, {"package_threshold": 1})
    keys = fill(world, 8)
    several, elsewhere, named, foreign, gone = keys[:5]
    world.d365.add("US-1", several)
    world.d365.add("US-2", several)
    world.d365.add("DE-1", elsewhere, **{COMPANY: "demf"})
    world.d365.add("OLD-1")
    world.salesforce.accounts[named][NUMBER_FIELD] = "usmf|OLD-1"
    world.d365.add("OLD-2", account_id(99))
    world.salesforce.accounts[foreign][NUMBER_FIELD] = "usmf|OLD-2"
    world.salesforce.accounts[gone][NUMBER_FIELD] = "usmf|OLD-3"
    counts = await world.run()
    assert world.outbox.hinted == {several, elsewhere, foreign, gone}
    assert counts["hinted"] == 4
    assert customer_of(world, named)[NUMBER] == "OLD-1"  # taken over, as the flow does it
    assert counts["changed"] == 1
    assert counts["created"] == 3
    assert world.outbox.letters == {}


async def test_packages_are_per_company_and_of_limited_size() -> None:
    world = World(COMPANIES, {"package_rows": 10})
    keys = fill(world, 24)
    for key in keys[:4]:
        world.salesforce.accounts[key]["BillingCountry"] = "Germany"
    await world.run()
    sizes = [(world.packages.companies[e], len(r)) for e, r in world.packages.imports.items()]
    assert sorted(sizes) == [("demf", 4), ("usmf", 10), ("usmf", 10)]
    assert customer_of(world, keys[0])[COMPANY] == "demf"
    number = world.salesforce.accounts[keys[0]][NUMBER_FIELD]
    assert number == f"demf|{customer_of(world, keys[0])[NUMBER]}"
    assert (await world.run())["unchanged"] == 24


async def test_one_company_alone() -> None:
    world = World(COMPANIES)
    keys = fill(world, 10)
    for key in keys[:6]:
        world.salesforce.accounts[key]["BillingCountry"] = "Germany"
    counts = await world.run(company="demf")
    assert counts["skipped:other-company"] == 4
    assert counts["created"] == 6


async def test_without_a_sequence_the_account_id_is_the_number() -> None:
    world = World(CUSTOMER_NUMBERING="salesforce-id")
    keys = fill(world, 10)
    await world.run()
    in_step(world, keys)
    assert all(customer_of(world, key)[NUMBER] == key for key in keys)
    [table] = world.packages.tables.values()
    assert not any(column.auto_generated for column in table.columns)


@pytest.mark.parametrize("creation", ["off", "after-match"])
async def test_new_customers_are_made_only_where_the_setting_allows(creation: str) -> None:
    world = World(CUSTOMER_CREATION=creation)
    keys = fill(world, 10)
    for key in keys[:3]:
        world.d365.add(f"US-{key}", key)
    await world.matches.approve({}, keys[3:5], keys[3:5])
    counts = await world.run()
    reason = "customer-creation-off" if creation == "off" else "customer-awaits-match"
    made = 0 if creation == "off" else 2
    assert counts[f"skipped:{reason}"] == 7 - made
    assert counts.get("created", 0) == made
    assert len(world.d365.customers) == 3 + made


async def test_an_approved_link_is_followed_by_the_flow() -> None:
    world = World(None, {"package_threshold": 1})
    keys = fill(world, 4)
    world.d365.add("OLD-7")
    await world.matches.approve({keys[0]: CustomerKey("usmf", "OLD-7")}, [], [keys[0]])
    await world.run()
    assert customer_of(world, keys[0])[NUMBER] == "OLD-7"
    in_step(world, keys)


async def test_a_missing_number_goes_back_by_bulk_where_there_are_many() -> None:
    world = World(None, {"bulk_threshold": 5})
    keys = fill(world, 9)
    for key in keys:
        world.d365.add(f"US-{key[-5:]}", key, BillingCity="x")
    world.salesforce.row_errors[keys[0]] = DuplicateRecord("taken", reason="DUPLICATE_VALUE")
    counts = await world.run()
    assert world.load.begun == 1
    assert counts["written-back"] == 8
    assert keys[0] in world.outbox.hinted  # the flow tells the person


async def test_a_refused_number_of_a_few_gets_a_hint() -> None:
    world = World()
    keys = fill(world, 9)
    world.salesforce.row_errors[keys[0]] = DuplicateRecord("taken", reason="DUPLICATE_VALUE")
    counts = await world.run()
    assert world.load.begun == 0
    assert counts["written-back"] == 8
    assert world.outbox.hinted == {keys[0]}


async def test_a_dry_run_counts_and_touches_nothing() -> None:
    world = World()
    keys = fill(world, 9)
    world.d365.add("US-1", keys[0])
    counts = await world.run(dry=True)
    assert counts == {"read": 9, "would-create": 8, "would-update": 1, "would-write-back": 1}
    assert len(world.d365.customers) == 1
    assert world.packages.imports == {}
    assert world.outbox.hints == {}
    assert world.left_behind() == []
    assert "holds/index.json" not in world.blobs.documents


async def test_records_that_change_during_the_load_get_a_hint() -> None:
    world = World()
    keys = fill(world, 9)

    def change() -> None:
        world.salesforce.accounts[keys[4]]["Name"] = "Changed meanwhile"
        world.salesforce.stamps[keys[4]] = world.jobs.now

    world.packages.during = change
    await world.run()
    assert world.outbox.hinted == {keys[4]}
    assert customer_of(world, keys[4])["OrganizationName"] == "Acme 4"
    await world.follow_hints()
    in_step(world, keys)


async def test_hints_wait_as_long_as_the_load_runs_and_for_its_rows_only() -> None:
    world = World()
    keys = fill(world, 9)
    world.d365.add("US-1", keys[0], OrganizationName="Acme 0", AddressCity="Hamburg")
    world.salesforce.accounts[keys[0]][NUMBER_FIELD] = "US-1"
    seen: list[Any] = []

    def look() -> None:
        holds = world.blobs.documents["holds/index.json"].body
        seen.append(holds)

    world.packages.during = look
    held: list[set[str]] = []
    advance = world.packages.advance

    async def watching(position: dict[str, Any]) -> Any:
        held.append(set(await world.holds.held("accounts", keys)))
        assert await world.holds.held("contacts", keys) == {}
        return await advance(position)

    world.packages.advance = watching  # type: ignore[method-assign]
    await world.run()
    assert seen
    assert all(each == set(keys[1:]) for each in held)  # the unchanged one is free again
    assert await world.holds.held("accounts", keys) == {}


async def test_the_target_is_read_only_when_every_earlier_batch_is_over() -> None:
    world = World()
    fill(world, 4)
    started = world.jobs.now
    read: list[timedelta] = []
    query = world.d365.query

    def watched(*args: Any, **options: Any) -> Any:
        read.append(world.jobs.now - started)
        return query(*args, **options)

    world.d365.query = watched  # type: ignore[method-assign]
    await world.run()
    assert read[0] >= timedelta(seconds=4)  # the cache of the hold, and a batch of one second


async def test_an_import_that_never_ends_is_a_failure_and_its_rows_wait_for_the_quarantine() -> (
    None
):
    world = World(None, {"package_rows": 10})
    keys = fill(world, 25)
    world.packages.ends_as = "deadline"
    job = await world.jobs.runner.start("load-accounts", {})
    assert job
    await world.finish(job, "failed")
    assert (await world.state(job)).error["reason"] == "package-deadline"
    assert len(world.packages.imports) == 1  # no further package was begun
    assert world.outbox.hinted == set(keys)
    held = await world.holds.held("accounts", keys)
    assert held  # it may still be running inside F&O
    world.jobs.pass_time(16 * 60)
    assert await world.holds.held("accounts", keys) == {}
    world.packages.ends_as = None
    await world.run()
    in_step(world, keys)


async def test_an_import_of_which_nothing_is_known_is_read_back() -> None:
    world = World()
    keys = fill(world, 10)
    world.packages.loses_rows = True
    counts = await world.run()
    assert counts["created"] == 5
    assert world.outbox.hinted == set(keys[5:])
    await world.follow_hints()
    in_step(world, keys)


async def test_updates_of_which_nothing_is_known_get_hints() -> None:
    world = World()
    keys = fill(world, 10)
    await world.run()
    for key in keys[:6]:
        world.salesforce.accounts[key]["Name"] = "New"
    world.packages.ends_as = "Failed"
    job = await world.jobs.runner.start("load-accounts", {})
    assert job
    await world.finish(job, "failed")
    assert world.outbox.hinted == set(keys[:6])
    assert await world.holds.held("accounts", keys) == {}
    await world.follow_hints()
    in_step(world, keys)


async def test_dirty_keys_are_sent_once_each_and_forgotten() -> None:
    world = World()
    keys = fill(world, 12)
    await world.dirty.note("accounts", keys[:5])
    await world.dirty.note("accounts", keys[3:8])
    await world.dirty.note("accounts", [keys[0], "001Aa0000ZZZZZZIAA"])
    counts = await world.run(dirty=True)
    assert counts["read"] == 9
    assert counts["created"] == 8
    assert counts["skipped:not-found"] == 1
    in_step(world, keys[:8])
    assert len(world.d365.customers) == 8
    assert world.left_behind() == []


async def test_few_dirty_keys_become_hints() -> None:
    world = World()
    keys = fill(world, 3)
    await world.dirty.note("accounts", keys)
    assert await world.run(dirty=True) == {"hinted": 3}
    assert world.outbox.hinted == set(keys)
    assert world.left_behind() == []


async def test_nothing_dirty_is_a_run_of_nothing() -> None:
    world = World()
    assert await world.run(dirty=True) == {}
    assert await world.run(since="2026-01-01T00:00:00+00:00") == {}


async def test_changed_since_a_time_the_flow_judges_the_changed_ones_alone() -> None:
    world = World()
    keys = fill(world, 12)
    for key in keys[:5]:
        world.salesforce.stamps[key] = world.jobs.now - timedelta(hours=1)
    since = (world.jobs.now - timedelta(hours=2)).isoformat()
    counts = await world.run(since=since)
    assert counts["read"] == 5
    in_step(world, keys[:5])
    assert len(world.d365.customers) == 5


async def test_changes_noted_by_a_run_that_died_are_not_lost() -> None:
    world = World(None, {"package_threshold": 3})
    keys = fill(world, 8)
    await world.dirty.note("accounts", keys)
    job = await world.jobs.runner.start("load-accounts", {"dirty": True})
    assert job
    for _ in range(4):
        await world.jobs.deliver()
    assert not await world.dirty.any("accounts")
    world.jobs.messages.clear()
    world.jobs.pass_time(3 * 24 * 3600)
    await world.jobs.runner.re_arm()
    await world.finish(job, "failed")
    counts = await world.run(dirty=True)
    assert counts["created"] == 8
    in_step(world, keys)


async def test_a_phase_that_breaks_ends_the_load_in_order() -> None:
    world = World()
    keys = fill(world, 10)

    async def broken(_: Any) -> Any:
        raise ZeroDivisionError

    world.packages.advance = broken  # type: ignore[method-assign]
    job = await world.jobs.runner.start("load-accounts", {})
    assert job
    await world.finish(job, "failed")
    state = await world.state(job)
    assert state.error["reason"] == "unexpected"
    assert world.outbox.hinted == set(keys)
    assert world.left_behind() == []


async def test_many_dirty_keys_are_looked_up_in_the_whole_table() -> None:
    world = World(None, {"d365_page": 5})
    keys = fill(world, 30)
    await world.run()
    for key in keys[:10]:
        world.salesforce.accounts[key]["Name"] = "New"
    await world.dirty.note("accounts", keys[:8])
    world.d365.filters.clear()
    world.use(terms=1, batch=1)
    counts = await world.run(dirty=True)
    assert counts == {"read": 8, "packages": 1, "changed": 8}
    assert world.d365.filters == []  # not asked for by name
    assert customer_of(world, keys[9])["OrganizationName"] == "Acme 9"


async def test_a_mapping_that_changes_under_the_load_ends_it() -> None:
    world = World(None, {"d365_page": 5})
    keys = fill(world, 12)
    await world.run()
    job = await world.jobs.runner.start("load-accounts", {})
    assert job
    while (await world.state(job)).position.get("phase") != "source":
        await world.jobs.deliver()
    state, etag = (await world.jobs.runner.store.load("load-accounts", job)) or (None, "")
    assert state is not None
    changed = replace(state, position={**state.position, "mapping": "another"})
    await world.jobs.runner.store.save(changed, etag)
    await world.finish(job, "failed")
    assert (await world.state(job)).error["reason"] == "mapping-changed"
    assert await world.holds.held("accounts", keys) == {}


async def test_the_customer_of_an_account_that_was_merged_into_this_one_is_taken_over() -> None:
    world = World(None, {"package_threshold": 1})
    keys = fill(world, 8)
    loser = account_id(77)
    world.salesforce.gone[loser] = {"MasterRecordId": keys[0]}
    world.salesforce.accounts[keys[0]]["SystemModstamp"] = "2025-02-28T10:00:00.000+0000"
    world.d365.add("US-77", loser)
    counts = await world.run()
    assert customer_of(world, keys[0])[NUMBER] == "US-77"
    assert (counts["created"], counts["changed"]) == (7, 1)
    assert len(world.d365.customers) == 8
    in_step(world, keys)


async def test_a_customer_on_hold_is_judged_by_the_flow() -> None:
    world = World()
    keys = fill(world, 8)
    await world.run()
    customer_of(world, keys[0])["OnHoldStatus"] = "All"
    asked: list[list[str]] = []
    read = world.flow.read

    async def watched(keys: list[str]) -> Any:
        asked.append(keys)
        return await read(keys)

    world.flow.read = watched  # type: ignore[method-assign]
    counts = await world.run()
    assert counts == {"read": 8, "unchanged": 8}
    assert asked == [[keys[0]]]
