"""What the phases of one step add up to, and how much time the step has left."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

from integration.deadline import remaining
from integration.jobs.job import RowFailure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integration.errors import IntegrationError

_RESERVE = 0.3  # of a step, for the last piece of work and for saving
_MOST = 5000  # failures of one step, about


class Report:
    """Of one step. `delay` in seconds before the next one; `ends_step`: the position must be saved before
    anything else is done."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[RowFailure] = []
        self.delay = 0.0
        self.ends_step = False
        self._total = max(remaining() or 0.0, 0.0)

    def has_time(self, seconds: float = 0) -> bool:
        """Whether a piece of work that takes about so long may be begun."""
        if len(self.failures) >= _MOST:  # they are saved before there are more
            return False
        left = remaining()
        return left is None or left > max(seconds, _RESERVE * self._total)

    def copy(self) -> Report:
        other = copy.copy(self)
        other.counts, other.failures = self.counts.copy(), self.failures.copy()
        return other

    def failed(self, key: str, error: IntegrationError) -> None:
        self.add_failures([RowFailure.of(key, error)])
        self.counts["failed"] += 1

    def add_failures(self, failures: Iterable[RowFailure]) -> None:
        """Without counting."""
        self.failures += failures
