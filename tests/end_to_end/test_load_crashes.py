"""The app dies at calls of a load; it goes on where it stood, and every account has one customer.

Four kills by default, at the calls where an effect might be doubled; at every call with SOAK_ROUNDS set. The
blobs and messages in between are covered by tests/unit/test_load_crashes.py.
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
    from collections.abc import Iterator

SOAK = "SOAK_ROUNDS" in os.environ
pytestmark = pytest.mark.timeout(1800 if SOAK else 240)
LOCK = 1.5  # seconds that a dead process still holds its message
QUICK = {**SETTINGS, "BATCH_SECONDS": "6.5", "JOB_STEP_SECONDS": "7"}
KILLS: tuple[tuple[str, int, Moment], ...] = (  # part of a call, which of those, when
    ("ImportFromPackage", 1, "before"),
    ("ImportFromPackage", 1, "after"),
    ("GET /data/CustomersV3", 3, "after"),
    ("PATCH /services/data", 1, "after"),
)


async def loaded_despite(
    world: World, guillotine: Guillotine, part: str, number: int, moment: Moment
) -> list[str]:
    """A load of new accounts while the app dies at a call; the calls up to then, or all of them."""
    loads = Loads(world)
    keys = await insert(world, [account() for _ in range(5)])
    guillotine.arm(number, moment, part)
    job = await loads.start()
    await loads.running_until(job, lambda: guillotine.is_due)
    if guillotine.is_due:
        await guillotine.falls()
        guillotine.disarm()
        await world.sandbox.start_app()
    assert SOAK or not number or guillotine.fell, part  # a warm process signs in no more
    state = await loads.ended(job, timeout=90)
    told = (part, number, moment, state.error)
    assert state.status == "done", told
    await world.settled()
    await all_in_step(world, keys)
    assert state.counts["created"] == 5, told
    assert world.sandbox.dead_letters() == []
    assert loads.documents("spool/") == []
    return list(guillotine.calls)


async def test_wherever_the_app_dies_the_load_ends_as_it_should() -> None:
    sandbox = Sandbox(settings=QUICK, lock_seconds=LOCK)
    world = World(sandbox)
    async with sandbox:
        guillotine = Guillotine(world)
        await sandbox.subscribe("Account")
        calls = await loaded_despite(world, guillotine, "", 0, "after")
        for part, number, moment in every_call(calls) if SOAK else KILLS:
            await loaded_despite(world, guillotine, part, number, moment)


def every_call(calls: list[str]) -> Iterator[tuple[str, int, Moment]]:
    """Each kind of call, by its path up to an id, the first time it is made."""
    for part in dict.fromkeys(re.sub(r"750\w+.*", "", call) for call in calls):
        yield part, 1, "after"
        yield part, 1, "before"
