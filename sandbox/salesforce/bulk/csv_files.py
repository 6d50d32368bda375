"""The CSV files of an ingest job: what was uploaded, and the result files.

Result rows come in another order than the input, as in Salesforce, where batches run side by side: the
rows of each internal batch are shuffled before they are written, and the batches when they are read.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox.salesforce.bulk.jobs import BATCH_ROWS, Job, JobFailed

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CHUNK = 256 * 1024
Item = TypeVar("Item")


class Upload:
    """The uploaded file as rows; `columns` is its first one. Raises JobFailed where it is no good CSV."""

    def __init__(self, job: Job, path: Path) -> None:
        self._newline = job.newline
        self._file = path.open(encoding="utf-8", newline="")
        self._reader = csv.reader(self._file, delimiter=job.delimiter, strict=True)
        self._waiting: list[list[str]] = []
        self.columns: list[str] = []

    def start(self) -> None:
        try:
            first = self._file.readline()
        except UnicodeDecodeError as exc:
            raise JobFailed(f"InvalidBatch : The file is not UTF-8: {exc}") from exc
        given = "\r\n" if first.endswith("\r\n") else "\n"
        if first.endswith("\n") and given != self._newline:
            name = "CRLF" if self._newline == "\r\n" else "LF"
            raise JobFailed(
                "ClientInputError : LineEnding is invalid on user data. "
                f"Current LineEnding setting is {name}"
            )
        self._file.seek(0)
        self.columns = self._next() or []
        if not self.columns:
            raise JobFailed("InvalidBatch : The file has no header row")

    def take(self, most: int) -> list[list[str]]:
        """The next rows, none at the end; empty lines are no rows."""
        rows, self._waiting = self._waiting[:most], self._waiting[most:]
        while len(rows) < most and (row := self._next()) is not None:
            rows.append(row)
        return rows

    def put_back(self, rows: list[list[str]]) -> None:
        self._waiting = rows + self._waiting

    def close(self) -> None:
        self._file.close()

    def _next(self) -> list[str] | None:
        try:
            for row in self._reader:
                if row:
                    return row
        except (csv.Error, UnicodeDecodeError) as exc:
            raise JobFailed(f"InvalidBatch : Failed to parse CSV: {exc}") from exc
        return None


class ResultFile:
    """Rows with a header; written batch by batch, read as the bytes of a CSV file."""

    def __init__(self, path: Path, columns: Sequence[str], job: Job, dice: random.Random) -> None:
        self._path, self._dice = path, dice
        self._format: dict[str, Any] = {
            "delimiter": job.delimiter,
            "lineterminator": job.newline,
            "quoting": csv.QUOTE_ALL,
        }
        self._rows: list[Sequence[str]] = []
        self._parts: list[tuple[int, int]] = []
        self._size = 0
        self._header = self._encoded([columns])

    def add(self, rows: list[Sequence[str]]) -> None:
        self._rows += rows
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def finish(self) -> None:
        if self._rows:
            self._flush()
        self._parts = shuffled(self._parts, self._dice)

    def read(self) -> Iterator[bytes]:
        yield self._header
        if not self._parts:
            return
        with self._path.open("rb") as file:
            for start, length in self._parts:
                file.seek(start)
                while length > 0:
                    data = file.read(min(CHUNK, length))
                    length -= len(data)
                    yield data

    def _flush(self) -> None:
        data = self._encoded(shuffled(self._rows, self._dice))
        with self._path.open("ab") as file:
            file.write(data)
        self._parts.append((self._size, len(data)))
        self._size += len(data)
        self._rows = []

    def _encoded(self, rows: Sequence[Sequence[str]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, **self._format).writerows(rows)
        return text.getvalue().encode()


def shuffled(items: list[Item], dice: random.Random) -> list[Item]:
    """The items in another order, where there is one."""
    found = items[:]
    dice.shuffle(found)
    return found[1:] + found[:1] if len(found) > 1 and found == items else found
