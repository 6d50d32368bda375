"""Connects one queue with the event loop: wakes receivers, keeps its deadlines, holds its faults.

The queue itself is passive. The hub sweeps over the waiting receivers once per loop turn in which
something changed, however many messages came, and arms one timer for the queue's next deadline.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from sandbox.servicebus.sessions import Queue

if TYPE_CHECKING:
    from sandbox.servicebus.options import QueueError


class Consumer(Protocol):
    def pump(self) -> None:
        """Takes what the receiver can use now."""


class QueueHub:
    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.paused = False
        self.refusals: deque[QueueError] = deque()
        self._consumers: dict[Consumer, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweep_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")
        queue.on_change = self.changed

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.changed()

    def stop(self) -> None:
        self._loop = None
        for handle in (self._sweep_handle, self._timer):
            if handle is not None:
                handle.cancel()
        self._sweep_handle = self._timer = None
        self._armed_for = float("inf")

    def add(self, consumer: Consumer) -> None:
        self._consumers[consumer] = None
        self.changed()

    def remove(self, consumer: Consumer) -> None:
        self._consumers.pop(consumer, None)

    def changed(self) -> None:
        if self._loop is not None and self._sweep_handle is None:
            self._sweep_handle = self._loop.call_soon(self._sweep)

    def _sweep(self) -> None:
        self._sweep_handle = None
        self.queue.advance()
        if not self.paused:
            for consumer in list(self._consumers):
                consumer.pump()
            if len(self._consumers) > 1:  # the first in this sweep is the last in the next
                first = next(iter(self._consumers))
                del self._consumers[first]
                self._consumers[first] = None
        self.arm()

    def arm(self) -> None:
        """To be called when a lock was taken: its end may be the next deadline."""
        deadline = self.queue.next_deadline()
        if self._loop is None or deadline is None or deadline >= self._armed_for:
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, deadline - self.queue.now())
        self._armed_for = deadline
        self._timer = self._loop.call_later(delay, self._deadline_reached)

    def _deadline_reached(self) -> None:
        self._timer = None
        self._armed_for = float("inf")
        self._sweep()

    def raise_if_refused(self) -> None:
        """Raises the next `QueueError` switched on by `Broker.refuse_sends`."""
        if self.refusals:
            raise self.refusals.popleft()
