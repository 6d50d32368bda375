"""The composition root: builds every client and flow once per process, on first use.

Nothing is imported or connected before the first event arrives, because import time is paid at every
cold start (Azure contract 1.11).
"""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from integration.d365.client import D365Client
    from integration.flows.context import FlowEntry
    from integration.flows.dispatcher import Dispatcher
    from integration.flows.match_book import MatchBook
    from integration.flows.stock import StockCheck
    from integration.jobs.runner import JobRunner
    from integration.mapping.customisation import Customisation
    from integration.messaging.journal import Journal
    from integration.messaging.service_bus import Queues
    from integration.salesforce.client import SalesforceClient
    from integration.settings import Settings
    from integration.state.blobs import BlobState
    from integration.state.ledger import Ledger


@dataclass(frozen=True, slots=True)
class App:
    """Everything a trigger or a command may call.

    `entries` are the flows of this release, `objects` the (source, object) pairs that some flow handles.
    """

    settings: Settings
    customisation: Customisation
    queues: Queues
    state: BlobState
    salesforce: SalesforceClient
    d365: D365Client
    dispatcher: Dispatcher
    stock: StockCheck
    jobs: JobRunner
    journal: Journal
    matches: MatchBook
    ledger: Ledger
    entries: tuple[FlowEntry, ...]
    objects: frozenset[tuple[str, str]]
    resources: AsyncExitStack = field(repr=False)

    async def close(self) -> None:
        await self.resources.aclose()


_app: App | None = None
_building = asyncio.Lock()


async def get_app() -> App:
    """The process's one App. Raises ConfigurationError with every problem of the settings."""
    global _app
    if _app is None:
        async with _building:
            if _app is None:
                _app = await build_app()
                _collect_less_often()
    return _app


def _collect_less_often() -> None:
    """Rows of a page are many objects without cycles, and what the process has imported stays: looking
    through all of them again and again took a fifth of a load's time (docs/benchmarks.md)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def build_app(settings: Settings | None = None) -> App:
    """Reads the settings unless given, validates the customisation file, creates the clients lazily."""
    import httpx

    from integration.connections import service_bus, state_container
    from integration.d365.client import D365Client
    from integration.flows.catch_up import build_catch_up_job
    from integration.flows.context import FlowContext
    from integration.flows.dispatcher import Dispatcher
    from integration.flows.loads.build import build_loads
    from integration.flows.loads.dirty import DirtyKeys
    from integration.flows.match_book import MatchBook
    from integration.flows.payments import build_payment_job
    from integration.flows.pricing.build import build_price_job
    from integration.flows.reconcile_sides import build_sides
    from integration.flows.reconciliation import ReconcileJob
    from integration.flows.registry import build_flows
    from integration.flows.stock import StockCheck
    from integration.flows.watch import build_watch_job
    from integration.jobs.runner import JobRunner
    from integration.messaging.journal import Journal
    from integration.messaging.service_bus import Queues
    from integration.recovery.gate import SystemGate
    from integration.salesforce.client import SalesforceClient
    from integration.salesforce.repeats import CallRetries
    from integration.settings import load_settings
    from integration.state.aliases import Aliases
    from integration.state.blobs import BlobState
    from integration.state.gone import GoneNotes
    from integration.state.holds import Holds
    from integration.state.intents import CreateIntents
    from integration.state.ledger import Ledger
    from integration.state.replies import Replies
    from integration.telemetry import cut_urls, record_budget, record_call

    _quiet_libraries()
    cut_urls()
    settings = settings or load_settings()
    customisation = read_customisation(
        settings.app.mapping_file
    )  # checked before anything is opened
    retry = settings.retry
    async with AsyncExitStack() as stack:
        salesforce_http = await stack.enter_async_context(
            httpx.AsyncClient(limits=httpx.Limits(max_connections=20))
        )
        d365_http = await stack.enter_async_context(
            httpx.AsyncClient(
                limits=httpx.Limits(max_connections=settings.d365.max_concurrent_calls)
            )
        )
        salesforce = SalesforceClient(
            settings.salesforce,
            salesforce_http,
            retries=CallRetries(tries=retry.calls, delay=retry.call_delay),
            on_call=lambda operation, status, seconds: record_call(
                "salesforce", operation, status, seconds
            ),
            on_budget=lambda budget: record_budget("salesforce", budget.left, budget.limit),
        )
        d365 = D365Client(
            settings.d365,
            d365_http,
            tries=retry.calls,
            delay=retry.call_delay,
            on_call=lambda operation, status, seconds: record_call(
                "d365", operation, status, seconds
            ),
        )
        stack.push_async_callback(d365.close)
        container = state_container(settings.azure)
        stack.callback(container.close)
        state = BlobState(container)
        journal = Journal(state, seconds=settings.watch.settled_seconds / 4)
        queues = Queues(
            service_bus(settings.azure),
            buckets=settings.app.buckets,
            on_hint=journal.accepted,
        )
        stack.push_async_callback(queues.close)
        stack.push_async_callback(journal.close)
        intents = CreateIntents(state, quarantine=settings.app.create_quarantine)
        matches = MatchBook(state)
        holds, dirty = Holds(state), DirtyKeys(state)
        context = FlowContext(
            settings,
            customisation,
            salesforce,
            d365,
            intents,
            matches,
            holds,
            aliases=Aliases(state),
            gone=GoneNotes(state),
        )
        entries = build_flows(context)
        ledger = Ledger(state)
        dispatcher = Dispatcher(
            entries,
            queues,
            SystemGate(base=min(retry.base_delay, 30), longest=retry.max_delay),
            ledger,
            buckets=settings.app.buckets,
            batch_seconds=settings.app.batch_seconds,
            window=settings.app.batch_window_ms / 1000,
            batch_size=settings.app.batch_size,
            park_seconds=retry.max_delay,
            holds=holds,
            dirty=dirty,
            replies=Replies(state),
        )

        async def start_job(kind: str, params: dict[str, Any]) -> str | None:
            return await jobs.start(kind, params)

        reconcile = ReconcileJob(
            state,
            ledger,
            queues,
            build_sides(entries, settings, salesforce, d365),
            start_job,
            settings.reconcile,
            dirty=dirty,
            volume=settings.volume,
        )
        jobs = JobRunner(
            state,
            queues,
            [
                build_price_job(settings, customisation, salesforce, d365, state),
                build_payment_job(settings, customisation, salesforce, d365, state),
                reconcile,
                *build_loads(context, entries, state, queues, ledger, holds),
                build_catch_up_job(settings, entries, salesforce, state, queues),
                build_watch_job(settings, entries, salesforce, d365, state, queues, start_job),
            ],
            step_seconds=settings.app.job_step_seconds,
            base_delay=retry.base_delay,
            max_delay=retry.max_delay,
        )
        return App(
            settings=settings,
            customisation=customisation,
            queues=queues,
            state=state,
            salesforce=salesforce,
            d365=d365,
            dispatcher=dispatcher,
            stock=StockCheck(d365, settings),
            jobs=jobs,
            journal=journal,
            matches=matches,
            ledger=ledger,
            entries=tuple(entries),
            objects=frozenset((entry.source, entry.object) for entry in entries),
            resources=stack.pop_all(),
        )


def _quiet_libraries() -> None:
    """At INFO these log whole URLs, and a filter or a query in a URL quotes record values."""
    for name in ("httpx", "azure.core", "azure.identity", "azure.servicebus", "azure.storage"):
        logging.getLogger(name).setLevel(logging.WARNING)


def read_customisation(path: str | None) -> Customisation:
    """The tenant's mapping file, or none. Raises ConfigurationError."""
    from pathlib import Path

    from integration.errors import ConfigurationError
    from integration.mapping.customisation import load_customisation

    try:
        text = Path(path).read_text(encoding="utf-8") if path else None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            [f"MAPPING_FILE: {path} cannot be read ({type(error).__name__})"]
        ) from error
    return load_customisation(text)
