"""The management side of the broker: `GET /{queue}` as Atom, over plain HTTP on the broker's own port.

Reading alone: azure-servicebus gets the properties and counts of a queue from it. A queue that does not
exist is an empty feed, as in Azure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.servicebus.hub import QueueHub

METHOD = b"GET "  # no AMQP header begins like this
_END = b"\r\n\r\n"
_ATOM = "http://www.w3.org/2005/Atom"
_SCHEMA = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
_COUNTS = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
_FOREVER = "P10675199DT2H48M5.4775807S"


def is_complete(request: bytes) -> bool:
    return _END in request


def answer(request: bytes, find_hub: Callable[[str], QueueHub | None]) -> bytes:
    """The whole HTTP answer; the connection is closed behind it."""
    head = request.partition(_END)[0].decode("latin-1")
    lines = head.split("\r\n")
    path = unquote(urlsplit(lines[0].split(" ")[1]).path).strip("/")
    names = {line.partition(":")[0].strip().lower() for line in lines[1:]}
    if "authorization" not in names:
        return _http(401, "<Error><Code>401</Code><Detail>MissingToken</Detail></Error>")
    hub = find_hub(path)
    if hub is None or "/" in path:
        return _http(
            200, f'<feed xmlns="{_ATOM}"><title type="text">Publicly Listed</title></feed>'
        )
    return _http(200, _entry(hub))


def _entry(hub: QueueHub) -> str:
    options, counts = hub.queue.options, hub.queue.counts()
    window = options.duplicate_detection_window
    facts = {
        "LockDuration": _duration(options.lock_duration),
        "MaxSizeInMegabytes": "5120",
        "RequiresDuplicateDetection": _bool(window is not None),
        "RequiresSession": _bool(options.requires_session),
        "DefaultMessageTimeToLive": _duration(options.default_ttl),
        "DeadLetteringOnMessageExpiration": _bool(options.dead_letter_on_expiration),
        "DuplicateDetectionHistoryTimeWindow": _duration(window or timedelta(minutes=10)),
        "MaxDeliveryCount": str(options.max_delivery_count or 2**31 - 1),
        "EnableBatchedOperations": "true",
        "SizeInBytes": "0",
        "MessageCount": str(sum(counts.values())),
        "Status": "Active",
    }
    if options.forward_dead_letters_to:
        facts["ForwardDeadLetteredMessagesTo"] = f"sb://sandbox/{options.forward_dead_letters_to}"
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in facts.items())
    details = "".join(
        f'<d:{name} xmlns:d="{_COUNTS}">{counts.get(part, 0)}</d:{name}>'
        for name, part in (
            ("ActiveMessageCount", "active"),
            ("ScheduledMessageCount", "scheduled"),
        )
    )
    return (
        f'<entry xmlns="{_ATOM}"><title type="text">{escape(options.name)}</title>'
        f'<content type="application/xml"><QueueDescription xmlns="{_SCHEMA}">{inner}'
        f"<CountDetails>{details}</CountDetails><EnablePartitioning>false</EnablePartitioning>"
        "</QueueDescription></content></entry>"
    )


def _duration(value: timedelta | None) -> str:
    return _FOREVER if value is None else f"PT{value.total_seconds():g}S"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _http(status: int, body: str) -> bytes:
    content = body.encode()
    reason = "OK" if status == 200 else "Unauthorized"
    head = (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/atom+xml;charset=utf-8\r\n"
        f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content
