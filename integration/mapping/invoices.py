"""Posted invoices → Invoice__c and Invoice_Line__c: one pair of tables for each kind of invoice.

F&O owns every field. Amounts are in the invoice's currency, negative on a credit note. What neither
header nor lines of F&O hold comes from the customer transactions (F&O contract 5.8): the due date, and of
a free text invoice its total and its voucher. How much of an invoice is open changes later, which is the
payment flow's business; a new invoice starts with what is open now.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from integration.mapping import codes, transforms
from integration.mapping.tables import FieldRule, Mapped, MappingTable, Record
from integration.mapping.values import number_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date

    from integration.mapping.transform import Transform
    from integration.mapping.values import Value

INVOICE, LINE = "Invoice__c", "Invoice_Line__c"
CURRENCY = "CurrencyIsoCode"
DUE_DATE, OPEN, STATUS = "Due_Date__c", "Open_Amount__c", "Status__c"
# Columns that a row gets beside its own: from the transactions, or put together.
TOTAL, TAX, DUE, NAME = "AmountCur", "SumTax", "DueDate", "LineName"
_NO_DATE = "1900-01-01"


def _rule(field: str, column: str, transform: Transform, note: str = "") -> FieldRule:
    return FieldRule(field, column, transform, owner="d365", note=note)


def _header(entity_set: str, *rules: FieldRule) -> MappingTable:
    t = transforms
    common = (
        _rule("Invoice_Date__c", "InvoiceDate", t.date()),
        _rule(DUE_DATE, DUE, t.date(), "of the customer transaction: the earliest that is open"),
        _rule(CURRENCY, "CurrencyCode", codes.currency(), "in orgs with several currencies"),
        _rule("D365_Company__c", "dataAreaId", t.cut(4), "legal entity"),
    )
    return MappingTable(
        "invoices", INVOICE, entity_set, (*rules, *common), optional_sources=frozenset({CURRENCY})
    )


def _line(entity_set: str, *rules: FieldRule) -> MappingTable:
    common = (
        _rule("Name", NAME, transforms.cut(80), "invoice number and line number"),
        _rule(CURRENCY, "CurrencyCode", codes.currency(), "in orgs with several currencies"),
    )
    return MappingTable(
        "invoice lines", LINE, entity_set, (*rules, *common),
        optional_sources=frozenset({CURRENCY}),
    )  # fmt: skip


def sales_header() -> MappingTable:
    t = transforms
    return _header(
        "SalesInvoiceHeadersV2",
        _rule("Name", "InvoiceNumber", t.cut(80)),
        _rule("Amount__c", "TotalInvoiceAmount", t.decimal_(2), "with tax"),
        _rule("Tax_Amount__c", "TotalTaxAmount", t.decimal_(2)),
        _rule("D365_Order_Number__c", "SalesOrderNumber", t.cut(40),
              "empty on a collective invoice"),
        _rule("Customer_Reference__c", "CustomersOrderReference", t.cut(80)),
    )  # fmt: skip


def sales_line() -> MappingTable:
    t = transforms
    return _line(
        "SalesInvoiceV2Lines",
        _rule("Line_Number__c", "LineCreationSequenceNumber", t.decimal_(0)),
        _rule("Item_Number__c", "ProductNumber", t.cut(40)),
        _rule("Description__c", "ProductName", t.cut(255)),
        _rule("Quantity__c", "InvoicedQuantity", t.decimal_(4)),
        _rule("Unit__c", "SalesUnitSymbol", t.cut(20)),
        _rule("Unit_Price__c", "SalesPrice", t.decimal_(4)),
        _rule("Amount__c", "LineAmount", t.decimal_(2), "without tax"),
        _rule("Tax_Amount__c", "LineTotalTaxAmount", t.decimal_(2)),
    )


def free_text_header() -> MappingTable:
    t = transforms
    return _header(
        "FreeTextInvoiceHeaders",
        _rule("Name", "FreeTextNumber", t.cut(80)),
        _rule("Amount__c", TOTAL, t.decimal_(2), "of the customer transaction, with tax"),
        _rule("Tax_Amount__c", TAX, t.decimal_(2), "the sum of the lines"),
        _rule("Customer_Reference__c", "CustomerReference", t.cut(80)),
    )


def free_text_line() -> MappingTable:
    t = transforms
    return _line(
        "FreeTextInvoiceLines",
        _rule("Line_Number__c", "LineNumber", t.decimal_(0)),
        _rule("Description__c", "Description", t.cut(255)),
        _rule("Quantity__c", "Quantity", t.decimal_(4)),
        _rule("Unit__c", "SalesUnit", t.cut(20)),
        _rule("Unit_Price__c", "UnitPrice", t.decimal_(4)),
        _rule("Amount__c", "TransactionCurrencyAmount", t.decimal_(2), "without tax"),
        _rule("Tax_Amount__c", "SalesTaxAmount", t.decimal_(2)),
    )


def mapped_for(table: MappingTable, row: Record, available: Collection[str]) -> Mapped:
    """An F&O row as Salesforce takes it, for an org that has the `available` fields.

    Salesforce cuts blanks off the ends of a text, so they do not count.
    """
    mapped = table.apply_back(row)
    lacking = table.optional_sources - set(available)
    values = {
        name: (value.strip() or None) if isinstance(value, str) else value
        for name, value in mapped.values.items()
        if name not in lacking
    }
    if not values.get(CURRENCY, True):  # a record cannot be without one
        del values[CURRENCY]
    return Mapped(values, {}, mapped.problems)


@dataclass(frozen=True, slots=True)
class Receivable:
    """What the customer transactions of one invoice say together; several where it is paid in parts."""

    amount: Decimal
    open_amount: Decimal
    due: str | None  # as F&O writes it
    voucher: str

    @classmethod
    def of(cls, transactions: Sequence[Record]) -> Receivable | None:
        """Open = AmountCur - SettleAmountCur (F&O contract 5.8). None for no transaction."""
        if not transactions:
            return None
        rows = [
            (number_of(row["AmountCur"]), number_of(row["SettleAmountCur"]), _due(row))
            for row in transactions
        ]
        dues = [due for _, __, due in rows if due]
        open_dues = [due for amount, settled, due in rows if due and amount != settled]
        total = sum((amount for amount, _, __ in rows), Decimal(0))
        return cls(
            total,
            total - sum((settled for _, settled, __ in rows), Decimal(0)),
            min(open_dues) if open_dues else max(dues, default=None),
            str(transactions[0].get("Voucher") or ""),
        )

    @classmethod
    def unknown(cls, amount: object) -> Receivable:
        """An invoice without transaction: all of it is open, and nothing is known of its due date."""
        total = number_of(amount)
        return cls(total, total, None, "")

    def start(self, today: date) -> dict[str, Value]:
        """Fields of a new invoice only."""
        return {OPEN: self.open_amount, STATUS: self.status(today)}

    def status(self, today: date) -> str:
        if not self.open_amount:
            return "Paid"
        if self.due and self.due[:10] < today.isoformat() and self.open_amount > 0:
            return "Overdue"  # a credit note never is
        return "Open" if self.open_amount == self.amount else "Partly Paid"


def sum_of(lines: Sequence[Record], column: str) -> Decimal:
    return sum((number_of(row[column]) for row in lines), Decimal(0))


def _due(row: Record) -> str | None:
    due: Any = row.get(DUE)
    return due if isinstance(due, str) and not due.startswith(_NO_DATE) else None
