"""What becomes of a job whose step failed: a pure function, so that a table can test it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.errors import (
    ContractError,
    DeadlineReached,
    IntegrationError,
    OutcomeUnknown,
    RecordBusy,
    RecordError,
    SystemTrouble,
)
from integration.state.blobs import StateConflict

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from integration.jobs.state import JobState

UNEXPECTED_TRIES = 4  # of one step that fails in a way the app does not know
_WAITED_OUT = (SystemTrouble, OutcomeUnknown, RecordBusy, DeadlineReached, StateConflict)
_FINAL = (RecordError, ContractError)


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds: the first wait after trouble, doubled with each further one up to `longest`."""

    base: float
    longest: float

    def after(self, troubles: int) -> float:
        return min(self.base * 2.0 ** min(troubles, 20), self.longest)


def after_error(
    state: JobState, error: Exception, now: datetime, waits: Waits
) -> tuple[JobState, float]:
    """The failed job, or the same step and the seconds until its next try. Retry-After wins."""
    known = (
        error
        if isinstance(error, IntegrationError)
        else IntegrationError(f"unexpected {type(error).__name__} in a step")
    )
    if not isinstance(error, _WAITED_OUT):
        spent = state.troubles + 1 >= UNEXPECTED_TRIES
        if isinstance(error, _FINAL) or spent:
            return state.failed(known, now), 0
    retry_after = getattr(error, "retry_after", None)
    wait = waits.after(state.troubles) if retry_after is None else float(retry_after)
    return state.troubled(known, now), wait


def overdue(state: JobState, longest: timedelta) -> IntegrationError:
    """Why a job ends at its deadline, with the trouble it was waiting out."""
    last = f"; last trouble: {state.error['description']}" if state.error else ""
    return IntegrationError(f"the job did not end within {longest}{last}", reason="job-deadline")
