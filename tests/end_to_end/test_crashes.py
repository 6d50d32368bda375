"""Killing the app at seeded moments and starting it again loses nothing and doubles nothing.

Salesforce sends Outbound Messages, which it repeats until they are acknowledged; everything else that is
needed must survive in Service Bus, in the intents, and in the two systems themselves. SOAK_ROUNDS sets the
number of kills (20), SOAK_SEED the dice.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import topology, verification
from sandbox.salesforce.generate import generate_accounts
from tests.end_to_end.world import new_world

if TYPE_CHECKING:
    from tests.end_to_end.world import World

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "20"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
CREATED, CHANGED = 12, 6  # accounts per round


async def insert(world: World, rows: list[dict[str, Any]]) -> list[str]:
    url = f"{world.sandbox.salesforce.url}/sandbox/state/Account"
    answer = await world.sandbox.http.post(url, json=rows)
    answer.raise_for_status()
    return list(answer.json()["ids"])


@pytest.mark.timeout(90 + 6 * ROUNDS)
async def test_killing_the_app_at_seeded_moments_loses_and_doubles_nothing() -> None:
    dice = random.Random(SEED)
    rows = generate_accounts(ROUNDS * CREATED, SEED)
    accounts: list[str] = []
    moments: list[float] = []
    within_a_call = 0
    async with new_world("outbound-message", CREATE_QUARANTINE_MINUTES="0.08") as world:
        await slow_down(world)
        for number in range(ROUNDS):
            changed = dice.sample(accounts, min(CHANGED, len(accounts)))
            accounts += await insert(world, rows[number * CREATED : (number + 1) * CREATED])
            if dice.random() < 0.5:  # F&O goes on after its caller has died, and writes later
                late = {"path": "batch", "delay_ms": 2500, "count": 1}
                await world.put("d365", "late-commit", late)
            for key in changed:
                await world.change(key, Phone=f"+49 30 {dice.randrange(10**6):06d}")
            # A cold app needs a second to its first call; most moments are to come after that.
            tap = dice.choice((None, world.salesforce, world.d365, world.d365, world.d365))
            world.forget_calls()
            if tap is not None:
                await world.until(functools.partial(bool, tap.calls), 30)
            moments.append(dice.uniform(0, 1.2))
            await asyncio.sleep(moments[-1])
            within_a_call += world.salesforce.running + world.d365.running > 0
            await world.sandbox.kill_app()
            await world.sandbox.start_app()
        await world.settled(60)
        told = f"SOAK_SEED={SEED}, killed after {[round(moment, 3) for moment in moments]}"
        assert await verification.differences(world.sandbox) == [], told
        assert world.sandbox.dead_letters() == [], told
        assert len(accounts) == ROUNDS * CREATED
        assert_conserved(world)
        assert within_a_call >= ROUNDS // 4, told  # else the moments prove little


async def slow_down(world: World) -> None:
    """Calls take so long that many a kill comes in the middle of one."""
    await world.put("d365", "latency", {"per_call_ms": 60, "per_operation_ms": 15})
    await world.put("salesforce", "latency", {"per_call_ms": 60, "per_operation_ms": 5})


def assert_conserved(world: World) -> None:
    """Everything that the queue took in was completed; nothing vanished on the way."""
    counts = world.sandbox.broker.counts()[topology.CHANGES]
    totals = world.totals()
    assert not any(counts.values()), counts
    assert totals["completed"] == totals["accepted"]
    assert totals["expired"] == totals["dead_lettered"] == 0
    delivered = world.sandbox.salesforce.outbound.state()
    assert delivered["failed"] == delivered["pending"] == 0
    assert totals["accepted"] + totals["duplicates"] >= delivered["acked"]
