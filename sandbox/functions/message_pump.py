"""Receives from one open receiver and keeps a number of invocations running on its messages.

Settlement as in the real host: complete on success (unless autoCompleteMessages is false), abandon on
failure. Messages are started in the order received. While the pump has a free slot it is always
inside `receive_messages`: the SDK gives back what arrives outside of it, which would change the order
inside a session.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.exceptions import MessageLockLostError, SessionLockLostError

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusReceiver

log = logging.getLogger("sandbox.functions")

Messages = list[ServiceBusReceivedMessage]
Dispatch = Callable[[Messages], Awaitable[bool]]

_POLL_SECONDS = 0.5
_SWEEP_SECONDS = 0.02


@dataclass(frozen=True)
class PumpOptions:
    """How one receiver is worked: times in seconds; `batch_size` None means cardinality one."""

    concurrency: int
    batch_size: int | None
    auto_complete: bool
    renew_messages_for: float
    idle_timeout: float | None


class MessagePump:
    """`dispatch` runs one invocation and says whether it succeeded; it never raises."""

    def __init__(
        self,
        name: str,
        receiver: ServiceBusReceiver,
        options: PumpOptions,
        dispatch: Dispatch,
        stopping: asyncio.Event,
    ) -> None:
        self._name = name
        self._receiver = receiver
        self._options = options
        self._dispatch = dispatch
        self._stopping = stopping
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._last_activity = time.monotonic()

    async def run(self) -> None:
        """Works until stopped, idle for `idle_timeout`, or the link is lost (raises its error).

        No invocation is left behind; cancelling cancels the running ones, whose messages then come
        again.
        """
        failure: Exception | None = None
        try:
            try:
                await self._receive()
            except Exception as error:
                failure = error
            while self._running:
                await asyncio.wait(self._running)
        except asyncio.CancelledError:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            raise
        if failure is not None:
            raise failure

    async def _receive(self) -> None:
        options = self._options
        sweeping = False
        while not self._stopping.is_set():
            free = options.concurrency - len(self._running)
            if free <= 0:
                self._freed.clear()
                await self._freed.wait()
                continue
            # The SDK waits on after the first message when it is asked for more than one. So ask
            # for one while idle, which starts at once, and sweep up the rest of a burst after it.
            count, wait = 1, self._wait_seconds()
            if sweeping:
                count, wait = free, _SWEEP_SECONDS
            if options.batch_size is not None:
                count = options.batch_size
            messages = await self._receiver.receive_messages(
                max_message_count=count, max_wait_time=wait
            )
            sweeping = bool(messages) and options.concurrency > 1
            if messages and options.batch_size is not None:
                self._start(messages)
            else:
                for message in messages:
                    self._start([message])
            if not messages and self._is_idle():
                return

    def _wait_seconds(self) -> float:
        if self._options.idle_timeout is None:
            return _POLL_SECONDS
        left = self._last_activity + self._options.idle_timeout - time.monotonic()
        return max(0.05, min(_POLL_SECONDS, left))

    def _is_idle(self) -> bool:
        limit = self._options.idle_timeout
        if limit is None or self._running:
            return False
        return time.monotonic() - self._last_activity >= limit

    def _start(self, messages: Messages) -> None:
        task = asyncio.create_task(self._process(messages))
        self._running.add(task)
        self._last_activity = time.monotonic()
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._last_activity = time.monotonic()
        self._freed.set()

    async def _process(self, messages: Messages) -> None:
        renewal: asyncio.Task[None] | None = None
        # Batches are not renewed by the real host (Azure contract 1.6), session messages have no
        # lock of their own.
        if self._options.batch_size is None and self._options.renew_messages_for > 0:
            renewal = asyncio.create_task(self._renew(messages[0]))
        try:
            succeeded = await self._dispatch(messages)
        finally:
            if renewal is not None:
                renewal.cancel()
                await asyncio.wait({renewal})
        await asyncio.gather(*(self._settle(message, succeeded) for message in messages))

    async def _renew(self, message: ServiceBusReceivedMessage) -> None:
        await keep_locked(
            f"message {message.message_id} of {self._name}",
            lambda: message.locked_until_utc,
            lambda: self._receiver.renew_message_lock(message),
            self._options.renew_messages_for,
        )

    async def _settle(self, message: ServiceBusReceivedMessage, succeeded: bool) -> None:
        if succeeded and not self._options.auto_complete:
            return
        settle = self._receiver.complete_message if succeeded else self._receiver.abandon_message
        try:
            await settle(message)
        except Exception as error:
            # A lost lock or connection: the broker delivers the message again.
            log.warning(
                "%s: message %s could not be settled and will come again: %s",
                self._name,
                message.message_id,
                type(error).__name__,
            )


async def keep_locked(
    what: str,
    locked_until: Callable[[], datetime | None],
    renew: Callable[[], Awaitable[object]],
    seconds: float,
) -> None:
    """Renews a lock before it ends, for at most `seconds`; a lost lock is logged, not raised.

    The SDK's AutoLockRenewer looks once a second and misses locks of two seconds and less.
    """
    ends = time.monotonic() + seconds
    while True:
        until = locked_until()
        if until is None:
            return
        left = (until - datetime.now(UTC)).total_seconds()
        delay = max(0.0, left - min(left / 2, 10.0))
        if time.monotonic() + delay >= ends:
            return
        await asyncio.sleep(delay)
        try:
            await renew()
        except (MessageLockLostError, SessionLockLostError):
            log.warning("the lock of %s is lost", what)
            return
        except Exception as error:
            if left <= 0:
                log.warning("the lock of %s cannot be renewed: %r", what, error)
                return
            await asyncio.sleep(min(0.2, left / 4))
