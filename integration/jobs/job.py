"""What a kind of long work must say so that the job engine can run it.

    class PaymentJob:
        kind = "payments"
        longest = timedelta(hours=2)

        async def step(self, position: dict[str, Any]) -> Progress: ...

The first position is the `params` given to `JobRunner.start`; every later one is what the step before
returned. A position is JSON (text, whole numbers, booleans, lists, dicts): it must be enough to go on in
another process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from integration.errors import IntegrationError

Position = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowFailure:
    """A row that could not be delivered. The job goes on; nothing of the row itself is kept."""

    key: str
    reason: str
    description: str

    @classmethod
    def of(cls, key: str, error: IntegrationError) -> RowFailure:
        return cls(key, error.reason, error.description[:500])


@dataclass(frozen=True, slots=True)
class Progress:
    """What one step did.

    `counts` are added to the job's ("read", "changed", "failed", "skipped:variant" …); `delay` is the
    wait in seconds before the next step (0: at once); `done` ends the job. All `failures` are kept, the first
    100 of a job in its state, and belong into `counts`; one step should not hold more than some thousands.
    """

    position: Position
    counts: Mapping[str, int] = field(default_factory=dict)
    delay: float = 0
    done: bool = False
    failures: tuple[RowFailure, ...] = ()


class Job(Protocol):
    """`kind` names it in blobs and messages ([a-z-]); `longest` is the time after which it has failed."""

    kind: str
    longest: timedelta

    async def step(self, position: Position) -> Progress:
        """Does one bounded piece of work, within the seconds of `integration.deadline`.

        A step may run again from the same position (after a crash, a lost answer, trouble of a system),
        so its effects must be the same when they are repeated: upserts, or reading before writing.

        SystemTrouble, OutcomeUnknown, RecordBusy, DeadlineReached and StateConflict raised here repeat
        the step later, until the job's deadline; RecordRejected, RecordNeedsReview and ContractError end
        the job as failed; anything else does after some repeats. Trouble of one row is no exception but
        a count and a RowFailure.
        """


@runtime_checkable
class Cancellable(Protocol):
    """A job that has something to put in order when it is to end early. Any other ends between two steps."""

    async def cancel(self, position: Position) -> Progress:
        """Takes the place of the next step, under the same rules. `position` may be the first one.

        `done` ends the job here; otherwise its further steps do, from the position returned.
        """


async def next_step(job: Job, position: Position, *, ends: bool) -> Progress:
    """`ends`: the job was asked to end and has not begun to."""
    if not ends:
        return await job.step(position)
    if isinstance(job, Cancellable):
        return await job.cancel(position)
    return Progress(position, done=True)
