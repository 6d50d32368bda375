"""Which records the target holds: a compact table from a key to its number and digests, read once per load.

A hundred thousand customers as Python objects would be a hundred megabytes; here each takes some fifty
bytes, and parts of it lie in the state container, so that the steps of a job may run in different
processes. A part is rows of one width: 12 bytes of the key's hash, 4 of the company, 24 of the number,
then the digests.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HASH, _COMPANY, _NUMBER = 12, 4, 24
_HEAD = _HASH + _COMPANY + _NUMBER
_ALL_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """`unclear`: several records carry the key, or one whose number the table cannot hold."""

    company: str
    number: str
    digests: tuple[bytes, ...]
    unclear: bool = False


def key_hash(key: str) -> bytes:
    """Of a key whose case does not count (F&O compares without it). 96 bits: no two of a billion meet."""
    return hashlib.blake2b(key.casefold().encode(), digest_size=_HASH).digest()


class IndexPart:
    """Rows as they are read."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def add(self, key: str, company: str, number: str, digests: Iterable[bytes]) -> None:
        named, numbered = company.encode(), number.encode()
        if len(named) > _COMPANY or len(numbered) > _NUMBER:
            named = numbered = b""
        self._rows += key_hash(key) + named.ljust(_COMPANY, b"\0") + numbered.ljust(_NUMBER, b"\0")
        for digest in digests:
            self._rows += digest

    def __len__(self) -> int:
        return len(self._rows)

    def to_bytes(self) -> bytes:
        return bytes(self._rows)


class KeyIndex:
    """All parts together, with `digests` digests of `size` bytes per row."""

    def __init__(self, parts: Sequence[bytes], *, digests: int, size: int) -> None:
        self._rows = b"".join(parts)
        self._size = size
        self._width = width = _HEAD + digests * size
        self._ends = range(_HEAD, width, size)
        self.count = count = len(self._rows) // width
        slots = 1 << max(4, (count * 2 - 1).bit_length())
        self._mask = mask = slots - 1
        self._slots = table = array("I", bytes(4 * slots))  # row + 1, or 0
        self._unclear: set[int] = set()
        rows = self._rows
        for row in range(count):
            start = row * width
            slot = int.from_bytes(rows[start : start + 8], "little") & mask
            while other := table[slot]:
                before = (other - 1) * width
                if rows[before : before + _HASH] == rows[start : start + _HASH]:
                    if rows[before : before + _HEAD] != rows[start : start + _HEAD]:
                        self._unclear.add(other - 1)
                    break  # the same record read twice is one
                slot = (slot + 1) & mask
            else:
                table[slot] = row + 1

    def find(self, key: str) -> Entry | None:
        rows, width, table, mask = self._rows, self._width, self._slots, self._mask
        hashed = key_hash(key)
        slot = int.from_bytes(hashed[:8], "little") & mask
        while found := table[slot]:
            start = (found - 1) * width
            if rows[start : start + _HASH] == hashed:
                return self._entry(found - 1, start)
            slot = (slot + 1) & mask
        return None

    def _entry(self, row: int, start: int) -> Entry:
        rows, size = self._rows, self._size
        company = rows[start + _HASH : start + _HASH + _COMPANY].rstrip(b"\0").decode()
        number = rows[start + _HASH + _COMPANY : start + _HEAD].rstrip(b"\0").decode()
        digests = tuple([rows[start + end : start + end + size] for end in self._ends])
        return Entry(company, number, digests, row in self._unclear or not number)


class KeySet:
    """Keys that were seen, 8 bytes each and as much again; in this process only, as Python's own hash is."""

    def __init__(self, expected: int = 0) -> None:
        self._mask = (1 << max(4, (expected * 2).bit_length())) - 1
        self._table = array("Q", bytes(8 * (self._mask + 1)))
        self.count = 0

    def add(self, key: str) -> bool:
        """False where it was there already."""
        hashed = hash(key.casefold()) & _ALL_BITS or 1
        table, mask = self._table, self._mask
        slot = hashed & mask
        while found := table[slot]:
            if found == hashed:
                return False
            slot = (slot + 1) & mask
        table[slot] = hashed
        self.count += 1
        if self.count * 2 > mask:
            self._grow()
        return True

    def __contains__(self, key: object) -> bool:
        if not self.count:
            return False
        hashed = hash(str(key).casefold()) & _ALL_BITS or 1
        table, mask = self._table, self._mask
        slot = hashed & mask
        while found := table[slot]:
            if found == hashed:
                return True
            slot = (slot + 1) & mask
        return False

    def _grow(self) -> None:
        old = self._table
        self._mask = mask = self._mask * 2 + 1
        self._table = table = array("Q", bytes(8 * (mask + 1)))
        for hashed in filter(None, old):
            slot = hashed & mask
            while table[slot]:
                slot = (slot + 1) & mask
            table[slot] = hashed


def short_hash(key: str) -> int:
    """64 bits, never 0, of a key whose case does not count."""
    digest = hashlib.blake2b(key.casefold().encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
