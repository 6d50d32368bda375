"""What a client's disposition does to a locked message, and the outcome it must see echoed.

The SDK waits for a settled answer whose state has the type it sent (Service Bus contract 3.5).
"""

from typing import Any
from uuid import UUID

from sandbox.servicebus import performatives as amqp
from sandbox.servicebus.decoding import DecodeError, Described
from sandbox.servicebus.options import QueueError
from sandbox.servicebus.sessions import Queue


def settle(queue: Queue, token: UUID, state: Described | None) -> bytes:
    """Applies `state` and returns the state to answer with; a lost lock is answered as rejected."""
    try:
        return _apply(queue, token, state)
    except QueueError as exc:
        return amqp.rejected(amqp.error(exc.condition, exc.description))


def _apply(queue: Queue, token: UUID, state: Described | None) -> bytes:
    # Settling without an outcome means accepted, as in the AMQP default for receivers.
    outcome, fields = (amqp.ACCEPTED, []) if state is None else state
    if outcome == amqp.ACCEPTED:
        queue.complete(token)
        return amqp.accepted()
    if outcome == amqp.RELEASED:
        queue.release(token)
        return amqp.released()
    if outcome == amqp.MODIFIED:
        delivery_failed, undeliverable_here = ([*fields, None, None])[:2]
        if undeliverable_here:
            queue.defer(token)
        else:
            queue.abandon(token)  # every client's abandon counts, with or without the flag
        return amqp.modified(
            delivery_failed=bool(delivery_failed), undeliverable_here=bool(undeliverable_here)
        )
    if outcome == amqp.REJECTED:
        queue.dead_letter(token, *_reason(fields))
        return amqp.rejected()
    raise DecodeError(f"Unknown delivery state {outcome!r}.")


def _reason(fields: list[Any]) -> tuple[str | None, str | None]:
    error = fields[0].value if fields and isinstance(fields[0], Described) else []
    info = error[2] if len(error) > 2 and error[2] else {}
    return info.get("DeadLetterReason"), info.get("DeadLetterErrorDescription")
