"""How the handling of one reference ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.errors import RecordNeedsReview

if TYPE_CHECKING:
    from integration.errors import SystemName
    from integration.mapping.tables import Change


@dataclass(frozen=True, slots=True)
class Synced:
    """Both sides agree now. `changed` tells whether anything had to be written."""

    changed: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """Deliberately not handled; `reason` is a short constant, `detail` the ids it is about, for the log."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """Belongs to another root (its bucket may be held elsewhere): nothing was written, send it there."""

    root: str
    key: str


@dataclass(frozen=True, slots=True)
class Failed:
    """`recovery.decisions` turns the error into a later attempt or an end state."""

    error: Exception


@dataclass(frozen=True, slots=True)
class WouldChange:
    """The dry run's answer: what a real run would write."""

    operation: str
    differences: tuple[Change, ...]


class RecordMerged(RecordNeedsReview):
    """A person must decide about a record that was merged; `follow` is handled all the same."""

    def __init__(
        self, description: str, *, follow: Moved, reason: str, system: SystemName = "d365"
    ) -> None:
        super().__init__(description, reason=reason, system=system)
        self.follow = follow


Outcome = Synced | Skipped | Moved | Failed | WouldChange
