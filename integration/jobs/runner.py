"""Starts jobs and runs their steps: the one state machine below prices, payments and data packages.

What makes it safe: a step is claimed in the state blob (ETag) before it runs, its result is saved with
the ETag of the claim, and only then the next message is sent. A crash anywhere leaves either a claim that
runs out or a saved state without its message; a redelivered message or `re_arm` picks up both.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from integration.deadline import deadline
from integration.errors import SystemTrouble
from integration.jobs.decisions import Waits, after_error, overdue
from integration.jobs.job import next_step
from integration.jobs.messages import StepMessage
from integration.jobs.state import JobState
from integration.jobs.store import JobStore
from integration.state.blobs import StateConflict
from integration.telemetry import log_event, record_outcome, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from integration.jobs.job import Job, Position
    from integration.jobs.store import StateStore

_EARLY = 2.0  # seconds by which clocks may differ
_GRACE = 30.0  # seconds a message may be late before the job counts as stranded
_CLAIM_MARGIN = 5.0  # seconds after the step's own end
_LOOK = 5.0  # seconds after which a request to end looks again whether the step is over


class JobMessages(Protocol):
    async def send_job(self, body: bytes, *, message_id: str, delay: float) -> None: ...


class JobRunner:
    """One per process. Raises Unreachable when the blobs or the queue cannot be reached."""

    def __init__(
        self,
        state: StateStore,
        queue: JobMessages,
        jobs: Iterable[Job],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        step_seconds: float = 30,
        base_delay: float = 30,
        max_delay: float = 900,
    ) -> None:
        """`base_delay` is the first wait after trouble, doubled up to `max_delay`, in seconds."""
        self.store = JobStore(state)
        self._queue = queue
        self._jobs = {job.kind: job for job in jobs}
        self._clock = clock
        self._step_seconds = step_seconds
        self._waits = Waits(base_delay, max_delay)

    async def start(self, kind: str, params: Position) -> str | None:
        """The id of the new job, or None while one of this kind runs. Raises KeyError: unknown kind.

        The first step runs as soon as its message arrives; nothing of it happens here.
        """
        job, now = self._jobs[kind], self._clock()
        await self.re_arm(kind)
        holder, lease = await self.store.holder(kind)
        running = await self.store.load(kind, holder) if holder else None
        if running and running[0].is_running:
            return None
        state = JobState(
            kind=kind,
            id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
            started_at=now,
            updated_at=now,
            due_at=now,
            deadline=now + job.longest,
            position=params,
        ).armed(now)
        await self.store.open(state)
        try:
            await self.store.hold(state, lease)
        except StateConflict:  # another instance was faster
            await self.store.discard(state)
            return None
        await self._send(state)
        log_event("job started", kind=kind, job=state.id)
        await self.store.forget_old(kind)
        return state.id

    async def cancel(self, kind: str, job_id: str) -> bool:
        """Has the job end early, at its next step; False where it does not run.

        The request is durable when this returns. A step at work comes to its end; a wait is not waited out.
        """
        loaded = await self.store.load(kind, job_id)
        if loaded is None or not loaded[0].is_running:
            return False
        await self.store.ask_to_end(loaded[0], self._clock())
        await self._hold(loaded[0], 0, cancel=True)
        log_event("job is to end", kind=kind, job=job_id)
        return True

    async def advance(self, body: bytes) -> None:
        """Runs the step that the message asks for, once. Raises ContractError for an unreadable one."""
        message = StepMessage.from_bytes(body)
        job = self._jobs.get(message.kind)
        loaded = await self.store.load(message.kind, message.id)
        if job is None or loaded is None or not loaded[0].is_running:
            log_event("job message without a running job", kind=message.kind, job=message.id)
            return
        state, etag = loaded
        now = self._clock()
        if message.cancel:
            if state.cancelling:
                return
            if state.is_claimed(now):
                await self._hold(state, _LOOK, cancel=True)
                return
        elif message.step != state.step:
            await self._outdated(message, state, now)
            return
        wait = 0 if message.cancel else (state.held_until - now).total_seconds()
        if wait > _EARLY:  # a doubled message: the step runs, or is not due
            await self._hold(state, wait)
            return
        if now >= state.deadline:
            await self._end(state.failed(overdue(state, job.longest), now), etag)
            return
        seconds = min(self._step_seconds, (state.deadline - now).total_seconds())
        claim = now + timedelta(seconds=seconds + _CLAIM_MARGIN)
        claimed = replace(state, claimed_until=claim, updated_at=now)
        ends = not state.cancelling and await self.store.is_asked_to_end(state)
        if message.cancel and not ends:
            return
        try:
            etag = await self.store.save(claimed, etag)
        except StateConflict:
            return  # another delivery runs it
        with span(f"job {state.kind} step", job=state.id, step=state.step):
            await self._step(job, claimed, etag, seconds, ends=ends)

    async def re_arm(self, kind: str | None = None) -> int:
        """Sends the message of every job (of this kind) again that should have gone on long ago.

        Returns how many. Timers call it first, so that a lost message strands no job for long.
        """
        sent = 0
        for name in [kind] if kind else self._jobs:
            holder, _ = await self.store.holder(name)
            loaded = await self.store.load(name, holder) if holder else None
            if loaded is None or not loaded[0].is_running:
                continue
            now = self._clock()
            late = now - loaded[0].held_until
            if late.total_seconds() >= _GRACE:
                sent += await self._resend(*loaded, now)
        return sent

    async def _step(
        self, job: Job, state: JobState, etag: str, seconds: float, *, ends: bool
    ) -> None:
        """`ends`: the job was asked to end and has not begun to."""
        try:
            with deadline(seconds):
                progress = await next_step(job, state.position, ends=ends)
            await self.store.keep_failures(state, progress.failures)
            following = replace(state, cancelling=state.cancelling or ends)
            following, wait = following.after(progress, self._clock()), progress.delay
        except Exception as error:
            following, wait = after_error(state, error, self._clock(), self._waits)
            if isinstance(error, SystemTrouble):
                record_outcome(state.kind, "waits", error.reason)
            log_event(
                "job step failed",
                level=logging.WARNING,
                error=error,
                kind=state.kind,
                job=state.id,
                step=state.step,
                reason=(following.error or {}).get("reason"),
            )
        if not following.is_running:
            await self._end(following, etag)
            return
        following = following.armed(following.updated_at + timedelta(seconds=wait))
        if following.due_at >= following.deadline:
            # Waiting longer is of no use: the deadline itself is the last look.
            following = replace(following, due_at=following.deadline)
            wait = max(0.0, (following.deadline - following.updated_at).total_seconds())
        try:
            await self.store.save(following, etag)
        except StateConflict:
            log_event("job step overran its claim", kind=state.kind, job=state.id, step=state.step)
            return
        await self._send(following, delay=wait)

    async def _end(self, state: JobState, etag: str) -> None:
        await self.store.save(state, etag)
        await self.store.release(state)
        error = state.error or {}
        record_outcome(state.kind, f"job-{state.status}", error.get("reason", ""))
        log_event(
            "job ended",
            level=logging.ERROR if state.error else logging.INFO,
            kind=state.kind,
            job=state.id,
            status=state.status,
            reason=error.get("reason"),  # the description is in the state: it may quote a record
            counts=state.counts,
        )

    async def _outdated(self, message: StepMessage, state: JobState, now: datetime) -> None:
        """A repeated message. Perhaps a crash lost the one after it: then the next step has not begun."""
        if message.step > state.step or state.is_claimed(now) or state.step > message.step + 1:
            return
        due = (state.due_at - now).total_seconds() + _GRACE
        if due > 0:
            body = message.to_bytes()
            message_id = f"{state.message_id}:look"
            await self._queue.send_job(body, message_id=message_id, delay=due)
            return
        loaded = await self.store.load(state.kind, state.id)
        if loaded and loaded[0].step == state.step:
            await self._resend(*loaded, now)

    async def _resend(self, state: JobState, etag: str, now: datetime) -> bool:
        armed = state.armed(now)
        try:
            await self.store.save(armed, etag)
        except StateConflict:
            return False  # it goes on
        await self._send(armed)
        log_event("job armed again", kind=state.kind, job=state.id, step=state.step)
        return True

    async def _hold(self, state: JobState, delay: float, *, cancel: bool = False) -> None:
        """The same message later, under an id of its own: duplicate detection must not drop it."""
        body = StepMessage(state.kind, state.id, state.step, cancel).to_bytes()
        message_id = f"{state.message_id}:{secrets.token_hex(4)}"
        await self._queue.send_job(body, message_id=message_id, delay=delay)

    async def _send(self, state: JobState, *, delay: float = 0) -> None:
        body = StepMessage(state.kind, state.id, state.step).to_bytes()
        await self._queue.send_job(body, message_id=state.message_id, delay=delay)
