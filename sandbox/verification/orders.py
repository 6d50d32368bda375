"""Won opportunities and their sales orders."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.verification.reading import Row, exact, rows, wrong

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sandbox.stack import Sandbox


async def order_differences(sandbox: Sandbox, *, ordered: Collection[str]) -> list[str]:
    """`ordered`: the opportunities with exactly one order each; all others must have none."""
    customers = await rows(sandbox, "d365", "CustomersV3")
    numbers = {row["SalesforceAccountId"]: row["CustomerAccount"] for row in customers}
    orders = _grouped(await rows(sandbox, "d365", "SalesOrderHeadersV2"), "SalesforceOpportunityId")
    lines = _grouped(await rows(sandbox, "d365", "SalesOrderLines"), "SalesOrderNumber")
    items = _grouped(await rows(sandbox, "salesforce", "OpportunityLineItem"), "OpportunityId")
    products = {row["Id"]: row for row in await rows(sandbox, "salesforce", "Product2")}
    released = {
        row["ItemNumber"]: row
        for row in await rows(sandbox, "d365", "ReleasedProductsV2")
        if row["dataAreaId"] == "usmf"
    }
    found: list[str] = []
    for deal in await rows(sandbox, "salesforce", "Opportunity"):
        key = deal["Id"]
        own = orders.get(key, [])
        wanted = 1 if key in ordered else 0
        if len(own) != wanted:
            found.append(f"{key}: {len(own)} sales orders instead of {wanted}")
            continue
        if not wanted:
            if deal["D365_Order_Number__c"]:
                found.append(f"{key}: has an order number, but must have no order")
            continue
        [order] = own
        number = numbers.get(deal["AccountId"], "that of its account")
        total = sum((exact(item["TotalPrice"]) for item in items.get(key, [])), Decimal(0))
        found += wrong(key, order, _header(deal, number, total))
        reported = {"D365_Order_Number__c": order["SalesOrderNumber"], "D365_Status__c": "Ordered"}
        found += wrong(key, deal, {**reported, "D365_Error__c": None})
        found += _line_differences(
            items.get(key, []), lines.get(order["SalesOrderNumber"], []), products, released
        )
    return found


def _header(deal: Row, customer: str, total: Decimal) -> dict[str, Any]:
    return {
        "dataAreaId": "usmf",
        "OrderingCustomerAccountNumber": customer,
        "InvoiceCustomerAccountNumber": customer,
        "CurrencyCode": deal["CurrencyIsoCode"],
        "RequestedShippingDate": f"{deal['CloseDate']}T12:00:00Z",
        "OrderTotalAmount": total,
    }


def _line_differences(
    items: list[Row], lines: list[Row], products: dict[str, Row], released: dict[str, Row]
) -> Iterator[str]:
    by_item = {line["SalesforceLineId"]: line for line in lines}
    if len(lines) != len(items) or len(by_item) != len(lines):
        yield f"the order has {len(lines)} lines instead of {len(items)}"
    for item in items:
        line = by_item.get(item["Id"])
        if line is None:
            yield f"{item['Id']}: not in the order"
            continue
        number = products[item["Product2Id"]]["D365_Item_Number__c"]
        wanted = {
            "ItemNumber": number,
            "OrderedSalesQuantity": item["Quantity"],
            "SalesPrice": item["UnitPrice"],
            "LineDiscountPercentage": exact(item["Discount"]),
            "LineAmount": item["TotalPrice"],
            "SalesUnitSymbol": released[number]["SalesUnitSymbol"],
            "ShippingSiteId": "1",
            "ShippingWarehouseId": "13",
        }
        yield from wrong(item["Id"], line, wanted)


def _grouped(found: list[Row], name: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in found:
        groups.setdefault(row[name], []).append(row)
    return groups
