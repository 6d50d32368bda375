"""The loads of this release, as jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.package_api import PackageApi
from integration.d365.package_export import PackageExport
from integration.d365.package_import import PackageImport
from integration.flows.accounts import AccountFlow
from integration.flows.contacts import ContactFlow
from integration.flows.endings import Endings
from integration.flows.gone.flow import GoneFlow
from integration.flows.loads.accounts import AccountLoad
from integration.flows.loads.contacts import ContactLoad
from integration.flows.loads.dirty import DirtyKeys
from integration.flows.loads.job import LoadJob
from integration.flows.loads.parts import Parts
from integration.salesforce.bulk_load import BulkLoad
from integration.salesforce.bulk_query import BulkQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.flows.context import FlowContext, FlowEntry
    from integration.flows.endings import LedgerWriter, Outbox
    from integration.flows.loads.definition import LoadDefinition
    from integration.flows.loads.parts import LoadStore
    from integration.state.holds import Holds


def build_loads(
    context: FlowContext,
    entries: Sequence[FlowEntry],
    store: LoadStore,
    outbox: Outbox,
    ledger: LedgerWriter,
    holds: Holds,
) -> list[LoadJob]:
    """One job per flow that has a load; `entries` are the flows as the dispatcher has them."""
    volume = context.settings.volume
    definitions: list[LoadDefinition] = []
    for entry in entries:
        live = entry.flow.live if isinstance(entry.flow, GoneFlow) else entry.flow
        if isinstance(live, AccountFlow):
            definitions.append(AccountLoad(context, entry.flow))
        elif isinstance(live, ContactFlow):
            definitions.append(ContactLoad(context, entry.flow))
    return [
        LoadJob(
            Parts(
                definition,
                context.settings,
                store,
                context.salesforce,
                context.d365,
                outbox,
                Endings(outbox, ledger),
                holds,
                DirtyKeys(store),
                PackageImport(PackageApi(context.d365), store, volume),
                PackageExport(PackageApi(context.d365), store, volume),
                BulkLoad(context.salesforce, store, volume),
                BulkQuery(context.salesforce, volume),
            )
        )
        for definition in definitions
    ]
