"""Invoices in Salesforce as the target of the invoice flow: reads what is there, upserts what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.errors import IntegrationError, RecordBusy
from integration.flows.flow import Write
from integration.flows.invoice_links import ITEM, ORDER, Links
from integration.mapping.invoices import INVOICE, LINE
from integration.salesforce.errors import PARENT_NOT_FOUND
from integration.salesforce.soql import in_list, select
from integration.salesforce.together import Upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from integration.flows.flow import Record
    from integration.mapping.tables import Mapped, MappingTable
    from integration.salesforce.client import SalesforceClient

KEY = "D365_Key__c"
TO_ACCOUNT, TO_OPPORTUNITY = "Account__r", "Opportunity__r"
TO_INVOICE, TO_PRODUCT = "Invoice__r", "Product__r"
LINES = "Invoice_Lines__r"


@dataclass(frozen=True, slots=True)
class WantedLine:
    key: str
    table: MappingTable
    mapped: Mapped
    item: str


@dataclass(frozen=True, slots=True)
class WantedInvoice:
    """`account` and `order` are External IDs; `start` are fields that only a new invoice gets."""

    key: str
    table: MappingTable
    mapped: Mapped
    account: str
    order: str
    start: Record
    lines: tuple[WantedLine, ...]


@dataclass(frozen=True, slots=True)
class HeldInvoice:
    """What Salesforce holds; `lines` by their key in lower case, since External IDs ignore case."""

    record: Record
    lines: Mapping[str, Record]


@dataclass(frozen=True, slots=True)
class InvoiceWrite(Write):
    """`invoices` and `lines` are rows to upsert, each line with its invoice's key."""

    invoices: tuple[Record, ...] = ()
    lines: tuple[tuple[str, Record], ...] = ()


class Invoices:
    def __init__(self, salesforce: SalesforceClient, account_field: str) -> None:
        """`account_field` is the External ID of Account."""
        self.links = Links()
        self._salesforce = salesforce
        self._references = {TO_ACCOUNT: account_field, TO_OPPORTUNITY: ORDER}

    async def find(
        self,
        wanted: Sequence[WantedInvoice],
        fields: Collection[str],
        line_fields: Collection[str],
    ) -> dict[str, HeldInvoice]:
        """Those that exist, by their key in lower case, with their lines. The same call tells `links` what
        the invoices may point to."""
        if not wanted:
            return {}
        references = (f"{relation}.{name}" for relation, name in self._references.items())
        query = select(
            INVOICE,
            (KEY, *fields, *references),
            where=in_list(KEY, dict.fromkeys(invoice.key for invoice in wanted)),
            children=[select(LINES, (KEY, *line_fields, f"{TO_PRODUCT}.{ITEM}"))],
        )
        asked = self.links.queries(
            (line.item for invoice in wanted for line in invoice.lines),
            (invoice.order for invoice in wanted),
        )
        rows, *known = await self._salesforce.query_together([query, *asked])
        self.links.learn(row for each in known for row in each)
        held: dict[str, HeldInvoice] = {}
        for row in rows:
            lines = await self._salesforce.children(row, LINES)
            by_key = {str(line[KEY]).casefold(): line for line in lines}
            held[str(row[KEY]).casefold()] = HeldInvoice(row, by_key)
        return held

    async def write(self, changes: Mapping[str, InvoiceWrite]) -> dict[str, Exception]:
        """The errors by key of the hint."""
        invoices = {row[KEY]: row for change in changes.values() for row in change.invoices}
        lines = {pair[1][KEY]: pair for change in changes.values() for pair in change.lines}
        rows = [row for _, row in lines.values()]
        upserts = [Upsert(INVOICE, KEY, list(invoices.values())), Upsert(LINE, KEY, rows)]
        of_invoices, of_lines = await self._salesforce.upsert_together(upserts)
        refused: dict[str, Exception] = {}
        for (key, row), result in zip(invoices.items(), of_invoices, strict=True):
            if result.error is not None:
                refused[key] = self._translated(row, result.error)
        for (parent, row), result in zip(lines.values(), of_lines, strict=True):
            if result.error is not None:
                refused.setdefault(parent, self._translated(row, result.error))
        errors: dict[str, Exception] = {}
        for hint, change in changes.items():
            mine = (*(row[KEY] for row in change.invoices), *(parent for parent, _ in change.lines))
            found = next((refused[key] for key in mine if key in refused), None)
            if found is not None:
                errors[hint] = found
        if any(getattr(error, "reason", "") == PARENT_NOT_FOUND for error in errors.values()):
            self.links.forget()
        return errors

    def _translated(self, row: Record, error: IntegrationError) -> IntegrationError:
        """A parent may come later: the account's customer has its number only since a moment."""
        if error.reason != PARENT_NOT_FOUND:
            return error
        account: Any = row.get(TO_ACCOUNT)
        if account and self._references[TO_ACCOUNT] in error.description:
            number = account[self._references[TO_ACCOUNT]]
            return RecordBusy(
                f"no account in Salesforce has the customer number {number}",
                reason="account-not-in-salesforce",
                system="salesforce",
            )
        return RecordBusy(error.description, reason=PARENT_NOT_FOUND, system="salesforce")
