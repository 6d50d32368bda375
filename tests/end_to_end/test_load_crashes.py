"""The app dies at calls of a load; it goes on where it stood, and every account has one customer.

One load that dies four times by default, at the calls where an effect might be doubled; with SOAK_ROUNDS set
a load for every call. The blobs and messages in between are covered by tests/unit/test_load_crashes.py.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from sandbox.stack import Sandbox
from tests.end_to_end.guillotine import Guillotine, Moment
from tests.end_to_end.load_world import SETTINGS, Loads
from tests.end_to_end.test_loads import all_in_step, insert
from tests.end_to_end.world import World, account

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOAK = "SOAK_ROUNDS" in os.environ
pytestmark = pytest.mark.timeout(1800 if SOAK else 240)
LOCK = 3  # seconds that a dead process still holds its message
Kill = tuple[str, int, Moment]  # part of a call, which of those, when
KILLS: tuple[Kill, ...] = (
    ("ImportFromPackage", 1, "before"),
    ("ImportFromPackage", 1, "after"),
    ("GET /data/CustomersV3", 2, "after"),
    ("PATCH /services/data", 1, "after"),
)


async def loaded_despite(world: World, guillotine: Guillotine, kills: Sequence[Kill]) -> list[str]:
    """A load of new accounts while the app dies at calls, one after the other; the calls since the last kill,
    or all of them."""
    loads = Loads(world)
    keys = await insert(world, [account() for _ in range(5)])
    guillotine.arm(0)
    first, *others = kills or [None]
    if first:
        guillotine.arm(first[1], first[2], first[0])
    job = await loads.start()
    await loads.hurried(job)
    for following in (*others, None) if first else ():
        await loads.running_until(job, lambda: guillotine.is_due)
        if guillotine.is_due:
            await guillotine.falls(60)
        assert SOAK or guillotine.fell, (kills, following)  # a warm process signs in no more
        fell = guillotine.fell
        guillotine.disarm()
        if following:
            guillotine.arm(following[1], following[2], following[0])
        if fell:
            await loads.after_a_kill()
            await world.sandbox.start_app()
    state = await loads.ended(job)
    told = (kills, state.error)
    assert state.status == "done", told
    await world.settled()
    await all_in_step(world, keys)
    assert state.counts["created"] == 5, told
    assert world.sandbox.dead_letters() == []
    assert loads.documents("spool/") == []
    return list(guillotine.calls)


async def test_wherever_the_app_dies_the_load_ends_as_it_should() -> None:
    sandbox = Sandbox(settings=SETTINGS, lock_seconds=LOCK)
    world = World(sandbox)
    async with sandbox:
        guillotine = Guillotine(world)
        await sandbox.subscribe("Account")
        if not SOAK:
            await loaded_despite(world, guillotine, KILLS)
            return
        for kill in every_call(await loaded_despite(world, guillotine, ())):
            await loaded_despite(world, guillotine, [kill])


def every_call(calls: list[str]) -> Iterator[Kill]:
    """Each kind of call, by its path up to an id, the first time it is made."""
    for part in dict.fromkeys(re.sub(r"750\w+.*", "", call) for call in calls):
        yield part, 1, "after"
        yield part, 1, "before"
