"""Turns received Service Bus messages into what the real host sends to a Python worker.

Kept on purpose (Functions contract D): enqueued and expiry times without a zone, nulls left out,
members of a JSON object body replacing message properties of the same name unless the trigger has
`data_type="binary"`, collection types with empty strings dropped in batches, and the properties that
are never sent (time to live, state, dead-letter reason, locked until, scheduled time).
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from azure.servicebus.amqp import AmqpMessageBodyType
from azure_functions_runtime.bindings.datumdef import Datum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.servicebus import ServiceBusReceivedMessage

TriggerData = tuple[Datum, dict[str, Datum]]

_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_TEXTS = (
    ("LockToken", "lock_token"),
    ("DeadLetterSource", "dead_letter_source"),
    ("MessageId", "message_id"),
    ("ContentType", "content_type"),
    ("ReplyTo", "reply_to"),
    ("To", "to"),
    ("Subject", "subject"),
    ("Label", "subject"),
    ("CorrelationId", "correlation_id"),
    ("SessionId", "session_id"),
    ("ReplyToSessionId", "reply_to_session_id"),
    ("PartitionKey", "partition_key"),
)
_TIMES = (("EnqueuedTime", "enqueued_time_utc"), ("ExpiresAt", "expires_at_utc"))


def one_message(message: ServiceBusReceivedMessage, *, binary: bool) -> TriggerData:
    """Body and metadata of a trigger with cardinality one."""
    body = body_of(message)
    metadata = {name: Datum(text, "string") for name, text in _texts(message).items()}
    metadata |= {name: _json(text) for name, text in _times(message).items()}
    # The .NET client counts the current delivery, AMQP only the failed ones before it.
    metadata["DeliveryCount"] = _json((message.delivery_count or 0) + 1)
    metadata["SequenceNumber"] = _json(message.sequence_number)
    properties = _json(properties_of(message))
    metadata["ApplicationProperties"] = metadata["UserProperties"] = properties
    if binary:
        return Datum(body, "bytes"), metadata
    text = body.decode("utf-8", errors="replace")
    _overlay(metadata, text)
    return Datum(text, "string"), metadata


def many_messages(messages: Sequence[ServiceBusReceivedMessage], *, binary: bool) -> TriggerData:
    """Bodies and metadata arrays of a trigger with cardinality many."""
    bodies = [body_of(message) for message in messages]
    texts = [_texts(message) for message in messages]
    times = [_times(message) for message in messages]
    metadata: dict[str, Datum] = {}
    for name, _ in _TEXTS:
        # string[] loses its null entries on the way, so the rest moves to other indexes.
        kept = [text[name] for text in texts if text.get(name)]
        metadata[f"{name}Array"] = Datum(SimpleNamespace(string=kept), "collection_string")
    for name, _ in _TIMES:
        for key in (name, f"{name}Utc"):
            metadata[f"{key}Array"] = _json([time.get(key) for time in times])
    metadata["DeliveryCountArray"] = _json([(m.delivery_count or 0) + 1 for m in messages])
    numbers = [m.sequence_number for m in messages]
    metadata["SequenceNumberArray"] = Datum(SimpleNamespace(sint64=numbers), "collection_sint64")
    properties = _json([properties_of(message) for message in messages])
    metadata["ApplicationPropertiesArray"] = metadata["UserPropertiesArray"] = properties
    if binary:
        return Datum(SimpleNamespace(bytes=bodies), "collection_bytes"), metadata
    strings = [body.decode("utf-8", errors="replace") for body in bodies]
    return Datum(SimpleNamespace(string=strings), "collection_string"), metadata


def manual_message(text: str, *, binary: bool, many: bool) -> TriggerData:
    """Trigger data of a call through the admin API: a body and no message properties."""
    if many:
        body = Datum(SimpleNamespace(string=[text]), "collection_string")
        if binary:
            body = Datum(SimpleNamespace(bytes=[text.encode()]), "collection_bytes")
        return body, {"UserPropertiesArray": _json([{}])}
    metadata = {"UserProperties": _json({}), "ApplicationProperties": _json({})}
    if binary:
        return Datum(text.encode(), "bytes"), metadata
    _overlay(metadata, text)
    return Datum(text, "string"), metadata


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    """The body as bytes; AMQP value and sequence bodies as their text."""
    if message.body_type is AmqpMessageBodyType.DATA:
        return b"".join(message.body)
    return str(message).encode()


def properties_of(message: ServiceBusReceivedMessage) -> dict[str, Any]:
    """Application properties with text instead of the SDK's bytes."""
    found = message.application_properties or {}
    return {_text(key): _plain(value) for key, value in found.items()}


def _texts(message: ServiceBusReceivedMessage) -> dict[str, str]:
    values = ((name, getattr(message, attribute)) for name, attribute in _TEXTS)
    return {name: _text(value) for name, value in values if value is not None}


def _times(message: ServiceBusReceivedMessage) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, attribute in _TIMES:
        value: datetime | None = getattr(message, attribute)
        if value is not None:
            found[name] = value.isoformat()
            found[f"{name}Utc"] = value.replace(tzinfo=None).isoformat()
    return found


def _overlay(metadata: dict[str, Datum], text: str) -> None:
    """Adds the top-level members of a JSON object to the metadata, in any case replacing."""
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        return
    try:
        members = json.loads(stripped, parse_int=str, parse_float=str, parse_constant=str)
    except ValueError:
        return
    names = {name.lower(): name for name in metadata}
    for member, value in members.items():
        if value is None or isinstance(value, list):
            continue
        name = names.setdefault(member.lower(), member)
        if isinstance(value, dict):
            metadata[name] = Datum(json.dumps(json.loads(stripped)[member]), "json")
        else:
            metadata[name] = Datum(_dotnet_text(value), "string")


def _dotnet_text(value: str | bool) -> str:
    """The text of a JSON scalar after .NET parsed it: True, and dates in the invariant format."""
    if isinstance(value, bool):
        return str(value)
    if _ISO_DATE.fullmatch(value):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return value
        if parsed.tzinfo is not None:
            parsed = parsed.astimezone(UTC)
        return parsed.strftime("%m/%d/%Y %H:%M:%S")
    return value


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if isinstance(value, datetime) else _text(value)


def _json(value: Any) -> Datum:
    return Datum(json.dumps(value), "json")
