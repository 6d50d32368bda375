"""CSV files that F&O wrote: encoding and delimiter are found out, and the place in the file is known.

Exports and error files come in the code page and with the delimiter of the tenant's data format
(F&O contract 6.4). A row may hold line ends inside quotes, so only the CSV reader knows where a row ends.
"""

from __future__ import annotations

import codecs
import csv
import itertools
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DELIMITERS = ",;\t|"
_CHUNK = 1_000_000  # bytes
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class ByteStream(Protocol):
    """A buffered binary file."""

    def peek(self, size: int = 0, /) -> bytes: ...
    def read(self, size: int = -1, /) -> bytes: ...
    def __iter__(self) -> Iterator[bytes]: ...


class CsvFile:
    """`headers` in capitals; `offset` is the number of bytes up to the end of the last row read.

    Raises ContractError for what is no text or no CSV.
    """

    def __init__(self, stream: ByteStream, *, start: int = 0) -> None:
        """`start` is an `offset` of an earlier reading of the same file: its next row comes first."""
        self._stream = stream
        self.offset = 0
        self._encoding = self._detect()
        lines = self._lines()
        first = next(lines, "")
        delimiter = max(_DELIMITERS, key=first.count)
        self._rows = csv.reader(itertools.chain([first], lines), delimiter=delimiter)
        header = self._next()
        self.headers = [name.strip().upper() for name in header or ()]
        if start > self.offset:
            for _ in lines:
                if self.offset >= start:
                    break
            if self.offset != start:
                raise ContractError("the file is not what it was before", system="d365")
            self._rows = csv.reader(lines, delimiter=delimiter)

    def __iter__(self) -> Iterator[list[str]]:
        """The rows; empty lines are passed over."""
        try:
            yield from filter(None, self._rows)
        except (csv.Error, UnicodeDecodeError) as error:
            raise self._broken(error) from None

    def cells(self, columns: Sequence[str], most: int) -> list[tuple[str, ...]]:
        """These columns of the next rows, at most so many; none at the end. `columns` in capitals; a cell
        or a column that is not there is ""."""
        width = len(self.headers)
        places = [self.headers.index(name) if name in self.headers else width for name in columns]
        # An itemgetter of one place gives no tuple.
        get = itemgetter(*places, width)
        found = []
        for row in itertools.islice(iter(self), most):
            row += [""] * (width - len(row))
            row[width:] = [""]
            found.append(get(row)[:-1])
        return found

    def _next(self) -> list[str] | None:
        try:
            return next(self._rows, None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise self._broken(error) from None

    def _broken(self, error: Exception) -> ContractError:
        """Without its text: a decoding error holds the row."""
        kind = type(error).__name__
        return ContractError(f"no CSV after byte {self.offset}: {kind}", system="d365")

    def _detect(self) -> str:
        start = self._stream.peek(4)[:4]
        for mark, encoding in _MARKS:
            if start.startswith(mark):
                self._stream.read(len(mark))
                self.offset += len(mark)
                return encoding
        # Names of columns are plain letters: a zero byte beside one tells UTF-16.
        if start[1:2] == b"\0":
            return "utf-16-le"
        return "utf-16-be" if start[:1] == b"\0" else "utf-8"

    def _lines(self) -> Iterator[str]:
        if self._encoding != "utf-8":
            yield from self._wide_lines()
            return
        for line in self._stream:
            self.offset += len(line)
            yield line.decode()

    def _wide_lines(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._encoding)()
        rest = ""
        while piece := self._stream.read(_CHUNK):
            *lines, rest = (rest + decoder.decode(piece)).split("\n")
            for line in lines:
                self.offset += len(line.encode(self._encoding)) + 2
                yield f"{line}\n"
        rest += decoder.decode(b"", final=True)
        if rest:
            self.offset += len(rest.encode(self._encoding))
            yield rest
