"""The composition root: builds every client and flow once per process, on first use.

Nothing is imported or connected before the first event arrives, because import time is paid at every
cold start (Azure contract 1.11).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.servicebus.aio import ServiceBusClient
    from azure.storage.blob import ContainerClient

    from integration.d365.client import D365Client
    from integration.flows.dispatcher import Dispatcher
    from integration.flows.match_book import MatchBook
    from integration.flows.stock import StockCheck
    from integration.jobs.runner import JobRunner
    from integration.mapping.customisation import Customisation
    from integration.messaging.service_bus import Queues
    from integration.salesforce.client import SalesforceClient
    from integration.settings import AzureSettings, Settings
    from integration.state.blobs import BlobState


@dataclass(frozen=True, slots=True)
class App:
    """Everything a trigger may call. `objects` are the (source, object) pairs that some flow handles."""

    settings: Settings
    customisation: Customisation
    queues: Queues
    state: BlobState
    salesforce: SalesforceClient
    d365: D365Client
    dispatcher: Dispatcher
    stock: StockCheck
    jobs: JobRunner
    matches: MatchBook
    objects: frozenset[tuple[str, str]]
    resources: AsyncExitStack = field(repr=False)

    async def close(self) -> None:
        await self.resources.aclose()


_UNCONFIGURED_WAIT = 60.0  # seconds
_app: App | None = None
_spare: Queues | None = None
_building = asyncio.Lock()


async def get_app() -> App:
    """The process's one App. Raises ConfigurationError with every problem of the settings."""
    global _app
    if _app is None:
        async with _building:
            if _app is None:
                _app = await build_app()
    return _app


async def put_back(body: bytes, session: str | None) -> None:
    """Schedules a message again while the settings are wrong; only those of Azure are needed for that.

    Left to the broker it would be delivered ten times within seconds and be a dead letter. Without a
    session it is an event of F&O, with one a hint. Raises ConfigurationError where even the settings of
    Azure are wrong, Unreachable as `Queues` does.
    """
    from uuid import uuid4

    from integration.errors import ConfigurationError
    from integration.settings import AzureSettings, RetrySettings

    try:
        queues = _spare_queues(AzureSettings.model_validate({}))
    except ValueError:
        raise ConfigurationError(["ServiceBus: the connection is not set"]) from None
    try:
        delay = min(_UNCONFIGURED_WAIT, RetrySettings.model_validate({}).max_delay)
    except ValueError:
        delay = _UNCONFIGURED_WAIT
    message_id = str(uuid4())
    if session is None:
        await queues.put_back_event(body, message_id=message_id, delay=delay)
    else:
        await queues.schedule_raw(body, session=session, message_id=message_id, delay=delay)


def _spare_queues(settings: AzureSettings) -> Queues:
    global _spare
    if _spare is None:
        from integration.messaging.service_bus import Queues

        _spare = Queues(_service_bus(settings), buckets=1)  # the session is given with each message
    return _spare


async def build_app(settings: Settings | None = None) -> App:
    """Reads the settings unless given, validates the customisation file, creates the clients lazily."""
    import httpx

    from integration.d365.client import D365Client
    from integration.flows.context import FlowContext
    from integration.flows.dispatcher import Dispatcher
    from integration.flows.match_book import MatchBook
    from integration.flows.payments import build_payment_job
    from integration.flows.prices import build_price_job
    from integration.flows.reconcile_sides import build_sides
    from integration.flows.reconciliation import ReconcileJob
    from integration.flows.registry import build_flows
    from integration.flows.stock import StockCheck
    from integration.jobs.runner import JobRunner
    from integration.messaging.service_bus import Queues
    from integration.recovery.gate import SystemGate
    from integration.salesforce.client import SalesforceClient
    from integration.salesforce.repeats import CallRetries
    from integration.settings import load_settings
    from integration.state.blobs import BlobState
    from integration.state.intents import CreateIntents
    from integration.state.ledger import Ledger
    from integration.telemetry import record_call

    _quiet_libraries()
    settings = settings or load_settings()
    customisation = _customisation(settings.app.mapping_file)  # checked before anything is opened
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
        container = _state_container(settings.azure)
        stack.callback(container.close)
        state = BlobState(container)
        queues = Queues(_service_bus(settings.azure), buckets=settings.app.buckets)
        stack.push_async_callback(queues.close)
        intents = CreateIntents(state, quarantine=settings.app.create_quarantine)
        matches = MatchBook(state)
        entries = build_flows(
            FlowContext(settings, customisation, salesforce, d365, intents, matches)
        )
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
        )
        jobs = JobRunner(
            state,
            queues,
            [
                build_price_job(settings, customisation, salesforce, d365, state),
                build_payment_job(settings, customisation, salesforce, d365, state),
                reconcile,
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
            matches=matches,
            objects=frozenset((entry.source, entry.object) for entry in entries),
            resources=stack.pop_all(),
        )


def _quiet_libraries() -> None:
    """At INFO these log whole URLs, and a filter or a query in a URL quotes record values."""
    for name in ("httpx", "azure.core", "azure.identity", "azure.servicebus", "azure.storage"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _customisation(path: str | None) -> Customisation:
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


def _service_bus(settings: AzureSettings) -> ServiceBusClient:
    from azure.servicebus.aio import ServiceBusClient

    if settings.service_bus:
        with _connection_string("ServiceBus"):
            return ServiceBusClient.from_connection_string(settings.service_bus.get_secret_value())
    from integration.identity import AsyncManagedIdentity

    return ServiceBusClient(
        settings.service_bus_namespace or "", AsyncManagedIdentity(settings.service_bus_client_id)
    )


def _state_container(settings: AzureSettings) -> ContainerClient:
    from azure.storage.blob import ContainerClient, ExponentialRetry

    # The SDK's own waits (15 s and more) would outlast a batch.
    patience: dict[str, Any] = {
        "connection_timeout": 5,
        "read_timeout": 15,
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2),
    }
    if settings.storage:
        with _connection_string("AzureWebJobsStorage"):
            return ContainerClient.from_connection_string(
                settings.storage.get_secret_value(), settings.state_container, **patience
            )
    from azure.identity import ManagedIdentityCredential

    return ContainerClient(
        f"https://{settings.storage_account}.blob.core.windows.net",
        settings.state_container,
        credential=ManagedIdentityCredential(client_id=settings.storage_client_id),
        **patience,
    )


@contextmanager
def _connection_string(setting: str) -> Iterator[None]:
    """The SDKs raise ValueError for what they cannot read; its text may quote the key."""
    from integration.errors import ConfigurationError

    try:
        yield
    except ValueError:
        raise ConfigurationError([f"{setting}: is not a connection string"]) from None
