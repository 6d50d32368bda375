"""Metrics, spans and log lines, all with ids and never a payload.

Uses the OpenTelemetry API only: without an exporter every call is a no-op. In Azure the worker sets the
exporter up before the app is loaded (Azure contract 4). Metric dimensions are few and their values bounded
(flow, outcome, reason, system, operation); ids go to logs and spans. docs/observability.md lists all of it.
"""

from __future__ import annotations

import logging
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from integration.errors import IntegrationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

_log = logging.getLogger("integration")
_audit = logging.getLogger("integration.audit")
_meter = metrics.get_meter("integration")
_tracer = trace.get_tracer("integration")
_propagator = TraceContextTextMapPropagator()
_HEADER = "traceparent"
# Reasons are constants of this app or codes of the two systems, operations name its own calls: some dozens.
# A server that invents codes must not make a metric grow without end.
_MOST_VALUES = 200
OTHER = "other"

_outcomes = _meter.create_counter(
    "integration.outcomes", unit="{record}", description="records by flow, outcome and reason"
)
_latency = _meter.create_histogram(
    "integration.latency", unit="s", description="event first seen until its record's end"
)
_calls = _meter.create_counter(
    "integration.api_calls", unit="{call}", description="calls to Salesforce and F&O"
)
_call_seconds = _meter.create_histogram(
    "integration.api_call_duration", unit="s", description="duration of one call"
)
_calls_left = _meter.create_gauge(
    "integration.api_calls_left", unit="{call}", description="calls left of the daily allowance"
)
_calls_allowed = _meter.create_gauge(
    "integration.api_calls_allowed", unit="{call}", description="the daily allowance of calls"
)
_events = _meter.create_counter(
    "integration.events", unit="{event}", description="events taken in, by source and result"
)
_alarms = _meter.create_gauge(
    "integration.alarm", unit="{record}", description="what the watch found, by alarm; 0 is well"
)
_waiting = _meter.create_gauge(
    "integration.waiting", unit="{record}", description="hints accepted and not yet handled"
)
_oldest = _meter.create_gauge(
    "integration.oldest", unit="s", description="age of the oldest of them"
)


class _Few:
    """Passes on the first so many different values; whatever comes after them is one value."""

    def __init__(self, most: int = _MOST_VALUES) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value


_reason = _Few()
_operation = _Few()


def record_outcome(flow: str, outcome: str, reason: str, latency: float | None = None) -> None:
    """`latency` where the record reached an end: seconds since its change was first seen."""
    attributes: dict[str, AttributeValue] = {
        "flow": flow,
        "outcome": outcome,
        "reason": _reason(reason),
    }
    _outcomes.add(1, attributes)
    if latency is not None:
        _latency.record(latency, {"flow": flow, "outcome": outcome})


def record_call(system: str, operation: str, status: int | None, seconds: float) -> None:
    """`status` None: no answer came, which counts as 0."""
    name = _operation(operation)
    attributes: dict[str, AttributeValue] = {
        "system": system,
        "operation": name,
        "status": status or 0,
    }
    _calls.add(1, attributes)
    _call_seconds.record(seconds, {"system": system, "operation": name})


def record_budget(system: str, left: int, allowed: int) -> None:
    """Calls of the whole organisation, as the system itself counts them."""
    _calls_left.set(left, {"system": system})
    _calls_allowed.set(allowed, {"system": system})


def record_events(source: str, result: str, count: int) -> None:
    if count:
        _events.add(count, {"source": source, "result": result})


@contextmanager
def span(name: str, **ids: object) -> Iterator[Span]:
    """A part of what runs now."""
    with _started(name, None, [], ids) as started:
        yield started


@contextmanager
def continued(name: str, trace_parent: str | None, **ids: object) -> Iterator[Span]:
    """A span that goes on with a trace from outside: the W3C `traceparent` of a call or of a hint.

    Where the host has set a context already, that one counts.
    """
    context = None
    if trace_parent and not trace.get_current_span().get_span_context().is_valid:
        context = _propagator.extract({_HEADER: trace_parent})
    with _started(name, context, [], ids) as started:
        yield started


@contextmanager
def resumed(name: str, trace_parent: str | None, **ids: object) -> Iterator[Span]:
    """The same for a hint, whose own trace counts although its function runs in another one: that one is
    linked."""
    here = trace.get_current_span().get_span_context()
    context = _propagator.extract({_HEADER: trace_parent}) if trace_parent else None
    links = [trace.Link(here)] if trace_parent and here.is_valid else []
    with _started(name, context, links, ids) as started:
        yield started


@contextmanager
def shared(name: str, spans: Sequence[Span], **ids: object) -> Iterator[Span]:
    """One span for the work of several: a child of the first of them, linked with the others both ways."""
    known = [span for span in spans if span.get_span_context().is_valid]
    links = [trace.Link(span.get_span_context()) for span in known[1:]]
    context = trace.set_span_in_context(known[0]) if known else None
    with _started(name, context, links, ids) as started:
        for other in known[1:]:
            other.add_link(started.get_span_context())
        yield started


@contextmanager
def _started(
    name: str, context: Context | None, links: Sequence[trace.Link], ids: dict[str, object]
) -> Iterator[Span]:
    """An error is named, not quoted: its text may hold values of a record."""
    with _tracer.start_as_current_span(
        name,
        context=context,
        links=links,
        attributes=_attributes(ids),
        record_exception=False,
        set_status_on_exception=False,
    ) as started:
        try:
            yield started
        except Exception as error:
            name = error.reason if isinstance(error, IntegrationError) else type(error).__name__
            started.set_status(Status(StatusCode.ERROR, name))
            raise


def _attributes(ids: dict[str, object]) -> dict[str, AttributeValue]:
    return {f"integration.{name}": str(each) for name, each in ids.items() if each is not None}


def trace_parent() -> str | None:
    """The W3C `traceparent` of the span that runs now; None where nobody traces."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(_HEADER)


def cut_urls() -> None:
    """Keeps query strings out of the spans of HTTP calls, where an exporter is set up.

    A filter or a query quotes values of records, and the URL of a data package holds its own key."""
    add = getattr(trace.get_tracer_provider(), "add_span_processor", None)
    if add is not None:
        from integration.span_urls import UrlCutter

        add(UrlCutter())


def current_span() -> Span:
    return trace.get_current_span()


def record_alarm(alarm: str, value: int) -> None:
    _alarms.set(value, {"alarm": alarm})


def record_backlog(waiting: int, oldest: float) -> None:
    _waiting.set(waiting)
    _oldest.set(oldest)


def log_event(
    message: str, *, level: int = logging.INFO, error: Exception | None = None, **ids: object
) -> None:
    """One structured line; `ids` become custom dimensions. Never pass a record or its values.

    Of an error that the app does not know only the class and the place are logged: its text may quote a
    record.
    """
    given = {f"i_{name}": str(value) for name, value in ids.items() if value is not None}
    if error is not None and not isinstance(error, IntegrationError):
        frames = traceback.extract_tb(error.__traceback__)
        given["i_error"] = type(error).__name__
        given["i_at"] = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames[-4:]))
    if _log.isEnabledFor(level):
        text = " ".join(f"{name[2:]}={value}" for name, value in given.items())
        _log.log(level, "%s %s", message, text, extra=given)


def audit(flow: str, operation: str, key: str, fields: Sequence[str], **ids: object) -> None:
    """The one record that every write leaves: which fields of which key, never their values."""
    extra = {"i_flow": flow, "i_operation": operation, "i_key": key, "i_fields": ",".join(fields)}
    extra.update({f"i_{name}": str(value) for name, value in ids.items()})
    _audit.info("%s %s %s", flow, operation, key, extra=extra)
