"""Stands for the Functions host and its worker in one process: telemetry set up before the app is loaded, and
every trigger called in a trace of its own, as in Azure.

Messages come from the sandbox's broker through the real SDK, in sessions, many of a session at a time.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import secrets
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import azure.functions as func
from azure.functions.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sandbox import topology
from sandbox.stack import signed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from azure.servicebus.aio import ServiceBusReceiver
    from opentelemetry.sdk.trace import ReadableSpan

    from sandbox.stack import Sandbox

_AT_ONCE = 100  # maxConcurrentCallsPerSession of host.json
_PATIENCE = 0.1  # seconds for more messages of a session
_USUAL = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Recording:
    """All telemetry of this process, in memory. `OpenTelemetrySpan` is what the Azure Monitor distribution
    sets for the Azure SDK, the instrumentors are those of its that meet a library of the app."""

    def __init__(self) -> None:
        from azure.core.settings import settings
        from azure.core.tracing.ext.opentelemetry_span import OpenTelemetrySpan

        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.logs: list[dict[str, Any]] = []
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._spans))
        trace.set_tracer_provider(provider)
        metrics.set_meter_provider(MeterProvider([self._reader]))
        settings.tracing_implementation = OpenTelemetrySpan
        for instrumentor in (HTTPXClientInstrumentor, RequestsInstrumentor, URLLib3Instrumentor):
            instrumentor().instrument()
        # PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME exports this logger and those below it.
        logger = logging.getLogger("integration")
        logger.setLevel(logging.INFO)
        logger.addHandler(_Listener(self.logs))

    def spans(self) -> list[dict[str, Any]]:
        return [_span(each) for each in self._spans.get_finished_spans()]

    def metrics(self) -> list[dict[str, Any]]:
        data = self._reader.get_metrics_data()
        return [
            {"name": metric.name, "meter": scope.scope.name, **json.loads(point.to_json())}
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]


class _Listener(logging.Handler):
    def __init__(self, lines: list[dict[str, Any]]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name not in _USUAL}
        thrown = self.formatter or logging.Formatter()
        error = thrown.formatException(record.exc_info) if record.exc_info else ""
        here = trace.get_current_span().get_span_context()
        self._lines.append(
            {
                "logger": record.name,
                "message": record.getMessage(),
                "error": error,
                "trace": f"{here.trace_id:032x}",
                **extra,
            }
        )


def _span(span: ReadableSpan) -> dict[str, Any]:
    assert span.context is not None
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{span.context.trace_id:032x}",
        "id": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else None,
        "scope": span.instrumentation_scope.name if span.instrumentation_scope else "",
        "attributes": dict(span.attributes or {}),
        "links": [
            f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links
        ],
        "status": span.status.description or "",
        "events": [[event.name, dict(event.attributes or {})] for event in span.events],
    }


class Host:
    """`async with Host(sandbox)`. A session once taken stays taken: opening one takes half a second."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._receivers: dict[str | None, ServiceBusReceiver] = {}
        self._client = ServiceBusClient.from_connection_string(sandbox.broker.connection_string)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(each.close() for each in self._receivers.values()))
        await self._client.close()

    async def call(self, function: Callable[[Any], Awaitable[Any]]) -> tuple[str, Any]:
        """(trace id, result) of a function called as the worker does it: in the host's own context."""
        trace_id = secrets.token_hex(16)
        parent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        given = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=parent, trace_state=""))

        async def invoke() -> Any:
            carrier = {"traceparent": parent}
            otel_context.attach(TraceContextTextMapPropagator().extract(carrier))
            return await function(given)

        empty = contextvars.Context()
        return trace_id, await asyncio.get_running_loop().create_task(invoke(), context=empty)

    async def post(self, event: dict[str, Any]) -> str:
        """Calls the webhook as Apex does; returns the trace of that call."""
        from integration.triggers.salesforce_events import salesforce_events

        body = json.dumps(event).encode()
        headers = {"content-type": "application/json", **signed(body)}
        url = "https://app.test/api/salesforce/events"
        request = func.HttpRequest("POST", url, headers=headers, body=body)
        trace_id, answer = await self.call(lambda context: salesforce_events(request, context))
        assert answer.status_code == 202, answer.get_body()
        return trace_id

    async def run(self, *, until: Callable[[], bool] | None = None, timeout: float = 30) -> None:
        """Delivers messages until nothing waits or is scheduled, or until something is so."""
        async with asyncio.timeout(timeout):
            while not (until() if until else self._is_empty()):
                await self._deliver()
                await asyncio.sleep(0.02)

    def _is_empty(self) -> bool:
        counts = self._sandbox.broker.counts()
        return not any(
            counts[queue][part]
            for queue in (topology.CHANGES, topology.JOBS)
            for part in ("active", "scheduled", "locked")
        )

    async def _deliver(self) -> None:
        """One look at every session that has or had messages: the SDK may have taken some in already."""
        broker = self._sandbox.broker
        active = {m.session_id for m in broker.peek(topology.CHANGES) if m.state == "active"}
        if broker.counts()[topology.JOBS]["active"]:
            active.add(None)
        await asyncio.gather(*(self._drain(each) for each in active | self._receivers.keys()))

    async def _drain(self, session: str | None) -> None:
        from integration.triggers.advance_jobs import advance_jobs
        from integration.triggers.converge_changes import converge_changes

        function: Any = converge_changes if session else advance_jobs
        receiver = await self._receiver(session)
        messages = await receiver.receive_messages(_AT_ONCE, max_wait_time=_PATIENCE)
        given = [
            ServiceBusMessage(
                body=b"".join(message.body),
                application_properties={},
                user_properties={},
                message_id=message.message_id or "",
                session_id=message.session_id,
            )
            for message in messages
        ]
        await asyncio.gather(*(self.call(lambda _, each=each: function(each)) for each in given))
        for message in messages:
            await receiver.complete_message(message)

    async def _receiver(self, session: str | None) -> ServiceBusReceiver:
        if session not in self._receivers:
            queue = topology.CHANGES if session else topology.JOBS
            options = {"session_id": session} if session else {}
            receiver = self._client.get_queue_receiver(queue, **options)
            await receiver.__aenter__()  # opens it; the short wait of a receive would not do
            self._receivers[session] = receiver
        return self._receivers[session]
