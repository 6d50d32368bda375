"""What the flows need of Salesforce: fields to read, to create and to update.

Pure; from the mapping tables with the tenant's changes and from the settings. Flows that are off need
nothing; those on `dry` need everything, so that they can be switched on.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.cli.checks.needs import (
    Needs,
    NeedsByName,
    mapped_accounts,
    switches,
    written_back,
)
from integration.flows.invoice_rows import KEY as INVOICE_KEY
from integration.flows.order_status import ERROR, NUMBER_FIELD, STATUS
from integration.flows.pricebook_changes import ENTRY_KEY
from integration.mapping import payments
from integration.mapping.contacts import contact_mapping
from integration.mapping.customer_accounts import customer_account_table
from integration.mapping.invoices import (
    INVOICE,
    LINE,
    OPEN,
    free_text_header,
    free_text_line,
    sales_header,
    sales_line,
)
from integration.mapping.invoices import STATUS as INVOICE_STATUS
from integration.mapping.order_tables import ACCOUNT, PRODUCT
from integration.mapping.orders import order_mapping
from integration.mapping.products import EXTERNAL_ID, ProductMapping

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from integration.mapping.customisation import Customisation
    from integration.mapping.tables import FieldRule, MappingTable
    from integration.settings import Settings

_MASTER = "MasterRecordId"  # tells into which record a deleted one was merged
_CURRENCY = "CurrencyIsoCode"


def salesforce_needs(
    settings: Settings,
    customisation: Customisation,
    available: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Needs]:
    """Object → needs. `available`: the fields that are known to exist, by object; they decide which of the
    fields that an org has or has not are needed."""
    work = _Work(settings, customisation, available or {}, defaultdict(Needs))
    steps: Mapping[str, Callable[[], None]] = {
        "accounts": work.accounts,
        "contacts": work.contacts,
        "orders": work.orders,
        "customers": work.customers,
        "invoices": work.invoices,
        "prices": work.prices,
        "payments": work.payments,
    }
    for flow, switch in switches(settings).items():
        if switch != "off":
            steps[flow]()
    return dict(work.needs)


@dataclass(frozen=True)
class _Work:
    settings: Settings
    customisation: Customisation
    available: Mapping[str, Collection[str]]
    needs: NeedsByName

    @property
    def customer_number(self) -> str:
        return self.settings.salesforce.customer_number_field

    def known(self, object_name: str) -> Collection[str]:
        return self.available.get(object_name, ())

    def accounts(self) -> None:
        number = self.customer_number
        mapping = mapped_accounts(self.settings, self.customisation)
        read = (number, _MASTER, *mapping.source_fields(self.known("Account")))
        self.needs["Account"].add("accounts", read=read, update=(number,))

    def contacts(self) -> None:
        number = self.settings.salesforce.contact_number_field
        mapping = contact_mapping(
            self.customisation,
            contact_id_field=self.settings.d365.salesforce_contact_id_field,
            contact_number_field=number,
        )
        back = {number, *written_back(mapping.table)}
        read = {"AccountId", _MASTER, *mapping.source_fields(self.known("Contact")), *back}
        self.needs["Contact"].add("contacts", read=read, update=back)

    def orders(self) -> None:
        default = self.settings.d365.company
        mapping = order_mapping(self.customisation, self.settings.orders, default_company=default)
        told = (NUMBER_FIELD, STATUS, ERROR)
        fields = mapping.source_fields(self.known("Opportunity"), self.known("Account"))
        read = {"IsWon", "AccountId", "Amount", *told, *_own(fields)}
        self.needs["Opportunity"].add("orders", read=read, update=told)
        self.needs["Account"].add("orders", read=_of(ACCOUNT, fields))
        lines = mapping.line_fields()
        self.needs["OpportunityLineItem"].add("orders", read={"SortOrder", *_own(lines)})
        self.needs["Product2"].add("orders", read=_of(PRODUCT, lines))

    def customers(self) -> None:
        known, account = self.known("Account"), self.needs["Account"]
        mapping = mapped_accounts(self.settings, self.customisation)
        table = customer_account_table(mapping.table)
        lacking = {name for name in table.optional_sources if name not in known}
        back = {self.customer_number, *written_back(table)} - lacking
        useful = table.optional_sources & written_back(table)
        account.add("customers", read=back, update=back, useful=useful)
        unlinked = self.settings.app.customers_without_account
        if unlinked != "ignore":
            account.add("customers", read=self.customisation.customers.match)
        if unlinked == "create":
            born = {_first(rule.sources, known) for rule in mapping.table.rules if _is_told(rule)}
            born -= {"Id", *({_CURRENCY} - set(known))}
            account.add("customers", create=born | back)

    def invoices(self) -> None:
        headers, lines = (sales_header(), free_text_header()), (sales_line(), free_text_line())
        header = self._back(INVOICE, headers) | {"Account__c", "Opportunity__c"}
        born = header | {INVOICE_KEY, OPEN, INVOICE_STATUS}
        self.needs[INVOICE].add("invoices", read=born, create=born, update=header)
        line = self._back(LINE, lines) | {"Product__c"}
        born = line | {INVOICE_KEY, "Invoice__c"}
        self.needs[LINE].add("invoices", read=born, create=born, update=line)
        self.needs["Account"].add("invoices", read=(self.customer_number,))
        self.needs["Opportunity"].add("invoices", read=(NUMBER_FIELD,))
        self.needs["Product2"].add("invoices", read=(EXTERNAL_ID,))

    def _back(self, object_name: str, tables: Iterable[MappingTable]) -> set[str]:
        known = self.known(object_name)
        return {
            name
            for table in tables
            for name in written_back(table)
            if name not in table.optional_sources or name in known
        }

    def prices(self) -> None:
        fields = set(ProductMapping(self.customisation.prices).target_fields())
        changed = fields - {EXTERNAL_ID}
        self.needs["Product2"].add("prices", read=fields, create=fields, update=changed)
        entry = {ENTRY_KEY, "UnitPrice", "IsActive", "UseStandardPrice"}
        currency = {_CURRENCY} & set(self.known("PricebookEntry"))
        born = {*entry, "Pricebook2Id", "Product2Id", *currency}
        self.needs["PricebookEntry"].add("prices", read=born, create=born, update=entry)
        self.needs["Pricebook2"].add("prices", read=("Name", "IsStandard", "IsActive"))

    def payments(self) -> None:
        told = {each.name for each in payments.FIELDS if each.object == "Account"}
        if not self.settings.payments.currencies:
            told.discard(payments.CURRENCY)
        read = {self.customer_number, *told}
        self.needs["Account"].add("payments", read=read, update=told)
        paid = {OPEN, INVOICE_STATUS}
        self.needs[INVOICE].add("payments", read={INVOICE_KEY, *paid}, update=paid)


def _is_told(rule: FieldRule) -> bool:
    """A line whose field a new account gets from its customer."""
    told = rule.on == "always" or rule.target == "SalesCurrencyCode"
    return told and rule.applies_to({}) and bool(rule.sources)


def _first(sources: tuple[str, ...], known: Collection[str]) -> str:
    return next((name for name in sources if name in known), sources[0])


def _own(fields: Iterable[str]) -> set[str]:
    return {name for name in fields if "." not in name}


def _of(relation: str, fields: Iterable[str]) -> set[str]:
    return {name.removeprefix(relation) for name in fields if name.startswith(relation)}
