"""Rows of an entity set in the order of their items, in pages that hold every item whole.

A page begins after the last item of the page before (a keyset), so nothing repeats or vanishes while rows
are added, and a step in another process can go on anywhere. Only F&O compares item numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.filters import Filter, any_of, eq, gt, le
from integration.d365.literals import COMPANY
from integration.errors import RecordRejected
from integration.mapping.products import ITEM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.d365.client import D365Client
    from integration.d365.rows import Record


class ItemPages:
    """`cursor` is the item after which the next page begins."""

    def __init__(
        self,
        client: D365Client,
        entity_set: str,
        *,
        companies: Sequence[str],
        select: Sequence[str],
        order: str,
        page: int,
        after: str,
        also: Filter | None = None,
        one_row: bool = False,
    ) -> None:
        """`order` makes the order of an item's rows certain; `also` is a further condition; `one_row` says
        that no item has a second one."""
        self._client = client
        self._set = entity_set
        self._select = tuple(select)
        self._order = (ITEM, order)
        self._page = page
        self._one_row = one_row
        scope = any_of(COMPANY, companies)
        self._scope = scope & also if also else scope
        self.cursor = after

    async def next(self, until: str | None) -> tuple[list[Record], bool]:
        """The next rows up to and including an item, and whether there are more after them.

        Raises RecordRejected where no item of a page can bound a filter (all hold `*`).
        """
        rows = await self._rows(self._range(until), self._page)
        if len(rows) < self._page:
            return rows, False
        whole = self._whole(rows)
        if not whole:
            whole = await self._one_item(rows)
        self.cursor = str(whole[-1][ITEM])
        return whole, until is None or self.cursor.casefold() != until.casefold()

    def _whole(self, rows: list[Record]) -> list[Record]:
        """Without the last item, which may have more rows, and ending where a filter can begin."""
        end = len(rows)
        if not self._one_row:
            end = _start_of_item(rows, end)
        while end and "*" in str(rows[end - 1][ITEM]):
            end = _start_of_item(rows, end)
        return rows[:end]

    async def _one_item(self, rows: list[Record]) -> list[Record]:
        """A page of one single item: all its rows, in as many pages as they take."""
        item = str(rows[0][ITEM])
        if "*" in item:
            raise RecordRejected(
                f"{len(rows)} rows on end are of items with * in their number; F&O cannot be asked for"
                " what follows them",
                reason="wildcard",
                system="d365",
            )
        return await self._rows(self._scope & eq(ITEM, item), None)

    async def _rows(self, filter_: Filter, top: int | None) -> list[Record]:
        query = self._client.query(
            self._set, filter=filter_, select=self._select, orderby=self._order, top=top
        )
        rows = await query.page()
        while page := await query.page():  # where the server's pages are smaller than ours
            rows = rows + page
        return rows

    def _range(self, until: str | None) -> Filter:
        parts = self._scope
        if self.cursor:
            parts = parts & gt(ITEM, self.cursor)
        return parts & le(ITEM, until) if until else parts


def _start_of_item(rows: list[Record], end: int) -> int:
    """The place of the first row of the item that ends before `end`."""
    last = str(rows[end - 1][ITEM]).casefold()
    while end and str(rows[end - 1][ITEM]).casefold() == last:
        end -= 1
    return end
