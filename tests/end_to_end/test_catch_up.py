"""What no webhook delivered is caught up with, and a lost position is noticed and healed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.job_runs import document, run_timer

if TYPE_CHECKING:
    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def caught_up(world: World) -> dict[str, Any]:
    state = await run_timer(world, "catch_up_salesforce", "catch-up")
    assert state["status"] == "done", state
    await world.settled()
    return dict(state["counts"])


async def test_a_change_that_no_webhook_delivered_reaches_the_erp(world: World) -> None:
    await world.put("salesforce", "delivery", {"lose_share": 1})
    key = await world.create()
    await world.settled()
    assert await world.customers(key) == []
    assert (await caught_up(world))["hinted"] >= 1
    assert await world.is_in_step(key)


async def test_with_nothing_to_do_it_costs_one_stream_per_channel_and_no_rest_call(
    world: World,
) -> None:
    await caught_up(world)
    await caught_up(world)
    world.forget_calls()
    streams = world.sandbox.salesforce.pubsub.calls
    before = dict(streams)
    counts = await caught_up(world)
    assert not counts
    assert {name: count - before[name] for name, count in streams.items()} == {
        "Subscribe": 3,
        "GetSchema": 0,
    }
    assert [call for call in world.salesforce.calls if "/services/data" in str(call)] == []


async def test_the_apps_own_changes_are_no_reason_to_look_again(world: World) -> None:
    key = await world.create()
    await world.settled()
    counts = await caught_up(world)
    assert counts["own"] >= 1
    world.forget_calls()
    assert await world.is_in_step(key)


async def test_an_expired_position_is_healed_by_reading_the_records_of_the_gap(
    world: World,
) -> None:
    await caught_up(world)
    await world.put("salesforce", "delivery", {"lose_share": 1})
    lost = await world.create_many(3)
    await world.put("salesforce", "pubsub/expire", {}, method="POST")
    counts = await caught_up(world)
    assert counts["gap_records"] >= 3
    assert await world.is_in_step(*lost)
    assert [gap["reason"] for gap in document(world, "catch-up/gaps.json")][-3:] == ["expired"] * 3


async def test_an_overflow_names_no_record_and_is_read_again(world: World) -> None:
    await caught_up(world)
    bus = world.sandbox.salesforce.bus
    await world.put("salesforce", "delivery", {"lose_share": 1})
    await world.put("salesforce", "pubsub", {"lose": 1})
    key = await world.create()
    await world.put("salesforce", "pubsub", {"lose": 0})
    bus.publish_overflow("Account")
    await caught_up(world)
    assert await world.is_in_step(key)


@pytest.mark.parametrize(
    "rules", [{"resets": 1}, {"unavailable": 1}, {"slow": 0.2}, {"gap": 1}, {"dead": 1}]
)
async def test_a_bad_stream_delays_and_loses_nothing(world: World, rules: dict[str, Any]) -> None:
    await world.put("salesforce", "delivery", {"lose_share": 1})
    keys = await world.create_many(5)
    for key in keys:
        await world.change(key, Phone="+49 1")
    await world.put("salesforce", "pubsub", rules)
    await caught_up(world)
    await caught_up(world)
    assert await world.is_in_step(*keys)


async def test_a_thousand_random_changes_over_a_bad_line_end_equal_on_both_sides(
    world: World,
) -> None:
    """20 % of the deliveries lost, 5 % doubled, two broken streams, one expired position."""
    dice = random.Random(5)
    await world.put(
        "salesforce", "delivery", {"lose_share": 0.2, "duplicate_share": 0.05, "seed": 5}
    )
    keys = await world.create_many(60)
    for number in range(940):
        await world.change(dice.choice(keys), Name=f"Wechsel {number} {dice.random()}")
        if number in (300, 600):
            await world.put("salesforce", "pubsub", {"resets": 1})
            await caught_up(world)
        if number == 450:
            await world.put("salesforce", "pubsub/expire", {}, method="POST")
            await caught_up(world)
    await world.settled(60)
    await caught_up(world)
    await caught_up(world)
    assert await world.is_in_step(*keys)


async def test_a_gap_of_many_records_is_read_by_a_bulk_query(world: World) -> None:
    await caught_up(world)
    await world.put("salesforce", "delivery", {"lose_share": 1})
    lost = await world.create_many(12)
    await world.put("salesforce", "pubsub/expire", {}, method="POST")
    await world.run_with(BULK_THRESHOLD="10", BULK_POLL_SECONDS="0.1")
    jobs = len(await world.put("salesforce", "bulk/jobs", None, method="GET"))
    counts = await caught_up(world)
    assert counts["gap_records"] >= 12
    assert len(await world.put("salesforce", "bulk/jobs", None, method="GET")) == jobs + 1
    assert await world.is_in_step(*lost)


async def test_the_next_drift_report_tells_of_the_gap_once(world: World) -> None:
    await caught_up(world)
    await world.put("salesforce", "pubsub/expire", {}, method="POST")
    await caught_up(world)
    for expected in (True, False):
        state = await run_timer(world, "reconcile", "reconcile")
        report = document(world, f"reports/reconcile/{state['position']['run']}.json")
        found = [gap["object"] for gap in report["gaps"] if gap["reason"] == "expired"]
        assert ("Account" in found) is expected
