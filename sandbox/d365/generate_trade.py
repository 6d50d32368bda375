"""Stock, customers and orders in quantity, and the one call that makes all kinds of rows."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from sandbox.d365.generate import (
    PLACES,
    Rows,
    generate_agreements,
    generate_order_settings,
    generate_prices,
    generate_products,
    generate_translations,
)
from sandbox.d365.lookups import company_of
from sandbox.d365.receivables import day_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sandbox.d365.environment import Environment

_NAMES = (
    "Alpine",
    "Birch",
    "Cedar",
    "Dune",
    "Ember",
    "Fjord",
    "Grove",
    "Harbor",
    "Iris",
    "Juniper",
)
_KINDS = ("Works", "Trading", "Supplies", "Systems", "Partners", "Retail", "Logistics", "Group")
_TOWNS = ("Seattle", "Austin", "Boston", "Denver", "Chicago", "Portland", "Atlanta", "Tampa")
_TERMS = ("Net10", "Net30", "Net45", "")
_MOST_PRICES = 1000  # of one product, so that two parts of a range do not meet


def generate_stock(products: Sequence[Mapping[str, Any]], seed: int = 1) -> Rows:
    """WarehousesOnHandV2 in one to three warehouses; product masters in two colours each."""
    rng = random.Random(f"stock {seed}")
    rows = []
    for product in products:
        if product["ProductType"] == "Service":
            continue
        master = product["ProductSubType"] == "ProductMaster"
        for site, warehouse in rng.sample(PLACES, rng.randint(1, len(PLACES))):
            for color in ("Black", "White") if master else ("",):
                on_hand = rng.randrange(0, 500)
                reserved = rng.randrange(0, on_hand + 1) if rng.random() < 0.3 else 0
                available = on_hand - reserved
                rows.append(
                    {
                        "dataAreaId": product["dataAreaId"],
                        "ItemNumber": product["ItemNumber"],
                        "ProductName": product["SearchName"],
                        "ProductColorId": color,
                        "InventorySiteId": site,
                        "InventoryWarehouseId": warehouse,
                        "OnHandQuantity": on_hand,
                        "ReservedOnHandQuantity": reserved,
                        "AvailableOnHandQuantity": available,
                        "TotalAvailableQuantity": available,
                    }
                )
    return rows


def generate_customers(
    count: int, seed: int = 1, company: str = "usmf", currency: str = "USD"
) -> Rows:
    """CustomersV3 that only F&O knows: without a Salesforce id."""
    rng = random.Random(f"customers {seed}")
    return [
        {
            "dataAreaId": company,
            "CustomerAccount": f"G-{position:06}",
            "PartyNumber": f"G{company}{position:06}",
            "OrganizationName": f"{rng.choice(_NAMES)} {rng.choice(_KINDS)} {position}",
            "NameAlias": f"Generated {position}",
            "CustomerGroupId": rng.choice(("10", "20", "30")),
            "SalesCurrencyCode": currency,
            "PaymentTerms": rng.choice(_TERMS),
            "AddressCity": rng.choice(_TOWNS),
            "AddressCountryRegionId": "USA",
            "AddressCountryRegionISOCode": "US",
            "CreditLimit": rng.randrange(0, 100_000, 500),
        }
        for position in range(1, count + 1)
    ]


def generate_orders(
    customers: Sequence[Mapping[str, Any]],
    products: Sequence[Mapping[str, Any]],
    count: int,
    lines: int = 5,
    seed: int = 1,
) -> dict[str, Rows]:
    """Open orders with their lines, ready to be invoiced."""
    rng = random.Random(f"orders {seed}")
    headers: Rows = []
    order_lines: Rows = []
    for position in range(1, count + 1):
        customer = rng.choice(customers)
        company, number = customer["dataAreaId"], f"GO-{position:06}"
        headers.append(
            {
                "dataAreaId": company,
                "SalesOrderNumber": number,
                "OrderingCustomerAccountNumber": customer["CustomerAccount"],
                "InvoiceCustomerAccountNumber": customer["CustomerAccount"],
                "SalesOrderName": customer["OrganizationName"][:60],
                "CurrencyCode": customer["SalesCurrencyCode"],
                "PaymentTermsName": customer.get("PaymentTerms", ""),
                "SalesOrderStatus": "Backorder",
            }
        )
        for line in range(1, lines + 1):
            product = rng.choice(products)
            quantity = rng.randrange(1, 20)
            amount = quantity * product["SalesPrice"] / product["SalesPriceQuantity"]
            order_lines.append(
                {
                    "dataAreaId": company,
                    "InventoryLotId": f"GL-{position:06}-{line:02}",
                    "SalesOrderNumber": number,
                    "LineNumber": line,
                    "LineCreationSequenceNumber": line,
                    "ItemNumber": product["ItemNumber"],
                    "LineDescription": product["SearchName"],
                    "OrderedSalesQuantity": quantity,
                    "SalesUnitSymbol": product["SalesUnitSymbol"],
                    "SalesPrice": product["SalesPrice"],
                    "SalesPriceQuantity": product["SalesPriceQuantity"],
                    "LineAmount": round(amount, 2),
                    "CurrencyCode": customer["SalesCurrencyCode"],
                    "ShippingSiteId": "1",
                    "ShippingWarehouseId": "13",
                }
            )
    return {"SalesOrderHeadersV2": headers, "SalesOrderLinesV3": order_lines}


def generate(
    environment: Environment, given: Mapping[str, Any]
) -> dict[str, Iterable[dict[str, Any]]]:
    """`given`: company, seed, today and how many products, prices (per product) or agreements (in all),
    customers, orders and lines (per order); stock true or false; `first` number of a product. Rows by
    entity set, agreements as they are asked for; raises ValueError for anything unknown."""
    known = {"company", "seed", "today", "products", "prices", "agreements", "stock", "customers"}
    unknown = set(given) - known - {"orders", "lines", "first"}
    if unknown:
        raise ValueError(f"nothing to generate is called {sorted(unknown)}")
    company, seed = company_of(environment, given), int(given.get("seed", 1))
    currency = environment.companies[company].currency
    first = int(given.get("first", 1))
    products = generate_products(int(given.get("products", 0)), seed, company, first)
    customers = generate_customers(int(given.get("customers", 0)), seed, company, currency)
    made: dict[str, Iterable[dict[str, Any]]] = {
        "ReleasedProductsV2": products,
        "ProductTranslations": generate_translations(products, seed),
        "ProductDefaultOrderSettings": generate_order_settings(products, seed),
        "CustomersV3": customers,
    }
    accounts, today = [row["CustomerAccount"] for row in customers], day_of(given.get("today"))
    if given.get("prices"):
        made["SalesPriceAgreements"] = generate_prices(
            products,
            int(given["prices"]),
            seed,
            today=today,
            customers=accounts,
            first=(first - 1) * _MOST_PRICES,
        )
    if given.get("agreements"):
        if not products or given.get("prices"):
            raise ValueError("agreements need products and exclude prices")
        made["SalesPriceAgreements"] = generate_agreements(
            products, int(given["agreements"]), seed, today=today, customers=accounts
        )
    if given.get("stock"):
        made["WarehousesOnHandV2"] = generate_stock(products, seed)
    if given.get("orders"):
        if not customers or not products:
            raise ValueError("orders need customers and products")
        made |= generate_orders(
            customers, products, int(given["orders"]), int(given.get("lines", 5)), seed
        )
    return {set_name: rows for set_name, rows in made.items() if rows}
