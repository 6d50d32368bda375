"""A Service Bus message as AMQP sections (OASIS AMQP 1.0 part 3).

The bare message (properties, application properties, body, footer) is kept byte for byte; only
the header and the message annotations are rewritten for a receiver. Values, sequences, several
data sections and bodies that look like AMQP therefore round-trip unchanged (Service Bus
contract 3.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from sandbox.servicebus import encoding as enc
from sandbox.servicebus.decoding import DecodeError, decode, skip, split_list, split_map

HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES = range(0x70, 0x75)
DATA, SEQUENCE, VALUE, FOOTER = range(0x75, 0x79)

BATCH_FORMAT = 0x80013700

# Annotations the broker owns; a sender's copies of them are dropped (contract 3.4).
_BROKER_ANNOTATIONS = frozenset(
    {
        "x-opt-sequence-number",
        "x-opt-enqueued-time",
        "x-opt-locked-until",
        "x-opt-enqueue-sequence-number",
        "x-opt-message-state",
        "x-opt-deadletter-source",
        "x-opt-lock-token",
    }
)
_MESSAGE_ID, _SUBJECT, _CORRELATION_ID, _CONTENT_TYPE, _GROUP_ID = 0, 3, 5, 6, 10
_REASON, _DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"

T = TypeVar("T")
MessageId = str | UUID | bytes | int


@dataclass(frozen=True)
class Message:
    """`bare` holds (section code, raw section with its descriptor) in the order of arrival.

    `ttl` and `scheduled_at` are seconds; `annotations` the raw pairs that go on to receivers.
    """

    bare: tuple[tuple[int, bytes], ...]
    size: int
    durable: bool = False
    priority: int | None = None
    ttl: float | None = None
    annotations: tuple[tuple[bytes, bytes], ...] = ()
    scheduled_at: float | None = None
    properties: Sequence[Any] = field(default=())

    def _property(self, index: int) -> Any:
        return self.properties[index] if index < len(self.properties) else None

    @property
    def message_id(self) -> MessageId | None:
        return self._property(_MESSAGE_ID)

    @property
    def session_id(self) -> str | None:
        return self._property(_GROUP_ID)

    @property
    def subject(self) -> str | None:
        return self._property(_SUBJECT)

    @property
    def correlation_id(self) -> MessageId | None:
        return self._property(_CORRELATION_ID)

    @property
    def content_type(self) -> str | None:
        return self._property(_CONTENT_TYPE)

    def _section(self, code: int) -> bytes | None:
        """The value of the first section of that code, without its descriptor."""
        return next((raw[3:] for found, raw in self.bare if found == code), None)

    @cached_property
    def application_properties(self) -> dict[str, Any]:
        raw = self._section(APPLICATION_PROPERTIES)
        return {} if raw is None else _read(raw, 0, dict)

    @property
    def value(self) -> Any:
        """The amqp-value body, or None."""
        raw = self._section(VALUE)
        return None if raw is None else decode(raw)[0]

    @property
    def raw_message_id(self) -> bytes:
        """Encoded with its AMQP type, as a correlation-id must repeat it."""
        raw = self._section(PROPERTIES)
        fields = [] if raw is None else split_list(raw)
        return fields[_MESSAGE_ID] if fields else enc.NULL

    @property
    def body(self) -> bytes:
        """Data sections joined; a text or binary value as bytes; other bodies AMQP-encoded."""
        data = [_read(raw, 3, bytes) for code, raw in self.bare if code == DATA]
        if data:
            return b"".join(data)
        value = self.value
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, bytes):
            return value
        return b"".join(raw[3:] for code, raw in self.bare if code in (SEQUENCE, VALUE))

    @cached_property
    def _bare_bytes(self) -> bytes:
        return b"".join(raw for _, raw in self.bare)

    def encode(self, delivery_count: int, broker_annotations: list[tuple[bytes, bytes]]) -> bytes:
        """The message as a receiver sees it; `delivery_count` is the number of failed attempts."""
        header = enc.list_of(
            enc.boolean(self.durable),
            enc.ubyte(self.priority),
            enc.uint(None if self.ttl is None else round(self.ttl * 1000)),
            enc.FALSE,  # first-acquirer
            enc.uint(delivery_count),
        )
        return b"".join(
            (
                enc.described(HEADER, header),
                enc.described(ANNOTATIONS, enc.map_of((*self.annotations, *broker_annotations))),
                self._bare_bytes,
            )
        )

    def with_dead_letter_reason(self, reason: str | None, description: str | None) -> "Message":
        """The same message with the given dead-letter application properties set."""
        texts = {_REASON: reason, _DESCRIPTION: description}
        texts = {name: text for name, text in texts.items() if text is not None}
        raw = self._section(APPLICATION_PROPERTIES)
        pairs = [
            pair
            for pair in (split_map(raw) if raw is not None else [])
            if decode(pair[0])[0] not in texts
        ]
        pairs += [(enc.string(name), enc.string(text)) for name, text in texts.items()]
        others = [item for item in self.bare if item[0] != APPLICATION_PROPERTIES]
        if pairs:
            section = enc.described(APPLICATION_PROPERTIES, enc.map_of(pairs))
            # Application properties stand between the properties and the body.
            at = sum(1 for code, _ in others if code == PROPERTIES)
            others.insert(at, (APPLICATION_PROPERTIES, section))
        return replace(self, bare=tuple(others))


def parse_message(payload: bytes) -> Message:
    """One encoded message. Raises `DecodeError` on anything that is not a list of sections."""
    bare: list[tuple[int, bytes]] = []
    header: list[Any] = []
    annotations: list[tuple[bytes, bytes]] = []
    scheduled_at = None
    properties: list[Any] = []
    position = 0
    while position < len(payload):
        end = skip(payload, position)
        if payload[position : position + 2] != b"\x00\x53":
            raise DecodeError("A message section has no small descriptor.")
        code = payload[position + 2]
        start = position + 3
        if code == HEADER:
            header = _read(payload, start, list)
        elif code == ANNOTATIONS:
            annotations, scheduled_at = _sender_annotations(payload[start:end])
        elif PROPERTIES <= code <= FOOTER:
            bare.append((code, payload[position:end]))
            if code == PROPERTIES:
                properties = _read(payload, start, list)
        elif code != DELIVERY_ANNOTATIONS:
            raise DecodeError(f"Unknown message section 0x{code:02x}.")
        position = end
    durable, priority, ttl = (header + [None] * 3)[:3]
    return Message(
        bare=tuple(bare),
        size=len(payload),
        durable=bool(durable),
        priority=priority,
        ttl=None if ttl is None else ttl / 1000,
        annotations=tuple(annotations),
        scheduled_at=scheduled_at,
        properties=properties,
    )


def _read(data: bytes, position: int, kind: type[T]) -> T:
    value = decode(data, position)[0]
    if not isinstance(value, kind):
        raise DecodeError(f"A message section is a {type(value).__name__}, not a {kind.__name__}.")
    return value


def _sender_annotations(raw: bytes) -> tuple[list[tuple[bytes, bytes]], float | None]:
    kept = []
    scheduled_at = None
    for key, value in split_map(raw) if raw != enc.NULL else []:
        name = decode(key)[0]
        if name in _BROKER_ANNOTATIONS:
            continue
        if name == "x-opt-scheduled-enqueue-time":
            milliseconds = decode(value)[0]
            scheduled_at = None if milliseconds is None else milliseconds / 1000
        kept.append((key, value))
    return kept, scheduled_at


def parse_transfer(payload: bytes, message_format: int) -> list[Message]:
    """The messages of one transfer: one, or those packed in the data sections of a batch."""
    envelope = parse_message(payload)
    if message_format != BATCH_FORMAT:
        return [envelope]
    return [parse_message(_read(raw, 3, bytes)) for code, raw in envelope.bare if code == DATA]
