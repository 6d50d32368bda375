"""Released products, and the price that each has today in each price book of the demo's mapping file."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from sandbox.verification.reading import Row, exact, rows, wrong

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sandbox.stack import Sandbox

BOOKS = {"standard": "", "Direct Sales": "DEALER"}  # price book → price group
_NO_DATE = "1900"
_PARTS = ("Color", "Size", "Style", "Version", "Configuration")


def expected_prices(product: Row, agreements: Iterable[Row], today: str) -> dict[str, Decimal]:
    """Entry key → price."""
    usable = [row for row in agreements if _counts(row, today)]
    prices: dict[tuple[str, str], Decimal] = {}
    for book, group in BOOKS.items():
        for currency in {row["PriceCurrencyCode"] for row in usable} | {"USD"}:
            rows_of = [row for row in usable if row["PriceCurrencyCode"] == currency]
            own = [r for r in rows_of if group and r["PriceCustomerGroupCode"] == group]
            everybody = [r for r in rows_of if r["AccountCode"] == "All"]
            best = min(own or everybody, key=_lowest_break, default=None)
            if best is not None:
                price = exact(best["Price"]) / exact(best["SalesPriceQuantity"])
            elif currency == "USD" and exact(product["SalesPrice"]):
                price = exact(product["SalesPrice"]) / exact(product["SalesPriceQuantity"])
            else:
                continue
            prices[book, currency] = price.quantize(Decimal("0.01"), ROUND_HALF_UP)
    for (_, currency), price in list(prices.items()):
        prices.setdefault(("standard", currency), price)  # Salesforce asks for one
    item = product["ItemNumber"]
    return {f"{book}|{item}|{currency}": price for (book, currency), price in prices.items()}


async def price_differences(sandbox: Sandbox, *, inactive: Collection[str]) -> list[str]:
    """`inactive`: items that were sold once."""
    today = datetime.now(UTC).date().isoformat()
    agreements = defaultdict(list)
    for row in await rows(sandbox, "d365", "SalesPriceAgreements"):
        agreements[row["ItemNumber"]].append(row)
    products = {
        row["D365_Item_Number__c"]: row for row in await rows(sandbox, "salesforce", "Product2")
    }
    entries: defaultdict[str, list[Row]] = defaultdict(list)
    for row in await rows(sandbox, "salesforce", "PricebookEntry"):
        entries[row["Product2Id"]].append(row)
    found: list[str] = []
    for released in await rows(sandbox, "d365", "ReleasedProductsV2"):
        item = released["ItemNumber"]
        if released["dataAreaId"] != "usmf":
            continue
        if item not in products:
            found.append(f"{item}: not in Salesforce")
            continue
        name = released["ProductSearchName"] or released["SearchName"]
        active = item not in inactive
        wanted = {"Name": name, "ProductCode": item, "IsActive": active}
        found += wrong(item, products[item], wanted)
        held = {row["D365_Key__c"]: row for row in entries[products[item]["Id"]]}
        prices = expected_prices(released, agreements[item], today)
        found += [f"{key}: an entry too many" for key in held.keys() - prices.keys()]
        for key, price in prices.items():
            if key not in held:
                found.append(f"{key}: no price")
            elif active:
                row = {"UnitPrice": price, "IsActive": True, "CurrencyIsoCode": key[-3:]}
                found += wrong(key, held[key], row)
    return found


def _counts(row: Row, today: str) -> bool:
    starts, ends = row["PriceApplicableFromDate"][:10], row["PriceApplicableToDate"][:10]
    return (
        starts <= today
        and (ends.startswith(_NO_DATE) or ends >= today)
        and not any(row[f"Product{part}Id"] for part in _PARTS)
        and not row["PriceSiteId"]
        and not row["PriceWarehouseId"]
    )


def _lowest_break(row: Row) -> tuple[Decimal, Decimal]:
    return exact(row["FromQuantity"]), exact(row["Price"]) / exact(row["SalesPriceQuantity"])
