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
_FULL = 4_000_000  # bytes of a part


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

    @property
    def is_full(self) -> bool:
        return len(self._rows) > _FULL

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
        if not self.count:
            return None
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
        self._table = array("q", bytes(8 * (self._mask + 1)))
        self.count = 0

    def add(self, key: str) -> bool:
        """False where it was there already."""
        before = self.count
        self.add_all((key,))
        return self.count > before

    def add_all(self, keys: Iterable[str]) -> None:
        table, mask = self._table, self._mask
        for key in keys:
            hashed = hash(key.casefold()) or 1
            slot = hashed & mask
            while found := table[slot]:
                if found == hashed:
                    break
                slot = (slot + 1) & mask
            else:
                table[slot] = hashed
                self.count += 1
                if self.count * 2 > mask:
                    self._grow()
                    table, mask = self._table, self._mask

    def slot_of(self, key: str) -> int | None:
        """Its place, of `slots`, for as long as nothing is added; None where it is not there."""
        hashed = hash(key.casefold()) or 1
        table, mask = self._table, self._mask
        slot = hashed & mask
        while found := table[slot]:
            if found == hashed:
                return slot
            slot = (slot + 1) & mask
        return None

    @property
    def slots(self) -> int:
        return self._mask + 1

    def __contains__(self, key: object) -> bool:
        return bool(self.count) and self.slot_of(str(key)) is not None

    def _grow(self) -> None:
        old = self._table
        self._mask = mask = self._mask * 2 + 1
        self._table = table = array("q", bytes(8 * (mask + 1)))
        for hashed in filter(None, old):
            slot = hashed & mask
            while table[slot]:
                slot = (slot + 1) & mask
            table[slot] = hashed


class Checklist:
    """Which keys of a whole set were met."""

    def __init__(self, keys: KeySet) -> None:
        self._slot_of = keys.slot_of
        self._met = bytearray(keys.slots)

    def meet(self, key: str) -> bool | None:
        """True the first time, False after it, None for a key that is not in the set."""
        slot = self._slot_of(key)
        if slot is None:
            return None
        first = not self._met[slot]
        self._met[slot] = 1
        return first


def short_hashes(keys: Iterable[str]) -> array[int]:
    """64 bits of each key, whose case does not count; the same in every process."""
    digest = hashlib.blake2b
    found = array("Q")
    found.frombytes(
        b"".join([digest(key.casefold().encode(), digest_size=8).digest() for key in keys])
    )
    return found


def short_hash(key: str) -> int:
    return short_hashes((key,))[0]
