"""Silence and loss are noticed by the app itself, and healed before anybody asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus.aio import ServiceBusClient

from integration.messaging.hints import bucket_of
from sandbox import topology
from tests.end_to_end import receivables
from tests.end_to_end.job_runs import document, run_timer

if TYPE_CHECKING:
    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def watched(world: World) -> dict[str, Any]:
    await asyncio.sleep(1.5)  # until the notes of the last moments are written and count
    state = await run_timer(world, "watch", "watch")
    assert state["status"] == "done", state
    await world.settled()
    return dict(document(world, "watch/state.json"))


async def swallow(world: World, session: str) -> None:
    """Takes a message out of the queue and settles it, as if its function had run."""
    async with (
        ServiceBusClient.from_connection_string(world.sandbox.broker.connection_string) as client,
        client.get_queue_receiver(topology.CHANGES, session_id=session) as receiver,
    ):
        (message,) = await receiver.receive_messages(1, max_wait_time=10)
        await receiver.complete_message(message)


async def neighbours(world: World) -> tuple[str, str]:
    """Two accounts of one bucket."""
    keys = await world.create_many(40, events=False)
    by_bucket: dict[str, list[str]] = {}
    for key in keys:
        mine = by_bucket.setdefault(bucket_of(key, 16), [])
        mine.append(key)
        if len(mine) == 2:
            return mine[0], mine[1]
    raise AssertionError("40 accounts and no two of them in one bucket")


async def test_what_was_accepted_is_accounted_for(world: World) -> None:
    await watched(world)
    await world.create_many(5)
    await world.settled()
    report = await watched(world)
    assert report["accepted"] >= 5
    assert report["accepted"] == report["handled"]
    assert (report["waiting"], report["lost"]) == (0, 0)
    assert not any(report["alarms"].values())


async def test_a_message_that_was_settled_and_never_handled_gets_a_new_hint(world: World) -> None:
    await watched(world)
    lost, later = await neighbours(world)
    # The app accepts the event, and its functions for the queue stand still.
    await world.sandbox.stop_app()
    await world.sandbox.start_app({"AzureWebJobs.converge_changes.Disabled": "true"})
    await world.tell(lost)
    await swallow(world, bucket_of(lost, 16))
    await asyncio.sleep(1.5)
    await world.restart()
    await world.tell(later)
    await world.settled()
    assert await world.customers(lost) == []
    report = await watched(world)
    assert report["lost"] == 1
    assert report["alarms"]["lost-hints"] == 1
    assert await world.is_in_step(lost, later)
    assert (await watched(world))["lost"] == 0


async def test_changes_without_a_single_hint_are_read_by_the_catch_up_at_once(
    world: World,
) -> None:
    await watched(world)
    await world.put("salesforce", "delivery", {"lose_share": 1})
    await world.put("salesforce", "pubsub", {"lose": 1})
    key = await world.create()
    report = await watched(world)
    assert report["silent"].get("Account"), report
    assert report["alarms"]["salesforce-silence"] >= 1
    await world.until_found(lambda: world.customers(key))
    await world.settled()
    assert await world.is_in_step(key)


async def test_invoices_without_an_event_start_a_reconciliation(world: World) -> None:
    number = await receivables.customer_with_account(world)
    await watched(world)
    await receivables.events(world, enabled=False)
    try:
        order = await receivables.order(world, number)
        posted = await receivables.post(world, sales_order=order)
        report = await watched(world)
    finally:
        await receivables.events(world, enabled=True)
    assert report["alarms"]["d365-silence"] == 1
    await world.until_found(lambda: receivables.invoices(world, posted["invoice"]))
    await world.settled()
