"""Rows that a job has read and not yet sent, as numbered parts in the state container.

A job's steps run in different processes, and a file that is to be sent as one must not be held in memory
until then. A part has a name that follows from its step, so a step that runs again writes it again instead
of adding a second copy. Parts are documents `spool/<name>/<part>`: a few megabytes each, read one at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.state.blobs import Document

_DIGITS = 8


class PartStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


class Spool:
    """Raises StateConflict never, Unreachable (storage) as the store does."""

    def __init__(self, store: PartStore, name: str) -> None:
        """`name` is the job's, e.g. "customer-load/20260731T020000-1f2e3d4c/creates"."""
        self._store = store
        self._prefix = f"spool/{name}/"

    async def put(self, part: int, body: bytes) -> None:
        """Writes a part, over an earlier one of its number."""
        await self._store.write(self._name(part), body)

    async def get(self, part: int) -> bytes:
        """Raises ContractError where the part is not there: somebody removed it under the job."""
        document = await self._store.read(self._name(part))
        if document is None:
            raise ContractError(f"{self._name(part)} is not there any more", system="storage")
        return document.body

    async def parts(self) -> list[int]:
        """The numbers of the parts, rising."""
        return [int(name.removeprefix(self._prefix)) async for name in self._names()]

    async def stream(self) -> AsyncIterator[bytes]:
        """The parts one after another."""
        for part in await self.parts():
            yield await self.get(part)

    async def clear(self) -> None:
        """Removes all parts."""
        for name in [name async for name in self._names()]:
            await self._store.delete(name)

    def _name(self, part: int) -> str:
        return f"{self._prefix}{part:0{_DIGITS}}"

    def _names(self) -> AsyncIterator[str]:
        return self._store.names(self._prefix)
