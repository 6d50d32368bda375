"""Flow 6, F&O → Salesforce: a posted invoice becomes Invoice__c with its Invoice_Line__c.

Upserts by External ID, the account by External ID too. Failure policy: retry 3×, then the reconciliation
ledger (spec 1); an account that is not in Salesforce yet is such a failure. Hints are keyed
`company|kind|number[|voucher]`; their root is the key without the voucher.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from integration.d365.business_keys import CustomerKey, InvoiceKey
from integration.errors import ContractError, RecordNeedsReview, SystemName
from integration.flows.flow import Flow, Write
from integration.flows.invoice_assembling import NUMBER, PostedInvoice
from integration.flows.invoice_compare import compare_invoice
from integration.flows.invoice_reading import PostedInvoices
from integration.flows.invoice_rows import (
    HeldInvoice,
    Invoices,
    InvoiceWrite,
    WantedInvoice,
    WantedLine,
)
from integration.flows.numbers import qualified
from integration.flows.outcomes import Skipped
from integration.mapping.invoices import (
    CURRENCY,
    INVOICE,
    LINE,
    free_text_header,
    free_text_line,
    mapped_for,
    sales_header,
    sales_line,
)
from integration.mapping.tables import rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from integration.flows.context import FlowContext
    from integration.flows.flow import Record
    from integration.flows.outcomes import Moved
    from integration.state.aliases import Alias

_TABLES = {
    "sales": (sales_header(), sales_line()),
    "freetext": (free_text_header(), free_text_line()),
}


@dataclass(frozen=True, slots=True)
class Held:
    """What Salesforce holds of the wanted invoices, by key in lower case."""

    invoices: Mapping[str, HeldInvoice]


class InvoiceFlow(Flow[tuple[WantedInvoice, ...], Held]):
    name = "invoices"
    systems: tuple[SystemName, ...] = ("d365", "salesforce")

    def __init__(
        self,
        context: FlowContext,
        *,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        settings = context.settings
        self.policy = context.policy(self.name)
        self._salesforce = context.salesforce
        self._account_field = settings.salesforce.customer_number_field
        self._posted = PostedInvoices(context.d365, settings.d365.filter_terms)
        self._invoices = Invoices(context.salesforce, self._account_field)
        self._companies = context.customisation.company_rule(settings.d365.company)
        self._aliases = context.aliases
        self._org_currency = context.customisation.accounts.defaults.SalesCurrencyCode
        self._today = today

    async def read(self, keys: list[str]) -> Mapping[str, Record | Skipped | Moved | Exception]:
        fields = {name: await self._writable(name) for name in (INVOICE, LINE)}
        answers: dict[str, Record | Skipped | Moved | Exception] = {}
        wanted: dict[str, InvoiceKey] = {}
        for key in keys:
            try:
                parsed = InvoiceKey.parse(key)
            except ContractError as error:
                answers[key] = error
                continue
            if self._companies.serves(parsed.company):
                wanted[key] = parsed
            else:
                answers[key] = Skipped("company-not-served", parsed.company)
        if wanted:
            for key, found in (await self._posted.find(wanted)).items():
                if isinstance(found, Exception):
                    answers[key] = found
                else:
                    record = {"key": wanted[key], "invoices": found, "fields": fields}
                    answers[key] = record
        await self._add_aliases([each for each in answers.values() if isinstance(each, dict)])
        return answers

    async def _add_aliases(self, records: Sequence[Record]) -> None:
        """Customers of merged accounts: their invoices go to the account that survived."""
        if self._aliases is None:
            return
        numbers = {
            CustomerKey(invoice.key.company, invoice.account).text
            for record in records
            for invoice in record["invoices"]
        }
        found = await self._aliases.find(numbers) if numbers else {}
        for record in records:
            record["aliases"] = found

    async def _writable(self, name: str) -> frozenset[str]:
        described = await self._salesforce.describe(name)
        return frozenset(field["name"] for field in described["fields"] if field.get("createable"))

    def root_of(self, record: Record) -> str:
        key: InvoiceKey = record["key"]
        return key.root

    def wanted(self, record: Record) -> tuple[WantedInvoice, ...] | Skipped:
        posted: list[PostedInvoice] = [each for each in record["invoices"] if each.posted]
        if not posted:
            return Skipped("not-posted")
        aliases: Mapping[str, Alias] = record.get("aliases", {})
        return tuple(self._mapped(invoice, record["fields"], aliases) for invoice in posted)

    def _mapped(
        self,
        invoice: PostedInvoice,
        fields: Mapping[str, frozenset[str]],
        aliases: Mapping[str, Alias],
    ) -> WantedInvoice:
        """Raises RecordRejected for what cannot be carried over."""
        header, line = _TABLES[invoice.key.kind]
        self._check_currency(invoice, fields[INVOICE])
        mapped = mapped_for(header, invoice.header, fields[INVOICE])
        lines = [
            WantedLine(
                f"{invoice.key.text}|{row[NUMBER]}",
                line,
                mapped_for(line, row, fields[LINE]),
                str(row.get("ProductNumber") or ""),
            )
            for row in invoice.lines
        ]
        problems = [*mapped.problems, *(each for one in lines for each in one.mapped.problems)]
        if problems:
            raise rejection(problems)
        return WantedInvoice(
            invoice.key.text,
            header,
            mapped,
            self._account(CustomerKey(invoice.key.company, invoice.account), aliases),
            self._qualified(invoice.key.company, str(invoice.header.get("SalesOrderNumber") or "")),
            invoice.receivable.start(self._today()),
            tuple(lines),
        )

    def _account(self, customer: CustomerKey, aliases: Mapping[str, Alias]) -> str:
        """The External ID of the customer's account."""
        alias = aliases.get(customer.text)
        own = CustomerKey.parse(alias.into) if alias else customer
        return self._qualified(own.company, own.number)

    def _qualified(self, company: str, number: str) -> str:
        one = self._companies.is_single_company
        return qualified(company, number, one_company=one) if number else ""

    def _check_currency(self, invoice: PostedInvoice, fields: frozenset[str]) -> None:
        """An org with one currency would show any amount in that one."""
        currency = str(invoice.header.get("CurrencyCode") or "")
        own = self._org_currency
        if CURRENCY not in fields and own and currency.upper() != own.upper():
            raise RecordNeedsReview(
                f"invoice {invoice.key.number} is in {currency}, but Salesforce has {own} only",
                reason="foreign-currency",
            )

    async def find(
        self, wanted: Mapping[str, tuple[WantedInvoice, ...]]
    ) -> Mapping[str, Held | Exception | None]:
        invoices = [invoice for each in wanted.values() for invoice in each]
        lines = [line for invoice in invoices for line in invoice.lines]
        held = await self._invoices.find(
            invoices,
            dict.fromkeys(name for each in invoices for name in each.mapped.values),
            dict.fromkeys(name for each in lines for name in each.mapped.values),
        )
        return dict.fromkeys(wanted, Held(held))

    def compare(
        self, wanted: tuple[WantedInvoice, ...], current: Held | None
    ) -> Write | Skipped | None:
        writes = [write for invoice in wanted if (write := self._difference(invoice, current))]
        if not writes:
            return None
        merged = writes[0]
        for other in writes[1:]:  # several invoices with one number
            merged = replace(
                merged,
                values={**merged.values, **other.values},
                differences=(*merged.differences, *other.differences),
                invoices=(*merged.invoices, *other.invoices),
                lines=(*merged.lines, *other.lines),
            )
        return merged

    def _difference(self, invoice: WantedInvoice, current: Held | None) -> InvoiceWrite | None:
        held = current.invoices.get(invoice.key.casefold()) if current else None
        return compare_invoice(invoice, held, self._invoices.links, self._account_field)

    async def write(
        self, changes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Skipped | Exception]:
        writes = {key: each for key, each in changes.items() if isinstance(each, InvoiceWrite)}
        errors = await self._invoices.write(writes)
        return {key: errors.get(key, {}) for key in writes}

    def back(self, record: Record, written: Record | None, current: Held | None) -> Record:
        """Nothing: F&O need not know."""
        return {}

    async def write_back(self, fields: Mapping[str, Record]) -> Mapping[str, Exception]:
        return {}
