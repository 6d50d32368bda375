"""The results of a query job as one CSV file, with the place of every row, so that any page is a slice."""

from __future__ import annotations

import base64
import binascii
import csv
from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.bulk.csv_files import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedWriter
    from pathlib import Path

    from sandbox.salesforce.bulk.jobs import Job


class Snapshot:
    def __init__(self, path: Path, columns: Sequence[str], job: Job) -> None:
        self._path = path
        self._lines: list[str] = []
        self._writer = csv.writer(
            _Lines(self._lines),
            delimiter=job.delimiter,
            lineterminator=job.newline,
            quoting=csv.QUOTE_ALL,
        )
        self._places = array("Q", [0])
        self._writer.writerow(columns)
        self._header = self._lines.pop().encode()
        self._file: BufferedWriter | None = None

    @property
    def rows(self) -> int:
        return len(self._places) - 1

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("wb") as self._file:
            yield
        self._file = None

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        assert self._file is not None
        self._writer.writerows(rows)
        place = self._places[-1]
        for line in self._lines:
            data = line.encode()
            place += len(data)
            self._places.append(place)
            self._file.write(data)
        self._lines.clear()

    def page(self, start: int, rows: int) -> Iterator[bytes]:
        """The header and at most `rows` rows from row `start` on, in pieces."""
        yield self._header
        end = self._places[min(start + rows, self.rows)]
        with self._path.open("rb") as file:
            left = end - self._places[start]
            file.seek(self._places[start])
            while left > 0:
                data = file.read(min(CHUNK, left))
                left -= len(data)
                yield data


class _Lines:
    """Takes what a csv.writer writes: one call, one line."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def locator(row: int) -> str:
    return base64.b64encode(str(row).encode()).decode()


def row_of(text: str) -> int | None:
    """The row a locator stands for, None where it is none of ours."""
    try:
        found = base64.b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return int(found) if found.isdecimal() else None
