"""What the runs of imports and exports are made of: results, phases of a position, growing waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from integration.errors import IntegrationError, RecordRejected

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from integration.d365.packages import Position
    from integration.settings import VolumeSettings

_T = TypeVar("_T")
LONGEST_WAIT = 60.0  # seconds between two polls
FILE_POLLS = 20  # for a file that F&O still makes
UNKNOWN_POLLS = 12  # in a row, about ten minutes with the default waits


@dataclass(frozen=True, slots=True)
class ImportResult:
    """`status`: Succeeded, PartiallySucceeded, Failed, Canceled or "deadline". `failures` names a spool
    (see `package_failures`) with the `failed` rows. `unknown`: that list is not all of what F&O did not
    take, so the caller reads the rows back. `begun` is False where F&O never heard of it."""

    status: str
    rows: int
    failed: int
    failures: str
    unknown: bool
    description: str
    begun: bool = True


@dataclass(frozen=True, slots=True)
class Advance:
    """Store `position`, come back after `delay` seconds; a `result` ends it."""

    position: Position
    delay: float = 0
    result: ImportResult | None = None


def to_phase(position: Position, phase: str, **members: Any) -> Position:
    """The first position of a phase: its waits begin short again."""
    return {**position, **members, "phase": phase, "polls": 0}


def wait_once_more(position: Position, settings: VolumeSettings) -> tuple[Position, float]:
    """The same phase after a pause in seconds, which grows."""
    polls = position.get("polls", 0)
    delay = min(settings.package_poll * 2.0 ** min(polls, 10), LONGEST_WAIT)
    return {**position, "polls": polls + 1}, delay


async def answer_or(
    answer: Awaitable[_T], default: _T, error: type[IntegrationError] = RecordRejected
) -> _T:
    """The answer, or the default where F&O has none: details of a run may be missing."""
    try:
        return await answer
    except error:
        return default
