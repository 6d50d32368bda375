"""What happens to a hint whose handling failed: a pure function of error, history and policy.

Attempts count deliveries that tried this record. Trouble of a whole system uses up none, because a
maintenance window must not fill the dead letters; only its age ends such a hint (design, idea 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from integration.errors import (
    ConfigurationError,
    ContractError,
    CreatePending,
    DeadlineReached,
    IntegrationError,
    RecordHeld,
    RecordNeedsReview,
    RecordRejected,
    SystemTrouble,
)

if TYPE_CHECKING:
    from random import Random

_USES_NO_ATTEMPT = (
    SystemTrouble,
    ConfigurationError,
    DeadlineReached,
    CreatePending,
    RecordHeld,
)
End = Literal["dead-letter", "review", "reconcile", "skip"]


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """A flow's error tolerance, written next to the flow.

    `attempts` deliveries (the first included), waiting `base_delay` seconds before the second, doubled up
    to `max_delay`; then `exhausted`. What can never succeed ends as `rejected` at once.
    """

    attempts: int = 4
    base_delay: float = 30
    max_delay: float = 900
    max_age: timedelta = timedelta(hours=72)
    exhausted: End = "dead-letter"
    rejected: End = "dead-letter"


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Deliver again in `delay` seconds. `uses_attempt` tells whether this delivery counted."""

    delay: float
    uses_attempt: bool


@dataclass(frozen=True, slots=True)
class EndState:
    """The hint's last stop, with the reason to group by and the words for a person."""

    kind: End
    reason: str
    description: str
    system: str


Decision = RetryLater | EndState


def decide(
    error: BaseException,
    *,
    attempt: int,
    put_backs: int,
    age: timedelta,
    policy: FailurePolicy,
    random: Random,
) -> Decision:
    """`attempt` counts from 1; `put_backs` are the waits that used up no attempt; `age` since first seen."""
    if isinstance(error, ContractError):
        return _end("dead-letter", error)
    if isinstance(error, RecordNeedsReview):
        return _end("review", error)
    if isinstance(error, RecordRejected):
        return _end(policy.rejected, error)
    if isinstance(error, _USES_NO_ATTEMPT):
        if age >= policy.max_age:
            return _end(policy.exhausted, error, prefix=f"given up after {_hours(age)}: ")
        asked = getattr(error, "retry_after", None)
        wait = _backoff(put_backs, policy, random)
        return RetryLater(wait if asked is None else _spread(asked, random), uses_attempt=False)
    if attempt >= policy.attempts:
        return _end(policy.exhausted, error, prefix=f"failed {attempt} times, last: ")
    return RetryLater(_backoff(attempt - 1, policy, random), uses_attempt=True)


def _backoff(repeats: int, policy: FailurePolicy, random: Random) -> float:
    """Exponential with jitter in the upper half, so that repeats spread but never come early."""
    full = min(policy.max_delay, policy.base_delay * 2.0 ** min(repeats, 30))
    return full * (0.5 + random.random() / 2)


def _spread(seconds: float, random: Random) -> float:
    """Never before the server's own word, spread over a tenth more."""
    return seconds * (1 + random.random() / 10)


def _end(kind: End, error: BaseException, prefix: str = "") -> EndState:
    if isinstance(error, IntegrationError):
        return EndState(kind, error.reason, prefix + error.description, error.system)
    # A bug or a library's surprise: the class is the cause to group by; its text may hold a payload.
    name = type(error).__name__
    return EndState(kind, "unexpected", f"{prefix}{name}", "app")


def _hours(age: timedelta) -> str:
    return f"{age.total_seconds() / 3600:.0f} h"
