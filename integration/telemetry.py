"""Metrics, spans and log lines, all with ids and never a payload.

Uses the OpenTelemetry API only: without an exporter every call is a no-op. Metric dimensions are low in
number (flow, direction, outcome, reason, system, operation); ids go to logs and spans.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace

from integration.errors import IntegrationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.util.types import AttributeValue

_log = logging.getLogger("integration")
_audit = logging.getLogger("integration.audit")
_meter = metrics.get_meter("integration")
tracer = trace.get_tracer("integration")

_outcomes = _meter.create_counter(
    "integration.outcomes", unit="{record}", description="records by flow, outcome and reason"
)
_latency = _meter.create_histogram(
    "integration.latency", unit="s", description="event first seen until in step"
)
_calls = _meter.create_counter(
    "integration.api_calls", unit="{call}", description="calls to Salesforce and F&O"
)
_call_seconds = _meter.create_histogram(
    "integration.api_call_duration", unit="s", description="duration of one call"
)
_events = _meter.create_counter(
    "integration.events", unit="{event}", description="events taken in, by source and result"
)


def record_outcome(flow: str, outcome: str, reason: str, latency: float | None = None) -> None:
    attributes: dict[str, AttributeValue] = {"flow": flow, "outcome": outcome, "reason": reason}
    _outcomes.add(1, attributes)
    if latency is not None:
        _latency.record(latency, {"flow": flow})


def record_call(system: str, operation: str, status: int | None, seconds: float) -> None:
    attributes: dict[str, AttributeValue] = {
        "system": system,
        "operation": operation,
        "status": status or 0,
    }
    _calls.add(1, attributes)
    _call_seconds.record(seconds, {"system": system, "operation": operation})


def record_events(source: str, result: str, count: int) -> None:
    if count:
        _events.add(count, {"source": source, "result": result})


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
