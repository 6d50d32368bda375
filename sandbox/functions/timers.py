"""Timer triggers: NCRONTAB in UTC (Azure contract 1.8), one run at a time, past due after downtime.

An occurrence that passes while the function still runs is skipped, as in the real listener; past due
exists at start only, from the schedule status that was saved before (blob storage in Azure, a file
in `state_directory` here; without one no start is past due).
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure_functions_runtime.bindings.datumdef import Datum
from croniter import croniter

from .host_json import parse_time_span

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("sandbox.functions")

Run = Callable[[Datum], Awaitable[object]]

_NEVER = "0001-01-01T00:00:00+00:00"
_LONGEST_SLEEP = 60.0


class ScheduleError(ValueError):
    """The schedule is neither an NCRONTAB expression nor a time span."""


class Schedule:
    """Occurrences of `{sec} {min} {hour} {day} {month} {dow}` (five fields: second 0) or hh:mm:ss."""

    def __init__(self, expression: str) -> None:
        self._every: timedelta | None = None
        self._cron = ""
        text = expression.strip()
        if re.fullmatch(r"(\d+\.)?\d+:\d+:\d+", text):
            self._every = timedelta(seconds=parse_time_span(text))
            return
        fields = text.split()
        self._cron = " ".join(["0", *fields] if len(fields) == 5 else fields)
        if len(fields) not in {5, 6} or not croniter.is_valid(self._cron, second_at_beginning=True):
            raise ScheduleError(f"the schedule expression '{expression}' is not valid")

    def after(self, moment: datetime) -> datetime:
        """The first occurrence after a moment, in UTC."""
        if self._every is not None:
            return moment + self._every
        # NCRONTAB wants day of month AND day of week; classic cron means OR.
        cron = croniter(self._cron, moment, second_at_beginning=True, day_or=False)
        found: datetime = cron.get_next(datetime)
        return found.astimezone(UTC)


class TimerListener:
    """Runs one timer function on its schedule and by hand, never twice at the same time."""

    def __init__(
        self,
        name: str,
        trigger: dict[str, Any],
        schedule: Schedule,
        run: Run,
        state_directory: Path | None = None,
    ) -> None:
        self._name = name
        self._schedule = schedule
        self._run = run
        self._run_on_startup = bool(trigger.get("runOnStartup"))
        now = datetime.now(UTC)
        first = schedule.after(now)
        minute = schedule.after(first) - first >= timedelta(minutes=1)
        self._monitored = bool(trigger.get("useMonitor", True)) and minute
        self._file = state_directory / f"timer-{name}.json" if state_directory else None
        self._status = {"Last": _NEVER, "LastUpdated": _NEVER, "Next": first.isoformat()}
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop())

    def stop_schedule(self) -> None:
        """No further occurrence starts; a run that has begun goes on."""
        if self._task is not None and not self._lock.locked():
            self._task.cancel()
        self._stopping = True

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def run_by_hand(self) -> None:
        """One run outside the schedule; waits for a scheduled one that is under way."""
        async with self._lock:
            await self._run(self._datum(past_due=False))

    async def _loop(self) -> None:
        due = self._saved_next()
        if due is not None and due < datetime.now(UTC):
            log.info("%s is past due since %s", self._name, due.isoformat())
            await self._run_once(past_due=True)
        elif self._run_on_startup:
            await self._run_once(past_due=False)
        while not self._stopping:
            due = self._schedule.after(datetime.now(UTC))
            await _sleep_until(due)
            if not self._stopping:
                await self._run_once(past_due=False)

    async def _run_once(self, *, past_due: bool) -> None:
        async with self._lock:
            began = datetime.now(UTC)
            await self._run(self._datum(past_due=past_due))
            self._status = {
                "Last": began.isoformat(),
                "LastUpdated": datetime.now(UTC).isoformat(),
                "Next": self._schedule.after(datetime.now(UTC)).isoformat(),
            }
            if self._monitored and self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_text(json.dumps(self._status), encoding="utf-8")

    def _saved_next(self) -> datetime | None:
        if not self._monitored or self._file is None or not self._file.exists():
            return None
        try:
            self._status = json.loads(self._file.read_text(encoding="utf-8"))
            return datetime.fromisoformat(self._status["Next"])
        except (ValueError, KeyError, TypeError):
            log.warning("the saved schedule status of %s cannot be read", self._name)
            return None

    def _datum(self, *, past_due: bool) -> Datum:
        info = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": self._status if self._monitored else None,
            "IsPastDue": past_due,
        }
        return Datum(json.dumps(info), "json")


async def _sleep_until(due: datetime) -> None:
    """Sleeps in pieces, so that a suspended or corrected clock does not shift the schedule."""
    left = (due - datetime.now(UTC)).total_seconds()
    while left > 0:
        await asyncio.sleep(min(left, _LONGEST_SLEEP))
        left = (due - datetime.now(UTC)).total_seconds()
