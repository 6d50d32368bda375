"""Merges streams of F&O rows by item, without comparing item numbers.

Products set the pace, in pages that go into a window; agreements (and sales stops) follow them, and an item
is handed on once every follower has passed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.literals import COMPANY
from integration.flows.pricing.source import SourceItem
from integration.mapping.products import ITEM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from integration.flows.flow import Record
    from integration.flows.pricing.odata_pages import ItemPages


class ODataPriceStream:
    """Holds at most two pages of products and one of each follower."""

    def __init__(
        self,
        products: ItemPages,
        followers: Sequence[Follower],
        companies: Sequence[str],
        until: str | None,
        page: int,
    ) -> None:
        self._products = products
        self._followers = followers
        self._companies = companies
        self._until = until
        self._page = page
        self._window = Window()
        self._more = True

    async def next(self) -> list[SourceItem]:
        window = self._window
        while True:
            if window.items:
                ends = (follower.passed(window) for follower in self._followers)
                passed = min(ends, default=window.end)
                if ready := window.take(passed):
                    return ready
                for follower in self._followers:
                    if follower.passed(window) <= window.start:
                        await self._advance(follower)
            elif self._more:
                await self._more_products()
            else:
                return []

    async def _advance(self, follower: Follower) -> None:
        """One call, to learn more of the first item in the window."""
        if not follower.is_lost:
            await follower.load(self._window)
        elif not self._more:
            follower.drop()  # of items that are not released
        elif len(self._window.items) <= self._page:
            await self._more_products()  # its rows may be of the following products
        else:
            await follower.catch_up(self._window)

    async def _more_products(self) -> None:
        rows, self._more = await self._products.next(self._until)
        items: dict[str, SourceItem] = {}
        for row in rows:
            name = str(row[ITEM])
            item = items.get(name.casefold())
            if item is None:
                item = items[name.casefold()] = SourceItem(name)
            item.rows.append(row)
        if len(self._companies) > 1:
            for item in items.values():
                arranged(item, self._companies)
        self._window.add(items)
        for follower in self._followers:
            follower.attach(self._window)


def arranged(item: SourceItem, companies: Sequence[str]) -> None:
    """Puts the rows of an item into the order of the companies: the most important first."""
    item.rows.sort(key=lambda row: companies.index(str(row[COMPANY]).lower()))


class Window:
    """Items that were read and not yet handed on. `start` is the place of the first one in the stream."""

    def __init__(self) -> None:
        self.items: list[SourceItem] = []
        self.places: dict[str, int] = {}
        self.start = 0

    @property
    def end(self) -> int:
        return self.start + len(self.items)

    def add(self, items: dict[str, SourceItem]) -> None:
        self.places |= {name: place for place, name in enumerate(items, self.end)}
        self.items += items.values()

    def at(self, place: int) -> SourceItem:
        return self.items[place - self.start]

    def take(self, until: int) -> list[SourceItem]:
        count = max(until - self.start, 0)
        taken, self.items = self.items[:count], self.items[count:]
        for each in taken:
            del self.places[each.item.casefold()]
        self.start += count
        return taken


class Follower:
    """Rows in the same order, of which each belongs to an item of the window, to a later one, or to none.

    Which of the last two, nothing but a later row can tell, because only F&O knows the order: `rest` are the
    rows behind the last one whose item is in the window.
    """

    def __init__(
        self,
        pages: ItemPages,
        attach: Callable[[SourceItem], Callable[[Record], None]],
        until: str | None,
    ) -> None:
        self._pages = pages
        self._attach = attach
        self._until = until
        self._rest: list[Record] = []
        self._passed = 0
        self._page_began = pages.cursor
        self._bound: int | None = None
        self._ended = False

    @property
    def is_lost(self) -> bool:
        return bool(self._rest)

    def passed(self, window: Window) -> int:
        """The place behind the last item that has all its rows."""
        return window.end if self._ended else self._passed

    async def load(self, window: Window) -> None:
        self._page_began = self._pages.cursor
        bound = None if self._bound is None else window.at(self._bound).item
        rows, more = await self._pages.next(bound or self._until)
        self._rest = rows
        self.attach(window)
        if bound is None:
            self._ended = not more
            return
        self._rest = []  # not of a released item: they lie before the bound
        if not more and self._bound is not None:
            self._pages.cursor = bound
            self._passed = self._bound + 1
            self._bound = None

    async def catch_up(self, window: Window) -> None:
        """Reads again what lies before the last item of the window, and nothing beyond it."""
        self._bound = window.end - 1  # a page of products ends with an item that a filter can name
        self._pages.cursor = self._page_began
        await self.load(window)

    def attach(self, window: Window) -> None:
        """Gives the rows to their items. An item that has its rows and had them before this page was handed
        on, so that rows read a second time find nobody."""
        places = window.places
        name, add, last = None, None, -1
        for number, row in enumerate(self._rest):
            if row[ITEM] != name:
                name = row[ITEM]
                place = places.get(str(name).casefold())
                add = None
                if place is not None:
                    add = self._attach(window.at(place))
                    self._passed = place + 1
            if add is not None:
                add(row)
                last = number
        self._rest = self._rest[last + 1 :]

    def drop(self) -> None:
        self._rest = []
