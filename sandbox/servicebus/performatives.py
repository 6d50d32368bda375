"""AMQP frames and performatives (OASIS AMQP 1.0 parts 2, 3 and 5).

Every field of every performative is written, trailing nulls included: SDK versions before 7.15
index the fields without padding, and all versions read errors as exactly three elements
(Service Bus contract 3.3 and 3.9).
"""

import struct
from dataclasses import dataclass
from typing import Any

from sandbox.servicebus import encoding as enc
from sandbox.servicebus.decoding import DecodeError, Described, decode, skip, split_list

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
HEADER_SIZE = 8
MAX_REQUEST_SIZE = 8 * 1024 * 1024
EMPTY_FRAME = b"\x00\x00\x00\x08\x02\x00\x00\x00"

OPEN, BEGIN, ATTACH, FLOW, TRANSFER = 0x10, 0x11, 0x12, 0x13, 0x14
DISPOSITION, DETACH, END, CLOSE = 0x15, 0x16, 0x17, 0x18
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44
ERROR, RECEIVED, ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x1D, 0x23, 0x24, 0x25, 0x26, 0x27
SOURCE, TARGET = 0x28, 0x29

FIELD_COUNT = {
    OPEN: 10,
    BEGIN: 8,
    ATTACH: 14,
    FLOW: 11,
    TRANSFER: 11,
    DISPOSITION: 6,
    DETACH: 3,
    END: 1,
    CLOSE: 1,
    SASL_INIT: 3,
}

# Roles on the wire: false is the sender, true the receiver.
SENDER, RECEIVER = False, True
SETTLED_BY_SENDER = 1
RECEIVER_SETTLES_SECOND = 1


@dataclass(frozen=True, slots=True)
class Frame:
    code: int
    fields: list[Any]
    payload: bytes


def parse_frame(body: bytes) -> Frame:
    """A frame body (behind the 8-byte header); omitted trailing fields come back as None."""
    performative, end = decode(body)
    if not isinstance(performative, Described) or not isinstance(performative.value, list):
        raise DecodeError("A frame body is not a performative.")
    code, fields = performative
    if code not in FIELD_COUNT:
        raise DecodeError(f"Unknown performative {code!r}.")
    fields.extend([None] * (FIELD_COUNT[code] - len(fields)))
    return Frame(code, fields, body[end:])


def raw_fields(body: bytes, code: int) -> list[bytes]:
    """The same frame's fields as raw bytes, padded with nulls."""
    fields = split_list(body, skip(body, 1))
    return fields + [enc.NULL] * (FIELD_COUNT[code] - len(fields))


def frame(channel: int, body: bytes, kind: int = 0) -> bytes:
    """`kind` is 0 for AMQP and 1 for SASL frames."""
    return struct.pack(">IBBH", len(body) + 8, 2, kind, channel) + body


def sasl_mechanisms(names: list[str]) -> bytes:
    return enc.described(SASL_MECHANISMS, enc.list_of(enc.symbol_array(names)))


def sasl_outcome(code: int) -> bytes:
    return enc.described(SASL_OUTCOME, enc.list_of(enc.ubyte(code), enc.NULL))


def open_(container_id: str, max_frame_size: int, channel_max: int) -> bytes:
    """No idle-time-out is announced: the SDK only sends keep-alives while it listens."""
    return enc.described(
        OPEN,
        enc.list_of(
            enc.string(container_id),
            enc.NULL,  # hostname
            enc.uint(max_frame_size),
            enc.ushort(channel_max),
            enc.NULL,  # idle-time-out
            enc.NULL,  # outgoing-locales
            enc.NULL,  # incoming-locales
            enc.NULL,  # offered-capabilities
            enc.NULL,  # desired-capabilities
            enc.NULL,  # properties
        ),
    )


def begin(remote_channel: int, next_outgoing_id: int, window: int, handle_max: int) -> bytes:
    return enc.described(
        BEGIN,
        enc.list_of(
            enc.ushort(remote_channel),
            enc.uint(next_outgoing_id),
            enc.uint(window),
            enc.uint(window),
            enc.uint(handle_max),
            enc.NULL,  # offered-capabilities
            enc.NULL,  # desired-capabilities
            enc.NULL,  # properties
        ),
    )


def attach(
    *,
    name: str,
    handle: int,
    role: bool,
    snd_settle_mode: int | None,
    rcv_settle_mode: int | None,
    source: bytes,
    target: bytes,
    initial_delivery_count: int | None,
    max_message_size: int | None,
    properties: bytes = enc.NULL,
) -> bytes:
    """`source`, `target` and `properties` are encoded already; nulls for both refuse the link."""
    return enc.described(
        ATTACH,
        enc.list_of(
            enc.string(name),
            enc.uint(handle),
            enc.boolean(role),
            enc.ubyte(snd_settle_mode),
            enc.ubyte(rcv_settle_mode),
            source,
            target,
            enc.NULL,  # unsettled
            enc.FALSE,  # incomplete-unsettled
            enc.uint(initial_delivery_count),
            enc.ulong(max_message_size),
            enc.NULL,  # offered-capabilities
            enc.NULL,  # desired-capabilities
            properties,
        ),
    )


def flow(
    *,
    next_incoming_id: int,
    incoming_window: int,
    next_outgoing_id: int,
    outgoing_window: int,
    handle: int | None = None,
    delivery_count: int | None = None,
    link_credit: int | None = None,
    drain: bool = False,
) -> bytes:
    return enc.described(
        FLOW,
        enc.list_of(
            enc.uint(next_incoming_id),
            enc.uint(incoming_window),
            enc.uint(next_outgoing_id),
            enc.uint(outgoing_window),
            enc.uint(handle),
            enc.uint(delivery_count),
            enc.uint(link_credit),
            enc.NULL,  # available
            enc.boolean(drain),
            enc.FALSE,  # echo
            enc.NULL,  # properties
        ),
    )


def transfer(
    handle: int, delivery_id: int, tag: bytes, *, message_format: int, settled: bool, more: bool
) -> bytes:
    """The performative only; the payload follows it in the frame."""
    return enc.described(
        TRANSFER,
        enc.list_of(
            enc.uint(handle),
            enc.uint(delivery_id),
            enc.binary(tag),
            enc.uint(message_format),
            enc.boolean(settled),
            enc.boolean(more),
            enc.NULL,  # rcv-settle-mode
            enc.NULL,  # state
            enc.FALSE,  # resume
            enc.FALSE,  # aborted
            enc.FALSE,  # batchable
        ),
    )


def disposition(role: bool, delivery_id: int, state: bytes) -> bytes:
    """Settles one delivery with `state`: the SDK only believes settled answers."""
    return enc.described(
        DISPOSITION,
        enc.list_of(
            enc.boolean(role),
            enc.uint(delivery_id),
            enc.uint(delivery_id),
            enc.TRUE,
            state,
            enc.FALSE,  # batchable
        ),
    )


def detach(handle: int, error_value: bytes = enc.NULL) -> bytes:
    return enc.described(DETACH, enc.list_of(enc.uint(handle), enc.TRUE, error_value))


def end(error_value: bytes = enc.NULL) -> bytes:
    return enc.described(END, enc.list_of(error_value))


def close(error_value: bytes = enc.NULL) -> bytes:
    return enc.described(CLOSE, enc.list_of(error_value))


def error(condition: str, description: str) -> bytes:
    """All three elements with a non-null info map: with fewer the SDK hangs on a rejected send."""
    return enc.described(
        ERROR, enc.list_of(enc.symbol(condition), enc.string(description), enc.map_of(()))
    )


def accepted() -> bytes:
    return enc.described(ACCEPTED, enc.list_of())


def released() -> bytes:
    return enc.described(RELEASED, enc.list_of())


def rejected(error_value: bytes = enc.NULL) -> bytes:
    return enc.described(REJECTED, enc.list_of(error_value))


def modified(*, delivery_failed: bool, undeliverable_here: bool) -> bytes:
    return enc.described(
        MODIFIED,
        enc.list_of(enc.boolean(delivery_failed), enc.boolean(undeliverable_here), enc.NULL),
    )
