"""What was accepted and never handled is found, whatever the order in which processes noted it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.errors import Unreachable
from integration.flows.conservation import Conservation, Notes
from integration.messaging.hints import Hint
from integration.messaging.journal import PREFIX, Journal, note_id
from integration.settings import WatchSettings
from tests.unit.state_support import MemoryStore

NOW = datetime(2026, 7, 31, 12, tzinfo=UTC)
SETTINGS = WatchSettings.model_validate({"WATCH_LOST_MINUTES": 15})


def accepted(key: str, due: float, session: str = "bucket-001") -> list[Any]:
    return ["a", key, due, session, "salesforce", "Account", f"001{key}", f"001{key}", None]


def handled(key: str, at: float) -> list[Any]:
    return ["h", key, at]


def notes_of(*lines: list[Any]) -> Notes:
    notes = Notes()
    for line in lines:
        notes.add(line)
    return notes


@given(st.permutations([accepted("a", 1), handled("a", 2), accepted("b", 3), handled("b", 4)]))
def test_in_whatever_order_the_notes_come_nothing_stays_open(lines: list[list[Any]]) -> None:
    notes = notes_of(*lines)
    assert notes.open == {}
    assert notes.last == {"bucket-001": 3}
    assert notes.handled == 2


def test_a_hint_that_the_broker_dropped_as_a_double_is_not_waited_for() -> None:
    assert notes_of(accepted("a", 1), handled("a", 2), accepted("a", 9)).open == {}


@pytest.mark.parametrize(
    ("overtaken_by", "lost"), [(None, 0), (NOW.timestamp() - 3500, 0), (NOW.timestamp() - 60, 1)]
)
def test_only_what_was_overtaken_by_far_is_lost(overtaken_by: float | None, lost: int) -> None:
    notes = notes_of(accepted("a", NOW.timestamp() - 3600))
    if overtaken_by is not None:
        notes.add(accepted("b", overtaken_by))
        notes.add(handled("b", overtaken_by + 1))
    found = Conservation(MemoryStore(), SETTINGS).take_lost(notes, NOW)
    assert len(found) == lost
    assert len(notes.open) == 1 - lost


def test_a_message_of_another_bucket_overtakes_nobody() -> None:
    notes = notes_of(
        accepted("a", NOW.timestamp() - 3600),
        accepted("b", NOW.timestamp() - 60, "bucket-002"),
        handled("b", NOW.timestamp() - 50),
    )
    assert Conservation(MemoryStore(), SETTINGS).take_lost(notes, NOW) == []


def test_a_retry_that_is_not_due_yet_is_not_lost() -> None:
    notes = notes_of(
        accepted("later", NOW.timestamp() + 600),
        accepted("b", NOW.timestamp() - 60),
        handled("b", NOW.timestamp() - 50),
    )
    assert Conservation(MemoryStore(), SETTINGS).take_lost(notes, NOW) == []


def test_a_lost_hint_comes_back_with_all_that_it_said() -> None:
    notes = notes_of(
        ["a", "x", 1.0, "s", "d365", "Customer", "usmf|C1", "C1", "usmf"],
        accepted("b", NOW.timestamp() - 60, "s"),
        handled("b", NOW.timestamp() - 50),
    )
    (hint,) = Conservation(MemoryStore(), SETTINGS).take_lost(notes, NOW)
    assert (hint.source, hint.object, hint.key) == ("d365", "Customer", "usmf|C1")
    assert (hint.root, hint.company, hint.event_id) == ("C1", "usmf", "watch:x")


async def test_what_is_open_is_carried_to_the_next_look() -> None:
    store = MemoryStore()
    journal = Journal(store, clock=lambda: NOW.timestamp() - 600, seconds=0.01)
    hint = Hint(source="salesforce", object="Account", key="001A", event_id="e", seen_at=NOW)
    journal.accepted(hint, "bucket-001", None)
    await journal.close()
    conservation = Conservation(store, SETTINGS)
    notes, documents = await conservation.read(NOW)
    assert len(documents) == 1
    await conservation.keep(notes, NOW)
    for name in documents:
        await store.delete(name)
    journal.handled(hint.message_id)
    await journal.close()
    notes, _ = await conservation.read(NOW)
    assert notes.open == {}


async def test_notes_of_the_last_moments_wait_for_those_of_other_processes() -> None:
    store = MemoryStore()
    journal = Journal(store, clock=NOW.timestamp, seconds=0.01)
    journal.handled("m")
    await journal.close()
    _, documents = await Conservation(store, SETTINGS).read(NOW)
    assert documents == []


async def test_notes_are_written_together_and_soon() -> None:
    store = MemoryStore()
    journal = Journal(store, seconds=0.05)
    for number in range(100):
        journal.handled(str(number))
    await asyncio.sleep(0.3)
    names = [name async for name in store.names(PREFIX)]
    assert len(names) == 1
    document = await store.read(names[0])
    assert document is not None
    lines = [json.loads(line) for line in document.body.splitlines()]
    assert [line[1] for line in lines] == [note_id(str(number)) for number in range(100)]
    await journal.close()


async def test_notes_survive_a_storage_that_is_out_of_reach() -> None:
    class Flaky(MemoryStore):
        down = True

        async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str:
            if self.down:
                raise Unreachable("down", system="storage")
            return await super().write(name, body, expected=expected)

    store = Flaky()
    journal = Journal(store, seconds=0.01)
    journal.handled("m")
    await asyncio.sleep(0.1)
    store.down = False
    await journal.close()
    assert len([name async for name in store.names(PREFIX)]) == 1
