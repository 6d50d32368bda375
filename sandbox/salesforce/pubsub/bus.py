"""The event bus: what was published, in order, for as long as it is kept.

Replay ids are 8 bytes, rise with gaps, and mean nothing outside (Salesforce contract 6.5).
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.changes import Change
from sandbox.salesforce.pubsub.rules import Rules
from sandbox.salesforce.pubsub.schemas import EventSchema, event_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.salesforce.org import Org
    from sandbox.salesforce.schema import ObjectType

ALL = "/data/ChangeEvents"
_OVERFLOW = 100_000  # changes of one transaction
_CHANGED_ALWAYS = ("LastModifiedDate",)
_MADE = "com/salesforce/api/rest/62.0"


@dataclass(frozen=True, slots=True)
class Event:
    """Written as bytes when it is delivered: most events of a big load are never asked for."""

    position: int
    at: float  # monotonic
    time: float  # unix
    schema: EventSchema
    change: Change
    kind: str
    transaction: str
    sequence: int

    @property
    def object(self) -> str:
        return self.change.object

    @property
    def id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, str(self.position)))

    @property
    def replay_id(self) -> bytes:
        return self.position.to_bytes(8, "big")

    @property
    def payload(self) -> bytes:
        change, row = self.change, None
        changed: list[str] = []
        nulled: list[str] = []
        if self.kind == "UPDATE":
            names = (*change.changed, *_CHANGED_ALWAYS)
            row = {name: change.row.get(name) for name in names}
            changed = self.schema.bitmaps(names)
            nulled = self.schema.bitmaps([name for name in names if row[name] is None])
        elif self.kind in ("CREATE", "UNDELETE"):
            row = dict(change.row)
        header = {
            "entityName": change.object,
            "recordIds": [change.record_id] if change.record_id else [],
            "changeType": self.kind,
            "changeOrigin": f"{_MADE};client={change.client}" if change.client else "",
            "transactionKey": self.transaction,
            "sequenceNumber": self.sequence,
            "commitTimestamp": int(self.time * 1000),
            "commitNumber": 1_100_000_000_000 + self.position,
            "commitUser": change.user_id,
            "nulledFields": nulled,
            "diffFields": [],
            "changedFields": changed,
        }
        return self.schema.encode(header, row)


class Bus:
    def __init__(self, org: Org) -> None:
        self.org = org
        self.rules = Rules()
        self.events: deque[Event] = deque()
        self.arrived = asyncio.Condition()
        self.schemas: dict[str, EventSchema] = {}
        self.selected = {"Account", "Contact", "Opportunity"}  # for Change Data Capture
        self._current: dict[str, tuple[ObjectType, EventSchema]] = {}
        self._random = random.Random(self.rules.seed)
        self._position = 18_098_000
        self._oldest = self._position  # positions below are expired
        self._tasks: set[asyncio.Task[None]] = set()
        org.listeners.append(self.changed)

    def set_rules(self, data: dict[str, Any]) -> None:
        self.rules.change(data)
        if "seed" in data:
            self._random = random.Random(self.rules.seed)

    def topics(self) -> list[str]:
        return [ALL, *(f"/data/{_event_name(name)}" for name in self.org.schema.objects)]

    def schema_of(self, object_name: str) -> EventSchema:
        """The object's schema; a new one as soon as its fields are others."""
        obj = self.org.schema.objects[object_name]
        known = self._current.get(object_name)
        if known is None or known[0] is not obj:
            schema = event_schema(obj)
            known = self._current[object_name] = obj, self.schemas.setdefault(schema.id, schema)
        return known[1]

    def latest(self) -> bytes:
        return self._position.to_bytes(8, "big")

    def reset(self) -> None:
        self.rules = Rules()
        self._random = random.Random(self.rules.seed)
        self.expire()

    def expire(self) -> None:
        """As if 72 hours had passed: every stored position is too old."""
        self.events.clear()
        self._position += self._random.randint(1, 9)
        self._oldest = self._position

    def knows(self, replay_id: bytes) -> bool:
        self._forget_old()
        position = int.from_bytes(replay_id, "big")
        return len(replay_id) == 8 and self._oldest <= position <= self._position

    def after(self, position: int, topic: str, most: int) -> list[Event]:
        self._forget_old()
        found = []
        for event in self.events:
            if event.position > position and topic in (ALL, f"/data/{_event_name(event.object)}"):
                found.append(event)
                if len(found) == most:
                    break
        return found

    # --- publishing -------------------------------------------------------------------------------

    def changed(self, changes: Sequence[Change]) -> None:
        """One transaction of the org."""
        transaction = str(uuid.uuid4())
        by_object: dict[str, list[Change]] = {}
        for change in changes:
            if change.object in self.selected:
                by_object.setdefault(change.object, []).append(change)
        sequence = 0
        for name, mine in by_object.items():
            if len(mine) > _OVERFLOW:
                sequence += 1
                self.publish_overflow(name, transaction, sequence)
                continue
            for change in mine:
                sequence += 1
                if self._random.random() >= self.rules.lose:
                    gap = change.type == "UPDATE" and self._random.random() < self.rules.gap
                    kind = f"GAP_{change.type}" if gap else change.type
                    self._publish(change, kind, transaction, sequence)
        if by_object:
            self._wake()

    def publish_overflow(self, object_name: str, transaction: str = "", sequence: int = 1) -> None:
        """As after a transaction that changed too many records to name."""
        change = Change(object_name, "", "UPDATE", self.org.users.clerk, {})
        self._publish(change, "GAP_OVERFLOW", transaction or str(uuid.uuid4()), sequence)
        self._wake()

    def _publish(self, change: Change, kind: str, transaction: str, sequence: int) -> None:
        self._position += self._random.randint(1, 40)
        self.events.append(
            Event(
                self._position,
                time.monotonic(),
                time.time(),
                self.schema_of(change.object),
                change,
                kind,
                transaction,
                sequence,
            )
        )

    def _forget_old(self) -> None:
        until = time.monotonic() - self.rules.retention
        while self.events and self.events[0].at < until:
            self._oldest = self.events.popleft().position

    def _wake(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # filled before it runs
        task = loop.create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self.arrived:
            self.arrived.notify_all()


def _event_name(object_name: str) -> str:
    if object_name.endswith("__c"):
        return f"{object_name.removesuffix('__c')}__ChangeEvent"
    return f"{object_name}ChangeEvent"
