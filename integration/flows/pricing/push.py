"""Sends kept items by sObject Collections: all of them where they are few, or those that Bulk could not.

This path reads what Salesforce holds and writes the difference, so it mends every wrong assumption. Position:
`at` [part, item of the part].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.errors import RecordRejected
from integration.flows.pricing.changes import UNSEEN, Shape, wanted_items
from integration.flows.pricing.hashes import hash_of, hash_set, put_hashes

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.flows.pricebook_changes import WantedItem
    from integration.flows.pricebook_writer import PriceTarget
    from integration.flows.pricing.report import Report
    from integration.jobs.job import Position
    from integration.state.spool import PartStore

READ, UNARRIVED = "read", "unarrived"
MOST_ROWS_AGAIN = 10  # times `bulk_threshold`: more rows than that wait for the next run


class Push:
    def __init__(self, store: PartStore, target: PriceTarget, *, rows: int, threshold: int) -> None:
        """About `rows` rows are compared and written at a time."""
        self._store = store
        self._target = target
        self._rows = rows
        self._most_again = threshold * MOST_ROWS_AGAIN

    async def everything(self, position: Position, report: Report, shape: Shape) -> Position:
        return await self._advance(position, report, shape, lambda kind, each: True)

    async def again(self, position: Position, report: Report, shape: Shape) -> Position:
        """Items that Bulk could not bring in step, and inactive products that are perhaps not there."""
        named = await hash_set(self._store, f"{position['run']}/{READ}")
        return await self._advance(
            position, report, shape, lambda kind, each: kind == UNSEEN or each.item in named
        )

    async def _advance(
        self,
        position: Position,
        report: Report,
        shape: Shape,
        is_meant: Callable[[str, WantedItem], bool],
    ) -> Position:
        part, start = position["at"]
        run = position["run"]
        while part < position["part"]:
            items = [
                each
                for kind, each in await wanted_items(self._store, run, part, shape)
                if is_meant(kind, each)
            ]
            while start < len(items):
                position, start = await self._send(position, report, items, start)
                if not report.has_time():
                    return position | {"at": [part, start]}
            part, start = part + 1, 0
        return position | {"at": [0, 0], "phase": "confirm"}

    async def _send(
        self, position: Position, report: Report, items: list[WantedItem], start: int
    ) -> tuple[Position, int]:
        """One piece, and the place behind it."""
        room = self._rows
        if position["again"]:
            room = min(room, self._most_again - position["sent"])
        end, rows = start, 0
        while end < len(items) and rows + items[end].rows <= room:
            rows += items[end].rows
            end += 1
        if end == start and room == self._rows:  # one item of more rows than a piece has
            end, rows = start + 1, items[start].rows
        if end > start:
            piece = items[start:end]
            pushed = await self._target.push(piece)
            report.counts.update(pushed.counts)
            report.add_failures(pushed.failures)
            missing = [each.item for each in piece if each.item not in pushed.confirmed]
        else:
            end = len(items)
            error = RecordRejected(
                "too many rows to compare one by one; the next run takes them up",
                reason="left-for-next-run",
            )
            missing = [each.item for each in items[start:]]
            for item in missing:
                report.failed(item, error)
        name, number = f"{position['run']}/{UNARRIVED}", position["marks"]
        await put_hashes(self._store, name, number, map(hash_of, missing))
        return position | {"marks": number + 1, "sent": position["sent"] + rows}, end
