"""What an accounts receivable clerk does in F&O, and what Salesforce then shows, for end-to-end tests."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.end_to_end.world import World

_numbers = itertools.count(1)


async def customer(world: World, *, account: str | None = None, **fields: Any) -> str:
    """A customer, with an account that holds its number unless told otherwise; its number."""
    number = str(fields.pop("CustomerAccount", f"C-{next(_numbers):05}"))
    await world.add_customer(CustomerAccount=number, SalesforceAccountId=account or "", **fields)
    return number


async def customer_with_account(world: World, *, company: str = "", **fields: Any) -> str:
    number = f"C-{next(_numbers):05}"
    named = f"{company}|{number}" if company else number
    key = await world.create(events=False, D365_Customer_Number__c=named)
    own = {"dataAreaId": company} if company else {}
    return await customer(world, account=key, CustomerAccount=number, **own, **fields)


async def order(world: World, account: str, lines: int = 2, **fields: Any) -> str:
    """An open order of quantity 2 at 50.00 per line."""
    number = f"SO-{next(_numbers):05}"
    header = {
        "dataAreaId": "usmf",
        "SalesOrderNumber": number,
        "OrderingCustomerAccountNumber": account,
        "InvoiceCustomerAccountNumber": account,
        "CurrencyCode": "USD",
        "PaymentTermsName": "Net30",
        "SalesOrderStatus": "Backorder",
        **fields,
    }
    rows = [
        {
            "dataAreaId": header["dataAreaId"],
            "InventoryLotId": f"{number}-{line}",
            "SalesOrderNumber": number,
            "LineNumber": line,
            "LineCreationSequenceNumber": line,
            "ItemNumber": f"E2E-{line}",
            "LineDescription": f"Bracket {line}",
            "OrderedSalesQuantity": 2,
            "SalesUnitSymbol": "ea",
            "SalesPrice": 50,
            "SalesPriceQuantity": 1,
            "LineAmount": 100,
            "CurrencyCode": header["CurrencyCode"],
        }
        for line in range(1, lines + 1)
    ]
    await world.put("d365", "state/SalesOrderHeadersV2", header, method="POST")
    await world.put("d365", "state/SalesOrderLinesV3", rows, method="POST")
    return number


async def post(world: World, **given: Any) -> dict[str, Any]:
    """Posts an invoice; see `sandbox.d365.posting`."""
    return dict(await world.put("d365", "post-invoice", given, method="POST"))


async def events(world: World, **settings: Any) -> None:
    await world.put("d365", "business-events", settings)


async def invoices(world: World, number: str) -> list[dict[str, Any]]:
    return await world._rows("salesforce", "Invoice__c", Name=number)


async def invoice(world: World, number: str) -> dict[str, Any]:
    found = await invoices(world, number)
    assert len(found) == 1, f"{number} came {len(found)} times"
    return found[0]


async def lines(world: World, row: dict[str, Any]) -> list[dict[str, Any]]:
    found = await world._rows("salesforce", "Invoice_Line__c", Invoice__c=row["Id"])
    return sorted(found, key=lambda line: line["Line_Number__c"])
