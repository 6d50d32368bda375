"""What reconciliation compares: the flows with the sources of their keys, and the counts of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.business_keys import CustomerKey, InvoiceKey
from integration.d365.filters import Filter, eq, ne
from integration.d365.literals import COMPANY, yes_no
from integration.flows import (
    accounts,
    contact_persons,
    contacts,
    customers,
    invoice_assembling,
    orders,
)
from integration.flows.order_status import NUMBER_FIELD
from integration.flows.products import PRODUCTS
from integration.flows.reconcile_counts import Count, Counts
from integration.flows.reconcile_keys import D365Keys, KeySource, Ref, SalesforceKeys
from integration.flows.reconcile_parts import Sides
from integration.mapping.products import ITEM
from integration.salesforce.ids import is_id, to_18
from integration.salesforce.soql import condition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from integration.d365.business_keys import Kind
    from integration.d365.client import D365Client
    from integration.flows.context import FlowEntry
    from integration.flows.flow import Record
    from integration.salesforce.client import SalesforceClient
    from integration.settings import Settings

INVOICES, CUSTOMERS = "invoices", "customers"
_POSTED = "IsPosted"


def build_sides(
    flows: Sequence[FlowEntry],
    settings: Settings,
    salesforce: SalesforceClient,
    d365: D365Client,
) -> Sides:
    """A flow that this app does not have is named in the report as not compared."""
    ours = f"{condition('IsWon', '=', True)} OR {condition(NUMBER_FIELD, '!=', None)}"
    sources: tuple[KeySource, ...] = (
        SalesforceKeys(salesforce, "accounts", accounts.OBJECT),
        SalesforceKeys(salesforce, "contacts", contacts.OBJECT, root=contacts.ACCOUNT),
        SalesforceKeys(salesforce, "orders", orders.OBJECT, root="AccountId", where=ours),
        D365Keys(
            d365,
            CUSTOMERS,
            (CUSTOMERS, "accounts"),
            customers.ENTITY_SET,
            customers.NUMBER,
            _customer_refs(settings.d365.salesforce_id_field),
            columns=(settings.d365.salesforce_id_field,),
            rolling=True,
        ),
        *_invoice_sources(d365, settings.reconcile.invoice_days),
    )
    return Sides(tuple(flows), sources, Counts(salesforce, d365, _counts(settings)))


def _customer_refs(id_field: str) -> Callable[[Record], list[Ref]]:
    """A customer is compared by its account's flow and by its own."""

    def refs(row: Record) -> list[Ref]:
        company = str(row[COMPANY]).lower()
        key = CustomerKey(company, str(row[customers.NUMBER])).text
        found = [Ref(CUSTOMERS, "d365", "Customer", key, None, company)]
        if is_id(row.get(id_field)):
            account = to_18(row[id_field])
            found.append(Ref("accounts", "salesforce", accounts.OBJECT, account, account))
        return found

    return refs


def _invoice_sources(d365: D365Client, days: int) -> list[KeySource]:
    """By number alone: that covers every voucher under which the number was used."""
    sales, free_text = invoice_assembling.SALES_HEADERS, invoice_assembling.FREE_TEXT_HEADERS
    return [
        D365Keys(
            d365, "sales invoices", (INVOICES,), sales, "InvoiceNumber",
            _invoice_refs("SalesInvoice", "sales", "InvoiceNumber"),
            date_field="InvoiceDate", days=days,
        ),
        D365Keys(
            d365, "free text invoices", (INVOICES,), free_text, "FreeTextNumber",
            _invoice_refs("FreeTextInvoice", "freetext", "FreeTextNumber"),
            columns=(_POSTED,), date_field="InvoiceDate", days=days,
        ),
    ]  # fmt: skip


def _invoice_refs(name: str, kind: Kind, number: str) -> Callable[[Record], list[Ref]]:
    def refs(row: Record) -> list[Ref]:
        if not row[number] or row.get(_POSTED, "Yes") != "Yes":
            return []
        company = str(row[COMPANY]).lower()
        key = InvoiceKey(company, kind, str(row[number]))
        return [Ref(INVOICES, "d365", name, key.text, key.root, company)]

    return refs


def _counts(settings: Settings) -> tuple[Count, ...]:
    d365, number = settings.d365, settings.salesforce.customer_number_field
    sales, free_text = invoice_assembling.SALES_HEADERS, invoice_assembling.FREE_TEXT_HEADERS
    persons = contact_persons.ENTITY_SET
    return (
        Count(
            "accounts with a customer",
            "Account",
            number,
            ((customers.ENTITY_SET, _filled(d365.salesforce_id_field), customers.NUMBER),),
        ),
        Count(
            "contacts with a contact person",
            "Contact",
            settings.salesforce.contact_number_field,
            ((persons, _filled(d365.salesforce_contact_id_field), contact_persons.NUMBER),),
        ),
        Count(
            "posted invoices",
            "Invoice__c",
            "D365_Key__c",
            (
                (sales, None, "InvoiceNumber"),
                (free_text, eq(_POSTED, yes_no(True)), "FreeTextNumber"),
            ),
        ),
        Count(
            "products",
            "Product2",
            "D365_Item_Number__c",
            ((PRODUCTS, eq(COMPANY, settings.d365.company), ITEM),),
            job="prices",
        ),
    )


def _filled(field: str) -> Filter:
    return ne(field, "")
