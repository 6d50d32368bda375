"""Goes through a spool over as many steps as it takes. `position["at"]` is [part, entry] of the next one."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, TypeVar

from integration.flows.loads.findings import KEYS
from integration.flows.loads.parts import has_time
from integration.state.key_index import KeySet, short_hashes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position
    from integration.state.spool import Spool

_T = TypeVar("_T")


def text_lines(body: bytes) -> list[str]:
    return [line for line in body.decode().split("\n") if line]


async def chunks(
    spool: Spool, position: Position, size: int, read: Callable[[bytes], Iterable[_T]]
) -> AsyncIterator[list[_T]]:
    """Up to `size` entries at a time while the step has time. Once a piece was handled `position["at"]`
    says where the next one begins; it is None behind the last entry."""
    first, entry = position["at"]
    for number in [part for part in await spool.parts() if part >= first]:
        entries = list(read(await spool.get(number)))
        start = entry if number == first else 0
        while start < len(entries):
            if not has_time():
                return
            piece = entries[start : start + size]
            start += len(piece)
            position["at"] = [number, start]
            yield piece
    position["at"] = None


async def all_lines(spool: Spool) -> AsyncIterator[str]:
    async for body in spool.stream():
        for line in text_lines(body):
            yield line


async def key_set(
    parts: Parts, position: Position, names: Iterable[str], expected: int = 0
) -> KeySet:
    """The keys in these spools of the run."""
    keys = KeySet(expected)
    for name in names:
        async for body in parts.spool(position, name).stream():
            keys.add_all(text_lines(body))
    return keys


async def hashes_of(spool: Spool) -> array[int]:
    """Of its keys, as a hold has them."""
    found = array("Q")
    async for body in spool.stream():
        found += short_hashes(text_lines(body))
    return found


async def keys_of(parts: Parts, position: Position) -> KeySet | None:
    """Those the load is for; None: all records."""
    if not position["keys"]:
        return None
    return await key_set(parts, position, [KEYS], position["keys"])
