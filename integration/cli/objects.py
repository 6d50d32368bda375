"""Names of records as people give them: `account`, `Account`, `accounts`, `usmf|US-000123`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.cli.problems import WrongUse
from integration.d365.business_keys import CustomerKey, InvoiceKey
from integration.d365.filters import Filter
from integration.d365.literals import COMPANY
from integration.errors import ContractError
from integration.flows.customers import ENTITY_SET as CUSTOMERS
from integration.flows.invoice_assembling import FREE_TEXT_HEADERS, SALES_HEADERS
from integration.flows.reconcile_keys import Ref
from integration.salesforce.ids import is_id, to_18
from integration.salesforce.soql import select

if TYPE_CHECKING:
    from integration.d365.business_keys import Kind
    from integration.flows.context import FlowEntry
    from integration.messaging.hints import Source
    from integration.wiring import App

_WORDS = {
    "account": "Account", "accounts": "Account",
    "contact": "Contact", "contacts": "Contact",
    "opportunity": "Opportunity", "opportunities": "Opportunity", "orders": "Opportunity",
    "customer": "Customer", "customers": "Customer",
    "salesinvoice": "SalesInvoice", "invoice": "SalesInvoice", "invoices": "SalesInvoice",
    "freetextinvoice": "FreeTextInvoice",
    "product": "Product", "products": "Product", "prices": "Product",
}  # fmt: skip
NAMES = "Account, Contact, Opportunity, Customer, SalesInvoice or FreeTextInvoice"
# Of F&O: where the records are, which column holds the number, and the kind of an invoice.
_SETS: dict[str, tuple[str, str, Kind | None]] = {
    "Customer": (CUSTOMERS, "CustomerAccount", None),
    "SalesInvoice": (SALES_HEADERS, "InvoiceNumber", "sales"),
    "FreeTextInvoice": (FREE_TEXT_HEADERS, "FreeTextNumber", "freetext"),
}
_POSTED = "IsPosted"


def object_named(word: str) -> str:
    """Raises WrongUse."""
    found = _WORDS.get(word.casefold())
    if found is None:
        raise WrongUse(f"there is no object {word}", f"one of {NAMES}")
    return found


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one object: by their ids, or by a condition."""

    app: App
    entry: FlowEntry

    @classmethod
    def of(cls, app: App, word: str) -> Records:
        """Raises WrongUse."""
        name = object_named(word)
        entry = next((each for each in app.entries if each.object == name), None)
        if entry is None:
            raise WrongUse(f"no flow handles {name} by itself", f"one of {NAMES}; or `backfill`")
        return cls(app, entry)

    @property
    def name(self) -> str:
        return self.entry.object

    def named(self, ids: list[str]) -> list[Ref]:
        """Raises WrongUse for what is no id of such a record."""
        return [self._ref(each) for each in dict.fromkeys(ids)]

    def _ref(self, text: str) -> Ref:
        try:
            if self.name == "Customer":
                customer = CustomerKey.parse(text)
                return self._made(customer.text, None, customer.company)
            if self.name in _SETS:
                invoice = InvoiceKey.parse(text)
                if invoice.kind != _SETS[self.name][2]:
                    raise ContractError("another kind of invoice")
                return self._made(invoice.text, invoice.root, invoice.company)
        except ContractError:
            raise WrongUse(f"{text} is no key of a {self.name}", self._form()) from None
        if not is_id(text):
            raise WrongUse(f"{text} is no Salesforce id", "15 or 18 letters and digits")
        # The account of a contact or an order is not known here: its own id leads there too.
        return self._made(to_18(text), to_18(text), None)

    def _form(self) -> str:
        kind = _SETS[self.name][2]
        return "usmf|US-000123" if kind is None else f"usmf|{kind}|INV-000123, in quotes"

    async def where(self, condition: str, limit: int) -> list[Ref]:
        """SOQL for Salesforce, an OData $filter for F&O. Raises what the system says of it."""
        if self.entry.source == "salesforce":
            root = self.entry.root_field
            fields = tuple(dict.fromkeys(("Id", root)))
            query = select(self.name, fields, where=condition, order_by=("Id",), limit=limit)
            rows = await self.app.salesforce.query_all_rows(query)
            return [self._made(row["Id"], row.get(root) or row["Id"], None) for row in rows]
        entity, number, kind = _SETS[self.name]
        posted = (_POSTED,) if kind == "freetext" else ()
        query_rows = self.app.d365.query(
            entity,
            filter=Filter(condition) if condition else None,
            select=(COMPANY, number, *posted),
            orderby=(COMPANY, number),
            top=limit,
        )
        rows = [row async for row in query_rows if row.get(_POSTED, "Yes") == "Yes"]
        return [self._of_row(row[COMPANY], row[number]) for row in rows if row.get(number)]

    def _of_row(self, company: str, number: str) -> Ref:
        kind = _SETS[self.name][2]
        if kind is not None:
            key = InvoiceKey(company.lower(), kind, number)
            return self._made(key.text, key.root, company.lower())
        return self._made(CustomerKey(company, number).text, None, company.lower())

    def _made(self, key: str, root: str | None, company: str | None) -> Ref:
        side: Source = "salesforce" if self.entry.source == "salesforce" else "d365"
        return Ref(self.entry.flow.name, side, self.name, key, root, company)
