"""Takes the query out of every URL that an instrumented library puts on a span.

The worker instruments httpx before the app is loaded and offers no hook, so this hangs on the tracer
provider. The Azure SDK hides the values of queries by itself. Loaded only where the OpenTelemetry SDK is
at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanProcessor

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

_URLS = ("http.url", "url.full", "http.target")  # old and new semantic conventions


class UrlCutter(SpanProcessor):
    """At the start, because an ended span cannot be changed; that is when httpx names the URL."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        attributes = span.attributes or {}
        for name in _URLS:
            url = attributes.get(name)
            if isinstance(url, str) and "?" in url:
                span.set_attribute(name, url.partition("?")[0])
