"""What a flow is built from, and how it is announced to the dispatcher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.flows.policies import policy_of

if TYPE_CHECKING:
    from integration.d365.client import D365Client
    from integration.errors import SystemName
    from integration.flows.flow import Flow
    from integration.flows.match_book import MatchBook
    from integration.mapping.customisation import Customisation
    from integration.recovery.decisions import FailurePolicy
    from integration.salesforce.client import SalesforceClient
    from integration.settings import Settings, Switch
    from integration.settings.volume import Route
    from integration.state.aliases import Aliases
    from integration.state.gone import GoneNotes
    from integration.state.holds import Holds
    from integration.state.intents import CreateIntents


@dataclass(frozen=True, slots=True)
class FlowContext:
    """One per process."""

    settings: Settings
    customisation: Customisation
    salesforce: SalesforceClient
    d365: D365Client
    intents: CreateIntents
    matches: MatchBook | None = None  # approved links of existing customers; None: there are none
    holds: Holds | None = None  # keys that a running load writes; None: there are no loads
    aliases: Aliases | None = None  # numbers of merged accounts; None: there are none
    gone: GoneNotes | None = None  # of deletes and merges; None: those are skipped or followed

    def policy(self, flow: str) -> FailurePolicy:
        return policy_of(flow, self.settings.retry)


@dataclass(frozen=True, slots=True)
class FlowEntry:
    """A flow, what it listens to, and its switch: on, dry (log the differences only) or off (park).

    `route` scheduled: what changed is noted for the timer `send_packages`. `root_field` of a Salesforce
    object holds the business key that decides the bucket.
    """

    flow: Flow[Any, Any]
    source: SystemName
    object: str
    switch: Switch
    route: Route = "realtime"
    root_field: str = "Id"
