"""Items of which something changed, in F&O's order among all others.

Only the named ones are read in full: which price counts depends on all agreements of an item. The others
pass through as `unread`: nothing of them changed, so what was pushed last still holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.filters import Filter, any_of, eq
from integration.d365.literals import COMPANY
from integration.flows.price_rules import AGREEMENT_FIELDS, VARIANTS
from integration.flows.pricing.odata_stream import arranged
from integration.flows.pricing.source import SourceItem
from integration.flows.products import AGREEMENTS, PRODUCTS
from integration.flows.reading import rows_of_sets
from integration.mapping.products import ITEM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.d365.client import D365Client
    from integration.flows.pricing.hashes import HashSet
    from integration.flows.pricing.odata_pages import ItemPages

_TOGETHER = 500  # items of one call


class NamedStream:
    """`pages` are the item numbers of all products, `named` the hashes of those to read (case folded)."""

    def __init__(
        self,
        client: D365Client,
        pages: ItemPages,
        named: HashSet,
        *,
        companies: Sequence[str],
        select: Sequence[str],
        until: str | None,
        per_filter: int,
    ) -> None:
        self._client = client
        self._pages = pages
        self._named = named
        self._companies = tuple(companies)
        self._select = tuple(select)
        self._until = until
        self._per_filter = per_filter
        self._more = True
        self._waiting: list[SourceItem] = []

    async def next(self) -> list[SourceItem]:
        if not self._waiting:
            if not self._more:
                return []
            rows, self._more = await self._pages.next(self._until)
            names = {str(row[ITEM]).casefold(): str(row[ITEM]) for row in rows}
            self._waiting = [SourceItem(name, unread=True) for name in names.values()]
        end = 0
        wanted: list[SourceItem] = []
        for item in self._waiting:
            if item.item.casefold() in self._named:
                if len(wanted) == _TOGETHER:
                    break
                wanted.append(item)
            end += 1
        await self._read(wanted)
        found, self._waiting = self._waiting[:end], self._waiting[end:]
        return found

    async def _read(self, items: list[SourceItem]) -> None:
        """Gives the items their rows. One that no filter can name gets none (see `is_bound`)."""
        scope = any_of(COMPANY, self._companies)
        for each in items:
            each.unread = each.is_bound
        terms: list[Filter] = [scope & eq(ITEM, each.item) for each in items if each.is_bound]
        if not terms:
            return
        found = await rows_of_sets(
            self._client,
            {PRODUCTS: terms, AGREEMENTS: terms},
            {PRODUCTS: self._select, AGREEMENTS: (*AGREEMENT_FIELDS, *VARIANTS)},
            per_filter=max(self._per_filter, terms[0].comparisons),
        )
        read = {each.item.casefold(): each for each in items}
        for row in found[PRODUCTS]:
            read[str(row[ITEM]).casefold()].rows.append(row)
        for row in found[AGREEMENTS]:
            read[str(row[ITEM]).casefold()].agreements.append(row)
        for each in read.values():
            each.unread = each.is_bound and not each.rows  # gone since its number was read
            arranged(each, self._companies)
