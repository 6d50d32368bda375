"""What a data package holds: one entity, its columns, and the rows as CSV text.

A package is how F&O takes many rows at once: a zip with two XML files that describe it and one CSV file per
entity (F&O contract 6.3, 6.4). `package_manifest` writes the XML, `package_zip` the file, `package_import`
and `package_export` drive F&O through one run.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Position = dict[str, Any]  # where a run stands, as JSON

_HEADER = re.compile(r"[A-Z][A-Z0-9_]*")
_ENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _()-]*")  # also the name of a file in the zip


@dataclass(frozen=True, slots=True)
class Column:
    """`header` names the staging field and the column of the file. `auto_generated`: F&O draws the number."""

    header: str
    auto_generated: bool = False


@dataclass(frozen=True, slots=True)
class PackageTable:
    """`entity` is the label of the data entity, e.g. "Customers V3"; the values of the `key` columns
    identify a row of ours in failures. Raises ValueError for names that F&O could not have."""

    entity: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def __post_init__(self) -> None:
        headers = self.headers
        wrong = [header for header in headers if not _HEADER.fullmatch(header)]
        if not _ENTITY.fullmatch(self.entity) or wrong or not headers:
            raise ValueError(f"{self.entity}: not an entity with columns in capitals: {wrong}")
        if len(set(headers)) != len(headers):
            raise ValueError(f"{self.entity}: a column is there twice")
        if not self.key or not set(self.key) <= set(headers):
            raise ValueError(f"{self.entity}: a key column is not among the columns")

    @property
    def headers(self) -> tuple[str, ...]:
        return tuple(column.header for column in self.columns)

    @property
    def file_name(self) -> str:
        """Of the data file inside the zip."""
        return f"{self.entity}.csv"

    def to_json(self) -> dict[str, Any]:
        return {
            "entity": self.entity,
            "columns": list(self.headers),
            "auto": [column.header for column in self.columns if column.auto_generated],
            "key": list(self.key),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        auto = set(data["auto"])
        columns = tuple(Column(header, header in auto) for header in data["columns"])
        return cls(data["entity"], columns, tuple(data["key"]))


def encode_rows(rows: Iterable[Sequence[str | None]]) -> bytes:
    """A part for the spool: CSV without header, UTF-8, columns in the table's order; None is empty.

    Text that Unicode itself cannot write (half a surrogate pair) becomes a question mark.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def decode_rows(part: bytes) -> Iterator[list[str]]:
    """The rows of a part again. Raises ContractError for what `encode_rows` did not write."""
    try:
        yield from csv.reader(io.StringIO(part.decode(), newline=""))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ContractError(f"a part of the spool is no CSV: {error}", system="storage") from error
