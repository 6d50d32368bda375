"""Posted invoices, and what customers owe and have paid."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.verification.reading import Row, exact, rows, wrong

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sandbox.stack import Sandbox

# Invoice_Line__c field ← column of F&O
_SALES_LINE = {
    "Line_Number__c": "LineCreationSequenceNumber",
    "Item_Number__c": "ProductNumber",
    "Description__c": "ProductName",
    "Quantity__c": "InvoicedQuantity",
    "Unit__c": "SalesUnitSymbol",
    "Unit_Price__c": "SalesPrice",
    "Amount__c": "LineAmount",
    "Tax_Amount__c": "LineTotalTaxAmount",
}
_FREE_LINE = {
    "Line_Number__c": "LineNumber",
    "Description__c": "Description",
    "Quantity__c": "Quantity",
    "Unit_Price__c": "UnitPrice",
    "Amount__c": "TransactionCurrencyAmount",
    "Tax_Amount__c": "SalesTaxAmount",
}


async def invoice_differences(sandbox: Sandbox, posted: Sequence[Row]) -> list[str]:
    """`posted`: what F&O answered when the invoices were posted."""
    accounts = {
        row["D365_Customer_Number__c"]: row["Id"]
        for row in await rows(sandbox, "salesforce", "Account")
    }
    invoices = await rows(sandbox, "salesforce", "Invoice__c")
    lines = await rows(sandbox, "salesforce", "Invoice_Line__c")
    sold = await rows(sandbox, "d365", "SalesInvoiceV2Lines")
    free = await rows(sandbox, "d365", "FreeTextInvoiceLines")
    headers = {
        row["FreeTextNumber"]: row["InvoiceIdentifier"]
        for row in await rows(sandbox, "d365", "FreeTextInvoiceHeaders")
    }
    transactions = {
        row["Invoice"]: row
        for row in await rows(sandbox, "d365", "CustTransBiEntities")
        if row["TransType"] != "Payment"
    }
    found: list[str] = []
    for one in posted:
        number = one["invoice"]
        held = [row for row in invoices if row["Name"] == number]
        if len(held) != 1:
            found.append(f"{number}: {len(held)} times in Salesforce instead of once")
            continue
        found += wrong(number, held[0], _header(one, accounts.get(one["customer"])))
        found += wrong(number, held[0], open_and_status(transactions[number]))
        if one["sales_order"]:
            columns = _SALES_LINE
            source = [row for row in sold if row["InvoiceNumber"] == number]
        else:
            columns = _FREE_LINE
            source = [row for row in free if row["ParentRecId"] == headers[number]]
        own = {row["Line_Number__c"]: row for row in lines if row["Invoice__c"] == held[0]["Id"]}
        if len(own) != len(source):
            found.append(f"{number}: {len(own)} lines instead of {len(source)}")
        for row in source:
            wanted = {name: row[column] for name, column in columns.items()}
            line = own.get(row[columns["Line_Number__c"]], {})
            found += wrong(f"{number} line {wanted['Line_Number__c']}", line, wanted)
    names = {one["invoice"] for one in posted}
    found += [f"{row['Name']}: nobody posted it" for row in invoices if row["Name"] not in names]
    return found


def _header(one: Row, account: str | None) -> dict[str, Any]:
    kind = "sales" if one["sales_order"] else "freetext"
    return {
        "D365_Key__c": f"{one['company']}|{kind}|{one['invoice']}|{one['voucher']}",
        "Account__c": account or "the account of its customer",
        "Invoice_Date__c": one["date"],
        "Due_Date__c": one["due_date"],
        "Amount__c": one["amount"],
        "Tax_Amount__c": one["tax"],
        "CurrencyIsoCode": one["currency"],
        "D365_Company__c": one["company"],
        "D365_Order_Number__c": one["sales_order"],
    }


def open_and_status(transaction: Row) -> dict[str, Any]:
    amount, left = exact(transaction["AmountCur"]), _open(transaction, "Cur")
    if not left:
        status = "Paid"
    elif left > 0 and transaction["DueDate"][:10] < _today():
        status = "Overdue"
    else:
        status = "Open" if left == amount else "Partly Paid"
    return {"Open_Amount__c": left, "Status__c": status}


async def payment_differences(sandbox: Sandbox, customers: Collection[str]) -> list[str]:
    """The amounts on the accounts of these customers, in the currency of their company."""
    accounts = {
        row["D365_Customer_Number__c"]: row for row in await rows(sandbox, "salesforce", "Account")
    }
    transactions = await rows(sandbox, "d365", "CustTransBiEntities")
    found: list[str] = []
    for number in customers:
        own = [row for row in transactions if row["AccountNum"] == number]
        paid = [row for row in own if row["TransType"] == "Payment"]
        late = [r for r in own if _open(r) > 0 and "1900" < r["DueDate"][:10] < _today()]
        wanted = {
            "D365_Open_Amount__c": sum((_open(row) for row in own), Decimal(0)),
            "D365_Overdue_Amount__c": sum((_open(row) for row in late), Decimal(0)),
            "D365_Paid_Amount__c": -sum((exact(row["AmountMST"]) for row in paid), Decimal(0)),
            "D365_Last_Payment_Date__c": max((r["TransDate"][:10] for r in paid), default=None),
        }
        found += wrong(f"account of {number}", accounts.get(number, {}), wanted)
    return found


def _open(row: Row, currency: str = "MST") -> Decimal:
    return exact(row[f"Amount{currency}"]) - exact(row[f"SettleAmount{currency}"])


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
