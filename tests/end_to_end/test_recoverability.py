"""F&O in trouble: whatever happens to a call, the record converges once and no attempt is wasted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from integration.messaging.hints import Hint, bucket_of
from tests.end_to_end.world import DOWN

if TYPE_CHECKING:
    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATES = {"method": "POST", "path": r"CustomersV3|\$batch"}
CUSTOMER = {"method": "POST|PATCH", "path": "CustomersV3"}


async def test_an_outage_uses_up_no_attempt_and_ends_in_step(world: World) -> None:
    await world.fault("d365", **DOWN)
    keys = await world.create_many(6)
    await world.until(lambda: any(hint["put_backs"] >= 2 for hint in world.waiting(*keys)))
    assert {hint["key"] for hint in world.waiting(*keys)} == set(keys)
    assert {hint["attempt"] for hint in world.waiting(*keys)} == {1}
    assert world.letters(*keys) == []
    await world.no_faults()
    await world.settled()
    assert await world.is_in_step(*keys)


async def test_an_outage_is_probed_by_one_record_not_by_all(world: World) -> None:
    await world.fault("d365", **DOWN)
    keys = await world.create_many(30, events=False)
    await world.tell(*keys)
    await asyncio.sleep(2.5)
    assert {hint["key"] for hint in world.waiting(*keys)} == set(keys)
    assert len(world.d365.calls) <= 30  # 30 records × 3 tries of a call × 3 deliveries would be 270
    await world.no_faults()
    await world.settled()
    assert await world.is_in_step(*keys)


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {}], ids=["retry-after", "bare"])
async def test_a_throttled_call_waits_as_long_as_it_must(
    world: World, headers: dict[str, str]
) -> None:
    fault = {"status": 429, "headers": headers, "body": {}, "count": 2}
    await world.fault("d365", **fault)
    key = await world.create()
    await world.settled()
    assert await world.is_in_step(key)
    first, second, third = (call.at for call in world.d365.calls[:3])
    assert second - first >= 1.0  # D365_THROTTLE_FALLBACK is 1 s here
    assert third - second >= 1.0


async def test_one_throttled_operation_of_a_batch_is_repeated_alone(world: World) -> None:
    keys = await world.create_many(12, events=False)
    fault = {"match": CUSTOMER, "status": 429, "inner": True, "skip": 5, "body": {}}
    await world.fault("d365", **fault)
    await world.tell(*keys)
    await world.settled()
    assert await world.is_in_step(*keys)
    assert len(world.d365.writes_to_d365()) == 13


async def test_a_create_whose_answer_was_lost_is_not_repeated(world: World) -> None:
    await world.fault("d365", match=CREATES, drop="after", count=1)
    keys = await world.create_many(4, events=False)
    await world.tell(*keys)
    await world.settled()
    assert await world.is_in_step(*keys)
    assert len(world.d365.writes_to_d365()) == 4


async def test_a_create_that_never_arrived_is_repeated_after_the_quarantine(world: World) -> None:
    await world.fault("d365", match=CREATES, drop="before", count=1)
    key = await world.create()
    await world.settled()
    assert await world.is_in_step(key)
    first, second = world.d365.to("CustomersV3", "POST") or world.d365.to("$batch")
    assert second.at - first.at >= 3  # CREATE_QUARANTINE_MINUTES is 0.05 here


async def test_a_create_that_is_still_running_is_waited_for(world: World) -> None:
    """F&O commits two seconds after the connection was cut; events keep coming meanwhile."""
    key = await world.create(events=False)
    await world.put("d365", "late-commit", {"path": "", "delay_ms": 2000, "count": 1})
    for _ in range(4):
        await world.tell(key)
        await asyncio.sleep(0.4)
    assert await world.customers(key) == []
    assert len(world.d365.writes_to_d365()) == 1
    await world.settled()
    assert await world.is_in_step(key)
    assert len(world.d365.writes_to_d365()) == 1


async def test_a_record_that_changed_underneath_is_read_again_at_once(world: World) -> None:
    key = await world.create_settled()
    accepted = world.totals()["accepted"]
    match = {"method": "PATCH", "path": "CustomersV3"}
    for inner in (True, False):  # alone or in a $batch
        await world.fault("d365", match=match, status=412, inner=inner, count=1)
    await world.change(key, Phone="+49 8041 412")
    await world.settled()
    assert (await world.customer(key))["PrimaryContactPhone"] == "+49 8041 412"
    assert world.d365.reads_of_customers() == 2
    assert world.totals()["accepted"] - accepted == 1  # no later attempt was needed


async def test_an_update_conflict_is_tried_again_later(world: World) -> None:
    key = await world.create_settled()
    await world.put("d365", "update-conflicts", {"CustomersV3": 2})
    await world.change(key, Phone="+49 8041 500")
    await world.until(lambda: any(hint["attempt"] == 3 for hint in world.waiting(key)))
    await world.settled()
    assert (await world.customer(key))["PrimaryContactPhone"] == "+49 8041 500"
    assert world.letters(key) == []


async def test_a_server_error_on_an_update_is_repeated_without_harm(world: World) -> None:
    key = await world.create_settled()
    match = {"method": "PATCH|POST", "path": r"CustomersV3|\$batch"}
    await world.fault("d365", match=match, status=500, body={}, count=2)
    await world.change(key, Phone="+49 8041 501")
    await world.settled()
    assert await world.is_in_step(key)
    assert (await world.customer(key))["PrimaryContactPhone"] == "+49 8041 501"


async def test_a_lost_token_is_replaced_once(world: World) -> None:
    key = await world.create_settled()
    await world.fault("d365", status=401, body="", count=1)
    await world.change(key, Phone="+49 8041 401")
    await world.settled()
    assert (await world.customer(key))["PrimaryContactPhone"] == "+49 8041 401"
    assert len(world.entra.to("/token")) == 1


async def test_only_age_ends_the_waiting_for_a_system(world: World) -> None:
    key = await world.create(events=False)
    await world.fault("d365", **DOWN)
    old = Hint(
        source="salesforce",
        object="Account",
        key=key,
        event_id=f"old-{key}",
        seen_at=datetime.now(UTC) - timedelta(hours=73),
    )
    await world.sandbox.send_raw(old.to_bytes(), session=bucket_of(key, 16))
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["hint"]["attempt"]) == ("failed", 1)
    assert letter["description"].startswith("given up after 73 h: ")
