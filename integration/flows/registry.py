"""The flows of this release. A new flow is one module and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.flows.accounts import AccountFlow
from integration.flows.contacts import ContactFlow
from integration.flows.context import FlowEntry
from integration.flows.customer_accounts import CustomerFlow
from integration.flows.invoices import InvoiceFlow
from integration.flows.orders import OrderFlow

if TYPE_CHECKING:
    from integration.flows.context import FlowContext


def build_flows(context: FlowContext) -> list[FlowEntry]:
    """Raises ConfigurationError where the mapping file does not fit a flow."""
    app = context.settings.app
    accounts = AccountFlow(context)
    invoices = InvoiceFlow(context)
    return [
        FlowEntry(accounts, "salesforce", "Account", app.flow_accounts),
        FlowEntry(ContactFlow(context, accounts), "salesforce", "Contact", app.flow_contacts),
        FlowEntry(OrderFlow(context, accounts), "salesforce", "Opportunity", app.flow_orders),
        FlowEntry(invoices, "d365", "SalesInvoice", app.flow_invoices),
        FlowEntry(invoices, "d365", "FreeTextInvoice", app.flow_invoices),
        FlowEntry(CustomerFlow(context), "d365", "Customer", app.flow_customers),
    ]
