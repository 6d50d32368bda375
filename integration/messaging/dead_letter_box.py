"""Reads the queue `dead-letter` for people, and takes out what they are done with.

Looking is peeking: it locks nothing and counts nothing. To complete a message it must be received, in the
order of the queue; those before it stay locked until their lock runs out (a minute), which is all that
happens to them. Nothing is ever abandoned: that would count as a failed delivery at once and bring the
message back to the same reader (Service Bus contract 3.4, 3.5).

Besides the app's own dead letters there are those that the broker forwards from other queues: raw messages,
with the broker's reason.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from integration.errors import (
    AuthenticationFailed,
    ContractError,
    Misconfigured,
    SystemTrouble,
    Unreachable,
)
from integration.messaging.hints import Hint
from integration.messaging.service_bus import DEAD_LETTER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

_PAGE = 250
_WAIT = 1.0  # seconds for messages to arrive, before it is asked which of them are still there
_PATIENCE = (
    90.0  # seconds: longer than the queue's lock, with which an earlier reader left messages
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message of the queue. `number` names it for as long as it is there; `queue` is where the broker
    forwarded it from; `body` what was kept of a message that nobody could read."""

    number: int
    at: datetime
    kind: str
    flow: str
    reason: str
    description: str
    system: str
    hint: Hint | None
    body: bytes | None
    queue: str | None
    raw: bytes


class DeadLetterBox:
    """Raises Unreachable, AuthenticationFailed or Misconfigured (system service_bus)."""

    def __init__(self, client: ServiceBusClient) -> None:
        self._client = client
        self._opened: ServiceBusReceiver | None = None

    async def close(self) -> None:
        await self._drop()
        await self._client.close()

    async def letters(self, most: int = 10_000) -> list[Letter]:
        """The oldest first."""
        found: list[Letter] = []
        async with self._receiver() as receiver:
            after = 1  # for 0 the SDK goes on behind what this receiver has received
            while len(found) < most:
                page = await receiver.peek_messages(
                    max_message_count=min(_PAGE, most - len(found)), sequence_number=after
                )
                if not page:
                    break
                found += [read_letter(message) for message in page]
                after = found[-1].number + 1
        return found

    async def remove(
        self,
        numbers: Collection[int],
        *,
        patience: float = _PATIENCE,
        on_wait: Callable[[int], None] = lambda count: None,
    ) -> set[int]:
        """Completes these messages; returns those that somebody else has locked all the time.

        `on_wait` is told how many are locked just now.
        """
        left = set(numbers)
        until = time.monotonic() + patience
        async with self._receiver() as receiver:
            while left and time.monotonic() < until:
                got = await receiver.receive_messages(max_message_count=_PAGE, max_wait_time=_WAIT)
                mine = [message for message in got if message.sequence_number in left]
                await asyncio.gather(*map(receiver.complete_message, mine))
                left -= {message.sequence_number or 0 for message in mine}
                if not mine:  # perhaps gone already
                    left = await _still_there(receiver, left)
                    on_wait(len(left))
        await self._drop()  # or the SDK asks for one message more, and holds it
        return left

    @asynccontextmanager
    async def _receiver(self) -> AsyncIterator[ServiceBusReceiver]:
        from azure.core.exceptions import AzureError

        if self._opened is None:
            self._opened = self._client.get_queue_receiver(DEAD_LETTER)
        try:
            yield self._opened
        except (AzureError, OSError, TimeoutError) as error:
            await self._drop()
            raise _trouble(error) from error

    async def _drop(self) -> None:
        from azure.core.exceptions import AzureError

        receiver, self._opened = self._opened, None
        if receiver is not None:
            with contextlib.suppress(AzureError, OSError, TimeoutError):
                await receiver.close()


async def _still_there(receiver: ServiceBusReceiver, numbers: Collection[int]) -> set[int]:
    there: set[int] = set()
    for number in numbers:
        found = await receiver.peek_messages(max_message_count=1, sequence_number=number)
        there |= {number} & {
            message.sequence_number for message in found if message.sequence_number
        }
    return there


def read_letter(message: ServiceBusReceivedMessage) -> Letter:
    """Total: what cannot be read is a letter too."""
    raw = _bytes(message)
    data = _json(raw)
    at = message.enqueued_time_utc or datetime.now(UTC)
    common: dict[str, Any] = {
        "number": message.sequence_number or 0,
        "at": at if at.tzinfo else at.replace(tzinfo=UTC),
        "queue": message.dead_letter_source,
        "raw": raw,
    }
    if "hint" in data and "kind" in data:
        hint = data["hint"]
        body = data.get("body")
        return Letter(
            kind=str(data["kind"]),
            flow=str(data.get("flow")),
            reason=str(data.get("reason")),
            description=str(data.get("description")),
            system=str(data.get("system")),
            hint=_hint(json.dumps(hint).encode()) if hint else None,
            body=base64.b64decode(body) if body else None,
            **common,
        )
    return Letter(  # forwarded by the broker, which gave it up
        kind="failed" if _hint(raw) else "undecodable",
        flow="none",
        reason=str(message.dead_letter_reason or "forwarded"),
        description=str(message.dead_letter_error_description or "given up by the broker"),
        system="service_bus",
        hint=_hint(raw),
        body=raw,
        **common,
    )


def _hint(body: bytes) -> Hint | None:
    try:
        return Hint.from_bytes(body)
    except ContractError:
        return None


def _json(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _bytes(message: ServiceBusReceivedMessage) -> bytes:
    body: Any = message.body
    return body if isinstance(body, bytes) else b"".join(body)


def _trouble(error: Exception) -> SystemTrouble:
    from azure.core.exceptions import ClientAuthenticationError
    from azure.servicebus.exceptions import (
        MessagingEntityDisabledError,
        MessagingEntityNotFoundError,
        ServiceBusAuthenticationError,
        ServiceBusAuthorizationError,
    )

    name = type(error).__name__
    match error:
        case MessagingEntityNotFoundError() | MessagingEntityDisabledError():
            text = f"the queue {DEAD_LETTER} does not exist or is disabled"
            return Misconfigured(text, reason="queue-missing", system="service_bus")
        case (
            ServiceBusAuthenticationError()
            | ServiceBusAuthorizationError()
            | ClientAuthenticationError()
        ):
            text = f"you may not read the queue {DEAD_LETTER} ({name})"
            return AuthenticationFailed(text, reason="queue-forbidden", system="service_bus")
    text = f"the queue {DEAD_LETTER} cannot be read: {name}"
    return Unreachable(text, reason="queue-unavailable", system="service_bus")
