"""Which price F&O finds for an order line that brings none (F&O contract 5.7).

Trade agreements come before the item's base price. Among them the customer's own come first, then those
of its price group, then those for all; the highest quantity break that is reached wins, then the lowest
unit price. `WillSearchContinue` lets the search go on to the next level and the cheaper one win.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.d365.money import exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment
    from sandbox.d365.store import Row

AGREEMENTS = "SalesPriceAgreements"
PRODUCTS = "ReleasedProductsV2"
DIMENSIONS = (
    "ProductConfigurationId",
    "ProductColorId",
    "ProductSizeId",
    "ProductStyleId",
    "ProductVersionId",
)
_EMPTY = "1900-01-01T12:00:00Z"


@dataclass(frozen=True)
class Sought:
    """`on`: the day as F&O writes dates; `place`: site, warehouse and product dimensions of the line."""

    company: str
    item: str
    customer: str
    group: str
    currency: str
    unit: str
    quantity: Decimal
    on: str
    place: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Price:
    """`amount` is for `per` units."""

    amount: Decimal
    per: Decimal

    @property
    def of_one(self) -> Decimal:
        return self.amount / self.per


def find_price(environment: Environment, sought: Sought) -> Price:
    """The agreed price, else the base price, else 0 for 1."""
    return _agreed(environment, sought) or _base(environment, sought)


def _agreed(environment: Environment, sought: Sought) -> Price | None:
    table = environment.store.tables[AGREEMENTS]
    rows = [_View(row, table.entity.defaults) for row in table.find("ItemNumber", sought.item)]
    fitting = [row for row in rows if _fits(row, sought)]
    best: Price | None = None
    for level in range(3):
        found = [row for row in fitting if _level(row, sought) == level]
        if not found:
            continue
        chosen = min(found, key=lambda row: (-row["FromQuantity"], _price(row).of_one))
        price = _price(chosen)
        best = price if best is None or price.of_one < best.of_one else best
        if chosen["WillSearchContinue"] != "Yes":
            break
    return best


def _base(environment: Environment, sought: Sought) -> Price:
    product = environment.store.get(PRODUCTS, sought.company, sought.item)
    if product is None:
        return Price(Decimal(0), Decimal(1))
    per = exact(product.values.get("SalesPriceQuantity", 1))
    return Price(exact(product.values.get("SalesPrice", 0)), per or Decimal(1))


class _View:
    """A row with the defaults of its entity."""

    def __init__(self, row: Row, defaults: Mapping[str, Any]) -> None:
        self._row, self._defaults = row, defaults

    def __getitem__(self, name: str) -> Any:
        return self._row.values.get(name, self._defaults[name])


def _fits(row: _View, sought: Sought) -> bool:
    upto = row["ToQuantity"]
    return (
        row["dataAreaId"].lower() == sought.company
        and row["PriceCurrencyCode"] in ("", sought.currency)
        and row["QuantityUnitySymbol"] in ("", sought.unit)
        and exact(row["FromQuantity"]) <= sought.quantity
        and (not upto or sought.quantity < exact(upto))
        and row["PriceApplicableFromDate"] <= sought.on
        and (row["PriceApplicableToDate"] == _EMPTY or row["PriceApplicableToDate"] >= sought.on)
        and all(
            row[name] in ("", sought.place.get(name, ""))
            for name in ("PriceSiteId", "PriceWarehouseId", *DIMENSIONS)
        )
    )


def _level(row: _View, sought: Sought) -> int | None:
    """0 the customer's own, 1 its group's, 2 everybody's; None: somebody else's."""
    customer, group = row["CustomerAccountNumber"], row["PriceCustomerGroupCode"]
    if customer:
        return 0 if customer.lower() == sought.customer.lower() else None
    if group:
        return 1 if group.lower() == sought.group.lower() else None
    return 2


def _price(row: _View) -> Price:
    return Price(exact(row["Price"]), exact(row["SalesPriceQuantity"]) or Decimal(1))
