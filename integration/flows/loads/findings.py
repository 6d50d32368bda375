"""What the steps of a load find, kept in spools until it is sent: rows, numbers, refusals, hints.

All spools of a run lie below `<kind>/<run>/`. A step writes parts with numbers of its own, so that the same
step again writes them again; what an interrupted one left behind its number is removed first.

    send-<n>   rows of package n as CSV         sent-<n>   their keys, one per line
    back       Id and number for Salesforce     found      keys whose number was read back
    look       keys that the flow must judge    hints      keys that get a hint at the end
    failed     JSON [key, reason, description, system], a line each
    alike      words of new records            doubtful   keys that may have a record under another key
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from integration.d365.packages import encode_rows
from integration.salesforce.bulk_csv import encode_rows as encode_bulk_rows
from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.errors import IntegrationError
    from integration.flows.loads.definition import LoadRow
    from integration.jobs.job import Position
    from integration.state.spool import PartStore

SEND, SENT, BACK, FOUND, LOOK, HINTS, FAILED, ALIKE, DOUBTFUL, KEYS, INDEX, EXPORTED, NOTES = (
    "send", "sent", "back", "found", "look", "hints", "failed", "alike", "doubtful", "keys", "index",
    "exported", "notes",
)  # fmt: skip
_FOREIGN = "-failures"  # spools of the package import
_FULL = 20_000  # entries kept in memory before they are written


def spool_of(store: PartStore, position: Position, name: str) -> Spool:
    return Spool(store, f"{position['folder']}{name}")


class Findings:
    """Of one step. `position` is changed: the caller returns it with its progress after `save`."""

    def __init__(self, store: PartStore, position: Position, *, package_rows: int) -> None:
        self.counts: Counter[str] = Counter()
        self.position = position
        self._store = store
        self._package_rows = package_rows
        self._dry = position["params"].get("dry") is True
        self._rows: defaultdict[int, list[bytes]] = defaultdict(list)
        self._keys: defaultdict[int, list[str]] = defaultdict(list)
        self._backs: list[tuple[str, str]] = []
        self._lines: dict[str, list[str]] = {}
        self._size = 0
        self._open = {
            (group["company"], group["operation"], tuple(group["columns"])): number
            for number, group in enumerate(position["groups"])
        }

    @property
    def is_full(self) -> bool:
        return self._size >= _FULL

    async def begin(self) -> None:
        """Removes what an interrupted try of this step has written."""
        prefix = f"spool/{self.position['folder']}"
        stale = [
            name
            async for name in self._store.names(prefix)
            if (tail := name[len(prefix) :].split("/"))[1:]
            and len(tail) == 2
            and not tail[0].endswith(_FOREIGN)
            and int(tail[1]) >= self.position["part"]
        ]
        for name in stale:
            await self._store.delete(name)

    def send(
        self,
        company: str,
        operation: str,
        columns: tuple[str, ...],
        rows: Sequence[tuple[str, Sequence[str]]],
    ) -> None:
        """`rows`: key and cells of each."""
        if self._dry:
            self.counts[f"would-{operation}"] += len(rows)
            return
        kind = company, operation, columns
        groups: list[dict[str, Any]] = self.position["groups"]
        start = 0
        while start < len(rows):
            number = self._open.get(kind)
            if number is None or groups[number]["rows"] >= self._package_rows:
                number = self._open[kind] = len(groups)
                described = {"company": company, "operation": operation, "columns": list(columns)}
                groups.append({**described, "rows": 0})
            piece = rows[start : start + self._package_rows - groups[number]["rows"]]
            groups[number]["rows"] += len(piece)
            keys, cells = zip(*piece, strict=True)
            self._keys[number] += keys
            self._rows[number].append(encode_rows(cells))
            self._size += len(piece)
            start += len(piece)

    def send_row(self, key: str, row: LoadRow) -> None:
        self.send(row.company, row.operation, row.columns, [(key, row.cells)])

    def back(self, key: str, number: str) -> None:
        """The number is to be written to Salesforce."""
        self.backs([(key, number)])

    def backs(self, numbered: Sequence[tuple[str, str]]) -> None:
        if self._dry:
            self.counts["would-write-back"] += len(numbered)
            return
        self._backs += numbered
        self.position["backs"] += len(numbered)
        self._size += len(numbered)

    def fail(self, key: str, error: IntegrationError) -> None:
        """It ends as a dead letter."""
        self.counts["failed"] += 1
        row = [key, error.reason, error.description, error.system]
        self.line(FAILED, json.dumps(row, ensure_ascii=False))

    def hint(self, key: str) -> None:
        self.line(HINTS, key)

    def look(self, key: str) -> None:
        self.position["looks"] += 1
        self.line(LOOK, key)

    def line(self, name: str, text: str) -> None:
        self.lines(name, [text])

    def lines(self, name: str, texts: Sequence[str]) -> None:
        if texts:
            self._lines.setdefault(name, []).extend(texts)
            self._size += len(texts)

    async def put(self, name: str, body: bytes) -> None:
        """A part made elsewhere."""
        if body:
            await spool_of(self._store, self.position, name).put(self.position["part"], body)
            self.position["part"] += 1

    async def save(self) -> None:
        """Writes everything; durable when it returns."""
        part = self.position["part"]
        bodies = {f"{SEND}-{number}": b"".join(rows) for number, rows in self._rows.items()}
        lists = self._lines | {f"{SENT}-{number}": keys for number, keys in self._keys.items()}
        bodies |= {
            name: "\n".join(lines).encode("utf-8", "replace") for name, lines in lists.items()
        }
        if self._backs:
            bodies[BACK] = encode_bulk_rows(self._backs)
        for name, body in bodies.items():
            await spool_of(self._store, self.position, name).put(part, body)
        if bodies:
            self.position["part"] += 1
        self._rows.clear()
        self._keys.clear()
        self._backs, self._lines, self._size = [], {}, 0


async def lines_of(spool: Spool, part: int) -> list[str]:
    """The lines of a part that `Findings.line` made."""
    return (await spool.get(part)).decode().split("\n")
