"""Reading many records: the server decides the size of a page, the caller sees one stream.

Source: F&O contract 2.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from integration.d365.errors import Call
from integration.errors import ContractError

if TYPE_CHECKING:
    from integration.d365.odata import Urls
    from integration.d365.transport import Transport

Record = dict[str, Any]


class Rows:
    """The rows of a query, page after page. `total` is known after the first row if it was asked for."""

    def __init__(
        self,
        transport: Transport,
        urls: Urls,
        entity_set: str,
        first_page: str,
        *,
        top: int | None = None,
    ) -> None:
        self._transport = transport
        self._urls = urls
        self._call = Call(f"GET {entity_set}", safe_to_repeat=True)
        self._next: str | None = first_page
        self._page: list[Record] = []
        self._left = top
        self.total: int | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record:
        if self._left == 0:
            raise StopAsyncIteration
        while not self._page:
            if self._next is None:
                raise StopAsyncIteration
            await self._load(self._next)
        if self._left is not None:
            self._left -= 1
        return self._page.pop()

    async def page(self) -> list[Record]:
        """The next rows as F&O sent them, many at a time; empty at the end."""
        while not self._page:
            if self._next is None or self._left == 0:
                return []
            await self._load(self._next)
        rows, self._page = self._page[::-1], []
        if self._left is not None:
            rows = rows[: self._left]
            self._left -= len(rows)
        return rows

    async def _load(self, url: str) -> None:
        page = await self._transport.json("GET", url, self._call)
        rows = page.get("value") if isinstance(page, dict) else None
        if not isinstance(rows, list):
            raise ContractError(f"{self._call.operation}: no list of rows", system="d365")
        self._page = rows[::-1]
        if isinstance(count := page.get("@odata.count"), int):
            self.total = count
        link = page.get("@odata.nextLink")
        self._next = self._urls.next_page(link) if link else None
        if self._next == url:
            raise ContractError(
                f"{self._call.operation}: the next page is the same page", system="d365"
            )
