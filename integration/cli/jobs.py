"""`jobs`, `reconcile`, `catch-up`: long work of the deployed app, shown, started and followed."""

from typing import TYPE_CHECKING, Annotated

import typer

from integration.cli import audit, following
from integration.cli.asking import confirm
from integration.cli.command import command
from integration.cli.options import ShowValues, Wait, Why, Yes
from integration.cli.output import Column, Output
from integration.cli.problems import DONE, FAILED, CommandFailed, WrongUse
from integration.cli.running import running_app
from integration.cli.veil import veiled, veiled_document
from integration.jobs.kinds import CATCH_UP, RECONCILE
from integration.jobs.state import FAILURES_KEPT
from integration.jobs.store import failed_rows

if TYPE_CHECKING:
    from integration.jobs.state import JobState
    from integration.wiring import App

_SHOWN = 3  # runs of each kind
_CANCEL = "cancel"


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "jobs",
        examples=(
            "jobs",
            "jobs reconcile --json",
            "jobs JOB_ID --wait",
            'jobs cancel load-accounts --yes --why "wrong mapping"',
        ),
    )(jobs)
    command(
        app, "reconcile", examples=("reconcile --wait", "reconcile --full", "reconcile --json")
    )(reconcile)
    command(app, "catch-up", examples=("catch-up --wait",))(catch_up)


async def jobs(
    out: Output,
    name: Annotated[
        str, typer.Argument(metavar="KIND|JOB_ID|cancel", help="Runs of one kind, or one run.")
    ] = "",
    which: Annotated[
        str, typer.Argument(metavar="KIND|JOB_ID", help="After `cancel`: the job to end.")
    ] = "",
    wait: Wait = False,
    show_values: ShowValues = False,
    yes: Yes = False,
    why: Why = "",
) -> int:
    """Shows long work: prices, payments, reconciliation, loads, catch-up, the watch.

    Of each kind the newest runs; of one run its counts, its trouble and the rows that failed. Exit code 1 if
    the newest run of a kind has failed.

    `jobs cancel` ends one early, at its next step: a Bulk load is aborted, what F&O has begun to import is
    followed to its end and its outcome read, and everything that is left is left to the next run.
    """
    if name == _CANCEL:
        return await _cancel(out, which, wait=wait, yes=yes, why=why)
    if which:
        raise WrongUse(f"{which} is one word too many", "name one kind or one run")
    async with running_app() as app:
        if name and name not in following.KINDS:
            return await _one(app, out, name, wait=wait, show_values=show_values)
        if wait:
            raise WrongUse("--wait needs the id of one run", "name it: `jobs JOB_ID --wait`")
        kinds = (name,) if name else following.KINDS
        runs = {kind: await app.jobs.store.runs(kind) for kind in kinds}
    shown = {kind: found[: None if name else _SHOWN] for kind, found in runs.items()}
    documents = [following.document(run) for found in shown.values() for run in found]
    out.document({"jobs": veiled_document(documents, values=show_values)})
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


async def _one(app: "App", out: Output, job: str, *, wait: bool, show_values: bool) -> int:
    state = await _found(app, job)
    if wait:
        state = await following.follow(app, out, state.kind, job)
    return _show_end(out, state, show_values=show_values)


async def _found(app: "App", job: str) -> "JobState":
    for kind in following.KINDS:
        if loaded := await app.jobs.store.load(kind, job):
            return loaded[0]
    raise CommandFailed(f"there is no kind and no run {job}", "`jobs` lists those there are")


def _show_end(out: Output, state: "JobState", *, show_values: bool = False) -> int:
    code = following.show_end(out, state, show_values=show_values)
    if len(state.failures) == FAILURES_KEPT:
        out.line(f"all of them: {failed_rows(state.kind, state.id)} in the state container")
    return code


async def _cancel(out: Output, which: str, *, wait: bool, yes: bool, why: str) -> int:
    if not which:
        raise WrongUse("cancel needs a kind or the id of a run", "`jobs` lists those there are")
    async with running_app() as app:
        if which in following.KINDS:
            runs = [run for run in await app.jobs.store.runs(which) if run.is_running]
            if not runs:
                raise CommandFailed(f"no job {which} runs", f"`jobs {which}` shows its last runs")
            state = runs[0]
        else:
            state = await _found(app, which)
        told = f"{state.kind} {state.id}"
        if state.is_running:
            confirm(out, f"End the job {told} early? It has {_so_far(state)} so far.", yes=yes)
            await audit.record(app, "jobs cancel", why, job=state.id, kind=state.kind)
        if not await app.jobs.cancel(state.kind, state.id):
            raise CommandFailed(f"the job {told} does not run", f"`jobs {state.id}` shows its end")
        if wait:
            return _show_end(out, await following.follow(app, out, state.kind, state.id))
    out.document({"job": following.document(state)})
    out.line(f"the job {told} ends at its next step")
    out.line(f"next: python -m integration jobs {state.id} --wait")
    return DONE


def _so_far(state: "JobState") -> str:
    return following.counted(state.counts) or "done nothing"


async def reconcile(
    out: Output,
    full: Annotated[
        bool, typer.Option("--full", help="Compares everything, not only recent changes.")
    ] = False,
    wait: Wait = False,
    show_values: ShowValues = False,
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
        return await started(app, out, state, wait=wait, show_values=show_values)


async def catch_up(out: Output, wait: Wait = False) -> int:
    """Reads the changes of Salesforce that no event announced.

    Starts the job that the timer starts too; what it finds is handed to the flows.
    """
    async with running_app() as app:
        state, is_new = await following.start(app, CATCH_UP, {})
        if is_new:
            await audit.record(app, "catch-up", job=state.id)
        return await started(app, out, state, wait=wait)


async def started(
    app: "App", out: Output, state: "JobState", *, wait: bool, show_values: bool = False
) -> int:
    """Says which job it is, or follows it and prints its end."""
    if not wait:
        document = veiled_document(following.document(state), values=show_values)
        out.document({"job": document})
        out.line(f"job {state.kind} {state.id} is at work")
        out.line(f"next: python -m integration jobs {state.id} --wait")
        return DONE
    state = await following.follow(app, out, state.kind, state.id)
    if state.kind != RECONCILE or state.status != "done":
        return _show_end(out, state, show_values=show_values)
    return await _report(app, out, state, show_values=show_values)


async def _report(app: "App", out: Output, state: "JobState", *, show_values: bool) -> int:
    import json

    from integration.flows.reconciliation import REPORTS

    name = f"{REPORTS}{state.position['run']}"
    text, data = await app.state.read(f"{name}.txt"), await app.state.read(f"{name}.json")
    if text is None or data is None:
        raise CommandFailed("the report is gone", f"`jobs {state.id}` still shows the counts")
    document = {"job": following.document(state), "report": json.loads(data.body)}
    out.document(veiled_document(document, values=show_values))
    for line in veiled(text.body.decode(), values=show_values).rstrip("\n").split("\n"):
        out.line(line)
    return DONE
