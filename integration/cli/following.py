"""Follows a job of the deployed app to its end: the one place, for every command that starts or names one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from integration.cli.pausing import pause
from integration.cli.problems import DONE, FAILED, CommandFailed
from integration.cli.veil import veiled, veiled_document
from integration.jobs import kinds
from integration.jobs.state import FAILURES_KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.cli.output import Output
    from integration.jobs.state import JobState
    from integration.wiring import App

POLL = 1.0  # seconds
KINDS = tuple(
    sorted(
        value for name, value in vars(kinds).items() if name.isupper() and isinstance(value, str)
    )
)
_SILENT = 300.0  # seconds past its due time after which somebody should look


async def start(app: App, kind: str, params: dict[str, Any]) -> tuple[JobState, bool]:
    """The new run, or the one that is at work already; and whether it is new."""
    job = await app.jobs.start(kind, params)
    if job is not None:
        return await load(app, kind, job), True
    running = next((run for run in await app.jobs.store.runs(kind) if run.is_running), None)
    if running is None:
        raise CommandFailed(f"the job {kind} was not started", "run the command again")
    return running, False


async def load(app: App, kind: str, job: str) -> JobState:
    found = await app.jobs.store.load(kind, job)
    if found is None:
        raise CommandFailed(f"there is no job {kind} {job}", "`jobs` lists those there are")
    return found[0]


async def follow(app: App, out: Output, kind: str, job: str) -> JobState:
    """The job's state at its end. Interrupting the command leaves the job at work."""
    state = await load(app, kind, job)
    if state.is_running:
        out.say(f"following job {kind} {job}; Ctrl-C leaves it at work")
    with out.progress(f"{kind} {job}") as bar:
        told = False
        while state.is_running:
            bar.to(f"{state.position.get('phase', '')}  {counted(state.counts)}")
            late = (datetime.now(UTC) - state.due_at).total_seconds()
            if late > _SILENT and not told:
                told = True
                out.say("the job has not gone on for minutes; does the app run? (`status`)")
            await pause(POLL)
            state = await load(app, kind, job)
    return state


def show_end(out: Output, state: JobState, *, show_values: bool = False) -> int:
    """The totals, and where to find what failed; the exit code."""
    out.document({"job": veiled_document(document(state), values=show_values)})
    out.facts(facts(state))
    if state.failures:
        out.line()
        out.table(
            ("key", "reason", "description"),
            [
                (each["key"], each["reason"], veiled(each["description"], values=show_values))
                for each in state.failures
            ],
            title="failed rows"
            + (f" (the first {FAILURES_KEPT})" if len(state.failures) == FAILURES_KEPT else ""),
        )
    for line in whereabouts(state):
        out.line(line)
    return FAILED if state.status == "failed" else DONE


def whereabouts(state: JobState) -> list[str]:
    """Where the records are that a load or a reconciliation could not bring in step."""
    params = state.position.get("params", state.position)
    if params.get("dry"):
        return ["nothing was written"]
    if state.kind in (kinds.LOAD_ACCOUNTS, kinds.LOAD_CONTACTS) and state.counts.get("failed"):
        return ["failed records are kept: python -m integration dead-letters list"]
    if state.kind == kinds.RECONCILE and state.status == "done":
        return [f"report: reports/reconcile/{state.position['run']}.txt in the state container"]
    return []


def facts(state: JobState) -> list[tuple[str, object]]:
    return [
        ("job", f"{state.kind} {state.id}"),
        ("status", state.status),
        ("started", state.started_at.isoformat(timespec="seconds")),
        ("took", lasted(state)),
        ("phase", state.position.get("phase") if state.is_running else None),
        ("counts", counted(state.counts) or "nothing was to be done"),
        ("trouble", trouble(state)),
    ]


def trouble(state: JobState) -> str | None:
    return f"{state.error['reason']}: {state.error['description']}" if state.error else None


def lasted(state: JobState) -> str:
    end = datetime.now(UTC) if state.is_running else state.updated_at
    return duration((end - state.started_at).total_seconds())


def counted(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count
    )


def duration(seconds: float) -> str:
    """At most two units: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


def document(state: JobState) -> dict[str, Any]:
    return {
        "kind": state.kind,
        "id": state.id,
        "status": state.status,
        "started_at": state.started_at.isoformat(),
        "updated_at": state.updated_at.isoformat(),
        "phase": state.position.get("phase"),
        "counts": state.counts,
        "failures": list(state.failures),
        "error": state.error,
    }
