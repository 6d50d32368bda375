"""Announced creates: durable before the create, young ones wait, two writers never lose one."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from integration.state.blobs import StateConflict
from integration.state.intents import CreateIntents
from tests.unit.state_support import MemoryStore

NAME = "intents/customers/bucket-003.json"
QUARANTINE = timedelta(minutes=15)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2025, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def intents(store: MemoryStore, clock: Clock) -> CreateIntents:
    return CreateIntents(store, quarantine=QUARANTINE, clock=clock)


async def test_a_granted_create_is_written_down_before_it_may_begin(
    intents: CreateIntents, store: MemoryStore
) -> None:
    reservation = await intents.reserve("customers", "bucket-003", ["a", "b"])
    assert reservation.granted == {"a", "b"}
    assert reservation.pending == {}
    assert store.stored(NAME) == {
        "a": "2025-03-01T12:00:00+00:00",
        "b": "2025-03-01T12:00:00+00:00",
    }


async def test_a_young_create_must_wait_and_keeps_its_first_time(
    intents: CreateIntents, store: MemoryStore, clock: Clock
) -> None:
    await intents.reserve("customers", "bucket-003", ["a"])
    clock.now += timedelta(minutes=5)
    reservation = await intents.reserve("customers", "bucket-003", ["a", "b"])
    assert reservation.granted == {"b"}
    assert reservation.pending["a"].retry_after == 600
    assert reservation.pending["a"].reason == "create-pending"
    assert store.stored(NAME)["a"].startswith("2025-03-01T12:00:00")


async def test_after_the_quarantine_a_create_may_begin_again(
    intents: CreateIntents, clock: Clock, store: MemoryStore
) -> None:
    await intents.reserve("customers", "bucket-003", ["a", "forgotten"])
    clock.now += QUARANTINE
    assert (await intents.reserve("customers", "bucket-003", ["a"])).granted == {"a"}
    assert set(store.stored(NAME)) == {"a"}


async def test_a_released_create_may_begin_again(
    intents: CreateIntents, store: MemoryStore
) -> None:
    await intents.reserve("customers", "bucket-003", ["a", "b"])
    await intents.release("customers", "bucket-003", ["a", "never announced"])
    assert set(store.stored(NAME)) == {"b"}
    assert (await intents.reserve("customers", "bucket-003", ["a"])).granted == {"a"}


async def test_releasing_nothing_writes_nothing(intents: CreateIntents, store: MemoryStore) -> None:
    await intents.release("customers", "bucket-003", [])
    assert store.writes == 0


async def test_kinds_and_buckets_do_not_meet(intents: CreateIntents) -> None:
    await intents.reserve("customers", "bucket-003", ["a"])
    for kind, bucket in (("customers", "bucket-004"), ("orders", "bucket-003")):
        assert (await intents.reserve(kind, bucket, ["a"])).granted == {"a"}


async def test_an_announcement_of_somebody_else_in_between_is_seen(
    intents: CreateIntents, store: MemoryStore, clock: Clock
) -> None:
    store.before_write = [(NAME, json.dumps({"a": clock.now.isoformat()}).encode())]
    reservation = await intents.reserve("customers", "bucket-003", ["a", "b"])
    assert reservation.granted == {"b"}
    assert set(reservation.pending) == {"a"}
    assert set(store.stored(NAME)) == {"a", "b"}


async def test_of_concurrent_reservations_exactly_one_is_granted_each_key(
    store: MemoryStore, clock: Clock
) -> None:
    both = [CreateIntents(store, quarantine=QUARANTINE, clock=clock) for _ in range(3)]
    answers = await asyncio.gather(
        *(one.reserve("customers", "bucket-003", ["a", "b"]) for one in both)
    )
    for key in ("a", "b"):
        assert sum(key in answer.granted for answer in answers) == 1
        assert sum(key in answer.pending for answer in answers) == 2


async def test_a_document_that_never_stands_still_is_given_up(
    intents: CreateIntents, store: MemoryStore
) -> None:
    store.before_write = [(NAME, b"{}")] * 5
    with pytest.raises(StateConflict, match="kept changing"):
        await intents.reserve("customers", "bucket-003", ["a"])
