"""What the flows need of F&O: entity sets, their columns to read, to create and to change, and companies.

Pure; from the mapping tables with the tenant's changes and from the settings. Flows that are off need
nothing; those on `dry` need everything. The stock check is always there.
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
    written,
)
from integration.d365.literals import COMPANY
from integration.flows import contact_duplicates, contact_persons, customers, order_customers
from integration.flows import invoice_reading as invoices
from integration.flows import sales_orders as orders
from integration.flows.invoice_assembling import TRANSACTIONS
from integration.flows.price_rules import AGREEMENT_FIELDS, VARIANTS, PriceRules
from integration.flows.products import AGREEMENTS, ORDER_SETTINGS, PRODUCTS
from integration.flows.stock import ON_HAND
from integration.flows.stock_levels import QUANTITIES, SITE, UNIT, WAREHOUSE
from integration.mapping import payments
from integration.mapping.contacts import contact_mapping
from integration.mapping.customer_accounts import CustomerAccountMapping, customer_account_table
from integration.mapping.order_tables import NUMBER, QUANTITY, header_table, line_table
from integration.mapping.products import ITEM, ProductMapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from integration.mapping.companies import CompanyRule
    from integration.mapping.customisation import Customisation
    from integration.settings import Settings


@dataclass(frozen=True)
class D365Needs:
    settings: Settings
    customisation: Customisation

    def sets(self) -> dict[str, Needs]:
        """Entity set → what is needed of it."""
        needs: NeedsByName = defaultdict(Needs)
        adds: Mapping[str, Callable[[NeedsByName], None]] = {
            "accounts": self._accounts,
            "contacts": self._contacts,
            "orders": self._orders,
            "customers": self._customers,
            "invoices": self._invoices,
            "prices": self._prices,
            "payments": self._payments,
        }
        for flow, switch in switches(self.settings).items():
            if switch != "off":
                adds[flow](needs)
        needs[PRODUCTS].add("stock", read=(COMPANY, ITEM, UNIT))
        needs[ON_HAND].add("stock", read=(COMPANY, ITEM, SITE, WAREHOUSE, *QUANTITIES.values()))
        return dict(needs)

    def companies(self) -> dict[str, str]:
        """Every company that a rule names, lower case → who names it."""
        prices, rule = self.customisation.prices, self._company_rule()
        named: dict[str, list[str]] = defaultdict(list)
        for company in rule.companies:
            by_setting = company == self.settings.d365.company.lower()
            named[company].append("D365_COMPANY" if by_setting else "[companies]")
        for company in PriceRules(prices, self.settings.d365.company).companies:
            if company not in named:
                named[company].append("[prices]")
        for company in self.settings.payments.currencies:
            named[company.lower()].append("PAYMENTS_CURRENCIES")
        return {company: ", ".join(dict.fromkeys(by)) for company, by in named.items()}

    def _company_rule(self) -> CompanyRule:
        return self.customisation.company_rule(self.settings.d365.company)

    @property
    def _account_id(self) -> dict[str, str]:
        return {self.settings.d365.salesforce_id_field: "D365_SALESFORCE_ID_FIELD"}

    def _accounts(self, needs: NeedsByName) -> None:
        app, gone = self.settings.app, self.settings.gone
        table = mapped_accounts(self.settings, self.customisation).table
        sent = written(table)
        own = {customers.NUMBER} if app.customer_numbering == "salesforce-id" else set()
        marks = {"OnHoldStatus"} if gone.accounts == "block" else set()
        custom = dict(self._account_id)
        if gone.customer_field:
            custom[gone.customer_field] = "DELETED_CUSTOMER_FIELD"
            marks |= {gone.customer_field} if gone.accounts in ("mark", "block") else set()
        creates = {COMPANY, *sent, *own} if app.customer_creation != "off" else set()
        needs[customers.ENTITY_SET].add(
            "accounts",
            read={COMPANY, customers.NUMBER, "OnHoldStatus", *custom, *table.target_fields()},
            create=creates,
            update=written(table, always=True) | marks,
            custom=custom,
        )

    def _contacts(self, needs: NeedsByName) -> None:
        gone, id_field = self.settings.gone, self.settings.d365.salesforce_contact_id_field
        table = contact_mapping(
            self.customisation,
            contact_id_field=id_field,
            contact_number_field=self.settings.salesforce.contact_number_field,
        ).table
        custom = {id_field: "D365_SALESFORCE_CONTACT_ID_FIELD"}
        marks: set[str] = set()
        if gone.contact_field:
            custom[gone.contact_field] = "DELETED_CONTACT_FIELD"
            marks = {gone.contact_field} if gone.contacts == "mark" else set()
        needs[contact_persons.ENTITY_SET].add(
            "contacts",
            read={
                COMPANY, contact_persons.NUMBER, *custom, *contact_duplicates.COMPARED,
                *table.target_fields(),
            },
            create={COMPANY, contact_duplicates.PARTY, *written(table)},
            update=written(table, always=True) | marks,
            custom=custom,
        )  # fmt: skip
        key = (COMPANY, customers.NUMBER, contact_persons.CUSTOMER_PARTY, *self._account_id)
        needs[customers.ENTITY_SET].add("contacts", read=key, custom=self._account_id)

    def _orders(self, needs: NeedsByName) -> None:
        settings = self.settings.orders
        header = written(header_table(settings, self.customisation.books))
        line = written(line_table(settings))
        own = settings.numbering == "opportunity-id"
        header_custom = {} if own else {settings.id_field: "ORDER_ID_FIELD"}
        line_custom = {settings.line_id_field: "ORDER_LINE_ID_FIELD"}
        needs[orders.HEADERS].add(
            "orders",
            read={
                COMPANY,
                NUMBER,
                orders.CUSTOMER,
                "CurrencyCode",
                orders.ORDER_STATUS,
                *header_custom,
            },
            create={COMPANY, *header},
            custom=header_custom,
        )
        needs[orders.LINES].add(
            "orders",
            read={
                COMPANY, NUMBER, "InventoryLotId", ITEM, QUANTITY, "LineAmount",
                *line_custom,
            },
            create={COMPANY, NUMBER, *line},
            custom=line_custom,
        )  # fmt: skip
        buyer = (COMPANY, customers.NUMBER, *order_customers.FIELDS, *self._account_id)
        needs[customers.ENTITY_SET].add("orders", read=buyer, custom=self._account_id)
        needs[PRODUCTS].add("orders", read=(COMPANY, ITEM))

    def _customers(self, needs: NeedsByName) -> None:
        accounts = mapped_accounts(self.settings, self.customisation)
        mapping = CustomerAccountMapping(
            accounts,
            customer_account_table(accounts.table),
            self.settings.salesforce.customer_number_field,
        )
        links = self.settings.app.customers_without_account != "ignore"
        match = self.customisation.customers.match.values()
        needs[customers.ENTITY_SET].add(
            "customers",
            read={
                COMPANY, customers.NUMBER, *self._account_id, *mapping.customer_fields(), *match,
            },
            update=self._account_id if links else (),
            custom=self._account_id,
        )  # fmt: skip

    def _invoices(self, needs: NeedsByName) -> None:
        for name, fields in invoices.selected().items():
            needs[name].add("invoices", read=fields)

    def _prices(self, needs: NeedsByName) -> None:
        prices = self.customisation.prices
        needs[PRODUCTS].add("prices", read=ProductMapping(prices).source_fields())
        needs[AGREEMENTS].add("prices", read=(*AGREEMENT_FIELDS, *VARIANTS))
        if prices.sales_stop:
            stopped = (COMPANY, ITEM, "IsSalesProcessingStopped")
            needs[ORDER_SETTINGS].add("prices", read=stopped)

    def _payments(self, needs: NeedsByName) -> None:
        needs[TRANSACTIONS].add("payments", read=(*payments.COLUMNS, "LastSettleDate"))
