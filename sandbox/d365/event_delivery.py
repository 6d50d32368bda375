"""Sends events to the queue `d365-business-events` with the real Service Bus SDK (F&O contract 7.1, 7.4).

`PUT /sandbox/business-events` makes the delivery as bad as it may be: doubled, out of order, late, lost.
A send that fails is tried three times, one second apart, then it ends in the error log (`failed`), as in
F&O. The client opens with the first event and closes with `stop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.exceptions import ServiceBusError

from sandbox.d365.business_events import FORMS, properties_of, render

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE = "d365-business-events"
ATTEMPTS = 3
ATTEMPT_PAUSE = 1.0
BATCH_BYTES = 150_000  # of bodies; a message may have 256 KB with all its properties
BATCH_COUNT = 100
_LONGEST_NAP = 0.05


@dataclass
class EventSettings:
    """`shuffle`: what waits at the same time goes out in random order, each after a random part of
    `delay_ms`. `own_changes`: data events for the application's own writes too."""

    enabled: bool = True
    duplicate_share: float = 0
    shuffle: bool = False
    delay_ms: float = 0
    lose_share: float = 0
    seed: int = 1
    form: str = "flat"
    data_events: bool = False
    own_changes: bool = False


@dataclass(order=True)
class _Outgoing:
    due: float
    position: int
    body: bytes = field(compare=False)
    properties: Mapping[str, str] = field(compare=False)
    attempts: int = field(compare=False, default=0)


class EventDelivery:
    """`emit` from anywhere in the event loop; `start` and `stop` own the task that sends."""

    def __init__(self, connection_string: str | None = None) -> None:
        self.connection_string = connection_string
        self._task: asyncio.Task[None] | None = None
        self._client: ServiceBusClient | None = None
        self._sender: ServiceBusSender | None = None
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._positions = itertools.count()
        self._sending = 0
        self.reset()

    def reset(self) -> None:
        """Forgets what waits, counts anew and restores the settings."""
        self._waiting: list[_Outgoing] = []
        self._idle.set()
        self.counts: Counter[str] = Counter()
        self.by_event: Counter[str] = Counter()
        self.configure({})

    def configure(self, given: Mapping[str, Any]) -> None:
        """Settings not given return to their defaults; raises ValueError for wrong ones."""
        known = {entry.name: type(entry.default) for entry in fields(EventSettings)}
        for name, value in given.items():
            kind = known.get(name)
            fits = isinstance(value, int | float) if kind in (int, float) else True
            if kind is None or not fits or (kind in (bool, str) and type(value) is not kind):
                raise ValueError(f"no setting {name!r} of this type")
        if given.get("form", "flat") not in FORMS:
            raise ValueError(f"form is one of {FORMS}")
        self.settings = EventSettings(**given)
        self._random = random.Random(self.settings.seed)

    def to_json(self) -> dict[str, Any]:
        names = ("emitted", "sent", "duplicated", "lost", "unsent", "failed")
        return {
            "settings": asdict(self.settings),
            **{name: self.counts[name] for name in names},
            "pending": self.pending,
            "by_event": dict(self.by_event),
        }

    @property
    def pending(self) -> int:
        """Events that are still on their way to the queue."""
        return len(self._waiting) + self._sending

    async def drained(self) -> None:
        """Returns once everything has left for the queue."""
        await self._idle.wait()

    def emit(self, event: Mapping[str, Any]) -> None:
        """A business event in its flat form."""
        self._emit(render(event, self.settings.form), properties_of(event))

    def emit_context(self, context: Mapping[str, Any], properties: Mapping[str, str]) -> None:
        """A data event, which has one form only."""
        self._emit(render(context, "flat"), properties)

    def _emit(self, body: bytes, properties: Mapping[str, str]) -> None:
        settings = self.settings
        self.counts["emitted"] += 1
        self.by_event[properties["BusinessEventId"]] += 1
        if not settings.enabled or self.connection_string is None:
            self.counts["unsent"] += 1
            return
        if self._random.random() < settings.lose_share:
            self.counts["lost"] += 1
            return
        copies = 1
        if self._random.random() < settings.duplicate_share:
            self.counts["duplicated"] += 1
            copies = 2
        for _ in range(copies):
            wait = settings.delay_ms / 1000 * (self._random.random() if settings.shuffle else 1)
            self._queue(_Outgoing(time.monotonic() + wait, self._next_position(), body, properties))

    def _next_position(self) -> int:
        return next(self._positions)

    def _queue(self, outgoing: _Outgoing) -> None:
        heapq.heappush(self._waiting, outgoing)
        self._idle.clear()
        self._wake.set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._close()

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            pause = self._waiting[0].due - time.monotonic() if self._waiting else 0
            if pause > 0:
                await asyncio.sleep(min(pause, _LONGEST_NAP))
                continue
            batch = self._due()
            if batch:
                await self._send(batch)

    def _due(self) -> list[_Outgoing]:
        """What is due now, as much as fits one send."""
        now, size, batch = time.monotonic(), 0, list[_Outgoing]()
        if self.settings.shuffle:
            ready = [entry for entry in self._waiting if entry.due <= now]
            for entry in self._random.sample(ready, len(ready)):
                entry.due, entry.position = now, self._next_position()
            heapq.heapify(self._waiting)
        while self._waiting and self._waiting[0].due <= now and len(batch) < BATCH_COUNT:
            size += len(self._waiting[0].body)
            if batch and size > BATCH_BYTES:
                break
            batch.append(heapq.heappop(self._waiting))
        return batch

    async def _send(self, batch: list[_Outgoing]) -> None:
        messages = [
            ServiceBusMessage(entry.body, application_properties=dict(entry.properties))
            for entry in batch
        ]
        self._sending = len(batch)
        try:
            sender = await self._open()
            await sender.send_messages(messages)
            self.counts["sent"] += len(batch)
        except ServiceBusError:
            await self._close()
            for entry in batch:
                entry.attempts += 1
                if entry.attempts >= ATTEMPTS:
                    self.counts["failed"] += 1
                    continue
                entry.due = time.monotonic() + ATTEMPT_PAUSE
                self._queue(entry)
        finally:
            self._sending = 0

    async def _open(self) -> ServiceBusSender:
        if self._sender is None:
            assert self.connection_string is not None
            self._client = ServiceBusClient.from_connection_string(
                self.connection_string, retry_total=0
            )
            self._sender = self._client.get_queue_sender(QUEUE)
        return self._sender

    async def _close(self) -> None:
        client, sender, self._client, self._sender = self._client, self._sender, None, None
        for opened in (sender, client):
            if opened is not None:
                await opened.close()
