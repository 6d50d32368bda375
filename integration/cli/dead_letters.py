"""`dead-letters list`: what waits for a person, by its cause."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from integration.cli import dead_letters_removing, dead_letters_replaying, dead_letters_showing
from integration.cli.cases import (
    IN_STEP,
    HintCase,
    chosen,
    document_of,
    is_in_step,
    minute,
    not_compared,
    opened_box,
    read_cases,
    states_now,
)
from integration.cli.command import command
from integration.cli.options import Flow, Kind, Reason, System
from integration.cli.output import Column, Output, many
from integration.cli.problems import DONE
from integration.cli.running import running_app
from integration.recovery.replay import grouped

_CHECKED = 500  # records; each hundred costs some calls to both systems


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Dead letters, reviews and the ledger.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    command(
        group,
        "list",
        examples=(
            "dead-letters list",
            "dead-letters list --all --flow accounts --kind failed",
            "dead-letters list --no-check --json",
        ),
    )(list_letters)
    dead_letters_showing.add_to(group)
    dead_letters_replaying.add_to(group)
    dead_letters_removing.add_to(group)
    app.add_typer(group, name="dead-letters")


async def list_letters(
    out: Output,
    every: Annotated[bool, typer.Option("--all", help="Each case, not only the causes.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Compares the records: which are in step by now?"),
    ] = True,
    flow: Flow = "",
    reason: Reason = "",
    system: System = "",
    kind: Kind = "",
) -> int:
    """Lists what waits for a person, grouped by cause: flow, kind, system and reason.

    The ledger, which reconciliation tries again by itself, is in the list too. Records that are in step by
    now are marked; `purge --resolved` removes them. Looking changes nothing.
    """
    async with running_app() as app, opened_box(app) as box:
        cases, _ = await read_cases(app, box)
        cases = chosen(cases, flow=flow, reason=reason, system=system, kind=kind)
        now = await states_now(app, cases[:_CHECKED]) if check else {}
    groups = grouped(cases)
    out.document(
        {
            "groups": [
                {**dataclasses.asdict(group), "in_step": _in_step(cases, now, group.cause)}
                for group in groups
            ],
            "cases": [document_of(case, now) for case in cases],
        }
    )
    if not cases:
        out.line("nothing waits for a person")
        return DONE
    if every:
        _every(out, cases, now)
    else:
        _groups(out, cases, now)
    done = Counter(now.values())[IN_STEP]
    out.line()
    records = len({case.record or case.id for case in cases})
    out.line(f"{many(len(cases), 'case')} of {many(records, 'record')}")
    if done:
        out.line(f"in step by now: {done} (python -m integration dead-letters purge --resolved)")
    for why, count in not_compared(now).items():
        out.line(
            f"not compared: {many(count, 'case')}, because of {why} (python -m integration doctor)"
        )
    if check and len(cases) > _CHECKED:
        out.line(f"only the first {_CHECKED} were compared")
    return DONE


def _groups(out: Output, cases: Sequence[HintCase], now: dict[str, str]) -> None:
    columns = (
        Column("flow", True), Column("kind", True), Column("system", True), "reason",
        Column("cases", number=True), Column("in step", number=True),
        Column("first seen (UTC)", True), Column("last seen (UTC)", True),
    )  # fmt: skip
    rows = [
        (
            group.cause.flow,
            group.cause.kind,
            group.cause.system,
            group.cause.reason,
            group.count,
            _in_step(cases, now, group.cause),
            minute(group.first),
            minute(group.last),
        )
        for group in grouped(cases)
    ]
    out.table(columns, rows)


def _every(out: Output, cases: Sequence[HintCase], now: dict[str, str]) -> None:
    columns = (Column("id", True), "record", "cause", Column("last seen (UTC)", True), "now")
    rows = [
        (
            case.id if case.number is not None else case.cause.kind,
            case.record,
            f"{case.cause.flow} {case.cause.reason}",
            minute(case.last),
            now.get(case.id, ""),
        )
        for case in cases
    ]
    out.table(columns, rows)


def _in_step(cases: Sequence[HintCase], now: dict[str, str], cause: Any) -> int | None:
    """None where not one of them could be compared."""
    known = [is_in_step(case, now) for case in cases if case.cause == cause]
    return None if set(known) == {None} else known.count(True)
