"""The flows of this release. A new flow is one module and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.flows.accounts import AccountFlow
from integration.flows.context import FlowEntry

if TYPE_CHECKING:
    from integration.flows.context import FlowContext


def build_flows(context: FlowContext) -> list[FlowEntry]:
    """Raises ConfigurationError where the mapping file does not fit a flow."""
    app = context.settings.app
    return [FlowEntry(AccountFlow(context), "salesforce", "Account", app.flow_accounts)]
