"""The flows of this release. A new flow is one module and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.flows.accounts import AccountFlow
from integration.flows.contacts import ContactFlow
from integration.flows.context import FlowEntry
from integration.flows.customer_accounts import CustomerFlow
from integration.flows.gone.flow import GoneFlow
from integration.flows.gone.holders import CustomersOfAccounts, PersonsOfContacts
from integration.flows.invoices import InvoiceFlow
from integration.flows.orders import OrderFlow

if TYPE_CHECKING:
    from typing import Any

    from integration.flows.context import FlowContext
    from integration.flows.flow import Flow
    from integration.flows.gone.flow import LiveFlow
    from integration.flows.gone.holders import HolderSet


def build_flows(context: FlowContext) -> list[FlowEntry]:
    """Raises ConfigurationError where the mapping file does not fit a flow."""
    app, volume = context.settings.app, context.settings.volume
    accounts = AccountFlow(context)
    invoices = InvoiceFlow(context)
    return [
        FlowEntry(
            _with_gone(accounts, CustomersOfAccounts(context), context),
            "salesforce",
            "Account",
            app.flow_accounts,
            volume.accounts_route,
        ),
        FlowEntry(
            _with_gone(ContactFlow(context, accounts), PersonsOfContacts(context), context),
            "salesforce",
            "Contact",
            app.flow_contacts,
            volume.contacts_route,
            root_field="AccountId",
        ),
        FlowEntry(
            OrderFlow(context, accounts),
            "salesforce",
            "Opportunity",
            app.flow_orders,
            root_field="AccountId",
        ),
        FlowEntry(invoices, "d365", "SalesInvoice", app.flow_invoices),
        FlowEntry(invoices, "d365", "FreeTextInvoice", app.flow_invoices),
        FlowEntry(CustomerFlow(context), "d365", "Customer", app.flow_customers),
    ]


def _with_gone(flow: LiveFlow, holders: HolderSet, context: FlowContext) -> Flow[Any, Any]:
    """The flow that handles deleted and merged records too, where notes of them can be kept."""
    if context.gone is None:
        return flow
    aliases = context.aliases if holders.object == "Account" else None
    return GoneFlow(flow, holders, context, context.gone, aliases)
