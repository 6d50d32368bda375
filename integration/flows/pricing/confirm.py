"""The last phase: what arrived becomes the fingerprints that the next run compares with.

Chunks of which nothing differed stay as they are. The others are written anew from the digests that the scan
kept, without the items of which a row did not arrive; one write of the index puts all in place. Position:
`unit` (the number of the one to go on with), its `next` part, and `chunks`, the index so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.flows.pricing.hashes import hash_set
from integration.flows.pricing.push import READ, UNARRIVED
from integration.flows.pricing.scan_work import DIGESTS
from integration.flows.pricing.sorting import REFUSED_ITEMS
from integration.state.pushed import UNCONFIRMED, ChunkName, Rows
from integration.state.spool import Spool

if TYPE_CHECKING:
    from integration.flows.pricing.hashes import HashSet
    from integration.flows.pricing.report import Report
    from integration.jobs.job import Position
    from integration.state.pushed import PushedTable
    from integration.state.spool import PartStore


class Confirm:
    def __init__(self, store: PartStore, fingerprints: PushedTable, chunk_items: int) -> None:
        """`chunk_items`: about how many items a chunk holds, hence a range of F&O rows."""
        self._chunk_items = chunk_items
        self._store = store
        self._fingerprints = fingerprints

    async def advance(self, position: Position, report: Report) -> Position:
        units = position["units"]
        if all(isinstance(unit, int) for unit in units):
            return position | {"phase": "finish"}
        index = await self._fingerprints.index()
        arrived = await self._arrived(position["run"])
        while position["confirmed"] < len(units):
            unit = units[position["confirmed"]]
            if isinstance(unit, int):
                chunks = [*position["chunks"], list(index[unit])]
                position = position | {"chunks": chunks, "confirmed": position["confirmed"] + 1}
                continue
            position = await self._unit(position, unit, arrived, report)
            if not report.has_time():
                return position
        await self._fingerprints.replace([ChunkName(*chunk) for chunk in position["chunks"]])
        return position | {"phase": "finish"}

    async def _unit(
        self, position: Position, unit: Position, arrived: _Arrived, report: Report
    ) -> Position:
        """Writes the chunks of a range, each of some whole parts."""
        first, end = unit["parts"]
        pieces = max(1, round(unit["rows"] / self._chunk_items))
        part = max(position["next"], first)
        rows = Rows()
        while part < end:
            kept = await Spool(self._store, f"{position['run']}/{DIGESTS}").get(part)
            for row in Rows.from_bytes(kept):
                if row.key in arrived:
                    rows.add(row.key, row.digest, row.traits, row.traits)
                else:
                    rows.add(row.key, UNCONFIRMED, row.before, row.before)
            part += 1
            is_last = part == end
            # A range of F&O rows must be able to end with the last key: `*` is a wildcard there.
            if is_last or (len(rows) >= unit["rows"] / pieces and "*" not in rows.keys[-1]):
                name = f"{position['run'].rpartition('/')[2]}-{len(position['chunks']):05d}"
                await self._fingerprints.put(name, rows)
                until = unit["until"] if is_last else rows.keys[-1]
                chunks = [*position["chunks"], [name, until, len(rows)]]
                position = position | {"chunks": chunks, "next": part}
                rows = Rows()
                if not is_last and not report.has_time():
                    return position
        if first == end and unit["until"] is None and position["chunks"]:
            # All items of the last range are gone: the one before it reaches to the end now.
            *others, (name, _, keys) = position["chunks"]
            position = position | {"chunks": [*others, [name, None, keys]]}
        return position | {"confirmed": position["confirmed"] + 1, "next": 0}

    async def _arrived(self, run: str) -> _Arrived:
        return _Arrived(
            await hash_set(self._store, f"{run}/{UNARRIVED}"),
            await hash_set(self._store, f"{run}/{REFUSED_ITEMS}"),
            await hash_set(self._store, f"{run}/{READ}"),
        )


class _Arrived:
    """Items of which Salesforce took everything. What Bulk refused does not count where the item was
    compared again afterwards."""

    def __init__(self, missing: HashSet, refused: HashSet, compared: HashSet) -> None:
        self._missing = missing
        self._refused = refused
        self._compared = compared

    def __contains__(self, item: str) -> bool:
        if item in self._missing:
            return False
        return item not in self._refused or item in self._compared
