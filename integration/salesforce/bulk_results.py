"""What became of the rows of a load: result files and rows never sent, into the spool of failures.

A step that runs out of time goes on in the next at the row where it stopped; a step that runs again writes
the same parts again.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from integration.deadline import remaining
from integration.salesforce.bulk_csv import decode_rows
from integration.salesforce.bulk_failures import FailureWriter
from integration.salesforce.bulk_position import REFUSED, WRITTEN
from integration.state.spool import Spool

if TYPE_CHECKING:
    from integration.salesforce.bulk import BulkApi
    from integration.salesforce.bulk_position import Position
    from integration.state.spool import PartStore

_STOP_EARLY = 4.0  # seconds before the step's end at which reading stops


class ResultReader:
    """Works on the position of a load; see `bulk_load`."""

    def __init__(self, api: BulkApi, state: PartStore) -> None:
        self._api = api
        self._state = state

    async def collect(self, position: Position) -> Position:
        """Reads the first of the result files in `wanted`, to its end or as far as the time allows."""
        kind, skip, seen = position["wanted"][0], position["skip"], 0
        position, writer = dict(position), self._writer(position)
        async with aclosing(self._api.results(position["job"], kind)) as batches:
            async for rows in batches:
                fresh = rows[max(0, skip - seen) :]
                seen += len(rows)
                if kind == WRITTEN:
                    position["created"] += sum(row.get("sf__Created") == "true" for row in fresh)
                elif kind == REFUSED:
                    await writer.failed(fresh)
                else:
                    await self._unprocessed(position, writer, fresh)
                if fresh and is_late():
                    await writer.flush()
                    return position | {"skip": seen, "part": writer.part}
        await writer.flush()
        if kind == REFUSED and seen != position["expected"]:
            position["unknown"] = True  # more rows failed than Salesforce names
        return position | {"wanted": position["wanted"][1:], "skip": 0, "part": writer.part}

    async def give_back(self, position: Position) -> tuple[Position, bool]:
        """Writes the rows of all parts from `first` on as unprocessed; True at the end."""
        spool, columns = Spool(self._state, position["rows"]), position["columns"]
        position, writer = dict(position), self._writer(position)
        for number in await spool.parts():
            if number < position["first"]:
                continue
            rows = decode_rows(await spool.get(number))
            await self._unprocessed(
                position, writer, [dict(zip(columns, row, strict=False)) for row in rows]
            )
            await writer.flush()
            position |= {"first": number + 1, "part": writer.part}
            if is_late():
                return position, False
        return position, True

    async def _unprocessed(
        self, position: Position, writer: FailureWriter, rows: list[dict[str, str]]
    ) -> None:
        position["unprocessed"] += len(rows)
        await writer.unprocessed(rows, position["description"], transient=position["transient"])

    def _writer(self, position: Position) -> FailureWriter:
        spool = Spool(self._state, position["failures"])
        return FailureWriter(spool, position["part"], position["key"])


def is_late() -> bool:
    """Whether the step should come to its end."""
    left = remaining()
    return left is not None and left < _STOP_EARLY
