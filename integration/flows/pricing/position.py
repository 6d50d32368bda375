"""Where a run of prices begins; each phase describes its own members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.flows.pricing.scan_work import new_unit

if TYPE_CHECKING:
    from datetime import date, datetime

    from integration.jobs.job import Position


def first_position(run: str, *, full: bool, today: date, started_at: datetime) -> Position:
    """`run` begins the names of its spools; `today` counts for all of it, also beyond midnight."""
    return {
        "phase": "read",
        "run": run,
        "full": full,
        "today": today.isoformat(),
        "started_at": started_at.isoformat(),
        # reading
        "reading": "odata",
        "tracking": False,
        "runs": [],
        "export": {"run": 0, "row": 0},
        "cursor": "",
        # scan
        "chunk": 0,
        "from": "",
        "matched": 0,
        "unit": new_unit(0),
        "digests": 0,
        "units": [],
        "currency": "",
        # the parts of rows, and how many rows of each kind they hold
        "part": 0,
        "rows": {},
        # sending
        "at": [0, 0],
        "again": False,
        "sent": 0,
        "marks": 0,
        "stage": 0,
        "load": None,
        "sort": None,
        "second": False,
        "second_part": 0,
        "told": 0,
        # confirming
        "confirmed": 0,
        "next": 0,
        "chunks": [],
    }
