"""A load that is cancelled, at every step: nothing doubled, nothing lost, and the next load does the rest.

At every second step, and at one of eleven crashes on the way to the end, or at each with SOAK_ROUNDS set.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.unit.account_support import ID, NUMBER, NUMBER_FIELD
from tests.unit.load_support import World
from tests.unit.test_jobs_support import Crash
from tests.unit.test_loads import fill, in_step

SOAK = "SOAK_ROUNDS" in os.environ
BAD = ("", "validateField failed on field 'CustTable.ZipCode'")


def prepared(**volume: Any) -> tuple[World, list[str]]:
    """New, changed, equal, refused and rejected accounts; several packages, and numbers that go by Bulk."""
    few = {"package_rows": 6, "bulk_threshold": 4, "package_threshold": 2}
    world = World(None, few | volume)
    keys = fill(world, 16)
    for key in keys[10:13]:
        row = {"OrganizationName": f"Acme {keys.index(key)}", "AddressCity": "Hamburg"}
        world.d365.add(f"US-9{key[-5:-3]}", key, **row)
    world.salesforce.accounts[keys[10]]["Name"] = "Changed"
    world.salesforce.accounts[keys[14]]["BillingCountry"] = "Nowhere"
    world.packages.refuse = lambda row: BAD if row[ID.upper()] == keys[0] else None
    return world, keys


async def steps_of(world: World, job: str) -> int:
    await world.finish(job)
    return int((await world.state(job)).step)


async def cancelled_after(world: World, job: str, steps: int) -> Any:
    """Its state at the end; asked to end once so many steps are over."""
    while (await world.state(job)).step < steps:
        assert await world.jobs.deliver()
    await world.jobs.runner.cancel("load-accounts", job)
    await world.jobs.drain(600)
    return await world.state(job)


async def check(world: World, keys: list[str], state: Any) -> None:
    """What must hold of a cancelled load, and that the next one and the flow bring the rest in step."""
    assert (state.status, state.error) == ("cancelled", None)
    for key in keys:
        found = [row for row in world.d365.customers if row[ID] == key]
        assert len(found) <= 1, key
        is_new = found and not found[0][NUMBER].startswith("US-9")
        if is_new and key not in world.outbox.hinted:
            assert world.salesforce.accounts[key][NUMBER_FIELD] == found[0][NUMBER]
    letters = [letter.hint.key for letter in world.outbox.letters.values() if letter.hint]
    assert len(letters) == state.counts.get("failed", 0)
    assert await world.holds.held("accounts", keys) == {}
    assert not [name for name in world.blobs.documents if name.startswith("spool/")]
    sent = [row[ID.upper()] for rows in world.packages.imports.values() for row in rows]
    assert len(sent) == len(set(sent))
    await world.follow_hints()
    await world.run()
    await world.follow_hints()
    in_step(world, keys[1:14] + keys[15:])


async def test_at_every_step_of_a_load_of_all_accounts() -> None:
    world, _ = prepared()
    job = await world.jobs.runner.start("load-accounts", {})
    assert job is not None
    last = await steps_of(world, job)
    assert last > 20
    counts = {}
    for steps in range(0, last, 1 if SOAK else 2):
        world, keys = prepared()
        job = await world.jobs.runner.start("load-accounts", {})
        assert job is not None
        state = await cancelled_after(world, job, steps)
        counts[steps] = dict(state.counts)
        assert json.loads(world.blobs.documents["jobs/load-accounts/current.json"].body) == {}
        await check(world, keys, state)
    # Some end before a package, some between two of them, some after all.
    assert {count.get("packages", 0) for count in counts.values()} == {0, 1, 2, 3}
    assert {count.get("not-sent", 0) for count in counts.values()} == {0, 1, 7, 13}
    assert all(count["not-sent"] for count in counts.values() if count.get("packages") in (1, 2))


async def test_at_every_step_of_a_run_of_noted_changes_what_is_left_is_noted_again() -> None:
    async def begun() -> tuple[World, list[str], str]:
        world, keys = prepared()
        await world.dirty.note("accounts", keys)
        job = await world.jobs.runner.start("load-accounts", {"dirty": True})
        assert job is not None
        return world, keys, job

    world, _, job = await begun()
    noted = set()
    for steps in range(0, await steps_of(world, job), 1 if SOAK else 2):
        world, keys, job = await begun()
        state = await cancelled_after(world, job, steps)
        names = await world.dirty.notes("accounts")
        left = [key for name in names for key in await world.dirty.keys(name)]
        noted.add(len(left))
        if "read" in state.counts:
            assert state.counts.get("noted-again", 0) == len(left)
        for key in keys[:14]:
            known = [row for row in world.d365.customers if row[ID] == key]
            told = [letter.hint and letter.hint.key for letter in world.outbox.letters.values()]
            assert key in left or known or key in world.outbox.hinted or key in told
        await world.follow_hints()
        await world.run(dirty=True)
        await world.follow_hints()
        in_step(world, keys[1:14] + keys[15:])
        assert await world.dirty.notes("accounts") == []
    assert {0, 16} < noted


@pytest.mark.parametrize("steps", [8, 11, 17])
async def test_a_crash_on_the_way_to_the_end_changes_nothing_of_it(steps: int) -> None:
    world, keys = prepared()
    job = await world.jobs.runner.start("load-accounts", {})
    assert job is not None
    expected = dict((await cancelled_after(world, job, steps)).counts)
    begun, last = 0, world.tick.ticks
    for at in range(1, last + 1, 1 if SOAK else 11):
        world, keys = prepared()
        job = await world.jobs.runner.start("load-accounts", {})
        assert job is not None
        while (await world.state(job)).step < steps:
            assert await world.jobs.deliver()
        begun = world.tick.ticks
        if begun + at > last:
            break
        world.tick.at = begun + at
        try:
            await world.jobs.runner.cancel("load-accounts", job)
        except Crash:
            await world.jobs.runner.cancel("load-accounts", job)
        for _ in range(600):
            if not await world.jobs.deliver():
                world.jobs.pass_time(60)
                if not await world.jobs.runner.re_arm():
                    break
            world.restart()
        state = await world.state(job)
        assert dict(state.counts) == expected, at
        await check(world, keys, state)


async def test_hints_that_waited_for_a_cancelled_load_go_on() -> None:
    world = World()
    keys = fill(world, 10)
    held: list[int] = []

    async def look() -> None:
        held.append(len(await world.holds.held("accounts", keys)))

    job = await world.jobs.runner.start("load-accounts", {})
    assert job is not None
    for _ in range(12):
        await world.jobs.deliver()
        await look()
    assert max(held) == 10
    await world.jobs.runner.cancel("load-accounts", job)
    await world.jobs.drain(600)
    await look()
    assert held[-1] == 0


async def test_a_dry_run_and_a_query_at_work_end_at_once() -> None:
    world = World()
    fill(world, 10)
    job = await world.jobs.runner.start("load-accounts", {"dry": True})
    assert job is not None
    while (await world.state(job)).position.get("phase") != "source":
        await world.jobs.deliver()
    await world.jobs.deliver()
    await world.jobs.runner.cancel("load-accounts", job)
    await world.jobs.drain(600)
    assert (await world.state(job)).status == "cancelled"
    assert len(world.query.aborted) == 1
    assert world.packages.imports == {}
