"""Takes one message of the queue `changes` to its end: handled, put back, or kept with its reason.

Only trouble of Service Bus itself is raised (the broker then delivers again); everything else ends in one
of: in step, skipped, a scheduled copy, a dead letter. So a message is never lost and never runs in circles
(design, idea 4).
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Protocol

from integration import telemetry
from integration.deadline import deadline
from integration.errors import RecordError, SystemTrouble, Unreachable
from integration.flows.batcher import COALESCED, Batcher
from integration.flows.endings import Endings
from integration.flows.engine import converge
from integration.flows.loads.routing import waits_for_timer
from integration.flows.outcomes import (
    Failed,
    Moved,
    Outcome,
    RecordMerged,
    Skipped,
    Synced,
    WouldChange,
)
from integration.messaging.dead_letters import DeadLetter
from integration.messaging.hints import Hint, UnknownHintVersion, bucket_of
from integration.recovery.decisions import RetryLater, decide
from integration.state.replies import MOVED, WAITING, Reply

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from integration.errors import RecordHeld, SystemName
    from integration.flows.context import FlowEntry
    from integration.flows.endings import LedgerWriter, Outbox
    from integration.recovery.gate import SystemGate

# A rolling update takes minutes; what is still unknown after these waits is not coming.
_VERSION_TRIES = 4
_VERSION_WAIT = 60.0
_ID_STEM = 100  # characters of a message id that leave room for a suffix within the broker's 128
SCHEDULED = "scheduled"  # the reason of a skip: the timer sends it


class HoldReader(Protocol):
    async def held(self, flow: str, keys: Collection[str]) -> dict[str, RecordHeld]: ...


class DirtyNotes(Protocol):
    async def note(self, flow: str, keys: Iterable[str]) -> None: ...


class ReplyWriter(Protocol):
    async def write(self, reply_to: str | None, reply: Reply) -> None: ...


class Dispatcher:
    def __init__(
        self,
        flows: list[FlowEntry],
        outbox: Outbox,
        gate: SystemGate,
        ledger: LedgerWriter,
        *,
        buckets: int,
        batch_seconds: float,
        window: float,
        batch_size: int,
        park_seconds: float,
        random: Random | None = None,
        holds: HoldReader | None = None,
        dirty: DirtyNotes | None = None,
        replies: ReplyWriter | None = None,
    ) -> None:
        """`holds` and `dirty` are those of the loads; without them there are none. `replies` tells those who
        wait for a hint what became of it."""
        self._by_name = {entry.flow.name: entry for entry in flows}
        self._by_object = {(entry.source, entry.object): entry for entry in flows}
        self._outbox = outbox
        self._endings = Endings(outbox, ledger)
        self._gate = gate
        self._buckets = buckets
        self._batch_seconds = batch_seconds
        self._park_seconds = park_seconds
        self._random = random or Random()  # noqa: S311 - jitter, not a secret
        self._batcher = Batcher(self._run, window=window, size=batch_size)
        self._holds = holds
        self._dirty = dirty
        self._replies = replies
        self._notes = Batcher(self._note, window=window, size=batch_size)

    async def handle(self, body: bytes, *, session: str, message_id: str) -> None:
        """Returns when the message may be completed. Raises Unreachable (service_bus) otherwise."""
        try:
            hint = Hint.from_bytes(body)
        except UnknownHintVersion as error:
            await self._keep_unknown_version(body, session, message_id, error)
            return
        except Exception as error:
            await self._undecodable(body, error)
            return
        entry = self._by_object.get((hint.source, hint.object))
        if entry is None:
            await self._keep_unknown_object(hint)
        elif entry.switch == "off":
            await self._outbox.schedule(hint.later(uses_attempt=False), self._park_seconds)
            telemetry.record_outcome(entry.flow.name, "parked", "flow-off")
            await self._reply(entry, hint, "parked", "flow-off")
        else:
            scheduled = self._dirty is not None and waits_for_timer(entry.route, hint)
            batcher = self._notes if scheduled and entry.switch == "on" else self._batcher
            name, ids = entry.flow.name, {"key": hint.key, "attempt": hint.attempt}
            with telemetry.resumed(f"handle {name}", hint.trace, **ids) as span:
                if hint.trace is None:  # later deliveries belong to this one
                    hint = replace(hint, trace=telemetry.trace_parent())
                outcome = await batcher.submit(name, session, hint)
                span.set_attribute("integration.outcome", type(outcome).__name__)
                await self._settle(entry, hint, outcome)

    async def _note(self, flow_name: str, buckets: Mapping[str, str]) -> Mapping[str, Outcome]:
        """Notes the records of one batch for the next package."""
        assert self._dirty is not None
        await self._dirty.note(flow_name, buckets)
        return dict.fromkeys(buckets, Skipped(SCHEDULED))

    async def _run(self, flow_name: str, buckets: Mapping[str, str]) -> Mapping[str, Outcome]:
        """One batch: what a load holds waits, the rest is handled. Called by the batcher."""
        held: Mapping[str, Outcome] = {}
        if self._holds is not None:
            found = await self._holds.held(flow_name, buckets)
            held = {key: Failed(error) for key, error in found.items()}
        free = {key: bucket for key, bucket in buckets.items() if key not in held}
        return {**held, **(await self._handled(flow_name, free) if free else {})}

    async def _handled(self, flow_name: str, buckets: Mapping[str, str]) -> Mapping[str, Outcome]:
        """Gate, deadline, engine."""
        entry = self._by_name[flow_name]
        flow = entry.flow
        try:
            passage = self._gate.enter(flow.systems)
        except Unreachable as error:
            return dict.fromkeys(buckets, Failed(error))
        tried = dict(list(buckets.items())[:1]) if passage == "probe" else buckets
        trouble: SystemTrouble | None = Unreachable("the batch was interrupted")
        try:
            with deadline(self._batch_seconds):
                outcomes = await converge(flow, tried, dry=entry.switch == "dry", owns=self._owns)
            trouble = _whole_trouble(outcomes, flow.systems)
        finally:
            self._gate.leave(flow.systems, trouble)
        rest = Failed(
            Unreachable(
                "waits for the probe of another record", reason="waiting-for-system", retry_after=1
            )
        )
        return {key: outcomes.get(key, rest) for key in buckets}

    def _owns(self, root: str, bucket: str) -> bool:
        return bucket_of(root, self._buckets) == bucket

    async def _settle(self, entry: FlowEntry, hint: Hint, outcome: Outcome) -> None:
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

    async def _keep_unknown_object(self, hint: Hint) -> None:
        """A newer instance took it in; it waits for one, as a hint of an unknown version does."""
        if hint.put_backs < _VERSION_TRIES:
            await self._outbox.schedule(hint.later(uses_attempt=False), _VERSION_WAIT)
            telemetry.record_outcome("none", "retry", "no-flow")
            return
        await self._outbox.dead_letter(
            DeadLetter(
                kind="failed",
                flow="none",
                reason="no-flow",
                description=f"no flow handles {hint.object} of {hint.source}",
                system="app",
                hint=hint,
            )
        )
        telemetry.record_outcome("none", "dead-letter", "no-flow")

    async def _keep_unknown_version(
        self, body: bytes, session: str, message_id: str, error: UnknownHintVersion
    ) -> None:
        """Puts it back for an instance of the newer release, then gives it up as undecodable."""
        base, _, tried = message_id.rpartition("+v")
        waits = int(tried) if base and tried.isdigit() else 0
        if waits >= _VERSION_TRIES:
            await self._undecodable(body, error)
            return
        stem = base if waits else message_id
        if not stem or len(stem) > _ID_STEM:
            stem = hashlib.sha256(stem.encode() or body).hexdigest()
        await self._outbox.schedule_raw(
            body, session=session, message_id=f"{stem}+v{waits + 1}", delay=_VERSION_WAIT
        )
        telemetry.record_outcome("none", "retry", error.reason)

    async def _undecodable(self, body: bytes, error: Exception) -> None:
        reason = getattr(error, "reason", "undecodable")
        await self._outbox.dead_letter(
            DeadLetter(
                kind="undecodable",
                flow="none",
                reason=reason,
                description=str(error),
                system="app",
                body=body,
            )
        )
        telemetry.record_outcome("none", "dead-letter", reason)

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


def _whole_trouble(
    outcomes: Mapping[str, Outcome], systems: tuple[SystemName, ...]
) -> SystemTrouble | None:
    """Trouble of a system that no record of the batch got past; one failed row does not close a gate.

    A record that was skipped, moved, or failed before it came to that system, says nothing of it.
    """
    errors = [outcome.error for outcome in outcomes.values() if isinstance(outcome, Failed)]
    troubles = [error for error in errors if isinstance(error, SystemTrouble)]
    if any(isinstance(outcome, Synced | WouldChange) for outcome in outcomes.values()):
        return None
    answered = {error.system for error in errors if isinstance(error, RecordError)}
    unanswered = [trouble for trouble in troubles if trouble.system not in answered]
    return min(unanswered, key=lambda trouble: trouble.system not in systems, default=None)
