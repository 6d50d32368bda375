"""F&O's order of all items, as one number per item: which comes where, without holding their names.

A data package comes in no order, and only F&O knows the order of items. So their numbers are read once by
OData, and rows of the package are sorted by the place of their item. Twelve bytes per item in memory. A Spool
holds the hashes of the items in order.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

from integration.flows.pricing.hashes import hash_of, put_hashes, read_hashes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integration.state.spool import PartStore

_BUCKETS = 256  # sorted one by one, so that sorting needs no memory to speak of


class Order:
    """`place(item)`: its number in F&O's order, None for an item that was not there. Case does not count."""

    def __init__(self, hashes: Iterable[int]) -> None:
        keys = [array("Q") for _ in range(_BUCKETS)]
        places = [array("I") for _ in range(_BUCKETS)]
        count = 0
        for count, each in enumerate(hashes, 1):
            keys[each >> 56].append(each)
            places[each >> 56].append(count - 1)
        self.count = count
        self._keys: list[array[int]] = []
        self._places: list[array[int]] = []
        for bucket, numbers in zip(keys, places, strict=True):
            ranks = sorted(range(len(bucket)), key=bucket.__getitem__)
            self._keys.append(array("Q", (bucket[rank] for rank in ranks)))
            self._places.append(array("I", (numbers[rank] for rank in ranks)))

    def place(self, item: str) -> int | None:
        wanted = hash_of(item.casefold())
        bucket = self._keys[wanted >> 56]
        at = bisect_left(bucket, wanted)
        if at == len(bucket) or bucket[at] != wanted:
            return None
        return self._places[wanted >> 56][at]


async def put_order(store: PartStore, name: str, part: int, items: Iterable[str]) -> None:
    await put_hashes(store, name, part, (hash_of(item.casefold()) for item in items))


async def read_order(store: PartStore, name: str) -> Order:
    return Order(await read_hashes(store, name))
