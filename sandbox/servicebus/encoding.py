"""AMQP 1.0 type system, Python values to bytes (OASIS AMQP 1.0 part 1).

One function per AMQP type, because the peer's SDK is picky about types (a `statusCode` must be an
int, a lock expiry a timestamp): nothing is inferred from Python types. Every encoder turns `None`
into the AMQP null, so that callers can write optional fields plainly.
"""

import struct
from collections.abc import Iterable
from uuid import UUID

NULL = b"\x40"
TRUE = b"\x41"
FALSE = b"\x42"

# Constructors used for array elements, which share one constructor and have no short forms here.
INT64_CONSTRUCTOR = 0x81
TIMESTAMP_CONSTRUCTOR = 0x83
STRING_CONSTRUCTOR = 0xB1
SYMBOL_CONSTRUCTOR = 0xB3


def boolean(value: bool | None) -> bytes:
    if value is None:
        return NULL
    return TRUE if value else FALSE


def ubyte(value: int | None) -> bytes:
    return NULL if value is None else bytes((0x50, value))


def ushort(value: int | None) -> bytes:
    return NULL if value is None else struct.pack(">BH", 0x60, value)


def uint(value: int | None) -> bytes:
    if value is None:
        return NULL
    if value == 0:
        return b"\x43"
    return bytes((0x52, value)) if value < 256 else struct.pack(">BI", 0x70, value)


def ulong(value: int | None) -> bytes:
    if value is None:
        return NULL
    if value == 0:
        return b"\x44"
    return bytes((0x53, value)) if value < 256 else struct.pack(">BQ", 0x80, value)


def int32(value: int | None) -> bytes:
    if value is None:
        return NULL
    if -128 <= value <= 127:
        return struct.pack(">Bb", 0x54, value)
    return struct.pack(">Bi", 0x71, value)


def int64(value: int | None) -> bytes:
    if value is None:
        return NULL
    if -128 <= value <= 127:
        return struct.pack(">Bb", 0x55, value)
    return struct.pack(">Bq", 0x81, value)


def timestamp(seconds: float | None) -> bytes:
    """`seconds` since the Unix epoch; the wire holds whole milliseconds."""
    return NULL if seconds is None else struct.pack(">Bq", 0x83, round(seconds * 1000))


def uuid(value: UUID | None) -> bytes:
    return NULL if value is None else b"\x98" + value.bytes


def _variable(small: int, large: int, data: bytes) -> bytes:
    if len(data) < 256:
        return bytes((small, len(data))) + data
    return struct.pack(">BI", large, len(data)) + data


def binary(value: bytes | None) -> bytes:
    return NULL if value is None else _variable(0xA0, 0xB0, value)


def string(value: str | None) -> bytes:
    return NULL if value is None else _variable(0xA1, 0xB1, value.encode())


def symbol(value: str | None) -> bytes:
    return NULL if value is None else _variable(0xA3, 0xB3, value.encode("ascii"))


def _compound(small: int, large: int, count: int, body: bytes) -> bytes:
    # The size counts the bytes after itself: the count field and the items.
    if count < 256 and len(body) < 255:
        return bytes((small, len(body) + 1, count)) + body
    return struct.pack(">BII", large, len(body) + 4, count) + body


def list_of(*items: bytes) -> bytes:
    """A list of values that are already encoded."""
    return _compound(0xC0, 0xD0, len(items), b"".join(items)) if items else b"\x45"


def map_of(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    items = [part for pair in pairs for part in pair]
    return _compound(0xC1, 0xD1, len(items), b"".join(items))


def array_of(constructor: int, items: list[bytes]) -> bytes:
    """An array; `items` are encoded without their constructor."""
    body = bytes((constructor,)) + b"".join(items)
    if len(items) < 256 and len(body) < 255:
        return bytes((0xE0, len(body) + 1, len(items))) + body
    return struct.pack(">BII", 0xF0, len(body) + 4, len(items)) + body


def int64_array(values: Iterable[int]) -> bytes:
    return array_of(INT64_CONSTRUCTOR, [struct.pack(">q", value) for value in values])


def timestamp_array(seconds: Iterable[float]) -> bytes:
    return array_of(
        TIMESTAMP_CONSTRUCTOR, [struct.pack(">q", round(value * 1000)) for value in seconds]
    )


def string_array(values: Iterable[str]) -> bytes:
    encoded = [value.encode() for value in values]
    return array_of(STRING_CONSTRUCTOR, [struct.pack(">I", len(e)) + e for e in encoded])


def symbol_array(values: Iterable[str]) -> bytes:
    encoded = [value.encode("ascii") for value in values]
    return array_of(SYMBOL_CONSTRUCTOR, [struct.pack(">I", len(e)) + e for e in encoded])


def described(code: int, value: bytes) -> bytes:
    """`code` below 256: every descriptor of the specification that is used here."""
    return bytes((0x00, 0x53, code)) + value
