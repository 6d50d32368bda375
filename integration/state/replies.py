"""What became of a hint that somebody waits for: one small blob, written by whoever handles the hint.

`outcomes/<reply_to>.json` with {"flow","key","outcome","reason","description","system","attempt","delay",
"at"}. A hint names its blob (`reply_to`, "<run>/<number>"); one that names none leaves nothing. `waiting` and
`moved` are not the end: the next delivery writes over them. Whoever waits removes the run afterwards, and the
runs of those who did not.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from integration.errors import IntegrationError
from integration.telemetry import log_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.state.blobs import Document

PREFIX = "outcomes/"
WAITING, MOVED = "waiting", "moved"
_KEPT = timedelta(days=1)
_TOGETHER = 16


class ReplyStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`outcome`: synced, skipped, dry, parked, waiting, moved, or the kind of end of the failure policy.
    `delay` are the seconds until the next delivery of one that waits."""

    flow: str
    key: str
    outcome: str
    reason: str = ""
    description: str = ""
    system: str = ""
    attempt: int = 1
    delay: float | None = None
    at: str = ""

    @property
    def is_final(self) -> bool:
        return self.outcome not in (WAITING, MOVED)


class Replies:
    def __init__(self, store: ReplyStore) -> None:
        self._store = store

    async def write(self, reply_to: str | None, reply: Reply) -> None:
        """Never raises: whoever waits for it must not hold up the record."""
        if reply_to is None:
            return
        body = {**asdict(reply), "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        try:
            await self._store.write(f"{PREFIX}{reply_to}.json", json.dumps(body).encode())
        except IntegrationError as error:
            log_event("the outcome cannot be told", level=logging.WARNING, error=error)

    async def read(self, reply_to: str) -> Reply | None:
        document = await self._store.read(f"{PREFIX}{reply_to}.json")
        if document is None:
            return None
        data = json.loads(document.body)
        known = Reply.__dataclass_fields__
        return Reply(**{name: value for name, value in data.items() if name in known})

    async def numbers(self, run: str) -> list[str]:
        """The `reply_to` of the run that have been written to."""
        prefix = f"{PREFIX}{run}/"
        return [
            name.removeprefix(PREFIX).removesuffix(".json")
            async for name in self._store.names(prefix)
        ]

    async def forget(self, run: str) -> None:
        """Removes the replies of the run, and those that nobody fetched within a day.

        A run begins with its time, YYYYMMDDTHHMMSS in UTC.
        """
        oldest = f"{PREFIX}{datetime.now(UTC) - _KEPT:%Y%m%dT%H%M%S}"
        names = [
            name
            async for name in self._store.names(PREFIX)
            if name.startswith(f"{PREFIX}{run}/") or name < oldest
        ]
        for start in range(0, len(names), _TOGETHER):
            await asyncio.gather(*map(self._store.delete, names[start : start + _TOGETHER]))
