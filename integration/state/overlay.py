"""The state as it is, with writes that stay in memory: a dry run of a job must leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from integration.state.blobs import ABSENT, Document, StateConflict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Readable(Protocol):
    async def read(self, name: str) -> Document | None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


class Overlay:
    """Everything that a job asks of `BlobState`."""

    def __init__(self, below: Readable) -> None:
        self._below = below
        self._written: dict[str, Document | None] = {}
        self._writes = 0

    async def read(self, name: str) -> Document | None:
        if name in self._written:
            return self._written[name]
        return await self._below.read(name)

    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str:
        current = await self.read(name) if expected is not None else None
        if expected is not None and expected != (current.etag if current else ABSENT):
            raise StateConflict(f"{name} was changed by somebody else", system="storage")
        self._writes += 1
        etag = f'"overlay-{self._writes}"'
        self._written[name] = Document(body, etag)
        return etag

    async def delete(self, name: str) -> None:
        self._written[name] = None

    async def names(self, prefix: str) -> AsyncIterator[str]:
        below = [name async for name in self._below.names(prefix)]
        mine = [name for name in self._written if name.startswith(prefix)]
        for name in sorted({*below, *mine}):
            if self._written.get(name, True) is not None:
                yield name
