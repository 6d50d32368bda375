"""Time as the API writes it: UTC, whole seconds, `2025-01-31T10:00:00.000+0000`.

Stored in that form, so that text comparison is comparison in time.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from functools import lru_cache


def now() -> str:
    return _second(int(time.time()))


@lru_cache(maxsize=1)
def _second(number: int) -> str:
    # Every row of a large load asks for the time, and formatting it costs more than the row's checks.
    return stamp(datetime.fromtimestamp(number, UTC))


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def parse_datetime(text: str) -> str | None:
    """The stored form of an ISO datetime with an offset, else None."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if "T" not in text or moment.tzinfo is None:
        return None
    return stamp(moment)


def parse_date(text: str) -> str | None:
    if len(text) != 10:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None
