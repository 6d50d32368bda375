"""What was last pushed, as eight bytes per key, so that an unchanged row is not sent again.

The form for millions of keys; `fingerprints` is the one for small tables. The keys lie in chunks, in the
order in which their source lists them: a chunk holds the keys after the one before it up to and including its
`until` (None: to the end). Only the source compares keys, so its collation is never imitated, and a run holds
one chunk in memory however many there are.

A chunk is immutable. A run writes new ones under its own names and puts them in place at its end with one
write of the index, so that a crash anywhere leaves the table as it was. Beside the digest a key has traits:
texts that say what its last confirmed push left in the target; each set of them is stored once in a chunk.

`fingerprints/<table>/index.json`: {"chunks":[[name, until, keys],…]}; `fingerprints/<table>/<name>`: the form
of `Rows`. A digest of zeros is a key that was seen and whose push is not confirmed.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from integration.state.blobs import Document

SIZE = 8
UNCONFIRMED = bytes(SIZE)
Traits = tuple[str, ...]


class ChunkStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


class Row(NamedTuple):
    """`before`: the traits that stay where the push is not confirmed."""

    key: str
    digest: bytes
    traits: Traits
    before: Traits


class Rows:
    """Keys in the order of the source. Bytes: one line of JSON {"sets","sizes"}, the digests, two numbers
    per key that name its sets, the keys as a JSON list."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self._digests = bytearray()
        self._after = array("I")
        self._before = array("I")
        self._sets: list[Traits] = []
        self._numbers: dict[Traits, int] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, key: str, digest: bytes, traits: Traits, before: Traits) -> None:
        self.keys.append(key)
        self._digests += digest
        self._after.append(self._number(traits))
        self._before.append(self._number(before))

    def __getitem__(self, place: int) -> Row:
        start = place * SIZE
        return Row(
            self.keys[place],
            bytes(self._digests[start : start + SIZE]),
            self._sets[self._after[place]],
            self._sets[self._before[place]],
        )

    def __iter__(self) -> Iterator[Row]:
        return map(self.__getitem__, range(len(self.keys)))

    def to_bytes(self) -> bytes:
        keys = json.dumps(self.keys, separators=(",", ":")).encode()
        blocks = (bytes(self._digests), self._after.tobytes(), self._before.tobytes(), keys)
        head = {"sets": self._sets, "sizes": [len(block) for block in blocks]}
        return b"".join((json.dumps(head).encode(), b"\n", *blocks))

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        head, _, rest = body.partition(b"\n")
        about = json.loads(head)
        blocks: list[bytes] = []
        start = 0
        for size in about["sizes"]:
            blocks.append(rest[start : start + size])
            start += size
        rows = cls()
        rows._digests = bytearray(blocks[0])
        rows._after.frombytes(blocks[1])
        rows._before.frombytes(blocks[2])
        rows.keys = json.loads(blocks[3])
        rows._sets = [tuple(each) for each in about["sets"]]
        rows._numbers = {traits: number for number, traits in enumerate(rows._sets)}
        return rows

    def _number(self, traits: Traits) -> int:
        number = self._numbers.get(traits)
        if number is None:
            number = self._numbers[traits] = len(self._sets)
            self._sets.append(traits)
        return number


class Chunk:
    """Looks up keys of one chunk."""

    def __init__(self, rows: Rows | None = None) -> None:
        self.rows = rows or Rows()
        self._places = {key: place for place, key in enumerate(self.rows.keys)}

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, key: str) -> Row | None:
        place = self._places.get(key)
        return None if place is None else self.rows[place]


class ChunkName(NamedTuple):
    name: str
    until: str | None
    keys: int


class PushedTable:
    """Written by one job at a time, hence without compare-and-swap."""

    def __init__(self, store: ChunkStore, table: str) -> None:
        self._store = store
        self._prefix = f"fingerprints/{table}/"

    async def index(self) -> list[ChunkName]:
        """In order; the last one reaches to the end. Empty where nothing was pushed yet."""
        document = await self._store.read(f"{self._prefix}index.json")
        return (
            [ChunkName(*each) for each in json.loads(document.body)["chunks"]] if document else []
        )

    async def chunk(self, name: str) -> Chunk:
        """An empty one where somebody removed it: its keys are pushed again."""
        document = await self._store.read(self._prefix + name)
        return Chunk(Rows.from_bytes(document.body)) if document else Chunk()

    async def put(self, name: str, rows: Rows) -> None:
        await self._store.write(self._prefix + name, rows.to_bytes())

    async def replace(self, chunks: Sequence[ChunkName]) -> None:
        """Puts these chunks in place of all others, which are removed."""
        body = json.dumps({"chunks": chunks}, separators=(",", ":"))
        await self._store.write(f"{self._prefix}index.json", body.encode())
        kept = {f"{self._prefix}index.json", *(self._prefix + chunk.name for chunk in chunks)}
        for name in [name async for name in self._store.names(self._prefix)]:
            if name not in kept:
                await self._store.delete(name)


def digest(text: str) -> bytes:
    """Never that of an unconfirmed row."""
    found = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=SIZE).digest()
    return found if found != UNCONFIRMED else b"\1" * SIZE
