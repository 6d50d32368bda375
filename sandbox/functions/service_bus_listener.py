"""Service Bus triggers: one receiver for a plain queue, several session receivers for a session queue.

Works on the real asyncio SDK. Each session receiver has its own connection and opening one takes half
a second, so `maxConcurrentSessions` of them wait with a long poll for the next available session and
keep it until it is idle for `sessionIdleTimeout`. Retries of the SDK are off: they would repeat the
wait for a session (Service Bus contract 3.6); reconnecting is done here, with a growing pause.

Difference to Azure: locks are renewed on the app's own event loop, so an app that blocks the loop for
longer than a lock loses it here, while the real host would renew it in another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.servicebus import NEXT_AVAILABLE_SESSION
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
    SessionLockLostError,
)

from .backoff import Backoff
from .message_pump import Dispatch, MessagePump, PumpOptions, keep_locked

if TYPE_CHECKING:
    from .host_json import ServiceBusOptions

log = logging.getLogger("sandbox.functions")

_SESSION_WAIT_SECONDS = 60.0
# A read in progress holds up settlements on the same connection for up to this long.
_SOCKET_POLL_SECONDS = 0.025
_CLOSE_SECONDS = 3.0
_SHORTEST_SESSION_WAIT = 0.5  # an earlier time-out is a broker that does not wait


@dataclass(frozen=True)
class Entity:
    """What a trigger listens to: a queue, or a topic with a subscription."""

    queue: str | None = None
    topic: str | None = None
    subscription: str | None = None

    def __str__(self) -> str:
        return self.queue or f"{self.topic}/{self.subscription}"


class ServiceBusListener:
    """The listener of one trigger; `dispatch` runs one invocation and says whether it succeeded."""

    def __init__(
        self,
        name: str,
        connection_string: str,
        entity: Entity,
        options: ServiceBusOptions,
        dispatch: Dispatch,
        *,
        sessions: bool,
        batches: bool = False,
    ) -> None:
        self._name = name
        self._entity = entity
        self._options = options
        self._dispatch = dispatch
        self._sessions = sessions
        self._batches = batches
        self._client = ServiceBusClient.from_connection_string(
            connection_string,
            retry_total=0,
            # Otherwise each connection loads the certificate store: 20 ms, even without TLS.
            ssl_context=ssl.create_default_context(),
        )
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[object]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._connected: bool | None = None

    def start(self) -> None:
        # In batch mode the real host serves one session at a time (Azure contract 2).
        receivers = self._options.max_concurrent_sessions if self._sessions else 1
        if self._sessions and self._batches:
            receivers = 1
        for _ in range(receivers):
            self._tasks.add(asyncio.create_task(self._serve()))

    def stop_receiving(self) -> None:
        """Takes no further message; running invocations go on and are settled."""
        self._stopping.set()
        for task in self._opening:
            task.cancel()

    async def stop(self, timeout: float) -> bool:
        """Waits for the running invocations; False when some had to be cancelled."""
        self.stop_receiving()
        pending: set[asyncio.Task[None]] = set()
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=timeout)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_SECONDS)
        await self._client.close()
        return not pending

    async def _serve(self) -> None:
        """One receiver after the other until the host stops; an error only costs a pause."""
        backoff = Backoff()
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                await self._serve_one_receiver(backoff)
                continue
            except OperationTimeoutError as error:
                if self._sessions and time.monotonic() - began >= _SHORTEST_SESSION_WAIT:
                    self._report(connected=True)
                    continue  # no session was waiting
                self._report(connected=False, error=error)
            except SessionLockLostError:
                log.warning("%s: a session lock was lost", self._name)
            except asyncio.CancelledError:
                if not self._stopping.is_set():
                    raise
                return
            except (ServiceBusAuthenticationError, ServiceBusAuthorizationError) as error:
                self._report(connected=False, error=error)
                backoff.give_up_for_now()
            except Exception as error:
                # A listener outlives every failure of the broker.
                self._report(connected=False, error=error)
            await backoff.wait(self._stopping)

    async def _serve_one_receiver(self, backoff: Backoff) -> None:
        receiver = self._new_receiver()
        try:
            await self._open(receiver)
            backoff.reset()
            self._report(connected=True)
            pump = MessagePump(
                self._name, receiver, self._pump_options(), self._dispatch, self._stopping
            )
            if not self._sessions or self._batches:
                await pump.run()
                return
            renewal = asyncio.create_task(self._keep_session(receiver))
            try:
                await pump.run()
            finally:
                renewal.cancel()
                await asyncio.wait({renewal})
        finally:
            self._close_later(receiver)

    async def _open(self, receiver: ServiceBusReceiver) -> None:
        """Connects and, with sessions, waits for one; `stop_receiving` cancels the wait."""
        task = asyncio.current_task()
        assert task is not None
        self._opening.add(task)
        try:
            await receiver.__aenter__()
        finally:
            self._opening.discard(task)

    def _close_later(self, receiver: ServiceBusReceiver) -> None:
        """Closes without waiting: the link goes at once, the SDK's keep-alive task needs a second."""

        async def close() -> None:
            with contextlib.suppress(ServiceBusError, OSError):
                await receiver.close()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _new_receiver(self) -> ServiceBusReceiver:
        shared: dict[str, Any] = {
            "prefetch_count": self._options.prefetch_count,
            "socket_timeout": _SOCKET_POLL_SECONDS,
        }
        if self._sessions:
            shared["session_id"] = NEXT_AVAILABLE_SESSION
            shared["max_wait_time"] = _SESSION_WAIT_SECONDS
        if self._entity.queue:
            receiver = self._client.get_queue_receiver(self._entity.queue, **shared)
        else:
            receiver = self._client.get_subscription_receiver(
                str(self._entity.topic), str(self._entity.subscription), **shared
            )
        # SDK 7.15 makes every settlement read the connection until its own answer comes. With 64
        # at once they starve each other (measured: 3,000 messages in 29 s instead of 1.4 s), so
        # settle without the answer, as SDK 7.14 did; a settlement that got lost is a redelivery.
        receiver._await_settlement_outcome = False
        return receiver

    def _pump_options(self) -> PumpOptions:
        options = self._options
        concurrency = options.max_concurrent_calls
        if self._sessions:
            concurrency = options.max_concurrent_calls_per_session
        return PumpOptions(
            concurrency=1 if self._batches else concurrency,
            batch_size=options.max_message_batch_size if self._batches else None,
            auto_complete=options.auto_complete,
            renew_messages_for=0 if self._sessions else options.max_auto_lock_renewal,
            idle_timeout=options.session_idle_timeout if self._sessions else None,
        )

    async def _keep_session(self, receiver: ServiceBusReceiver) -> None:
        session = receiver.session
        await keep_locked(
            f"session {session.session_id} of {self._name}",
            lambda: session.locked_until_utc,
            session.renew_lock,
            self._options.max_auto_lock_renewal,
        )

    def _report(self, *, connected: bool, error: Exception | None = None) -> None:
        """Logs the change between connected and not connected once, not per receiver."""
        if connected and self._connected is False:
            log.info("%s: connected to %s again", self._name, self._entity)
        if not connected and self._connected is not False:
            text = str(error).splitlines()[0] if str(error) else ""
            log.warning(
                "%s: cannot receive from %s, trying on: %s %s",
                self._name,
                self._entity,
                type(error).__name__,
                text,
            )
        self._connected = connected
