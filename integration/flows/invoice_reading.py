"""Reads posted invoices of F&O with their lines and customer transactions, many in one or two calls.

Sales invoices, their lines and the transactions are found by the invoice's number in one `$batch`. Lines
of a free text invoice name their header by its record id, so they cost a second one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.d365.business_keys import InvoiceKey, same_text
from integration.d365.filters import Filter, eq
from integration.d365.literals import COMPANY
from integration.errors import ContractError, IntegrationError, RecordBusy, RecordRejected
from integration.flows.invoice_assembling import (
    FREE_TEXT_HEADERS,
    FREE_TEXT_LINES,
    FREE_TEXT_NUMBER,
    IDENTIFIER,
    INVOICE_NUMBER,
    PARENT,
    POSTED,
    SALES_HEADERS,
    SALES_LINES,
    TRANSACTIONS,
    VOUCHER,
    Found,
    PostedInvoice,
    free_text_invoices,
    sales_invoices,
)
from integration.flows.reading import rows_of_sets
from integration.mapping.invoices import (
    DUE,
    NAME,
    TAX,
    TOTAL,
    free_text_header,
    free_text_line,
    sales_header,
    sales_line,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.d365.client import D365Client
    from integration.flows.flow import Record

_COMPUTED = {TOTAL, TAX, DUE, NAME}  # put together by the app
_KEYS: dict[str, tuple[str, ...]] = {
    SALES_HEADERS: (COMPANY, INVOICE_NUMBER, "InvoiceDate", VOUCHER, "InvoiceCustomerAccountNumber"),
    SALES_LINES: (COMPANY, INVOICE_NUMBER, "InvoiceDate", VOUCHER),
    FREE_TEXT_HEADERS: (
        COMPANY, IDENTIFIER, FREE_TEXT_NUMBER, POSTED, "CustomerAccount", "InvoiceAccount", DUE,
    ),
    FREE_TEXT_LINES: (COMPANY, PARENT),
    TRANSACTIONS: (
        COMPANY, "SourceKey", "AccountNum", "Invoice", "Voucher", "TransType", "DueDate",
        "AmountCur", "SettleAmountCur",
    ),
}  # fmt: skip


def selected() -> dict[str, tuple[str, ...]]:
    """The fields that are read of each entity set: the keys, and what the mapping reads."""
    tables = (sales_header(), sales_line(), free_text_header(), free_text_line())
    fields = dict(_KEYS)
    for table in tables:
        mapped = [name for name in table.target_fields() if name not in _COMPUTED]
        name = table.target_entity
        fields[name] = tuple(dict.fromkeys((*fields[name], *mapped)))
    return fields


class PostedInvoices:
    def __init__(self, client: D365Client, terms: int) -> None:
        """`terms` is the most comparisons of one filter."""
        self._client = client
        self._terms = terms
        self._select = selected()

    async def find(
        self, keys: Mapping[str, InvoiceKey]
    ) -> dict[str, list[PostedInvoice] | Exception]:
        """The invoices per key of a hint: several where the number was used more than once.

        RecordBusy for one that F&O does not show (yet).
        """
        answers: dict[str, list[PostedInvoice] | Exception] = {}
        found = await self._rows(keys, answers)
        for name, key in keys.items():
            if name in answers:
                continue
            try:
                make = sales_invoices if key.kind == "sales" else free_text_invoices
                invoices = [
                    invoice
                    for invoice in make(key, found)
                    if key.voucher is None
                    or same_text(invoice.key.voucher) == same_text(key.voucher)
                ]
                answers[name] = invoices or RecordBusy(
                    f"F&O shows no invoice {key.number} in {key.company}",
                    reason="invoice-not-found",
                    system="d365",
                )
            except IntegrationError as error:
                answers[name] = error
            except (ArithmeticError, KeyError, TypeError, ValueError) as error:
                answers[name] = ContractError(
                    f"invoice {key.number} of {key.company} cannot be read: {type(error).__name__}",
                    system="d365",
                )
        return answers

    async def _rows(
        self,
        keys: Mapping[str, InvoiceKey],
        answers: dict[str, list[PostedInvoice] | Exception],
    ) -> Found:
        terms: dict[str, dict[str, Filter]] = {TRANSACTIONS: {}}
        for name, key in keys.items():
            sales = key.kind == "sales"
            columns = {TRANSACTIONS: "Invoice"}
            if sales:
                columns |= {SALES_HEADERS: INVOICE_NUMBER, SALES_LINES: INVOICE_NUMBER}
            else:
                columns[FREE_TEXT_HEADERS] = FREE_TEXT_NUMBER
            try:
                mine = {each: eq(column, key.number) for each, column in columns.items()}
            except RecordRejected as error:  # a number with `*` would match other invoices
                answers[name] = error
                continue
            for each, term in mine.items():
                terms.setdefault(each, {})[term.text] = term
        found = Found()
        for entity_set, rows in (await self._read(terms)).items():
            column = {TRANSACTIONS: "Invoice", FREE_TEXT_HEADERS: FREE_TEXT_NUMBER}
            found.add(entity_set, rows, column.get(entity_set, INVOICE_NUMBER))
        await self._add_free_text_lines(found)
        return found

    async def _add_free_text_lines(self, found: Found) -> None:
        headers = [row for rows in found.rows.get(FREE_TEXT_HEADERS, {}).values() for row in rows]
        if not headers:
            return
        terms = [eq(PARENT, row[IDENTIFIER]) for row in headers]
        rows = await self._read({FREE_TEXT_LINES: {term.text: term for term in terms}})
        by_parent: dict[Any, list[Record]] = {}
        for row in rows[FREE_TEXT_LINES]:
            by_parent.setdefault((same_text(row.get(COMPANY)), row.get(PARENT)), []).append(row)
        for header in headers:
            header[FREE_TEXT_LINES] = by_parent.get(
                (same_text(header.get(COMPANY)), header[IDENTIFIER]), []
            )

    async def _read(self, terms: Mapping[str, Mapping[str, Filter]]) -> dict[str, list[Record]]:
        return await rows_of_sets(
            self._client,
            {entity_set: list(each.values()) for entity_set, each in terms.items()},
            self._select,
            per_filter=self._terms,
        )
