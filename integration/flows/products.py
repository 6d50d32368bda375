"""Reads released products and trade agreements from F&O as streams that are merged by item.

About one call per page of rows, whatever the number of items (see `pricing.odata_stream`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.filters import Filter, eq
from integration.d365.literals import COMPANY, yes_no
from integration.flows.price_rules import AGREEMENT_FIELDS, VARIANTS
from integration.flows.pricing.odata_pages import ItemPages
from integration.flows.pricing.odata_stream import Follower, ODataPriceStream
from integration.mapping.products import ITEM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from integration.d365.client import D365Client
    from integration.flows.flow import Record
    from integration.flows.pricing.source import SourceItem

PRODUCTS = "ReleasedProductsV2"
AGREEMENTS = "SalesPriceAgreements"
ORDER_SETTINGS = "ProductDefaultOrderSettings"
_STOPPED = "IsSalesProcessingStopped"


class ODataPriceSource:
    def __init__(
        self,
        client: D365Client,
        companies: Sequence[str],
        select: Sequence[str],
        *,
        sales_stop: bool,
        page: int = 10_000,
    ) -> None:
        """`page` rows are asked for in one call; F&O sends 10,000 at most (F&O contract 2.4)."""
        self._client = client
        self.companies = tuple(companies)
        self.select = tuple(select)
        self._sales_stop = sales_stop
        self._page = page

    def open(self, after: str, until: str | None, *, agreements: bool = True) -> ODataPriceStream:
        """`agreements` False: somebody else has them."""
        products = self.product_pages(after, self.select)
        followers: list[Follower] = []
        if agreements:
            columns = (*AGREEMENT_FIELDS, *VARIANTS)
            pages = self._pages(AGREEMENTS, columns, "RecordId", after)
            followers.append(Follower(pages, _agreement, until))
        if self._sales_stop:
            pages = self._pages(
                ORDER_SETTINGS, (COMPANY, ITEM), COMPANY, after, also=eq(_STOPPED, yes_no(True))
            )
            followers.append(Follower(pages, _stop, until))
        return ODataPriceStream(products, followers, self.companies, until, self._page)

    def product_pages(self, after: str, select: Sequence[str]) -> ItemPages:
        one_row = len(self.companies) == 1
        return self._pages(PRODUCTS, select, COMPANY, after, one_row=one_row)

    def agreement_pages(self, after: str, also: Filter) -> ItemPages:
        """The item numbers of some agreements."""
        return self._pages(AGREEMENTS, (ITEM,), "RecordId", after, also=also)

    def _pages(
        self,
        entity_set: str,
        select: Sequence[str],
        order: str,
        after: str,
        *,
        also: Filter | None = None,
        one_row: bool = False,
    ) -> ItemPages:
        return ItemPages(
            self._client,
            entity_set,
            companies=self.companies,
            select=select,
            order=order,
            page=self._page,
            after=after,
            also=also,
            one_row=one_row,
        )


def _agreement(item: SourceItem) -> Callable[[Record], None]:
    return item.agreements.append


def _stop(item: SourceItem) -> Callable[[Record], None]:
    return lambda row: item.stopped.add(str(row[COMPANY]).lower())
