"""A load that dies anywhere goes on and ends as if nothing had been: every effect once, no row forgotten.

The process dies right before and right after a write of a blob, message, package, Bulk job or row: at two
of seven, or at each of them with SOAK_ROUNDS set.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit import test_load_cancel
from tests.unit.account_support import ID, NUMBER_FIELD

if TYPE_CHECKING:
    from tests.unit.load_support import World

STRIDE = 1 if "SOAK_ROUNDS" in os.environ else 7


def prepared(**volume: Any) -> tuple[World, list[str]]:
    """New, changed, equal, refused, rejected and unclear accounts; two packages of creates."""
    world, keys = test_load_cancel.prepared(**volume)
    world.d365.add("US-81", keys[13])
    world.d365.add("US-82", keys[13])
    return world, keys


def check(world: World, keys: list[str], counts: dict[str, int]) -> None:
    for key in keys[1:13] + keys[15:]:
        found = [row for row in world.d365.customers if row[ID] == key]
        assert len(found) == 1, key
        assert found[0]["OrganizationName"] == world.salesforce.accounts[key]["Name"]
        assert world.salesforce.accounts[key][NUMBER_FIELD] == found[0]["CustomerAccount"]
    refused = {letter.hint.key for letter in world.outbox.letters.values() if letter.hint}
    assert refused == {keys[0], keys[14]}
    assert len(world.outbox.letters) == 2
    assert world.outbox.hinted == {keys[13]}
    assert len(world.outbox.hints) == 1
    assert world.left_behind() == []
    sent = sorted(len(rows) for rows in world.packages.imports.values())
    assert sent == [1, 5, 6]
    assert counts["read"] == 16
    assert counts["unchanged"] == 2
    assert counts["created"] == 10
    assert counts["changed"] == 1
    assert counts["failed"] == 2


async def test_without_a_crash() -> None:
    world, keys = prepared()
    check(world, keys, await world.run())
    assert world.tick.ticks > 60


async def last_tick(**volume: Any) -> int:
    world, keys = prepared(**volume)
    check(world, keys, await world.run())
    return world.tick.ticks


async def dies_at(at: int, **volume: Any) -> None:
    """And ends as if nothing had been."""
    world, keys = prepared(**volume)
    job: str | None = None
    world.tick.at = at
    try:
        job = await world.jobs.runner.start("load-accounts", {})
    except BaseException:
        world.restart()
        world.jobs.pass_time(60)
        await world.jobs.runner.re_arm()
        runs = await world.jobs.runner.store.runs("load-accounts")
        job = next((run.id for run in runs if world.jobs.messages), None)
        if job is None:  # nothing was begun
            world.jobs.pass_time(3 * 24 * 3600)
            job = await world.jobs.runner.start("load-accounts", {})
    assert job is not None
    await drained(world)
    state = await world.state(job)
    assert state.status == "done", (at, state.error)
    check(world, keys, dict(state.counts))


@pytest.mark.parametrize("first", [1, 2] if STRIDE > 2 else range(1, 1 + STRIDE))
async def test_wherever_it_dies_the_end_is_the_same(first: int) -> None:
    for at in range(first, await last_tick() + 1, STRIDE):
        await dies_at(at)


async def drained(world: World) -> None:
    """Every crash is followed by another process and the broker's redelivery."""
    before = world.tick.ticks
    for _ in range(900):
        if not await world.jobs.deliver():
            world.jobs.pass_time(60)
            if not await world.jobs.runner.re_arm():
                return
        if world.tick.at and before < world.tick.at <= world.tick.ticks:
            world.restart()
            before = world.tick.ticks
    raise AssertionError("it never ends")


async def test_holds_are_there_whenever_a_package_runs() -> None:
    """Also after a crash in the step that publishes them."""
    world, keys = prepared()
    seen: list[Any] = []
    advance = world.packages.advance

    async def watching(position: dict[str, Any]) -> Any:
        seen.append(set(await world.holds.held("accounts", keys)))
        return await advance(position)

    world.packages.advance = watching  # type: ignore[method-assign]
    await world.run()
    sent = {row[ID.upper()] for rows in world.packages.imports.values() for row in rows}
    assert seen
    assert all(held == sent for held in seen)
