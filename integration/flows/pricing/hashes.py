"""Sets of keys as eight bytes each, in parts of a Spool: a million refused rows must fit into memory.

Two keys with one hash make an item count as refused that was not: it is pushed once more.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integration.state.spool import PartStore


def hash_of(key: str) -> int:
    found = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "big")


class HashSet:
    def __init__(self, hashes: Iterable[int] = ()) -> None:
        self._sorted = array("Q", sorted(hashes))

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, key: str) -> bool:
        if not self._sorted:  # the usual case: nothing was refused
            return False
        wanted = hash_of(key)
        place = bisect_left(self._sorted, wanted)
        return place < len(self._sorted) and self._sorted[place] == wanted


async def put_hashes(store: PartStore, name: str, part: int, hashes: Iterable[int]) -> None:
    """Writes a part; also an empty one, over what an earlier try of the step has left."""
    await Spool(store, name).put(part, array("Q", hashes).tobytes())


async def read_hashes(store: PartStore, name: str) -> array[int]:
    found = array("Q")
    async for body in Spool(store, name).stream():
        found.frombytes(body)
    return found


async def hash_set(store: PartStore, name: str) -> HashSet:
    return HashSet(await read_hashes(store, name))
