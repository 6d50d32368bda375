"""Reads released products and trade agreements from F&O, item after item, in few calls.

Behind the Protocol `PriceSource`, so that another way of reading (a data package) can take its place.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from integration.d365.batch import Operation
from integration.d365.filters import Filter, any_of, eq, gt, le
from integration.d365.literals import yes_no
from integration.d365.odata import Query
from integration.errors import RecordRejected
from integration.flows.price_rules import AGREEMENT_FIELDS, VARIANTS
from integration.mapping.products import COMPANY, ITEM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.d365.client import D365Client
    from integration.flows.flow import Record

PRODUCTS = "ReleasedProductsV2"
AGREEMENTS = "SalesPriceAgreements"
ORDER_SETTINGS = "ProductDefaultOrderSettings"
_STOPPED = "IsSalesProcessingStopped"


@dataclass(slots=True)
class SourceItem:
    """`rows`: the item in each company that has it; `stopped`: the companies that do not sell it now."""

    item: str
    rows: list[Record] = field(default_factory=list)
    agreements: list[Record] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class SourcePage:
    """Whole items in F&O's own order; `more` says that the range goes on after the last of them."""

    items: list[SourceItem]
    more: bool


class PriceSource(Protocol):
    async def page(self, after: str, until: str | None, limit: int) -> SourcePage:
        """At most `limit` items after one key, up to and including another (None: to the end)."""


class ODataPriceSource:
    """Two calls a page: the products, then the agreements of the same range in one `$batch`."""

    def __init__(
        self,
        client: D365Client,
        companies: Sequence[str],
        select: Sequence[str],
        *,
        sales_stop: bool,
    ) -> None:
        self._client = client
        self._companies = tuple(companies)
        self._select = tuple(select)
        self._sales_stop = sales_stop

    async def page(self, after: str, until: str | None, limit: int) -> SourcePage:
        """Raises RecordRejected where no item of the page can bound a filter (all hold `*`)."""
        top = limit * len(self._companies) + 1
        rows = [
            row
            async for row in self._client.query(
                PRODUCTS,
                filter=self._range(after, until),
                select=self._select,
                orderby=(ITEM, COMPANY),
                top=top,
            )
        ]
        items: dict[str, SourceItem] = {}
        for row in rows:
            name = str(row[ITEM])
            items.setdefault(name.casefold(), SourceItem(name)).rows.append(row)
        found = list(items.values())
        more = len(rows) == top
        if more:
            found.pop()  # its rows of the other companies may be missing
        if len(found) > limit:
            found, more = found[:limit], True
        if more:
            found = _bounded(found)
        for each in found:
            each.rows.sort(key=lambda row: self._companies.index(str(row[COMPANY]).lower()))
        if found:
            last = found[-1].item if more else until
            await self._add_details(items, self._range(after, last))
        return SourcePage(found, more)

    async def _add_details(self, items: dict[str, SourceItem], range_: Filter) -> None:
        columns = (*AGREEMENT_FIELDS, *VARIANTS)
        reads = [Operation("GET", AGREEMENTS, query=Query(range_, columns))]
        if self._sales_stop:
            stopped = range_ & eq(_STOPPED, yes_no(True))
            reads.append(Operation("GET", ORDER_SETTINGS, query=Query(stopped, (COMPANY, ITEM))))
        results = await self._client.batch(reads)
        found: defaultdict[str, list[Record]] = defaultdict(list)
        for read, result in zip(reads, results, strict=True):
            if result.error is not None:
                raise result.error
            found[read.entity_set] += result.body["value"]
        for row in found[AGREEMENTS]:
            if item := items.get(str(row[ITEM]).casefold()):
                item.agreements.append(row)
        for row in found[ORDER_SETTINGS]:
            if item := items.get(str(row[ITEM]).casefold()):
                item.stopped.add(str(row[COMPANY]).lower())

    def _range(self, after: str, until: str | None) -> Filter:
        parts = any_of(COMPANY, self._companies)
        if after:
            parts = parts & gt(ITEM, after)
        return parts & le(ITEM, until) if until else parts


def _bounded(items: list[SourceItem]) -> list[SourceItem]:
    """Ends with an item that a filter can name: F&O takes `*` for a wildcard (F&O contract 2.2)."""
    kept = list(items)
    while kept and "*" in kept[-1].item:
        kept.pop()
    if items and not kept:
        raise RecordRejected(
            f"{len(items)} items in a row hold * in their number; F&O cannot be asked for what follows"
            " them (a higher PRICES_PAGE may reach beyond)",
            reason="wildcard",
            system="d365",
        )
    return kept
