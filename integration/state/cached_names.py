"""Which documents there are below a prefix, listed again only now and then.

For documents that are rare beside the records that might have one: one listing answers for all of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from integration.state.blobs import Document

CACHE_SECONDS = 30.0


class ListedStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


class CachedNames:
    """What this process wrote itself is known at once, what others wrote after `seconds`."""

    def __init__(
        self,
        store: ListedStore,
        prefix: str,
        *,
        seconds: float = CACHE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._seconds = seconds
        self._monotonic = monotonic
        self._read_at: float | None = None
        self._names: set[str] = set()
        self._changes: dict[str, bool] = {}

    async def known(self) -> set[str]:
        """Raises Unreachable (system storage)."""
        now = self._monotonic()
        if self._read_at is None or now - self._read_at >= self._seconds:
            self._changes = {}
            names = {name async for name in self._store.names(self._prefix)}
            # What was written while the list was read may be missing from it.
            names |= {name for name, there in self._changes.items() if there}
            self._names = names - {name for name, there in self._changes.items() if not there}
            self._read_at = now
        return self._names

    def add(self, name: str) -> None:
        self._names.add(name)
        self._changes[name] = True

    def remove(self, name: str) -> None:
        self._names.discard(name)
        self._changes[name] = False
