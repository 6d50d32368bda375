"""Reads the app's own log: what became of each record, how long it took, and when a job ended."""

from __future__ import annotations

import ast
import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

_LINE = re.compile(
    r"\bintegration(?: \[\w+\])?: "
    r"(synced|skipped|moved|retry later|ended|job started|job ended|drift report) (.*)"
)
_PAIR = re.compile(r"(\w+)=(\S*)")
# Deliveries that another delivery of the same record spoke for.
_COALESCED = "coalesced"


@dataclass(frozen=True)
class Entry:
    event: str
    ids: dict[str, str]
    at: float
    text: str

    def get(self, name: str) -> str:
        return self.ids.get(name, "")


@dataclass
class Tally:
    """Records by where they stand at the end; `slowest` in seconds from the event to in step."""

    records: int = 0
    synced: int = 0
    skipped: int = 0
    review: int = 0
    dead_letters: int = 0
    ledger: int = 0
    retried: int = 0
    slowest: float = 0.0

    def add(self, other: Tally) -> None:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name == "slowest" else mine + value)


@dataclass
class LogBook:
    entries: list[Entry] = field(default_factory=list)
    warnings: deque[str] = field(default_factory=lambda: deque(maxlen=20))

    def hear(self, line: str) -> None:
        if line.startswith(("WARNING", "ERROR")):
            self.warnings.append(line)
        if found := _LINE.search(line):
            event, text = found.groups()
            self.entries.append(Entry(event, dict(_PAIR.findall(text)), time.monotonic(), text))

    def mark(self) -> int:
        return len(self.entries)

    def tally(self, flows: tuple[str, ...], since: int) -> Tally:
        """Of the records of these flows; each is counted once, by its last line."""
        tally, last = Tally(), {}
        for entry in self.entries[since:]:
            if entry.get("flow") not in flows or entry.get("reason") == _COALESCED:
                continue
            if entry.event == "retry later":
                tally.retried += 1
            elif entry.event in ("synced", "skipped", "ended"):
                last[entry.get("flow"), entry.get("key")] = entry
            if entry.event == "synced":
                tally.slowest = max(tally.slowest, float(entry.get("latency")))
        for entry in last.values():
            tally.records += 1
            match entry.event, entry.get("end"):
                case "synced", _:
                    tally.synced += 1
                case ("skipped", _) | ("ended", "skip"):
                    tally.skipped += 1
                case _, "review":
                    tally.review += 1
                case _, "reconcile":
                    tally.ledger += 1
                case _:
                    tally.dead_letters += 1
        return tally

    async def wait_for(self, event: str, since: int, timeout: float = 40, **ids: str) -> Entry:
        """Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while True:
                for entry in self.entries[since:]:
                    if entry.event == event and ids.items() <= entry.ids.items():
                        return entry
                await asyncio.sleep(0.05)


def counts_of(job_ended: Entry) -> dict[str, int]:
    """What a job says at its end."""
    text = job_ended.text.partition("counts=")[2]
    counts: dict[str, Any] = ast.literal_eval(text) if text else {}
    return {str(name): int(count) for name, count in counts.items()}
