"""Keys of records that changed and wait for the timer `send_packages` (route `scheduled`).

A document holds the keys of one batch of hints: `dirty/<flow>/<time>-<random>`, one key per line. So a
burst of a thousand changes costs a few writes instead of a thousand, no two writers ever meet, and no
document changes once it was written. A load reads them all, keeps each key once, and removes exactly those
it has read, before it reads the records themselves: a change that comes later is noted again, and one that
came earlier is seen. (Hints left in a queue would need a lock for as long as they wait; a document per
key would cost a write per event.)
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from integration.state.blobs import Document

_MOST = 20_000  # keys of one document


class MarkStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


class DirtyKeys:
    """Raises Unreachable (system storage)."""

    def __init__(self, store: MarkStore) -> None:
        self._store = store

    async def note(self, flow: str, keys: Iterable[str], *, name: str = "") -> None:
        """Durable when it returns. The same `name` again replaces what was noted under it."""
        given = list(dict.fromkeys(keys))
        stem = name or f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
        for number, start in enumerate(range(0, len(given), _MOST)):
            body = "\n".join(given[start : start + _MOST]).encode()
            await self._store.write(f"{_folder(flow)}{stem}-{number}", body)

    async def any(self, flow: str) -> bool:
        async for _ in self._store.names(_folder(flow)):
            return True
        return False

    async def notes(self, flow: str) -> list[str]:
        """The names of the documents there are."""
        return [name async for name in self._store.names(_folder(flow))]

    async def keys(self, note: str) -> list[str]:
        """Of one document; none where it is gone."""
        document = await self._store.read(note)
        return document.body.decode().split("\n") if document and document.body else []

    async def forget(self, note: str) -> None:
        await self._store.delete(note)


def _folder(flow: str) -> str:
    return f"dirty/{flow}/"
