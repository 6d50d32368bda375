"""What becomes of a hint after its record was handled: settled, sent on, put back, or kept with its reason.

Only trouble of Service Bus itself is raised; everything else has an end here (design, idea 4).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Protocol

from integration import telemetry
from integration.errors import SystemTrouble, Unreachable
from integration.flows.batcher import COALESCED
from integration.flows.endings import Endings
from integration.flows.outcomes import (
    Failed,
    Moved,
    Outcome,
    RecordMerged,
    Skipped,
    Synced,
    WouldChange,
)
from integration.recovery.decisions import RetryLater, decide
from integration.state.replies import MOVED, WAITING, Reply

if TYPE_CHECKING:
    from integration.flows.context import FlowEntry
    from integration.flows.endings import LedgerWriter, Outbox
    from integration.messaging.hints import Hint


class ReplyWriter(Protocol):
    async def write(self, reply_to: str | None, reply: Reply) -> None: ...


class Settling:
    def __init__(
        self,
        outbox: Outbox,
        ledger: LedgerWriter,
        *,
        park_seconds: float,
        random: Random | None = None,
        replies: ReplyWriter | None = None,
    ) -> None:
        """`replies` tells those who wait for a hint what became of it."""
        self._outbox = outbox
        self._endings = Endings(outbox, ledger)
        self._park_seconds = park_seconds
        self._random = random or Random()  # noqa: S311 - jitter, not a secret
        self._replies = replies

    async def park(self, entry: FlowEntry, hint: Hint) -> None:
        """The flow is switched off: the hint waits, and is not lost."""
        await self._outbox.schedule(hint.later(uses_attempt=False), self._park_seconds)
        telemetry.record_outcome(entry.flow.name, "parked", "flow-off")
        await self._reply(entry, hint, "parked", "flow-off")

    async def settle(self, entry: FlowEntry, hint: Hint, outcome: Outcome) -> None:
        name = entry.flow.name
        match outcome:
            case Synced(changed):
                latency = (datetime.now(UTC) - hint.seen_at).total_seconds()
                result = "changed" if changed else "unchanged"
                telemetry.record_outcome(name, "synced", result, latency)
                await self._endings.settled(entry.flow, hint)
                self._log("synced", entry, hint, latency=f"{latency:.3f}")
                await self._reply(entry, hint, "synced", result)
            case Skipped(reason, detail):
                telemetry.record_outcome(name, "skipped", reason)
                if reason != COALESCED:  # the delivery that spoke for it decides
                    await self._endings.settled(entry.flow, hint)
                self._log("skipped", entry, hint, reason=reason, detail=detail or None)
                await self._reply(entry, hint, "skipped", reason)
            case WouldChange(operation, differences):
                telemetry.record_outcome(name, "dry", operation)
                fields = ",".join(difference.field for difference in differences)
                self._log("dry run", entry, hint, operation=operation, fields=fields)
                await self._reply(entry, hint, "dry", operation)
            case Moved(root, key):
                await self._reply(entry, hint, MOVED)
                await self._outbox.send_hints([hint.moved_to(root, key)])
                telemetry.record_outcome(name, "moved", "other-bucket")
                self._log("moved", entry, hint)
            case Failed(error):
                if isinstance(error, RecordMerged):
                    follow = error.follow
                    await self._outbox.send_hints([hint.moved_to(follow.root, follow.key)])
                await self._recover(entry, hint, error)

    async def _recover(self, entry: FlowEntry, hint: Hint, error: Exception) -> None:
        if isinstance(error, SystemTrouble) and error.system == "service_bus":
            raise error
        flow = entry.flow
        decision = decide(
            error,
            attempt=hint.attempt,
            put_backs=hint.put_backs,
            age=datetime.now(UTC) - hint.seen_at,
            policy=flow.policy,
            random=self._random,
        )
        reason = getattr(error, "reason", "unexpected")
        if isinstance(decision, RetryLater):
            await self._reply(entry, hint, WAITING, reason, error, decision.delay)
            await self._outbox.schedule(
                hint.later(uses_attempt=decision.uses_attempt), decision.delay
            )
            of_system = isinstance(error, SystemTrouble)
            telemetry.record_outcome(flow.name, "waits" if of_system else "retry", reason)
            self._log("retry later", entry, hint, error=error, reason=reason, delay=decision.delay)
            return
        try:
            await self._endings.keep(flow, hint, decision, tell=entry.switch == "on")
        except Unreachable as trouble:
            if trouble.system == "service_bus":
                raise
            # The ledger is out of reach; the hint comes again rather than to be lost.
            await self._outbox.schedule(hint.later(uses_attempt=False), self._park_seconds)
            return
        self._log("ended", entry, hint, error=error, reason=reason, end=decision.kind)
        await self._reply(entry, hint, decision.kind, reason, error)

    async def _reply(
        self,
        entry: FlowEntry,
        hint: Hint,
        outcome: str,
        reason: str = "",
        error: Exception | None = None,
        delay: float | None = None,
    ) -> None:
        """For somebody who waits for this hint; before what is sent on, so that the end is written last."""
        if self._replies is None or hint.reply_to is None:
            return
        reply = Reply(
            flow=entry.flow.name,
            key=hint.key,
            outcome=outcome,
            reason=reason,
            description=getattr(error, "description", type(error).__name__ if error else ""),
            system=getattr(error, "system", ""),
            attempt=hint.attempt,
            delay=delay,
        )
        await self._replies.write(hint.reply_to, reply)

    def _log(
        self,
        message: str,
        entry: FlowEntry,
        hint: Hint,
        error: Exception | None = None,
        **ids: object,
    ) -> None:
        context = getattr(error, "context", None)
        telemetry.log_event(
            message,
            level=logging.WARNING if error else logging.INFO,
            error=error,
            flow=entry.flow.name,
            key=hint.key,
            attempt=hint.attempt,
            event_id=hint.event_id,
            trace=hint.trace,
            activity_id=context.activity_id if context else None,
            request_id=context.request_id if context else None,
            **ids,
        )
