"""`jobs`, `reconcile`, `catch-up`: long work of the deployed app, shown, started and followed."""

from typing import TYPE_CHECKING, Annotated

import typer

from integration.cli import audit, following
from integration.cli.command import command
from integration.cli.options import Wait
from integration.cli.output import Column, Output
from integration.cli.problems import DONE, FAILED, CommandFailed, WrongUse
from integration.cli.running import running_app
from integration.jobs.kinds import CATCH_UP, RECONCILE

if TYPE_CHECKING:
    from integration.jobs.state import JobState
    from integration.wiring import App

_SHOWN = 3  # runs of each kind


def add_to(app: typer.Typer) -> None:
    command(app, "jobs", examples=("jobs", "jobs reconcile --json", "jobs JOB_ID --wait"))(jobs)
    command(
        app, "reconcile", examples=("reconcile --wait", "reconcile --full", "reconcile --json")
    )(reconcile)
    command(app, "catch-up", examples=("catch-up --wait",))(catch_up)


async def jobs(
    out: Output,
    name: Annotated[
        str, typer.Argument(metavar="KIND|JOB_ID", help="Runs of one kind, or one run.")
    ] = "",
    wait: Wait = False,
) -> int:
    """Shows long work: prices, payments, reconciliation, loads, catch-up, the watch.

    Of each kind the newest runs; of one run its counts, its trouble and the rows that failed. Exit code 1 if
    the newest run of a kind has failed.
    """
    async with running_app() as app:
        if name and name not in following.KINDS:
            return await _one(app, out, name, wait=wait)
        if wait:
            raise WrongUse("--wait needs the id of one run", "name it: `jobs JOB_ID --wait`")
        kinds = (name,) if name else following.KINDS
        runs = {kind: await app.jobs.store.runs(kind) for kind in kinds}
    shown = {kind: found[: None if name else _SHOWN] for kind, found in runs.items()}
    out.document({"jobs": [following.document(run) for found in shown.values() for run in found]})
    rows = [_row(run) for found in shown.values() for run in found]
    columns = (Column("kind", True), Column("id", True), "status", "took", "counts", "trouble")
    if rows:
        out.table(columns, rows)
    else:
        out.line("no job has run yet")
    newest = [found[0] for found in runs.values() if found]
    return FAILED if any(run.status == "failed" for run in newest) else DONE


def _row(run: "JobState") -> tuple[object, ...]:
    trouble = run.error["reason"] if run.error else ""
    return (
        run.kind,
        run.id,
        run.status,
        following.lasted(run),
        following.counted(run.counts),
        trouble,
    )


async def _one(app: "App", out: Output, job: str, *, wait: bool) -> int:
    for kind in following.KINDS:
        if await app.jobs.store.load(kind, job):
            if wait:
                await following.follow(app, out, kind, job)
            return following.show_end(out, await following.load(app, kind, job))
    raise CommandFailed(f"there is no kind and no run {job}", "`jobs` lists those there are")


async def reconcile(
    out: Output,
    full: Annotated[
        bool, typer.Option("--full", help="Compares everything, not only recent changes.")
    ] = False,
    wait: Wait = False,
) -> int:
    """Compares both systems and has the differences repaired.

    Starts the job that the timer starts too. It writes to neither system itself: what differs is handed to
    the flows. With --wait it prints the drift report.
    """
    async with running_app() as app:
        params = {"full": True} if full else {}
        state, is_new = await following.start(app, RECONCILE, params)
        if not is_new and not wait:
            raise CommandFailed(
                f"a reconciliation runs already ({state.id})", "follow it with --wait"
            )
        if is_new:
            await audit.record(app, "reconcile", job=state.id, params=params)
        return await started(app, out, state, wait=wait)


async def catch_up(out: Output, wait: Wait = False) -> int:
    """Reads the changes of Salesforce that no event announced.

    Starts the job that the timer starts too; what it finds is handed to the flows.
    """
    async with running_app() as app:
        state, is_new = await following.start(app, CATCH_UP, {})
        if is_new:
            await audit.record(app, "catch-up", job=state.id)
        return await started(app, out, state, wait=wait)


async def started(app: "App", out: Output, state: "JobState", *, wait: bool) -> int:
    """Says which job it is, or follows it and prints its end."""
    if not wait:
        out.document({"job": following.document(state)})
        out.line(f"job {state.kind} {state.id} is at work")
        out.line(f"next: python -m integration jobs {state.id} --wait")
        return DONE
    state = await following.follow(app, out, state.kind, state.id)
    if state.kind != RECONCILE or state.status != "done":
        return following.show_end(out, state)
    return await _report(app, out, state)


async def _report(app: "App", out: Output, state: "JobState") -> int:
    import json

    from integration.flows.reconciliation import REPORTS

    name = f"{REPORTS}{state.position['run']}"
    text, data = await app.state.read(f"{name}.txt"), await app.state.read(f"{name}.json")
    if text is None or data is None:
        raise CommandFailed("the report is gone", f"`jobs {state.id}` still shows the counts")
    out.document({"job": following.document(state), "report": json.loads(data.body)})
    for line in text.body.decode().rstrip("\n").split("\n"):
        out.line(line)
    return DONE
