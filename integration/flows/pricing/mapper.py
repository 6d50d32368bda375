"""What Salesforce should hold of an item today, and its fingerprint."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from integration.errors import RecordRejected
from integration.flows.pricing.item_fields import ACTIVE, Cells, ItemFields
from integration.flows.pricing.item_prices import ItemPrices
from integration.state.pushed import digest

if TYPE_CHECKING:
    from collections import Counter
    from datetime import date

    from integration.flows.price_rules import PriceKey, PriceRules
    from integration.flows.pricing.source import SourceItem
    from integration.mapping.price_books import Prices


class MappedItem(NamedTuple):
    """`cells` of Product2 in the order of `ItemMapper.columns`; no prices while the item is inactive."""

    item: str
    cells: Cells
    prices: dict[PriceKey, str]

    @property
    def is_active(self) -> bool:
        return self.cells[-1] == ACTIVE

    def decimals(self) -> dict[str, dict[PriceKey, Decimal]]:
        """The prices as numbers, by item."""
        return {self.item: {key: Decimal(price) for key, price in self.prices.items()}}

    def digest(self) -> bytes:
        texts = ["\0" if cell is None else cell for cell in self.cells]
        texts += sorted(["\t".join((*key, price)) for key, price in self.prices.items()])
        return digest("\n".join(texts))


class ItemMapper:
    """For one day."""

    def __init__(self, prices: Prices, rules: PriceRules, today: date) -> None:
        self._fields = ItemFields(prices)
        self._prices = ItemPrices(rules, today)
        self.columns = self._fields.columns

    def map(self, source: SourceItem, skipped: Counter[str]) -> MappedItem:
        """Counts in `skipped` the agreements that are left out. Raises RecordRejected, ContractError."""
        if not source.rows:
            raise RecordRejected(
                "F&O reads * in an item number as a wildcard, so the item cannot be asked for alone; the"
                " next full refresh reads it among all others",
                reason="wildcard",
                system="d365",
            )
        cells = self._fields.cells(source.rows, source.stopped)
        prices = self._prices.prices_of(source.rows, source.agreements, skipped)
        return MappedItem(source.item, cells, prices if cells[-1] == ACTIVE else {})
