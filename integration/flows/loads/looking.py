"""Rows that the flow itself judges: dirty keys, and what a whole comparison left open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.errors import (
    ConfigurationError,
    DeadlineReached,
    RecordNeedsReview,
    RecordRejected,
    SystemTrouble,
)
from integration.flows.gone.decisions import Lifting
from integration.flows.gone.flow import is_departed
from integration.flows.loads.findings import ALIKE, KEYS, LOOK
from integration.flows.loads.lines import all_lines, chunks, text_lines
from integration.flows.loads.parts import progress, to
from integration.flows.outcomes import Moved, Skipped
from integration.state.key_index import KeySet

if TYPE_CHECKING:
    from integration.flows.flow import Record, Write
    from integration.flows.loads.findings import Findings
    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position, Progress

_TOGETHER = 1_000  # keys: about one $batch of filters
_OF_THE_SYSTEM = (SystemTrouble, DeadlineReached, ConfigurationError)


async def look(parts: Parts, position: Position) -> Progress:
    if "read_at" not in position:
        position["read_at"] = parts.clock().isoformat()
    spool = parts.spool(position, LOOK if position["whole"] else KEYS)
    found = await parts.findings(position)
    alike = KeySet()
    async for word in all_lines(parts.spool(position, ALIKE)):
        alike.add(word)
    async for keys in chunks(spool, position, _TOGETHER, text_lines):
        if not position["whole"]:
            found.counts["read"] += len(keys)
        await _Look(parts, position, found, alike).at(keys)
    await found.save()
    return progress(position if position["at"] else to(position, "decide"), found)


class _Look:
    def __init__(self, parts: Parts, position: Position, found: Findings, alike: KeySet) -> None:
        self._definition = parts.definition
        self._flow = parts.definition.flow
        self._company = position["params"].get("company")
        self._found = found
        self._alike = alike

    async def at(self, keys: list[str]) -> None:
        records: dict[str, Record] = {}
        wanted: dict[str, Any] = {}
        read = await self._flow.read(keys)
        for key in keys:
            record = read.get(key, Skipped("not-found"))
            if isinstance(record, Exception):
                self._failed(key, record)
            elif isinstance(record, Skipped):
                self._skipped(record.reason)
            elif isinstance(record, Moved) or is_departed(record):
                self._left(key)
            else:
                try:
                    want = self._flow.wanted(record)
                except Exception as error:  # one record's surprise is that record's outcome
                    self._failed(key, error)
                    continue
                if isinstance(want, Skipped):
                    self._skipped(want.reason)
                else:
                    records[key], wanted[key] = record, want
        matches = await self._flow.find(wanted) if wanted else {}
        for key, want in wanted.items():
            current = matches.get(key)
            if isinstance(current, Exception):
                self._failed(key, current)
                continue
            try:
                self._judge(key, records[key], want, current)
            except Exception as error:
                self._failed(key, error)

    def _judge(self, key: str, record: Record, wanted: Any, current: Any) -> None:
        change = self._flow.compare(wanted, current)
        if self._company and self._definition.company_of(wanted, current) != self._company:
            self._skipped("other-company")
            return
        if isinstance(change, Skipped):
            self._skipped(change.reason)
            return
        if isinstance(change, Moved | Lifting):
            self._left(key)
            return
        back = {}
        if change is None or change.operation == "update":
            back = self._flow.back(record, None, current)
        if back.keys() - {self._definition.number_field}:
            self._left(key)  # more than a number goes back: the flow writes all of it
            return
        if change is None:
            self._found.counts["unchanged"] += 1
        elif not self._send(key, wanted, change):
            return
        if back:
            self._found.back(key, str(back[self._definition.number_field]))

    def _send(self, key: str, wanted: Any, change: Write) -> bool:
        row = self._definition.row_of(wanted, change)
        if row is None or any(word in self._alike for word in row.alike):
            self._left(key)
            return False
        for word in row.alike:
            self._alike.add(word)
            self._found.line(ALIKE, word)
        self._found.send_row(key, row)
        return True

    def _skipped(self, reason: str) -> None:
        self._found.counts[f"skipped:{reason}"] += 1

    def _left(self, key: str) -> None:
        self._found.hint(key)

    def _failed(self, key: str, error: Exception) -> None:
        """What can never succeed ends here; what needs a person, or may pass later, gets a hint. Raises
        trouble of a whole system."""
        if isinstance(error, _OF_THE_SYSTEM):
            raise error
        if isinstance(error, RecordRejected) and not isinstance(error, RecordNeedsReview):
            self._found.fail(key, error)
        else:
            self._left(key)
