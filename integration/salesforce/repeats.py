"""When a call is tried again on the spot: only where that is safe and soon, and inside the deadline.

What needs longer is the caller's to reschedule; a bucket must not sleep.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity

from integration.deadline import remaining
from integration.errors import IntegrationError, RecordBusy, SystemTrouble, Throttled, Unreachable
from integration.salesforce.errors import APEX_LIMIT, Effect, QueryLocatorExpired

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_WAIT = 10.0  # seconds between tries
NEEDED = {
    Effect.READ: 1.0,
    Effect.REPEATABLE: 3.0,
    Effect.ONCE: 5.0,
}  # seconds left to begin a call

_NEVER_EXECUTED = {"UNABLE_TO_LOCK_ROW", "RECORD_IN_USE_BY_WORKFLOW"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallRetries:
    """`tries` of one call in all, and the seconds `delay` before the second, growing with full jitter."""

    tries: int = 3
    delay: float = 1.0


def attempts(retries: CallRetries, operation: str, effect: Effect) -> tenacity.AsyncRetrying:
    """The tries of one call; the last error is raised as it is."""
    backoff = tenacity.wait_random_exponential(multiplier=retries.delay, max=LONGEST_WAIT)

    def is_last(state: tenacity.RetryCallState) -> bool:
        if state.attempt_number >= retries.tries or state.upcoming_sleep > LONGEST_WAIT:
            return True
        left = remaining()
        return left is not None and state.upcoming_sleep + NEEDED[effect] > left

    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(lambda error: is_repeatable(error, effect)),
        wait=lambda state: max(backoff(state), _asked_wait(state)),
        stop=is_last,
        before_sleep=_log_repeat(operation),
        reraise=True,
    )


def is_repeatable(error: BaseException, effect: Effect) -> bool:
    """True where the same call may be sent again at once: it changes nothing, or was not executed."""
    if isinstance(error, QueryLocatorExpired):
        return False
    if isinstance(error, Unreachable | Throttled):
        return True  # for a call that creates these mean that nothing was executed
    if not isinstance(error, RecordBusy) or error.reason == APEX_LIMIT:
        return False
    return effect is not Effect.ONCE or error.reason in _NEVER_EXECUTED


def _asked_wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return (error.retry_after or 0.0) if isinstance(error, SystemTrouble) else 0.0


def _log_repeat(operation: str) -> Callable[[tenacity.RetryCallState], None]:
    def log(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        reason = error.reason if isinstance(error, IntegrationError) else type(error).__name__
        logger.warning(
            "Salesforce call %s failed (%s); try %d follows in %.1f s",
            operation,
            reason,
            state.attempt_number + 1,
            state.upcoming_sleep,
        )

    return log
