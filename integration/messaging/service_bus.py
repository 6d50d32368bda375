"""Sends hints and dead letters through the real Service Bus SDK.

One client and one sender per queue and process, opened on first use: every sender is a connection of
its own and costs about half a second to open. A sender is not safe for concurrent use, hence the lock.
A message holds one hint; a send holds messages of one session only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from integration.errors import Unreachable
from integration.messaging.hints import Hint, session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

    from integration.messaging.dead_letters import DeadLetter

_CLOSE_SECONDS = 5
CHANGES = "changes"
DEAD_LETTER = "dead-letter"
JOBS = "jobs"
BUSINESS_EVENTS = "d365-business-events"
_SEND_AT_ONCE = 100  # messages of up to 2 KB stay below the 256 KB of a Standard batch


class Queues:
    """Raises Unreachable (system service_bus) when the broker cannot take a message."""

    def __init__(
        self,
        client: ServiceBusClient,
        *,
        buckets: int,
        timeout: float = 30,
        on_hint: Callable[[Hint, str, datetime | None], None] = lambda hint, session, due: None,
    ) -> None:
        """`on_hint` is told of each hint that the broker has taken, its session and when it is due."""
        self._on_hint = on_hint
        self._client = client
        self._buckets = buckets
        self._timeout = timeout
        self._senders: dict[str, ServiceBusSender] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def close(self) -> None:
        for queue in list(self._senders):
            await self._drop(queue)
        await self._client.close()

    async def send_hints(self, hints: Iterable[Hint]) -> None:
        """Puts hints into their buckets; returns when the broker has them all."""
        await self._send_by_session((hint, None) for hint in hints)

    async def schedule(self, hint: Hint, delay: float) -> None:
        """Delivers the hint `delay` seconds from now."""
        await self._send_by_session([(hint, datetime.now(UTC) + timedelta(seconds=delay))])

    async def schedule_raw(
        self, body: bytes, *, session: str, message_id: str, delay: float
    ) -> None:
        """Puts back a message that this version cannot read, for an instance that can."""
        from azure.servicebus import ServiceBusMessage

        message = ServiceBusMessage(
            body,
            session_id=session,
            message_id=message_id,
            content_type="application/json",
            scheduled_enqueue_time_utc=datetime.now(UTC) + timedelta(seconds=delay),
        )
        await self._send(CHANGES, [message])

    async def send_job(self, body: bytes, *, message_id: str, delay: float) -> None:
        """Delivers a job's message `delay` seconds from now."""
        await self._send_plain(JOBS, body, message_id, delay)

    async def put_back_event(self, body: bytes, *, message_id: str, delay: float) -> None:
        """Delivers an event of F&O again, `delay` seconds from now."""
        await self._send_plain(BUSINESS_EVENTS, body, message_id, delay)

    async def _send_plain(self, queue: str, body: bytes, message_id: str, delay: float) -> None:
        from azure.servicebus import ServiceBusMessage

        at = datetime.now(UTC) + timedelta(seconds=delay) if delay > 0 else None
        message = ServiceBusMessage(
            body,
            message_id=message_id,
            content_type="application/json",
            scheduled_enqueue_time_utc=at,
        )
        await self._send(queue, [message])

    async def dead_letter(self, letter: DeadLetter) -> None:
        from azure.servicebus import ServiceBusMessage

        message = ServiceBusMessage(
            letter.to_bytes(),
            message_id=letter.message_id,
            content_type="application/json",
            subject=letter.kind,
            application_properties=letter.properties,
        )
        await self._send(DEAD_LETTER, [message])

    async def _send_by_session(self, hints: Iterable[tuple[Hint, datetime | None]]) -> None:
        from azure.servicebus import ServiceBusMessage

        sessions: defaultdict[str, list[tuple[Hint, datetime | None]]] = defaultdict(list)
        for hint, at in hints:
            sessions[session_of(hint, self._buckets)].append((hint, at))
        for session, given in sessions.items():
            for start in range(0, len(given), _SEND_AT_ONCE):
                part = given[start : start + _SEND_AT_ONCE]
                messages = [
                    ServiceBusMessage(
                        hint.to_bytes(),
                        session_id=session,
                        message_id=hint.message_id,
                        content_type="application/json",
                        scheduled_enqueue_time_utc=at,
                    )
                    for hint, at in part
                ]
                await self._send(CHANGES, messages)
                for hint, at in part:
                    self._on_hint(hint, session, at)

    async def _send(self, queue: str, messages: list[ServiceBusMessage]) -> None:
        from azure.core.exceptions import AzureError  # of the broker, and of the sign-in

        payload: Any = messages if len(messages) > 1 else messages[0]

        async def deliver() -> None:
            await (await self._sender(queue)).send_messages(payload)

        async with self._locks[queue]:
            try:
                await asyncio.wait_for(deliver(), self._timeout)
            except (AzureError, OSError, TimeoutError) as error:
                # The link may be dead; the next send opens a new one.
                await self._drop(queue)
                raise Unreachable(
                    f"queue {queue} did not take the message: {type(error).__name__}",
                    reason="queue-unavailable",
                    system="service_bus",
                ) from error

    async def _sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]

    async def _drop(self, queue: str) -> None:
        """Closes a sender whose connection may be gone, which is then no news."""
        from azure.core.exceptions import AzureError

        sender = self._senders.pop(queue, None)
        if sender is not None:
            with contextlib.suppress(AzureError, OSError, TimeoutError):
                await asyncio.wait_for(sender.close(), _CLOSE_SECONDS)
