"""Puts invoices together from rows of F&O: each header with its lines and its customer transactions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from integration.d365.business_keys import InvoiceKey, same_text
from integration.d365.literals import COMPANY
from integration.errors import RecordBusy
from integration.mapping.invoices import DUE, NAME, TAX, TOTAL, Receivable, sum_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integration.flows.flow import Record

SALES_HEADERS, SALES_LINES = "SalesInvoiceHeadersV2", "SalesInvoiceV2Lines"
FREE_TEXT_HEADERS, FREE_TEXT_LINES = "FreeTextInvoiceHeaders", "FreeTextInvoiceLines"
TRANSACTIONS = "CustTransBiEntities"
INVOICE_NUMBER, FREE_TEXT_NUMBER, VOUCHER = "InvoiceNumber", "FreeTextNumber", "LedgerVoucher"
IDENTIFIER, PARENT, POSTED = "InvoiceIdentifier", "ParentRecId", "IsPosted"
_PAYMENT = "Payment"
NUMBER = "LineKey"  # a column put together: the line's number as text


@dataclass(frozen=True, slots=True)
class PostedInvoice:
    """`key` is complete; `header` and `lines` hold F&O's columns and those put together."""

    key: InvoiceKey
    account: str
    header: Record
    lines: list[Record]
    receivable: Receivable
    posted: bool = True


@dataclass(slots=True)
class Found:
    """Rows by company and number, as F&O compares them."""

    rows: dict[str, dict[tuple[str, str], list[Record]]] = field(default_factory=dict)

    def add(self, entity_set: str, rows: Iterable[Record], number: str) -> None:
        group = self.rows.setdefault(entity_set, {})
        for row in rows:
            group.setdefault((same_text(row.get(COMPANY)), same_text(row.get(number))), []).append(
                row
            )

    def of(self, entity_set: str, key: InvoiceKey) -> list[Record]:
        return self.rows.get(entity_set, {}).get(
            (same_text(key.company), same_text(key.number)), []
        )


def sales_invoices(key: InvoiceKey, found: Found) -> list[PostedInvoice]:
    invoices = []
    for row in found.of(SALES_HEADERS, key):
        same = [
            other
            for other in found.of(SALES_LINES, key)
            if same_text(other[VOUCHER]) == same_text(row[VOUCHER])
            and other["InvoiceDate"] == row["InvoiceDate"]
        ]
        receivable = Receivable.of(
            [
                other
                for other in _transactions(key, found, row["InvoiceCustomerAccountNumber"])
                if same_text(other["Voucher"]) == same_text(row[VOUCHER])
            ]
        ) or Receivable.unknown(row["TotalInvoiceAmount"])
        whole = InvoiceKey(row[COMPANY].lower(), "sales", row[INVOICE_NUMBER], row[VOUCHER])
        lines = [_line(whole, row, line, line["LineCreationSequenceNumber"]) for line in same]
        header = {**row, DUE: receivable.due}
        invoices.append(
            PostedInvoice(whole, row["InvoiceCustomerAccountNumber"], header, lines, receivable)
        )
    return invoices


def free_text_invoices(key: InvoiceKey, found: Found) -> list[PostedInvoice]:
    """The voucher is that of the customer transaction; without one there is nothing to key it by yet."""
    invoices = []
    for row in found.of(FREE_TEXT_HEADERS, key):
        account = row["InvoiceAccount"] or row["CustomerAccount"]
        receivable = Receivable.of(_transactions(key, found, account))
        posted = row[POSTED] == "Yes"
        if posted and (receivable is None or not receivable.voucher):
            raise RecordBusy(
                f"F&O shows no customer transaction of invoice {key.number} in {key.company}",
                reason="transaction-not-found",
                system="d365",
            )
        receivable = receivable or Receivable.unknown(0)
        voucher = receivable.voucher
        whole = InvoiceKey(row[COMPANY].lower(), "freetext", row[FREE_TEXT_NUMBER], voucher)
        lines = [_line(whole, row, line, line["LineNumber"]) for line in row[FREE_TEXT_LINES]]
        header = {
            **row,
            DUE: receivable.due or row.get(DUE),
            TOTAL: receivable.amount,
            TAX: sum_of(lines, "SalesTaxAmount"),
        }
        invoices.append(PostedInvoice(whole, account, header, lines, receivable, posted))
    return invoices


def _transactions(key: InvoiceKey, found: Found, account: str) -> list[Record]:
    """Those of the invoice itself: a payment may name it too."""
    return [
        row
        for row in found.of(TRANSACTIONS, key)
        if row["TransType"] != _PAYMENT and same_text(row["AccountNum"]) == same_text(account)
    ]


def _line(key: InvoiceKey, header: Record, line: Record, number: Any) -> Record:
    """A free text line has a decimal number, and may leave the currency to its header."""
    plain = str(int(number)) if number == int(number) else str(number)
    currency = line.get("CurrencyCode") or header["CurrencyCode"]
    return {**line, "CurrencyCode": currency, NUMBER: plain, NAME: f"{key.number} / {plain}"}
