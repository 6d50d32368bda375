"""Accepted = handled + waiting: finds the hints for which that does not hold (design, idea 4).

The notes are those of `messaging.journal`. What is not matched yet is carried from look to look in
`watch/open.json`.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from integration.messaging.hints import Hint, Source
from integration.messaging.journal import PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from integration.settings import WatchSettings
    from integration.state.blobs import Document

_OPEN = "watch/open.json"
_DOCUMENTS = 2000  # notes of some hours; the rest is read by the next run
_OPEN_KEPT = 50_000
_DOUBLES = 3600.0  # seconds; the queue `changes` remembers message ids for ten minutes


class Documents(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


@dataclass(slots=True)
class Notes:
    """`open`: accepted and not handled, by id; `done`: when an id was handled; `last`: the latest due time
    of a handled message of each bucket; `accepted`, `finished`: hints by (source, object) in this window."""

    open: dict[str, list[Any]] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    accepted: Counter[tuple[str, str]] = field(default_factory=Counter)
    finished: Counter[tuple[str, str]] = field(default_factory=Counter)
    handled: int = 0

    def add(self, note: list[Any]) -> None:
        """The notes of processes come in any order; the broker drops a hint that it has had already."""
        kind, key = note[0], note[1]
        if kind == "a":
            self.accepted[note[4], note[5]] += 1
            if key in self.done:
                self._settle(note)
            else:
                self.open[key] = note
        else:
            self.handled += 1
            self.done[key] = note[2]
            if key in self.open:
                self._settle(self.open.pop(key))

    def _settle(self, note: list[Any]) -> None:
        due, session = note[2], note[3]
        self.last[session] = max(self.last.get(session, 0.0), due)
        self.finished[note[4], note[5]] += 1


class Conservation:
    def __init__(self, state: Documents, settings: WatchSettings) -> None:
        self._state = state
        self._settings = settings

    async def read(self, now: datetime) -> tuple[Notes, list[str]]:
        stored = await self._stored()
        notes = Notes(dict(stored.get("open", {})), dict(stored.get("done", {})))
        until = now.timestamp() - self._settings.settled_seconds
        documents: list[str] = []
        async for name in self._state.names(PREFIX):
            if int(name.removeprefix(PREFIX).partition("-")[0]) > until:
                continue
            document = await self._state.read(name)
            if document is None:
                continue
            for line in document.body.splitlines():
                notes.add(json.loads(line))
            documents.append(name)
            if len(documents) >= _DOCUMENTS:
                break
        return notes, documents

    def take_lost(self, notes: Notes, now: datetime) -> list[Hint]:
        """New hints for what is lost, which is no longer open then.

        A bucket hands its messages out in order, give or take what is under way: who is overtaken by far
        does not come any more.
        """
        patience = self._settings.lost_minutes * 60
        until = now.timestamp() - patience
        lost = [
            note
            for note in notes.open.values()
            if note[2] < until and notes.last.get(note[3], 0.0) > note[2] + patience / 2
        ]
        for note in lost:
            del notes.open[note[1]]
        return [_hint(note, now) for note in lost]

    async def keep(self, notes: Notes, now: datetime) -> None:
        """What was handled is remembered for as long as the broker drops doubles of it."""
        oldest = now.timestamp() - _DOUBLES
        done = {key: at for key, at in notes.done.items() if at > oldest}
        newest = dict(sorted(notes.open.items(), key=lambda pair: pair[1][2])[-_OPEN_KEPT:])
        body = {"open": newest, "done": done}
        await self._state.write(_OPEN, json.dumps(body, separators=(",", ":")).encode())

    async def _stored(self) -> dict[str, Any]:
        document = await self._state.read(_OPEN)
        found: dict[str, Any] = json.loads(document.body) if document else {}
        return found


def _hint(note: list[Any], now: datetime) -> Hint:
    _, key, _, _, source, name, record, root, company = note
    origin: Source = "d365" if source == "d365" else "salesforce"
    return Hint(
        source=origin,
        object=name,
        key=record,
        root=root,
        company=company,
        event_id=f"watch:{key}",
        seen_at=now,
    )
