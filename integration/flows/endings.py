"""Keeps a hint that reached its end without being in step, where people or reconciliation find it.

Dead letters and reviews go to the queue `dead-letter`; flows that reconciliation heals go to the ledger.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from integration import telemetry
from integration.messaging.dead_letters import DeadLetter
from integration.state.ledger import LedgerEntry, now

if TYPE_CHECKING:
    from integration.flows.flow import Flow
    from integration.messaging.hints import Hint
    from integration.recovery.decisions import EndState

# The event id of a hint that reconciliation made from a ledger entry begins with this.
LEDGER_EVENT = "ledger:"


class Outbox(Protocol):
    """Where hints go next; `messaging.service_bus.Queues` in production."""

    async def send_hints(self, hints: list[Hint]) -> None: ...
    async def schedule(self, hint: Hint, delay: float) -> None: ...
    async def schedule_raw(
        self, body: bytes, *, session: str, message_id: str, delay: float
    ) -> None: ...
    async def dead_letter(self, letter: DeadLetter) -> None: ...


class LedgerWriter(Protocol):
    async def record(self, entry: LedgerEntry) -> None: ...
    async def settle(self, flow: str, key: str) -> None: ...


class Endings:
    def __init__(self, outbox: Outbox, ledger: LedgerWriter) -> None:
        self._outbox = outbox
        self._ledger = ledger

    async def keep(
        self, flow: Flow[Any, Any], hint: Hint, end: EndState, *, tell: bool = True
    ) -> None:
        """Durable when it returns, and before the message is completed. Raises Unreachable.

        Telling writes to a system, so a dry run does not.
        """
        latency = (datetime.now(UTC) - hint.seen_at).total_seconds()
        telemetry.record_outcome(flow.name, end.kind, end.reason, latency)
        if tell:
            end = await self._tell(flow, hint, end)
        if end.kind == "reconcile":
            await self._ledger.record(_ledger_entry(flow.name, hint, end))
        elif end.kind != "skip":
            await self._outbox.dead_letter(_dead_letter(flow.name, hint, end))
        await self._note(flow, hint, end)

    async def settled(self, flow: Flow[Any, Any], hint: Hint) -> None:
        """A record that came from the ledger is in step, or no longer wanted, and leaves it."""
        if hint.event_id.startswith(LEDGER_EVENT):
            await self._ledger.settle(flow.name, hint.key)

    async def _note(self, flow: Flow[Any, Any], hint: Hint, end: EndState) -> None:
        """A flow that cannot note it reports it once more, which is the lesser evil."""
        try:
            await flow.kept(hint.key, end)
        except Exception as error:
            telemetry.log_event(
                "the end could not be noted", level=logging.WARNING, error=error, key=hint.key
            )

    async def _tell(self, flow: Flow[Any, Any], hint: Hint, end: EndState) -> EndState:
        """Telling people must not keep the record from being kept."""
        try:
            await flow.ended(hint.key, end)
        except Exception as error:
            telemetry.log_event(
                "the end could not be told", level=logging.WARNING, error=error, key=hint.key
            )
            told = f"{end.description} (could not be told: {type(error).__name__})"
            return replace(end, description=told)
        return end


def _dead_letter(flow: str, hint: Hint, end: EndState) -> DeadLetter:
    return DeadLetter(
        kind="review" if end.kind == "review" else "failed",
        flow=flow,
        reason=end.reason,
        description=end.description,
        system=end.system,
        hint=hint,
    )


def _ledger_entry(flow: str, hint: Hint, end: EndState) -> LedgerEntry:
    return LedgerEntry(
        flow=flow,
        source=hint.source,
        object=hint.object,
        key=hint.key,
        company=hint.company,
        root=hint.root,
        reason=end.reason,
        description=end.description,
        attempts=hint.attempt,
        since=hint.seen_at.isoformat(timespec="seconds"),
        at=now(),
    )
