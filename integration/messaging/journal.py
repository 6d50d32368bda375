"""Which hints were put into the queue and which were taken out of it, so that a lost one can be missed.

A message may be settled although its function never ran. Nobody would notice: so every process notes what
it accepts and what it has handled, some seconds' worth of notes at a time in one small document, and the
watch compares the two (design, the invariant of idea 4).

`journal/<time>-<process>-<number>.jsonl`, a line per note:
["a", id, due, session, source, object, key, root, company] and ["h", id, at], times in unix seconds, `id` 16
hexadecimal digits of the message's id. Notes are lost with a process that dies; a hint whose handling was
not noted is only looked at once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Protocol

from integration.errors import IntegrationError
from integration.telemetry import log_event

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from integration.messaging.hints import Hint

PREFIX = "journal/"
_SECONDS = 10.0  # of notes in one document
_MOST = 2000  # notes after which a document is written at once
_KEPT = 20_000  # notes while the documents cannot be written


class NoteStore(Protocol):
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...


class Journal:
    """One per process and event loop; `close` writes what is left."""

    def __init__(
        self,
        store: NoteStore,
        *,
        clock: Callable[[], float] = time.time,
        seconds: float = _SECONDS,
    ) -> None:
        """`clock` gives unix seconds."""
        self._store = store
        self._clock = clock
        self._seconds = seconds
        self._notes: list[list[Any]] = []
        self._process = secrets.token_hex(4)
        self._number = 0
        self._writing: asyncio.Task[None] | None = None
        self._full = asyncio.Event()

    def accepted(self, hint: Hint, session: str, due: datetime | None) -> None:
        """The broker has this hint and will deliver it at `due`."""
        at = self._clock() if due is None else due.timestamp()
        self._note(
            [
                "a",
                note_id(hint.message_id),
                round(at, 1),
                session,
                hint.source,
                hint.object,
                hint.key,
                hint.root,
                hint.company,
            ]
        )

    def handled(self, message_id: str) -> None:
        """The function that took this message out of the queue has done with it."""
        self._note(["h", note_id(message_id), round(self._clock(), 1)])

    async def close(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        await self._write()

    def _note(self, note: list[Any]) -> None:
        if len(self._notes) >= _KEPT:
            return  # storage is out of reach, which other parts say loudly
        self._notes.append(note)
        if len(self._notes) >= _MOST:
            self._full.set()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_later())

    async def _write_later(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._full.wait(), self._seconds)
        await self._write()

    async def _write(self) -> None:
        notes, self._notes = self._notes, []
        self._full.clear()
        if not notes:
            return
        self._number += 1
        name = f"{PREFIX}{int(self._clock()):012d}-{self._process}-{self._number:06d}.jsonl"
        body = "\n".join(json.dumps(note, separators=(",", ":")) for note in notes).encode()
        try:
            await self._store.write(name, body)
        except IntegrationError as error:
            self._notes = notes + self._notes
            log_event("journal cannot be written", level=logging.WARNING, error=error)


def note_id(message_id: str) -> str:
    return hashlib.blake2b(message_id.encode(), digest_size=8).hexdigest()
