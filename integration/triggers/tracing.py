"""The trace that a function was called in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import azure.functions as func


def trace_of(context: func.Context) -> str | None:
    """The host's W3C `traceparent`; the worker sets it as the current context only with telemetry on."""
    found = getattr(context.trace_context, "trace_parent", None)
    return str(found) if found else None
