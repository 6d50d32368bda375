"""AMQP 1.0 type system, bytes to Python values (OASIS AMQP 1.0 part 1).

Decoding loses the difference between the integer widths; where a value must go back unchanged
(a request's message-id, a link's source), callers keep its raw bytes with `split_list`.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

MAX_DEPTH = 64
MAX_ITEMS = 65_536


class DecodeError(ValueError):
    """The bytes are not valid AMQP 1.0."""


class Symbol(str):
    """An AMQP symbol; equal to the string of the same characters."""

    __slots__ = ()


class Described(NamedTuple):
    descriptor: Any
    value: Any


_WIDTH_BY_CLASS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


def skip(data: bytes, position: int) -> int:
    """The position after the value that starts at `position`, without building the value."""
    try:
        code = data[position]
        position += 1
        if code == 0x00:
            return skip(data, skip(data, position))
        kind = code >> 4
        if kind in _WIDTH_BY_CLASS:
            end = position + _WIDTH_BY_CLASS[kind]
        elif kind in (0xA, 0xC, 0xE):
            end = position + 1 + data[position]
        elif kind in (0xB, 0xD, 0xF):
            end = position + 4 + int(struct.unpack_from(">I", data, position)[0])
        else:
            raise DecodeError(f"Unknown AMQP constructor 0x{code:02x}.")
    except (IndexError, struct.error, RecursionError) as exc:
        raise DecodeError("The AMQP value is cut short.") from exc
    if end > len(data):
        raise DecodeError("The AMQP value is cut short.")
    return end


def _items(data: bytes, position: int, small: int, large: int) -> tuple[int, int]:
    """Count and start of the items of the list or map at `position`."""
    skip(data, position)  # refuses what is cut short
    code = data[position]
    if code == small and len(data) > position + 2:
        return data[position + 2], position + 3
    if code == large and len(data) > position + 8:
        return struct.unpack_from(">I", data, position + 5)[0], position + 9
    raise DecodeError(f"Expected a list or map, found constructor 0x{code:02x}.")


def split_list(data: bytes, position: int = 0) -> list[bytes]:
    """The raw bytes of each item of the list at `position`."""
    if data[position : position + 1] == b"\x45":
        return []
    count, position = _items(data, position, 0xC0, 0xD0)
    return _slices(data, position, count)


def split_map(data: bytes, position: int = 0) -> list[tuple[bytes, bytes]]:
    """The raw bytes of each key and value of the map at `position`."""
    count, position = _items(data, position, 0xC1, 0xD1)
    slices = _slices(data, position, count)
    return list(zip(slices[0::2], slices[1::2], strict=True))


def _slices(data: bytes, position: int, count: int) -> list[bytes]:
    result = []
    for _ in range(count):
        end = skip(data, position)
        result.append(data[position:end])
        position = end
    return result


def decode(data: bytes, position: int = 0) -> tuple[Any, int]:
    """The value at `position` and the position after it. Raises `DecodeError`."""
    try:
        return _decode(data, position, 0)
    except (IndexError, struct.error, UnicodeDecodeError) as exc:
        raise DecodeError("The AMQP value is cut short or not valid text.") from exc


def _decode(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    reader = _READERS.get(data[position])
    if reader is None:
        raise DecodeError(f"Unknown AMQP constructor 0x{data[position]:02x}.")
    return reader(data, position + 1, depth)


_Reader = Callable[[bytes, int, int], tuple[Any, int]]


def _constant(value: Any) -> _Reader:
    return lambda _data, position, _depth: (value, position)


def _fixed(layout: str) -> _Reader:
    packed = struct.Struct(">" + layout)

    def read(data: bytes, position: int, _depth: int) -> tuple[Any, int]:
        return packed.unpack_from(data, position)[0], position + packed.size

    return read


def _sized(width: int, convert: Callable[[bytes], Any]) -> _Reader:
    """A variable-width value behind a one- or four-byte length."""

    def read(data: bytes, position: int, _depth: int) -> tuple[Any, int]:
        start = position + width
        end = start + int.from_bytes(data[position:start], "big")
        if end > len(data):
            raise DecodeError("The AMQP value is cut short.")
        return convert(data[start:end]), end

    return read


def _bytes_of(width: int, convert: Callable[[bytes], Any]) -> _Reader:
    def read(data: bytes, position: int, _depth: int) -> tuple[Any, int]:
        if position + width > len(data):
            raise DecodeError("The AMQP value is cut short.")
        return convert(data[position : position + width]), position + width

    return read


def _count(data: bytes, position: int, width: int, depth: int) -> tuple[int, int]:
    if depth >= MAX_DEPTH:
        raise DecodeError(f"AMQP values nest deeper than {MAX_DEPTH} levels.")
    start = position + width
    if len(data) < start + width:
        raise DecodeError("The AMQP value is cut short.")
    count = int.from_bytes(data[start : start + width], "big")
    if count > MAX_ITEMS:
        raise DecodeError(f"An AMQP list, map or array holds more than {MAX_ITEMS} items.")
    return count, start + width


def _list(width: int) -> _Reader:
    def read(data: bytes, position: int, depth: int) -> tuple[Any, int]:
        count, position = _count(data, position, width, depth)
        values = []
        for _ in range(count):
            value, position = _decode(data, position, depth + 1)
            values.append(value)
        return values, position

    return read


def _map(width: int) -> _Reader:
    read_items = _list(width)

    def read(data: bytes, position: int, depth: int) -> tuple[Any, int]:
        items, position = read_items(data, position, depth)
        if len(items) % 2:
            raise DecodeError("An AMQP map holds a key without a value.")
        try:
            return dict(zip(items[0::2], items[1::2], strict=True)), position
        except TypeError as exc:
            raise DecodeError("An AMQP map key is a list or a map.") from exc

    return read


def _array(width: int) -> _Reader:
    def read(data: bytes, position: int, depth: int) -> tuple[Any, int]:
        end = position + width + int.from_bytes(data[position : position + width], "big")
        count, position = _count(data, position, width, depth)
        if count == 0:  # an empty array may come without an element constructor
            return [], end
        constructor = data[position]
        position += 1
        descriptor = None
        if constructor == 0x00:
            descriptor, position = _decode(data, position, depth + 1)
            constructor = data[position]
            position += 1
        reader = _READERS.get(constructor)
        if reader is None:
            raise DecodeError(f"Unknown AMQP constructor 0x{constructor:02x}.")
        values = []
        for _ in range(count):
            value, position = reader(data, position, depth + 1)
            values.append(value if descriptor is None else Described(descriptor, value))
        return values, position

    return read


def _described(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    if depth >= MAX_DEPTH:
        raise DecodeError(f"AMQP values nest deeper than {MAX_DEPTH} levels.")
    descriptor, position = _decode(data, position, depth + 1)
    value, position = _decode(data, position, depth + 1)
    return Described(descriptor, value), position


def _text(raw: bytes) -> str:
    return raw.decode()


def _symbol(raw: bytes) -> Symbol:
    return Symbol(raw.decode("ascii"))


_READERS: dict[int, _Reader] = {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(0),
    0x44: _constant(0),
    0x45: lambda _data, position, _depth: ([], position),
    0x50: _fixed("B"),
    0x51: _fixed("b"),
    0x52: _fixed("B"),
    0x53: _fixed("B"),
    0x54: _fixed("b"),
    0x55: _fixed("b"),
    0x56: _fixed("?"),
    0x60: _fixed("H"),
    0x61: _fixed("h"),
    0x70: _fixed("I"),
    0x71: _fixed("i"),
    0x72: _fixed("f"),
    0x73: _bytes_of(4, lambda raw: raw.decode("utf-32-be")),
    0x74: _bytes_of(4, bytes),
    0x80: _fixed("Q"),
    0x81: _fixed("q"),
    0x82: _fixed("d"),
    0x83: _fixed("q"),
    0x84: _bytes_of(8, bytes),
    0x94: _bytes_of(16, bytes),
    0x98: _bytes_of(16, lambda raw: UUID(bytes=raw)),
    0xA0: _sized(1, bytes),
    0xA1: _sized(1, _text),
    0xA3: _sized(1, _symbol),
    0xB0: _sized(4, bytes),
    0xB1: _sized(4, _text),
    0xB3: _sized(4, _symbol),
    0xC0: _list(1),
    0xC1: _map(1),
    0xD0: _list(4),
    0xD1: _map(4),
    0xE0: _array(1),
    0xF0: _array(4),
}
