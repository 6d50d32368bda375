"""One SOQL query by Bulk API 2.0, as short steps inside a job's step (Salesforce contract 3.4).

    query = BulkQuery(client, settings.volume)
    position = query.begin("SELECT Id, Name FROM Account")
    advance = await query.advance(position)    # again and again, until `done`

A page can be read again as long as the job exists (7 days), so a position is all that is needed after a
crash. Where a page is too large for one step, `batches` gives its rows piece by piece, each with the
position behind it.
"""

from __future__ import annotations

import time
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.errors import RecordRejected
from integration.salesforce.bulk import COMPLETE, OVER, BulkApi, poll_wait
from integration.salesforce.errors import Effect, lost_answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from integration.salesforce.client import SalesforceClient
    from integration.settings.volume import VolumeSettings

Position = dict[str, Any]
Row = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class QueryAdvance:
    """`rows` is None while the job runs. `position` is what comes after these rows; `done`: nothing does.
    `delay` in seconds before the next advance."""

    position: Position
    delay: float = 0
    rows: list[Row] | None = None
    done: bool = False


@dataclass(frozen=True, slots=True)
class CellsAdvance:
    """Rows as lists of text in the order of `header`; an empty field is an empty text."""

    position: Position
    header: list[str]
    cells: list[list[str]]
    done: bool = False


class BulkQuery:
    """Raises as `BulkApi`; RecordRejected where Salesforce cannot run the query or does not end it in time.
    `clock` in unix seconds."""

    def __init__(
        self,
        client: SalesforceClient,
        settings: VolumeSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = BulkApi(client)
        self._settings = settings
        self._clock = clock

    def begin(self, soql: str, *, all_rows: bool = False) -> Position:
        """`all_rows` includes deleted ones. No aggregates, OFFSET or sub-queries."""
        return {"phase": "create", "soql": soql, "all_rows": all_rows}

    async def advance(self, position: Position) -> QueryAdvance:
        """Creates the job, looks at its state, or reads one page of at most `bulk_query_rows` rows.

        A column is as in the query (`Account.Name`); a cell is text, or None where the field is empty.
        """
        if position["phase"] == "create":
            return await self._create(position)
        if position["phase"] == "poll":
            return await self._poll(position)
        rows: list[Row] = []
        found = QueryAdvance(position)
        async with aclosing(self.batches(position)) as batches:
            async for found in batches:
                rows += found.rows or ()
        return QueryAdvance(found.position, rows=rows, done=found.done)

    async def abort(self, position: Position) -> None:
        """Has Salesforce stop the query, for a caller that needs no more of its rows."""
        if position["phase"] == "poll":
            with suppress(RecordRejected):  # it is over
                await self._api.abort(position["job"], "query")

    async def batches(self, position: Position) -> AsyncGenerator[QueryAdvance, None]:
        """The rows of the page, some hundreds at a time, once `position["phase"]` is "read". The last one is
        empty and leads to the next page. Close it (`contextlib.aclosing`) where it is left early."""
        async with aclosing(self.cells(position)) as pieces:
            async for piece in pieces:
                rows = [_row(piece.header, cells) for cells in piece.cells]
                yield QueryAdvance(piece.position, rows=rows, done=piece.done)

    async def cells(self, position: Position) -> AsyncGenerator[CellsAdvance, None]:
        """As `batches`, for many rows: no dict is made for each."""
        skip, seen = position["skip"], 0
        async with self._api.query_page(
            position["job"], position["locator"], self._settings.bulk_query_rows
        ) as page:
            header = page.table.header
            async with aclosing(page.table.batches()) as batches:
                async for rows in batches:
                    fresh = rows[max(0, skip - seen) :]
                    seen += len(rows)
                    if fresh:
                        yield CellsAdvance(position | {"skip": seen}, header, fresh)
            if page.count is not None and page.count != seen:
                cause = f"{seen} of {page.count} rows"
                raise lost_answer(cause, operation="bulk query page", effect=Effect.READ, sent=True)
            following = position | {"skip": 0, "locator": page.locator}
            yield CellsAdvance(following, header, [], done=page.locator is None)

    async def _create(self, position: Position) -> QueryAdvance:
        job = await self._api.create_query(position["soql"], all_rows=position["all_rows"])
        until = int(self._clock() + self._settings.bulk_longest.total_seconds())
        polling = {"phase": "poll", "job": job, "until": until, "polls": 1}
        return QueryAdvance(position | polling, delay=self._wait(0))

    async def _poll(self, position: Position) -> QueryAdvance:
        job, polls = position["job"], position["polls"]
        info = await self._api.info(job, "query")
        if info.state == COMPLETE:
            return QueryAdvance(position | {"phase": "read", "locator": None, "skip": 0})
        if info.state in OVER:
            why = info.message or f"the job is {info.state}"
            raise _failed(f"the Bulk query did not run: {why}", "bulk-query-failed")
        if self._clock() >= position["until"]:
            with suppress(RecordRejected):  # it ended just now
                await self._api.abort(job, "query")
            raise _failed("the Bulk query did not end in time", "bulk-query-deadline")
        return QueryAdvance(position | {"polls": polls + 1}, delay=self._wait(polls))

    def _wait(self, polls: int) -> float:
        return poll_wait(self._settings.bulk_poll, polls)


def _row(header: list[str], cells: list[str]) -> Row:
    found: list[str | None] = [cell or None for cell in cells] if "" in cells else [*cells]
    return dict(zip(header, found, strict=True))


def _failed(text: str, reason: str) -> RecordRejected:
    return RecordRejected(text, reason=reason, system="salesforce")
