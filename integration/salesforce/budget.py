"""The daily call allowance as Salesforce reports it on every answer (Salesforce contract 2.9)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_USAGE = re.compile(r"(?:^|[;,\s])api-usage=(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class ApiBudget:
    """Calls made by the whole organisation in the last 24 hours, and how many it may make."""

    used: int
    limit: int

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def share_left(self) -> float:
        """0 (spent) to 1 (untouched)."""
        return max(0.0, 1 - self.used / self.limit) if self.limit else 0.0


def read_budget(limit_info: str | None) -> ApiBudget | None:
    """From `api-usage=25/5000; per-app-api-usage=17/250(appName=x)`; None when absent or unreadable."""
    found = _USAGE.search(limit_info or "")
    return ApiBudget(int(found[1]), int(found[2])) if found else None
