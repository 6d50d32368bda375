"""What was last pushed, as one short digest per key, so that an unchanged row is not sent again.

The keys of a table are split into chunks in the order in which their source lists them: a chunk holds the
keys after `after` up to and including `until` (None: to the end) and names the next one by that. Only the
source compares keys, so its collation is never imitated, and a run holds one chunk in memory however many
there are. Document `fingerprints/<table>/<hash of after>.json`:
{"after":"A0100","until":"A0990","rows":{"A0110":"9f86d081884c7d65",…}}; an empty digest is a row that was
seen but not confirmed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from integration.state.blobs import Document


class ChunkStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """`rows`: key → digest, in the order of the source as far as the running pass has come."""

    until: str | None = None
    rows: dict[str, str] = field(default_factory=dict)


class Fingerprints:
    """Written by one job at a time, hence without compare-and-swap."""

    def __init__(self, store: ChunkStore, table: str) -> None:
        self._store = store
        self._table = table

    async def chunk(self, after: str) -> Chunk:
        """The chunk that begins after this key; an empty one to the end where none was written."""
        document = await self._store.read(self._name(after))
        if document is None:
            return Chunk()
        data = json.loads(document.body)
        return Chunk(data["until"], dict(data["rows"]))

    async def save(self, after: str, chunk: Chunk) -> None:
        body = {"after": after, "until": chunk.until, "rows": chunk.rows}
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        await self._store.write(self._name(after), text.encode())

    async def split(self, after: str, head: dict[str, str], at: str, tail: Chunk) -> None:
        """Ends the chunk with the key `at`; the tail first, so that a crash between loses nothing."""
        await self.save(at, tail)
        await self.save(after, Chunk(at, head))

    def _name(self, after: str) -> str:
        return f"fingerprints/{self._table}/{hashlib.sha256(after.encode()).hexdigest()[:32]}.json"


def digest(*parts: Any) -> str:
    """16 hexadecimal digits over the JSON form of the parts; numbers are given as text."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
