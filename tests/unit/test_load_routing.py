"""Which way records take follows from how many they are; what the dispatcher makes of holds and routes."""

from __future__ import annotations

import pytest

from integration.errors import RecordHeld, Unreachable
from integration.flows.context import FlowEntry
from integration.flows.loads.dirty import DirtyKeys
from integration.flows.loads.routing import look_up, to_d365, to_salesforce, waits_for_timer
from integration.salesforce.budget import ApiBudget
from integration.settings import VolumeSettings
from tests.unit.dispatcher_support import Stage, hint
from tests.unit.test_jobs_support import JobBlobs

VOLUME = VolumeSettings()  # 1,000 rows for a package, 2,000 for Bulk, pages of 10,000


@pytest.mark.parametrize(
    ("rows", "used", "way"),
    [
        (0, 0, "odata"),
        (1000, 0, "odata"),
        (1001, 0, "package"),
        (1000, 99_950, "package"),  # 20 calls of the 50 that are left
        (1000, 99_000, "odata"),
        (50, 99_999, "odata"),
    ],
)
def test_the_way_to_dynamics(rows: int, used: int, way: str) -> None:
    assert to_d365(rows, VOLUME, ApiBudget(used, 100_000)) == way
    if used == 0:
        assert to_d365(rows, VOLUME) == way


@pytest.mark.parametrize(
    ("rows", "size", "used", "way"),
    [
        (2000, 200, 0, "collections"),
        (2001, 200, 0, "bulk"),
        (2000, 200, 99_990, "collections"),  # a Bulk load needs as many calls
        (2000, 50, 99_900, "bulk"),
        (2000, 50, 0, "collections"),
    ],
)
def test_the_way_to_salesforce(rows: int, size: int, used: int, way: str) -> None:
    assert to_salesforce(rows, VOLUME, ApiBudget(used, 100_000), collection=size) == way


@pytest.mark.parametrize(
    ("keys", "rows", "how"),
    [
        (10, 0, "keys"),
        (2000, 500_000, "keys"),
        (100_000, 500_000, "keys"),
        (150_000, 500_000, "table"),
        (3000, 5_000, "table"),
    ],
)
def test_keys_are_asked_for_by_name_where_that_is_less_than_the_table(
    keys: int, rows: int, how: str
) -> None:
    assert look_up(keys, rows, VOLUME, terms=20, batch=100) == how


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({}, True),
        ({"attempt": 2}, False),
        ({"replay": 1}, False),
        ({"put_backs": 3}, True),  # it waited for a system, and was not tried yet
        ({"event_id": "load-accounts:1:a"}, False),
        ({"event_id": "reconcile:1:accounts:a"}, False),
        ({"event_id": "ledger:1"}, False),
    ],
)
def test_only_the_first_delivery_of_a_change_waits_for_the_timer(changes, waits: bool) -> None:
    assert waits_for_timer("scheduled", hint(**changes)) is waits
    assert not waits_for_timer("realtime", hint(**changes))


class Held:
    def __init__(self, *keys: str) -> None:
        self.keys = set(keys)
        self.error: Exception | None = None

    async def held(self, flow: str, keys) -> dict[str, RecordHeld]:
        if self.error:
            raise self.error
        return {key: RecordHeld("a load writes it") for key in keys if key in self.keys}


class Notes:
    def __init__(self) -> None:
        self.noted: list[tuple[str, list[str]]] = []
        self.error: Exception | None = None

    async def note(self, flow: str, keys) -> None:
        if self.error:
            raise self.error
        self.noted.append((flow, sorted(keys)))


def stage(held: Held | None = None, notes: Notes | None = None, route: str = "realtime") -> Stage:
    made = Stage()
    made.dispatcher._holds, made.dispatcher._dirty = held, notes
    entry = FlowEntry(made.flow, "salesforce", "Account", "on", route)  # type: ignore[arg-type]
    made.dispatcher._by_name = {"memory": entry}
    made.dispatcher._by_object = {("salesforce", "Account"): entry}
    return made


async def test_a_held_record_waits_without_an_attempt_and_the_others_are_handled() -> None:
    made = stage(Held("a"))
    for key in "abc":
        made.flow.add(key)
    await made.deliver(*(hint(key) for key in "abc"))
    assert set(made.flow.target) == {"b", "c"}
    [(waiting, _)] = made.outbox.scheduled
    assert (waiting.key, waiting.attempt, waiting.put_backs) == ("a", 1, 1)
    assert made.outbox.letters == []


async def test_a_held_record_neither_closes_a_gate_nor_ends_in_the_dead_letters() -> None:
    made = stage(Held("a"))
    made.flow.add("a")
    for put_backs in range(30):
        await made.deliver(hint("a", put_backs=put_backs))
    assert len(made.outbox.scheduled) == 30
    assert made.outbox.letters == []
    made.flow.add("b")
    await made.deliver(hint("b"))
    assert set(made.flow.target) == {"b"}


async def test_where_the_holds_cannot_be_read_nothing_is_handled() -> None:
    held = Held()
    held.error = Unreachable("no storage", system="storage")
    made = stage(held)
    made.flow.add("a")
    await made.deliver(hint("a"))
    assert made.flow.target == {}
    assert len(made.outbox.scheduled) == 1


async def test_scheduled_changes_are_noted_together_and_their_messages_are_done() -> None:
    notes = Notes()
    made = stage(notes=notes, route="scheduled")
    for key in "abcdef":
        made.flow.add(key)
    await made.deliver(*(hint(key) for key in "abcdef"))
    assert sorted(key for _, keys in notes.noted for key in keys) == list("abcdef")
    assert len(notes.noted) == 1
    assert made.outbox.is_empty
    assert made.flow.calls == []


async def test_a_change_that_cannot_be_noted_comes_again() -> None:
    notes = Notes()
    notes.error = Unreachable("no storage", system="storage")
    made = stage(notes=notes, route="scheduled")
    made.flow.add("a")
    await made.deliver(hint("a"))
    assert [waiting.key for waiting, _ in made.outbox.scheduled] == ["a"]


async def test_what_a_load_asks_for_is_handled_at_once() -> None:
    notes = Notes()
    made = stage(notes=notes, route="scheduled")
    made.flow.add("a")
    await made.deliver(hint("a", event_id="load-accounts:run:a"))
    assert set(made.flow.target) == {"a"}
    assert notes.noted == []


async def test_notes_hold_every_key_and_go_one_by_one() -> None:
    store = JobBlobs()
    dirty = DirtyKeys(store)
    assert not await dirty.any("accounts")
    await dirty.note("accounts", ["a", "b", "a"])
    await dirty.note("accounts", (str(number) for number in range(45_000)))
    await dirty.note("accounts", ["c"], name="of-a-run")
    await dirty.note("accounts", ["c"], name="of-a-run")
    await dirty.note("contacts", ["z"])
    notes = await dirty.notes("accounts")
    assert len(notes) == 5
    keys = [key for note in notes for key in await dirty.keys(note)]
    assert len(keys) == 45_003
    for note in notes:
        await dirty.forget(note)
        assert await dirty.keys(note) == []
    assert not await dirty.any("accounts")
    assert await dirty.any("contacts")
