"""Takes one message of the queue `changes` to its end: handled, put back, or kept with its reason.

Only trouble of Service Bus itself is raised (the broker then delivers again); everything else ends in one
of: in step, skipped, a scheduled copy, a dead letter. So a message is never lost and never runs in circles
(design, idea 4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from integration import telemetry
from integration.deadline import deadline
from integration.errors import RecordError, SystemTrouble, Unreachable
from integration.flows.batcher import Batcher
from integration.flows.engine import converge
from integration.flows.loads.routing import waits_for_timer
from integration.flows.outcomes import Failed, Outcome, Skipped, Synced, WouldChange
from integration.flows.settling import Settling
from integration.flows.strangers import Strangers
from integration.messaging.hints import Hint, UnknownHintVersion, bucket_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from random import Random

    from integration.errors import RecordHeld, SystemName
    from integration.flows.context import FlowEntry
    from integration.flows.endings import LedgerWriter, Outbox
    from integration.flows.settling import ReplyWriter
    from integration.recovery.gate import SystemGate

SCHEDULED = "scheduled"  # the reason of a skip: the timer sends it


class HoldReader(Protocol):
    async def held(self, flow: str, keys: Collection[str]) -> dict[str, RecordHeld]: ...


class DirtyNotes(Protocol):
    async def note(self, flow: str, keys: Iterable[str]) -> None: ...


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
        self._strangers = Strangers(outbox)
        self._settling = Settling(
            outbox, ledger, park_seconds=park_seconds, random=random, replies=replies
        )
        self._gate = gate
        self._buckets = buckets
        self._batch_seconds = batch_seconds
        self._batcher = Batcher(self._run, window=window, size=batch_size)
        self._holds = holds
        self._dirty = dirty
        self._notes = Batcher(self._note, window=window, size=batch_size)

    async def handle(self, body: bytes, *, session: str, message_id: str) -> None:
        """Returns when the message may be completed. Raises Unreachable (service_bus) otherwise."""
        try:
            hint = Hint.from_bytes(body)
        except UnknownHintVersion as error:
            await self._strangers.unknown_version(body, session, message_id, error)
            return
        except Exception as error:
            await self._strangers.undecodable(body, error)
            return
        entry = self._by_object.get((hint.source, hint.object))
        if entry is None:
            await self._strangers.unknown_object(hint)
        elif entry.switch == "off":
            await self._settling.park(entry, hint)
        else:
            scheduled = self._dirty is not None and waits_for_timer(entry.route, hint)
            batcher = self._notes if scheduled and entry.switch == "on" else self._batcher
            name, ids = entry.flow.name, {"key": hint.key, "attempt": hint.attempt}
            with telemetry.resumed(f"handle {name}", hint.trace, **ids) as span:
                if hint.trace is None:  # later deliveries belong to this one
                    hint = replace(hint, trace=telemetry.trace_parent())
                outcome = await batcher.submit(name, session, hint)
                span.set_attribute("integration.outcome", type(outcome).__name__)
                await self._settling.settle(entry, hint, outcome)

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
        unasked: Collection[str] = ()
        try:
            with deadline(self._batch_seconds):
                outcomes = await converge(flow, tried, dry=entry.switch == "dry", owns=self._owns)
            trouble = _whole_trouble(outcomes, flow.systems)
            unasked = _unasked(outcomes, entry)
        finally:
            self._gate.leave(flow.systems, trouble, unasked=unasked)
        rest = Failed(
            Unreachable(
                "waits for the probe of another record", reason="waiting-for-system", retry_after=1
            )
        )
        return {key: outcomes.get(key, rest) for key in buckets}

    def _owns(self, root: str, bucket: str) -> bool:
        return bucket_of(root, self._buckets) == bucket


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


def _unasked(outcomes: Mapping[str, Outcome], entry: FlowEntry) -> set[SystemName]:
    """The systems from which no record of the batch had an answer: all were skipped, moved or refused
    before they came there. Every record is read from its source first."""
    errors = [
        outcome.error if isinstance(outcome, Failed) else None for outcome in outcomes.values()
    ]
    if any(isinstance(outcome, Synced | WouldChange) for outcome in outcomes.values()):
        return set()
    answered = {error.system for error in errors if isinstance(error, RecordError)}
    if any(not isinstance(error, SystemTrouble) for error in errors):
        answered.add(entry.source)
    return set(entry.flow.systems) - answered
