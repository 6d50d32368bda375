"""A dispatcher with one flow between two dicts, and an outbox and a ledger that remember."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from integration.errors import (
    Unreachable,
)
from integration.flows.context import FlowEntry
from integration.flows.dispatcher import Dispatcher
from integration.messaging.dead_letters import DeadLetter
from integration.messaging.hints import Hint, bucket_of
from integration.recovery.gate import SystemGate
from integration.state.ledger import LedgerEntry
from integration.state.replies import Replies
from tests.unit.flow_support import MemoryFlow

BUCKETS = 4
D365_DOWN = Unreachable("down", system="d365")
BUS_DOWN = Unreachable("no broker", system="service_bus")


@dataclass
class MemoryOutbox:
    sent: list[Hint] = field(default_factory=list)
    scheduled: list[tuple[Hint, float]] = field(default_factory=list)
    raw: list[tuple[bytes, str, str, float]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    error: Exception | None = None

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    async def send_hints(self, hints: Iterable[Hint]) -> None:
        self._check()
        self.sent += hints

    async def schedule(self, hint: Hint, delay: float) -> None:
        self._check()
        self.scheduled.append((hint, delay))

    async def schedule_raw(
        self, body: bytes, *, session: str, message_id: str, delay: float
    ) -> None:
        self._check()
        self.raw.append((body, session, message_id, delay))

    async def dead_letter(self, letter: DeadLetter) -> None:
        self._check()
        self.letters.append(letter)

    @property
    def is_empty(self) -> bool:
        return not (self.sent or self.scheduled or self.raw or self.letters)


@dataclass
class MemoryLedger:
    entries: dict[tuple[str, str], LedgerEntry] = field(default_factory=dict)
    error: Exception | None = None

    async def record(self, entry: LedgerEntry) -> None:
        if self.error is not None:
            raise self.error
        self.entries[entry.flow, entry.key] = entry

    async def settle(self, flow: str, key: str) -> None:
        self.entries.pop((flow, key), None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A dispatcher with one flow between two dicts and an outbox that remembers."""

    def __init__(
        self,
        switch: str = "on",
        *,
        flow: MemoryFlow | None = None,
        batch_seconds: float = 60,
        replies: Replies | None = None,
    ) -> None:
        self.flow = flow or MemoryFlow()
        self.outbox = MemoryOutbox()
        self.ledger = MemoryLedger()
        self.clock = Clock()
        self.dispatcher = Dispatcher(
            [FlowEntry(self.flow, "salesforce", "Account", switch)],
            self.outbox,
            SystemGate(base=30, longest=900, clock=self.clock),
            self.ledger,
            buckets=BUCKETS,
            batch_seconds=batch_seconds,
            window=0.005,
            batch_size=100,
            park_seconds=900,
            random=Random(1),
            replies=replies,
        )

    async def deliver(self, *hints: Hint) -> None:
        await asyncio.gather(
            *(
                self.dispatcher.handle(
                    hint.to_bytes(),
                    session=bucket_of(hint.root or hint.key, BUCKETS),
                    message_id=hint.message_id,
                )
                for hint in hints
            )
        )


def hint(key: str = "a", **changes: Any) -> Hint:
    values: dict[str, Any] = {
        "source": "salesforce",
        "object": "Account",
        "key": key,
        "event_id": f"event-{key}",
        "seen_at": datetime.now(UTC) - timedelta(seconds=5),
    }
    return Hint(**{**values, **changes})
