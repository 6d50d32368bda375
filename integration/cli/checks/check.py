"""One row of `doctor`, and how the checks run: side by side, each with a time limit of its own.

A check never stops another. What cannot work because something before it failed is `not checked`, so that
one wrong secret is one failure and not twenty.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from integration.cli.problems import problem_of
from integration.deadline import deadline
from integration.errors import ConfigurationError, DeadlineReached, IntegrationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Status = Literal["ok", "warning", "failed", "not checked"]
SECONDS = 15.0  # for one check
_ANSWER = 0.5  # seconds that remain to tell of a call that was cut off


@dataclass(frozen=True, slots=True)
class Check:
    """`found` and `advice` hold names and counts, never values of records."""

    name: str
    status: Status
    found: str
    advice: str = ""
    area: str = ""


Work = Callable[[], Awaitable[Sequence[Check]]]


@dataclass(frozen=True, slots=True)
class Probe:
    """`after`: probes that must have succeeded; `settings`: those that must be right."""

    area: str
    name: str
    work: Work
    after: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    seconds: float = SECONDS

    @property
    def title(self) -> str:
        return f"{self.area} {self.name}"


def ok(name: str, found: str) -> Check:
    return Check(name, "ok", found)


def warning(name: str, found: str, advice: str) -> Check:
    return Check(name, "warning", found, advice)


def failed(name: str, found: str, advice: str) -> Check:
    return Check(name, "failed", found, advice)


def not_checked(name: str, found: str, advice: str = "") -> Check:
    return Check(name, "not checked", found, advice)


async def run_probes(probes: Sequence[Probe], broken: Collection[str] = ()) -> list[Check]:
    """The rows in the order of the probes. `broken` are names of settings.

    Raises ValueError for a probe that waits for one behind it.
    """
    seen: set[str] = set()
    for probe in probes:
        if behind := [title for title in probe.after if title not in seen]:
            raise ValueError(f"{probe.title} waits for {', '.join(behind)}")
        seen.add(probe.title)
    tasks: dict[str, asyncio.Task[list[Check]]] = {}
    async with asyncio.TaskGroup() as group:
        for probe in probes:
            before = {title: tasks[title] for title in probe.after}
            tasks[probe.title] = group.create_task(_run(probe, before, broken))
    return [row for task in tasks.values() for row in task.result()]


async def _run(
    probe: Probe, before: Mapping[str, asyncio.Task[list[Check]]], broken: Collection[str]
) -> list[Check]:
    wrong = [name for name in probe.settings if name in broken]
    if wrong:
        rows: Sequence[Check] = [not_checked(probe.name, f"needs {', '.join(wrong)}")]
    elif lacking := [title for title, task in before.items() if not _succeeded(await task)]:
        rows = [not_checked(probe.name, f"comes after: {', '.join(lacking)}")]
    else:
        rows = await _rows(probe)
    return [replace(row, area=probe.area) for row in rows]


def _succeeded(rows: Sequence[Check]) -> bool:
    return all(row.status in ("ok", "warning") for row in rows)


async def _rows(probe: Probe) -> Sequence[Check]:
    try:
        # The clients end their calls before the check is cut off, and say what they waited for.
        with deadline(probe.seconds - _ANSWER):
            async with asyncio.timeout(probe.seconds):
                return await probe.work()
    except (TimeoutError, DeadlineReached):
        text = f"no answer within {probe.seconds:.0f} s"
        return [
            failed(probe.name, text, "look for the cause in the rows around; then run it again")
        ]
    except ConfigurationError as error:
        step = "correct the app setting (docs/settings.md)"
        return [failed(probe.name, problem, step) for problem in error.problems]
    except IntegrationError as error:
        return [failed(probe.name, error.description, problem_of(error).step)]
    except Exception as error:
        text = f"unexpected {type(error).__name__} at {_place(error)}"
        return [failed(probe.name, text, "a defect of this check: report it with this place")]


def _place(error: Exception) -> str:
    """File and line; the text of an error may quote a payload."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
