"""Reads the source of the org package, and collects which Salesforce fields the app reads and writes.

The second comes from the mapping tables and from the constants of the flows, with the default mapping
file and with every optional feature of an org switched on.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from defusedxml.ElementTree import parse

from integration.flows import orders, pricebook_changes
from integration.flows.invoice_rows import KEY
from integration.flows.payment_writing import INVOICE_KEY
from integration.mapping import invoices, payments
from integration.mapping.accounts import OPTIONAL_SOURCES, account_mapping
from integration.mapping.contacts import OPTIONAL_SOURCES as OPTIONAL_OF_CONTACTS
from integration.mapping.contacts import contact_mapping
from integration.mapping.customer_accounts import customer_account_table
from integration.mapping.customisation import Customisation
from integration.mapping.order_tables import ACCOUNT, PRODUCT
from integration.mapping.orders import order_mapping
from integration.mapping.price_books import Prices
from integration.mapping.products import ProductMapping
from integration.settings import D365Settings, OrderSettings, SalesforceSettings

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from integration.mapping.tables import MappingTable

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "salesforce"
SOURCE = PACKAGE / "force-app" / "main" / "default"
_NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"


@dataclass(frozen=True)
class Metadata:
    """One metadata file; names without their namespace."""

    path: Path
    root: Element

    @property
    def name(self) -> str:
        return self.path.name.rsplit(".", 2)[0]

    @property
    def object(self) -> str:
        """Of a part of an object: whose it is."""
        return self.path.parents[1].name

    def text(self, path: str, otherwise: str = "") -> str:
        return self.root.findtext(path, otherwise)

    def texts(self, path: str) -> list[str]:
        return [element.text or "" for element in self.root.findall(path)]


@cache
def metadata(pattern: str) -> tuple[Metadata, ...]:
    """The files below the source that match."""
    found = []
    for path in sorted(SOURCE.glob(pattern)):
        root = parse(path).getroot()
        for element in root.iter():
            element.tag = element.tag.removeprefix(_NAMESPACE)
        found.append(Metadata(path, root))
    assert found, pattern
    return tuple(found)


def one(pattern: str) -> Metadata:
    [only] = metadata(pattern)
    return only


def custom_fields() -> dict[str, Metadata]:
    """`Object.Field__c` → its file."""
    files = metadata("objects/*/fields/*.field-meta.xml")
    return {f"{each.object}.{each.text('fullName')}": each for each in files}


def apex(name: str) -> str:
    [path] = SOURCE.glob(f"*/{name}.cls")
    return path.read_text(encoding="utf-8")


_MATCHED = ("AccountNumber", "BillingPostalCode", "Name")  # by `match accounts`
_INPUTS = ("Account.Legal_Entity__c", "Account.Customer_Group__c")  # for the mapping file to name


def _written_back(table: MappingTable) -> set[str]:
    return {rule.sources[0] for rule in table.rules if not rule.is_written and rule.sources}


def _settings() -> tuple[str, str, OrderSettings]:
    salesforce = SalesforceSettings.model_fields
    return (
        str(salesforce["customer_number_field"].default),
        str(salesforce["contact_number_field"].default),
        OrderSettings(ORDERS_SINCE="2025-01-01", delivery_address="account-shipping"),  # type: ignore[arg-type,call-arg]
    )


def _accounts() -> tuple[set[str], set[str], set[str]]:
    """What is read of accounts, what is written, and what a new account gets beside."""
    number, _, order_settings = _settings()
    customisation = Customisation()
    mapping = account_mapping(
        customisation,
        default_company="usmf",
        salesforce_id_field=str(D365Settings.model_fields["salesforce_id_field"].default),
        customer_number_field=number,
    )
    order = order_mapping(customisation, order_settings, default_company="usmf")
    available = {"ShippingCountryCode", "ShippingStateCode", *OPTIONAL_SOURCES}
    of_orders = {
        name.removeprefix(ACCOUNT)
        for name in order.source_fields(available, available)
        if name.startswith(ACCOUNT)
    }
    paid = {field.name for field in payments.FIELDS if field.object == "Account"}
    written = _written_back(customer_account_table(mapping.table)) | paid
    sent = {name for rule in mapping.table.rules if rule.is_written for name in rule.sources}
    read = {*mapping.source_fields(OPTIONAL_SOURCES), *of_orders, *customisation.customers.match}
    return read | written | {*_MATCHED}, written, sent - {"Id", "IsPersonAccount"}


def _orders() -> tuple[set[str], set[str]]:
    """Fields of Opportunity, and of its lines; those of related records by their path."""
    mapping = order_mapping(Customisation(), _settings()[2], default_company="usmf")
    read = {*orders._READ, *mapping.source_fields({"CurrencyIsoCode"}, ())}
    return {name for name in read if "." not in name}, {*mapping.line_fields(), "SortOrder"}


def _invoices() -> tuple[set[str], set[str]]:
    headers = (invoices.sales_header(), invoices.free_text_header())
    lines = (invoices.sales_line(), invoices.free_text_line())
    of_invoices = {name for table in headers for name in _written_back(table)}
    of_lines = {name for table in lines for name in _written_back(table)}
    paid = {field.name for field in payments.FIELDS if field.object == invoices.INVOICE}
    links = {"Account__c", "Opportunity__c"}
    return (
        of_invoices | paid | links | {KEY, INVOICE_KEY},
        of_lines | {KEY, "Invoice__c", "Product__c"},
    )


@dataclass(frozen=True)
class Usage:
    """`Object.Field` of all that the app reads and writes; `born` is written to new accounts only."""

    read: frozenset[str]
    written: frozenset[str]
    born: frozenset[str]


@cache
def usage() -> Usage:
    _, contact_number, __ = _settings()
    read, written = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    read["Account"], written["Account"], born = _accounts()
    contact = contact_mapping(
        Customisation(), contact_id_field="AnyId", contact_number_field=contact_number
    )
    read["Contact"] = {"AccountId", contact_number, *contact.source_fields(OPTIONAL_OF_CONTACTS)}
    written["Contact"] = {contact_number}
    read["Opportunity"], lines = _orders()
    written["Opportunity"] = {orders.NUMBER_FIELD, orders.STATUS, orders.ERROR}
    read["OpportunityLineItem"] = {name for name in lines if "." not in name}
    written["Product2"] = set(ProductMapping(Prices()).target_fields())
    read["Product2"] = {name.removeprefix(PRODUCT) for name in lines if name.startswith(PRODUCT)}
    written["PricebookEntry"] = {pricebook_changes.ENTRY_KEY}
    written["Invoice__c"], written["Invoice_Line__c"] = _invoices()
    return Usage(
        frozenset(_INPUTS) | _named(read) | _named(written),
        _named(written),
        frozenset(f"Account.{name}" for name in born),
    )


def _named(fields: dict[str, set[str]]) -> frozenset[str]:
    return frozenset(f"{name}.{each}" for name, names in fields.items() for each in names)
