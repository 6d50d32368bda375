"""The package file as pieces: a zip that can be continued in another process.

The data file of a package is compressed part by part. Each part ends on a whole byte, so the pieces put
together are one deflate stream, and what must be remembered between two of them is a handful of numbers:
`ZipState`. The same rows always give the same bytes, so a piece that is sent again is the same piece. The
sizes of the data file follow its content as a data descriptor, as in any zip written to a stream.
(The standard library's zipfile writes this form as well but cannot go on after a restart.)
"""

from __future__ import annotations

import codecs
import csv
import io
import struct
import zlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from integration.d365.package_manifest import HEADER, MANIFEST
from integration.errors import ConfigurationError

if TYPE_CHECKING:
    from integration.d365.package_manifest import Description

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_DESCRIPTOR = struct.Struct("<4sLLL")
_END = struct.Struct("<4sHHHHLLH")
_VERSION, _DEFLATE, _STREAMED = 20, 8, 0x08
_TIME, _DATE = 0, 0x21  # midnight, 1 January 1980: the same rows give the same bytes
_LARGEST = 0xFFFF_FFFF  # of a zip in its plain form; F&O's own limit is far below
_LEVEL = 1  # a quarter of the usual level's time for an eighth more bytes
_EMPTY_LAST_BLOCK = b"\x03\x00"

Entry = tuple[str, int, int, int, int]  # name, CRC-32, packed size, size, offset in the zip


@dataclass(frozen=True, slots=True)
class ZipState:
    """`offset` is what was written of the zip, the rest concerns the data file begun at `start`."""

    entries: tuple[Entry, ...]
    file: str
    start: int
    offset: int
    size: int = 0
    packed: int = 0
    crc: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "entries": [list(entry) for entry in self.entries]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**{**data, "entries": tuple(tuple(entry) for entry in data["entries"])})


def begin(
    description: Description, file: str, encoding: Literal["utf-8", "utf-16"]
) -> tuple[bytes, ZipState]:
    """The XML files, and the data file as far as its first row."""
    written, entries = b"", []
    for name, body in ((MANIFEST, description.manifest), (HEADER, description.header)):
        packed = _deflate(body) + _EMPTY_LAST_BLOCK
        crc = zlib.crc32(body)
        entries.append((name, crc, len(packed), len(body), len(written)))
        written += _local(name, 0, crc, len(packed), len(body)) + packed
    start = len(written)
    written += _local(file, _STREAMED, 0, 0, 0)
    state = ZipState(tuple(entries), file, start, len(written))
    first = io.StringIO(newline="")
    csv.writer(first, lineterminator="\r\n").writerow(description.headers)
    row = first.getvalue().encode()
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16" else b""
    packed, state = append(state, mark + recode(row, encoding))
    return written + packed, state


def recode(rows: bytes, encoding: Literal["utf-8", "utf-16"]) -> bytes:
    """UTF-8 text as the data file has it."""
    return rows if encoding == "utf-8" else rows.decode().encode("utf-16-le")


def append(state: ZipState, rows: bytes) -> tuple[bytes, ZipState]:
    """The next bytes of the zip. Raises ConfigurationError where a package becomes too large."""
    packed = _deflate(rows)
    after = replace(
        state,
        offset=state.offset + len(packed),
        packed=state.packed + len(packed),
        size=state.size + len(rows),
        crc=zlib.crc32(rows, state.crc),
    )
    if max(after.size, after.offset + 1000) > _LARGEST:
        raise ConfigurationError(["PACKAGE_ROWS: a data package of that many rows exceeds 4 GB"])
    return packed, after


def finish(state: ZipState) -> bytes:
    """What follows the last row."""
    packed = state.packed + len(_EMPTY_LAST_BLOCK)
    tail = _EMPTY_LAST_BLOCK + _DESCRIPTOR.pack(b"PK\x07\x08", state.crc, packed, state.size)
    data: Entry = (state.file, state.crc, packed, state.size, state.start)
    entries = [*((entry, 0) for entry in state.entries), (data, _STREAMED)]
    directory = b"".join(_central(entry, flags) for entry, flags in entries)
    count, offset = len(entries), state.offset + len(tail)
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), offset, 0)
    return tail + directory + end


def _deflate(data: bytes) -> bytes:
    """A piece of a deflate stream that ends on a whole byte and refers to nothing before it."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _local(name: str, flags: int, crc: int, packed: int, size: int) -> bytes:
    file = name.encode("ascii")
    return (
        _LOCAL.pack(
            b"PK\x03\x04",
            _VERSION,
            flags,
            _DEFLATE,
            _TIME,
            _DATE,
            crc,
            packed,
            size,
            len(file),
            0,
        )
        + file
    )


def _central(entry: Entry, flags: int) -> bytes:
    name, crc, packed, size, offset = entry
    file = name.encode("ascii")
    fixed = (b"PK\x01\x02", _VERSION, _VERSION, flags, _DEFLATE, _TIME, _DATE)
    return _CENTRAL.pack(*fixed, crc, packed, size, len(file), 0, 0, 0, 0, 0, offset) + file
