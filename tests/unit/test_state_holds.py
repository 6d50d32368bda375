"""Holds: what is held waits everywhere, asking costs nothing while nothing is held, no hold is forever."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.errors import RecordHeld, Unreachable
from integration.recovery.decisions import FailurePolicy, RetryLater, decide
from integration.state.blobs import StateConflict
from integration.state.holds import CACHE_SECONDS, Holds
from integration.state.key_index import (
    Checklist,
    IndexPart,
    KeyIndex,
    KeySet,
    short_hash,
    short_hashes,
)
from tests.unit.account_support import account_id
from tests.unit.test_jobs_support import JobBlobs

KEYS = [account_id(number) for number in range(50)]


class Counting(JobBlobs):
    reads = 0

    async def read(self, name: str):
        self.reads += 1
        return await super().read(name)


class Time:
    def __init__(self) -> None:
        self.now = datetime(2026, 7, 31, 2, 0, tzinfo=UTC)
        self.seconds = 100.0

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds

    def holds(self, store: JobBlobs) -> Holds:
        return Holds(store, clock=lambda: self.now, monotonic=lambda: self.seconds)


def hashes(*keys: str) -> list[int]:
    return [short_hash(key) for key in keys]


async def test_exactly_the_published_keys_of_the_flow_are_held() -> None:
    store, time = Counting(), Time()
    writer, reader = time.holds(store), time.holds(store)
    until = time.now + timedelta(hours=1)
    await writer.publish("load-1", "accounts", hashes(*KEYS[:20]), until, version=1)
    held = await reader.held("accounts", KEYS)
    assert held.keys() == set(KEYS[:20])
    assert all(isinstance(error, RecordHeld) for error in held.values())
    assert await reader.held("contacts", KEYS) == {}
    assert (await reader.held("accounts", [KEYS[3].lower()])).keys() == {KEYS[3].lower()}


async def test_a_whole_flow_can_be_held_and_narrowed() -> None:
    store, time = Counting(), Time()
    writer, reader = time.holds(store), time.holds(store)
    until = time.now + timedelta(hours=1)
    await writer.publish("load-1", "accounts", None, until, version=1)
    assert (await reader.held("accounts", KEYS)).keys() == set(KEYS)
    await writer.publish("load-1", "accounts", hashes(KEYS[0]), until, version=2)
    time.pass_(CACHE_SECONDS)
    assert (await reader.held("accounts", KEYS)).keys() == {KEYS[0]}
    await writer.release("load-1")
    time.pass_(CACHE_SECONDS)
    assert await reader.held("accounts", KEYS) == {}
    assert [name for name in store.documents if name != "holds/index.json"] == []


async def test_two_loads_hold_side_by_side() -> None:
    store, time = Counting(), Time()
    one, two = time.holds(store), time.holds(store)
    until = time.now + timedelta(hours=1)
    await one.publish("load-1", "accounts", hashes(KEYS[0]), until, version=1)
    await two.publish("load-2", "accounts", hashes(KEYS[1]), until, version=1)
    await one.release("load-1")
    assert (await time.holds(store).held("accounts", KEYS)).keys() == {KEYS[1]}


async def test_asking_reads_one_small_document_now_and_then() -> None:
    store, time = Counting(), Time()
    reader = time.holds(store)
    for _ in range(100):
        assert await reader.held("accounts", KEYS) == {}
    assert store.reads == 1
    await time.holds(store).publish(
        "load-1", "accounts", hashes(*KEYS), time.now + timedelta(hours=1), version=1
    )
    store.reads = 0
    for _ in range(10):
        time.pass_(CACHE_SECONDS)
        await reader.held("accounts", KEYS)
    assert store.reads == 11  # the keys themselves once


async def test_a_hold_that_was_published_is_seen_after_the_time_of_the_cache() -> None:
    store, time = Counting(), Time()
    reader = time.holds(store)
    assert await reader.held("accounts", KEYS) == {}
    await time.holds(store).publish(
        "load-1", "accounts", None, time.now + timedelta(hours=1), version=1
    )
    time.pass_(CACHE_SECONDS)
    assert (await reader.held("accounts", KEYS)).keys() == set(KEYS)


async def test_a_hold_ends_by_itself_and_is_cleared_away_by_the_next() -> None:
    store, time = Counting(), Time()
    writer = time.holds(store)
    until = time.now + timedelta(minutes=10)
    await writer.publish("load-1", "accounts", hashes(*KEYS), until, version=1)
    await writer.extend("load-1", time.now + timedelta(minutes=1))
    await writer.extend("load-9", time.now + timedelta(minutes=1))
    time.pass_(61)
    assert await writer.held("accounts", KEYS) == {}
    await writer.publish("load-2", "accounts", None, until, version=1)
    assert [name for name in store.documents if name.startswith("holds/load-1")] == []


async def test_publishing_and_releasing_twice_is_the_same() -> None:
    store, time = Counting(), Time()
    writer = time.holds(store)
    until = time.now + timedelta(minutes=10)
    for _ in range(2):
        await writer.publish("load-1", "accounts", hashes(KEYS[0]), until, version=1)
    assert (await time.holds(store).held("accounts", KEYS)).keys() == {KEYS[0]}
    for _ in range(2):
        await writer.release("load-1")
    assert await time.holds(store).held("accounts", KEYS) == {}


async def test_another_writer_in_between_loses_nothing() -> None:
    store, time = Counting(), Time()
    until = time.now + timedelta(minutes=10)
    await time.holds(store).publish("load-1", "accounts", None, until, version=1)
    foreign = b'{"load-7":{"flow":"contacts","keys":null,"until":"2999-01-01T00:00:00+00:00"}}'
    store.before_write = [("holds/index.json", foreign)]
    await time.holds(store).publish("load-2", "accounts", None, until, version=1)
    assert await time.holds(store).held("contacts", KEYS[:1])
    assert await time.holds(store).held("accounts", KEYS[:1])
    store.before_write = [("holds/index.json", foreign + b" " * n) for n in range(9)]
    with pytest.raises(StateConflict):
        await time.holds(store).publish("load-3", "accounts", None, until, version=1)


async def test_without_the_state_nothing_may_be_handled() -> None:
    store, time = Counting(), Time()
    store.error = Unreachable("no storage", system="storage")
    with pytest.raises(Unreachable):
        await time.holds(store).held("accounts", KEYS)


def test_waiting_for_a_load_uses_no_attempt() -> None:
    error = RecordHeld("waits")
    decision = decide(
        error,
        attempt=4,
        put_backs=0,
        age=timedelta(hours=100),
        policy=FailurePolicy(max_age=timedelta(hours=200)),
        random=random.Random(1),
    )
    assert isinstance(decision, RetryLater)
    assert decision.uses_attempt is False


def digest(number: int) -> bytes:
    return number.to_bytes(8, "big")


def test_an_index_finds_every_key_with_its_number_and_digests() -> None:
    parts = []
    for first in range(0, 3000, 700):
        part = IndexPart()
        for number in range(first, min(first + 700, 3000)):
            part.add(account_id(number), "usmf", f"US-{number:06}", [digest(number), b"x" * 8])
        parts.append(part.to_bytes())
    index = KeyIndex(parts, digests=2, size=8)
    assert index.count == 3000
    for number in range(3000):
        entry = index.find(account_id(number).lower())
        assert entry is not None
        assert (entry.company, entry.number) == ("usmf", f"US-{number:06}")
        assert entry.digests == (digest(number), b"x" * 8)
        assert not entry.unclear
    assert all(index.find(account_id(number)) is None for number in range(3000, 4000))


def test_two_records_with_one_key_are_unclear_and_one_read_twice_is_not() -> None:
    part = IndexPart()
    part.add("A", "usmf", "US-1", [digest(1)])
    part.add("a", "usmf", "US-2", [digest(1)])
    part.add("B", "usmf", "US-3", [digest(1)])
    part.add("B", "usmf", "US-3", [digest(2)])
    part.add("C", "usmf", "N" * 25, [digest(1)])
    part.add("D", "usmf", "Ü" * 12, [digest(1)])
    part.add("E", "toolong", "US-4", [digest(1)])
    index = KeyIndex([part.to_bytes()], digests=1, size=8)
    found = {key: index.find(key) for key in "ABCDEF"}
    unclear = {key for key, entry in found.items() if entry is not None and entry.unclear}
    assert unclear == {"A", "C", "E"}
    assert found["F"] is None
    assert found["D"] is not None
    assert found["D"].number == "Ü" * 12


def test_an_empty_index_holds_nothing() -> None:
    assert KeyIndex([], digests=1, size=8).find("A") is None


@given(st.lists(st.text(max_size=3)))
@settings(deadline=None)
def test_a_set_of_keys_is_a_set(keys: list[str]) -> None:
    mine, known = KeySet(), set()
    for key in keys:
        assert mine.add(key) is (key.casefold() not in known)
        known.add(key.casefold())
    assert mine.count == len(known)
    assert all(key in mine for key in keys)
    assert "no such key" not in mine


@given(st.lists(st.text(max_size=3)), st.lists(st.text(max_size=3)))
@settings(deadline=None)
def test_each_key_of_a_list_is_met_for_the_first_time_once(
    keys: list[str], coming: list[str]
) -> None:
    mine = KeySet()
    mine.add_all(keys)
    checklist, listed, met = Checklist(mine), {key.casefold() for key in keys}, set()
    for key in coming:
        folded = key.casefold()
        expected = folded not in met if folded in listed else None
        assert checklist.meet(key) is expected
        met.add(folded)


@given(st.lists(st.text(max_size=5)))
def test_many_hashes_are_those_of_each_key(keys: list[str]) -> None:
    assert list(short_hashes(keys)) == [short_hash(key) for key in keys]
    assert short_hash("US-001") == short_hash("us-001") != short_hash("us-002")
