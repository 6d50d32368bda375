"""Blob storage as a dict."""

import asyncio
import json
from collections.abc import AsyncIterator

from integration.state.blobs import ABSENT, Document, StateConflict


class MemoryStore:
    """Documents with ETag compare-and-swap, as blob storage does it."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.writes = 0
        self.before_write: list[tuple[str, bytes]] = []  # what others write in between
        self.error: Exception | None = None

    async def read(self, name: str) -> Document | None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.documents.get(name)

    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str:
        await asyncio.sleep(0)
        if self.before_write:
            self._put(*self.before_write.pop(0))
        known = self.documents.get(name)
        if expected == ABSENT and known is not None:
            raise StateConflict(f"{name} exists")
        if expected not in (None, ABSENT) and (known is None or known.etag != expected):
            raise StateConflict(f"{name} changed")
        return self._put(name, body)

    async def delete(self, name: str) -> None:
        self.documents.pop(name, None)

    async def names(self, prefix: str) -> AsyncIterator[str]:
        for name in sorted(self.documents):
            if name.startswith(prefix):
                yield name

    def _put(self, name: str, body: bytes) -> str:
        self.writes += 1
        etag = f'"{self.writes}"'
        self.documents[name] = Document(body, etag)
        return etag

    def stored(self, name: str) -> dict[str, str]:
        return dict(json.loads(self.documents[name].body))
