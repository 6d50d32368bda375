"""`status`: what works, what waits and since when; the first command at three in the morning."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from integration.cli.command import command
from integration.cli.following import counted, duration
from integration.cli.output import Column, Output
from integration.cli.pausing import pause
from integration.cli.problems import DONE, FAILED, WrongUse
from integration.cli.running import running_app
from integration.cli.status_reading import JOBS, Status, read_status


def add_to(app: typer.Typer) -> None:
    command(app, "status", examples=("status", "status --json", "status --watch --every 10"))(
        status
    )


async def status(
    out: Output,
    watch: Annotated[
        bool, typer.Option("--watch", help="Shows it again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option("--every", min=1, metavar="SECONDS", help="Between two looks.")
    ] = 5,
) -> int:
    """Shows per flow what waits, since when, and what was handled; dead letters, jobs, watermarks, calls.

    Exit code 1 if something needs a person: a dead letter, a review, an alarm of the watch, or a part that
    cannot be read. Waiting is counted from the app's own notes, which are some seconds old.
    """
    if watch and out.as_json:
        raise WrongUse("--watch shows it to people", "leave --watch or --json out")
    async with running_app() as app:
        if watch:
            while True:
                found = await read_status(app)
                out.fresh_page()
                _show(out, found)
                out.flush()
                await pause(every)
        found = await read_status(app)
    out.document(found.document)
    _show(out, found)
    return DONE if found.is_well else FAILED


def _show(out: Output, found: Status) -> None:
    out.line(f"{found.at:%Y-%m-%d %H:%M:%S} UTC")
    for part, why in found.unknown.items():
        out.line(f"UNKNOWN {part}: {why}")
    if found.unknown:
        out.line("next: python -m integration doctor")
    for name, value in found.alarms.items():
        if value:
            out.line(f"ALARM {name}: {value} (docs/runbook.md)")
    out.line()
    _flows(out, found)
    if found.undecodable:
        out.line(f"{found.undecodable} dead letters of no flow")
    out.line()
    if JOBS not in found.unknown:
        _jobs(out, found)
        out.line()
    pairs: list[tuple[str, object]] = [
        (name, f"{_time(at)} ({_ago(at)} ago)") for name, at in found.watermarks.items()
    ]
    if found.watched_at:
        pairs.append(("watched", f"{_time(found.watched_at)} ({_ago(found.watched_at)} ago)"))
    if found.calls:
        used, limit = found.calls["used"], found.calls["limit"]
        share = f"{used / limit:.0%}" if limit else "-"
        pairs.append(("Salesforce calls", f"{used:,} of {limit:,} in 24 hours ({share})"))
    out.facts(pairs)


def _flows(out: Output, found: Status) -> None:
    numbers = ("waiting", "later", "handled 1 h", "failed", "reviews", "ledger")
    columns = (
        Column("flow", True),
        Column("switch", True),
        *(Column(name, number=True) for name in numbers[:1]),
        Column("oldest", number=True),
        *(Column(name, number=True) for name in numbers[1:]),
    )
    rows: list[tuple[object, ...]] = []
    for flow in found.flows.values():
        counts = (
            flow.waiting, flow.oldest, flow.scheduled, flow.handled, flow.failed, flow.reviews,
            flow.ledger,
        )  # fmt: skip
        if flow.is_job:  # has no records that wait
            kept = (flow.failed or "", flow.reviews or "", flow.ledger or "")
            rows.append((flow.flow, flow.switch, "", "", "", "", *kept))
            continue
        waiting, oldest, *rest = map(_count, counts)
        if flow.oldest is not None:
            oldest = duration(flow.oldest)
        elif flow.waiting is not None:
            oldest = ""
        rows.append((flow.flow, flow.switch, waiting, oldest, *rest))
    out.table(columns, rows)


def _count(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def _jobs(out: Output, found: Status) -> None:
    rows = [
        (
            job["kind"],
            job["status"],
            _time(job["started_at"]),
            job["took"],
            counted(job["counts"]),
            (job["error"] or {}).get("reason", ""),
        )
        for job in found.jobs
    ]
    if rows:
        columns = (
            Column("job", True),
            "status",
            Column("started (UTC)", True),
            "took",
            "counts",
            "trouble",
        )
        out.table(columns, rows)
    else:
        out.line("no job has run yet")


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M}"


def _ago(text: str) -> str:
    return duration((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())
