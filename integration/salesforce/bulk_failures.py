"""Rows that a Bulk job did not write, as JSON lines in the parts of a spool.

    {"key": "D|1000|EUR", "id": "01u…" or "", "code": "UNABLE_TO_LOCK_ROW", "message": "…",
     "fields": ["UnitPrice"], "transient": true}

`transient`: the same row may pass when it is sent again. Code UNPROCESSED: Salesforce never tried the row.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from integration.errors import ContractError
from integration.salesforce.codes import Kind, kind_of
from integration.salesforce.faults import MESSAGE_LIMIT, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.state.spool import Spool

UNPROCESSED = "UNPROCESSED"
UNKNOWN = "unknown-code"

_PART_BYTES = 4_000_000
_ERROR = re.compile(r"(?P<code>[A-Za-z][A-Za-z0-9_]{0,63}):(?P<rest>.*)", re.DOTALL | re.ASCII)
_FIELDS = re.compile(r":(?P<fields>[\w.,; ]*?)\s*--\s*$", re.ASCII)
_TRANSIENT = {
    Kind.EXPIRED,
    Kind.BUDGET,
    Kind.THROTTLED,
    Kind.DOWN,
    Kind.UNSURE,
    Kind.APEX_LIMIT,
    Kind.BUSY,
}


def read_error(text: str) -> tuple[Fault, bool]:
    """The fault in a cell `sf__Error`, and whether it is transient. The form is `CODE:message:fields --`
    (Salesforce contract 3.2); whatever does not have it is all message."""
    found = _ERROR.fullmatch(text.strip())
    if not found:
        return Fault(UNKNOWN, _short(text)), False
    rest, fields = found["rest"], _FIELDS.search(found["rest"])
    names: list[str] = []
    if fields:
        rest, names = rest[: fields.start()], re.split(r"[,;\s]+", fields["fields"].strip())
    fault = Fault(found["code"], _short(rest), tuple(name for name in names if name))
    return fault, kind_of(fault, None, reading=False) in _TRANSIENT


class FailureWriter:
    """Gathers lines into parts of some megabytes; `part` is the number of the next one."""

    def __init__(self, spool: Spool, part: int, key: str) -> None:
        """`key` is the column whose value names a row."""
        self.part = part
        self._spool = spool
        self._key = key
        self._lines: list[bytes] = []
        self._size = 0

    async def failed(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Rows of `failedResults`. Raises ContractError where the key is not among their columns."""
        for row in rows:
            fault, transient = read_error(row.get("sf__Error", ""))
            await self._add(row, row.get("sf__Id", ""), fault, transient)

    async def unprocessed(
        self, rows: Iterable[Mapping[str, str]], message: str, *, transient: bool
    ) -> None:
        fault = Fault(UNPROCESSED, _short(message))
        for row in rows:
            await self._add(row, "", fault, transient)

    async def flush(self) -> None:
        """Writes what is left as a part of its own."""
        if self._lines:
            await self._spool.put(self.part, b"".join(self._lines))
            self.part += 1
            self._lines, self._size = [], 0

    async def _add(
        self, row: Mapping[str, str], record_id: str, fault: Fault, transient: bool
    ) -> None:
        if self._key not in row:
            raise ContractError(f"a result file without {self._key}", system="salesforce")
        line: dict[str, Any] = {
            "key": row[self._key],
            "id": record_id,
            "code": fault.code,
            "message": fault.message,
            "fields": fault.fields,
            "transient": transient,
        }
        encoded = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._lines.append(encoded)
        self._size += len(encoded)
        # Cut where the rows say so, not where the network did: a step that runs again writes the same parts.
        if self._size >= _PART_BYTES:
            await self.flush()


def _short(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_LIMIT]
