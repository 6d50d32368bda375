"""Products and their prices for tests and benches; the same arguments make the same rows.

The functions return rows of entity sets as `POST /sandbox/state/{Set}` takes them.
"""

from __future__ import annotations

import datetime
import random
from typing import TYPE_CHECKING, Any

from sandbox.d365.receivables import noon

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Rows = list[dict[str, Any]]

_MATERIALS = ("Oak", "Steel", "Glass", "Carbon", "Linen", "Copper", "Bamboo", "Granite")
_THINGS = ("speaker", "cabinet", "shelf", "receiver", "panel", "cable", "stand", "console", "lamp")
_UNITS = ("ea", "ea", "ea", "pcs", "box", "kg")
_PRICE_UNITS = (1, 1, 1, 1, 1, 1, 1, 10, 100)
PRICE_GROUPS = ("RETAIL", "DEALER")
CURRENCIES = ("USD", "USD", "USD", "EUR", "GBP")
PLACES = (("1", "11"), ("1", "13"), ("2", "24"))  # sites and warehouses of the seed data
# Kinds of price rows and how often they come, in parts of twenty
_KINDS = (
    ["all"] * 6
    + ["break"] * 4
    + ["group"] * 4
    + ["customer"] * 2
    + ["expired", "future", "variant", "site"]
)


def generate_products(count: int, seed: int = 1, company: str = "usmf", first: int = 1) -> Rows:
    """ReleasedProductsV2, numbered from `first`. One in 20 is a service, one in 40 a product master, one in
    500 has a leading blank in its number (F&O contract 2.3); some prices are for 10 or 100 units."""
    rng = random.Random(f"products {seed}")
    rows = []
    for position in range(first, first + count):
        number = f"{' ' if position % 500 == 0 else ''}P{position:06}"
        service = rng.random() < 0.05
        unit = "hr" if service else rng.choice(_UNITS)
        name = f"{rng.choice(_MATERIALS)} {rng.choice(_THINGS)} {rng.randrange(100, 1000)}"
        rows.append(
            {
                "dataAreaId": company,
                "ItemNumber": number,
                "ProductNumber": number,
                "SearchName": name[:20],
                "ProductSearchName": name[:20],
                "ProductType": "Service" if service else "Item",
                "ProductSubType": "ProductMaster" if rng.random() < 0.025 else "Product",
                "ProductGroupId": "Services" if service else "Audio",
                "SalesUnitSymbol": unit,
                "InventoryUnitSymbol": unit,
                "SalesPrice": rng.randrange(100, 200_000) / 100,
                "SalesPriceQuantity": rng.choice(_PRICE_UNITS),
            }
        )
    return rows


def generate_translations(products: Sequence[Mapping[str, Any]], seed: int = 1) -> Rows:
    """ProductTranslations in English; product names live there, not with the released products."""
    rng = random.Random(f"translations {seed}")
    return [
        {
            "ProductNumber": product["ProductNumber"],
            "LanguageId": "en-US",
            "ProductName": f"{product['SearchName']} {rng.choice(('Classic', 'Pro', 'Lite'))}",
            "Description": f"{product['SearchName']}, item {product['ItemNumber'].strip()}",
        }
        for product in products
    ]


def generate_order_settings(products: Sequence[Mapping[str, Any]], seed: int = 1) -> Rows:
    """ProductDefaultOrderSettings: one product in 50 is stopped for sales."""
    rng = random.Random(f"order settings {seed}")
    return [
        {
            "dataAreaId": product["dataAreaId"],
            "ItemNumber": product["ItemNumber"],
            "IsSalesProcessingStopped": "Yes" if rng.random() < 0.02 else "No",
        }
        for product in products
    ]


def generate_prices(
    products: Sequence[Mapping[str, Any]],
    per_product: int = 3,
    seed: int = 1,
    *,
    today: datetime.date,
    customers: Sequence[str] = (),
    groups: Sequence[str] = PRICE_GROUPS,
    first: int = 0,
) -> Rows:
    """SalesPriceAgreements, their records numbered from `first`: for all, by quantity, for a price group, for
    one customer, past, future, for one variant and for one site. One product in ten has none, so its base
    price counts."""
    rng = random.Random(f"prices {seed}")
    rows: Rows = []
    for product in products:
        if rng.random() < 0.1:
            continue
        for _ in range(per_product):
            rows.append(_agreement(product, first + len(rows), rng, today, customers, groups))
    return rows


def generate_agreements(
    products: Sequence[Mapping[str, Any]],
    count: int,
    seed: int = 1,
    *,
    today: datetime.date,
    customers: Sequence[str] = (),
    groups: Sequence[str] = PRICE_GROUPS,
) -> Iterator[dict[str, Any]]:
    """Exactly `count` SalesPriceAgreements of the same kinds, spread evenly, one after the other."""
    rng = random.Random(f"agreements {seed}")
    for position in range(count):
        product = products[position % len(products)]
        yield _agreement(product, position, rng, today, customers, groups)


def _agreement(
    product: Mapping[str, Any],
    position: int,
    rng: random.Random,
    today: datetime.date,
    customers: Sequence[str],
    groups: Sequence[str],
) -> dict[str, Any]:
    row = _price_row(product, rng)
    kind = rng.choice(_KINDS)
    if kind == "customer" and not customers:
        kind = "all"
    _SPECIALTIES[kind](row, rng, today, customers, groups)
    row["RecordId"] = 5_637_200_000 + position
    return row


def _price_row(product: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    per = rng.choice(_PRICE_UNITS)
    of_one = product["SalesPrice"] / product["SalesPriceQuantity"]
    return {
        "dataAreaId": product["dataAreaId"],
        "AccountCode": "All",
        "ItemCode": "Table",
        "ItemRelation": product["ItemNumber"],
        "ItemNumber": product["ItemNumber"],
        "ProductNumber": product["ProductNumber"],
        "PriceCurrencyCode": rng.choice(CURRENCIES),
        "QuantityUnitySymbol": product["SalesUnitSymbol"],
        "SalesPriceQuantity": per,
        "Price": max(0.01, round(of_one * per * rng.uniform(0.7, 1.1), 2)),
    }


def _break(row: dict[str, Any], rng: random.Random, *_: Any) -> None:
    row["FromQuantity"] = rng.choice((5, 10, 50, 100))
    row["Price"] = max(0.01, round(row["Price"] * 0.9, 2))


def _group(row: dict[str, Any], rng: random.Random, *given: Any) -> None:
    group = rng.choice(given[2])
    row.update(AccountCode="GroupId", AccountRelation=group, PriceCustomerGroupCode=group)


def _customer(row: dict[str, Any], rng: random.Random, *given: Any) -> None:
    account = rng.choice(given[1])
    row.update(AccountCode="Table", AccountRelation=account, CustomerAccountNumber=account)


def _expired(row: dict[str, Any], rng: random.Random, today: datetime.date, *_: Any) -> None:
    end = today - datetime.timedelta(days=rng.randrange(1, 400))
    row["PriceApplicableFromDate"] = noon(end - datetime.timedelta(days=90))
    row["PriceApplicableToDate"] = noon(end)


def _future(row: dict[str, Any], rng: random.Random, today: datetime.date, *_: Any) -> None:
    row["PriceApplicableFromDate"] = noon(today + datetime.timedelta(days=rng.randrange(1, 90)))


def _variant(row: dict[str, Any], rng: random.Random, *_: Any) -> None:
    row["ProductColorId"] = rng.choice(("Black", "White", "Red"))


def _site(row: dict[str, Any], rng: random.Random, *_: Any) -> None:
    row["PriceSiteId"] = rng.choice(("1", "2"))


_SPECIALTIES: dict[str, Any] = {
    "all": lambda row, rng, *_: None,
    "break": _break,
    "group": _group,
    "customer": _customer,
    "expired": _expired,
    "future": _future,
    "variant": _variant,
    "site": _site,
}
