"""Schedules of the timers: NCRONTAB as Azure Functions reads it (Azure contract 1.8).

`{second} {minute} {hour} {day} {month} {day of week}` in UTC, or five fields without the second. A function
whose schedule cannot be read is not loaded, and its job never runs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from integration.cli.checks.check import Check, failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEDULES = (
    "SYNC_PRICES_SCHEDULE", "SYNC_PAYMENTS_SCHEDULE", "RECONCILE_SCHEDULE", "CATCH_UP_SCHEDULE",
    "WATCH_SCHEDULE", "SEND_PACKAGES_SCHEDULE",
)  # fmt: skip
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
# name, least, most, words of the field
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("second", 0, 59, []),
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")
_TIME_SPAN = re.compile(r"(\d+\.)?\d+:\d+:\d+")
_EXAMPLE = "write six fields, e.g. `0 */15 * * * *` for every 15 minutes"


def check_schedules(environment: Mapping[str, str]) -> list[Check]:
    rows = [row for name in SCHEDULES if (row := _judge(name, environment.get(name, "").strip()))]
    return rows or [ok("schedules", f"{len(SCHEDULES)} timers, in UTC")]


def _judge(name: str, text: str) -> Check | None:
    if not text:
        return failed(name, "is not set, so that its function is not loaded", _EXAMPLE)
    if _TIME_SPAN.fullmatch(text):
        return warning(
            name, "is a time span, which works in an App Service plan alone", f"if not: {_EXAMPLE}"
        )
    problem = problem_of_schedule(text)
    return failed(name, problem, _EXAMPLE) if problem else None


def problem_of_schedule(text: str) -> str | None:
    """What is wrong with an NCRONTAB text, None where nothing is."""
    given = text.split()
    if len(given) not in (5, 6):
        return f"has {len(given)} fields"
    for value, (name, least, most, words) in zip(given, _FIELDS[6 - len(given) :], strict=True):
        for part in value.split(","):
            if not _is_right(part, least, most, words):
                return f"{part!r} is no {name} ({least} to {most})"
    return None


def _is_right(part: str, least: int, most: int, words: list[str]) -> bool:
    match = _PART.fullmatch(part)
    if match is None:
        return False
    first, last, step = match.groups()
    if first == "*":
        return last is None and (step is None or int(step) > 0)
    start = _number(first, least, words)
    end = start if last is None else _number(last, least, words)
    if start is None or end is None or (step is not None and int(step) < 1):
        return False
    return least <= start <= end <= most


def _number(text: str, least: int, words: list[str]) -> int | None:
    if text.isdecimal():
        return int(text)
    return words.index(text.lower()) + least if text.lower() in words else None
