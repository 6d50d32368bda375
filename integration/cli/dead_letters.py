"""`dead-letters list` and `show`: what waits for a person, by its cause, and the record behind it."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integration.cli import dead_letters_removing, dead_letters_replaying
from integration.cli.both_sides import Side, both_sides
from integration.cli.cases import IN_STEP, HintCase, chosen, opened_box, read_cases, states_now
from integration.cli.command import command
from integration.cli.options import Flow, Kind, Reason, ShowValues, System
from integration.cli.output import Column, Output, many
from integration.cli.problems import DONE, WrongUse
from integration.cli.running import running_app
from integration.recovery.replay import grouped

if TYPE_CHECKING:
    from integration.messaging.dead_letter_box import Letter
    from integration.wiring import App

_CHECKED = 500  # records; each hundred costs some calls to both systems
_SHOWN = 20  # cases of one `show`


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
    command(
        group,
        "show",
        examples=("dead-letters show LETTER_ID", "dead-letters show ACCOUNT_ID --show-values"),
    )(show)
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
            "cases": [_document(case, now) for case in cases],
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
        out.line(f"{done} are in step by now: python -m integration dead-letters purge --resolved")
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
            _in_step(cases, now, group.cause) if now else "",
            _minute(group.first),
            _minute(group.last),
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
            _minute(case.last),
            now.get(case.id, ""),
        )
        for case in cases
    ]
    out.table(columns, rows)


def _in_step(cases: Sequence[HintCase], now: dict[str, str], cause: Any) -> int:
    return sum(now.get(case.id) == IN_STEP for case in cases if case.cause == cause)


async def show(
    out: Output,
    name: Annotated[
        str, typer.Argument(metavar="ID", help="Of the list, or the id of the record.")
    ],
    show_values: ShowValues = False,
) -> int:
    """Shows a dead letter with its reason, and the record behind it on both sides, with links.

    The link to F&O opens the form in the record's company; the number to look for stands beside it.
    """
    async with running_app() as app, opened_box(app) as box:
        cases, letters = await read_cases(app, box)
        found = chosen(cases, ids=[name])
        if len(found) > _SHOWN:
            raise WrongUse(f"{name} has {len(found)} cases", "name one by its own id")
        now = await states_now(app, found)
        sides = await _sides(app, found)
    out.document(
        {
            "cases": [
                {
                    **_document(case, now),
                    "description": case.description,
                    "record": [
                        _side_document(side, show_values) for side in sides.get(case.record, [])
                    ],
                    **_body(letters.get(case.id), show_values),
                }
                for case in found
            ]
        }
    )
    for number, case in enumerate(found):
        if number:
            out.line()
        _show_one(out, case, now, letters.get(case.id), show_values)
    for record, both in sides.items():
        out.line()
        out.line(record)
        for side in both:
            out.line()
            _show_side(out, side, show_values)
    return DONE


async def _sides(app: "App", cases: Sequence[HintCase]) -> dict[str, list[Side | str]]:
    hints = {case.record: case.hint for case in cases if case.hint is not None}
    return {record: await both_sides(app, hint) for record, hint in hints.items()}


def _show_one(
    out: Output, case: HintCase, now: dict[str, str], letter: "Letter | None", show_values: bool
) -> None:
    hint = case.hint
    out.facts(
        [
            ("id", case.id),
            ("record", case.record),
            ("kind", case.cause.kind),
            ("flow", case.cause.flow),
            ("reason", f"{case.cause.reason} ({case.cause.system})"),
            ("description", case.description),
            ("first seen", _minute(case.first)),
            ("last seen", _minute(case.last)),
            ("attempts", case.attempts),
            ("replays", hint.replay or None if hint else None),
            ("event", hint.event_id if hint else None),
            ("trace", hint.trace if hint else None),
            ("from queue", letter.queue if letter else None),
            ("now", now.get(case.id)),
            *_body(letter, show_values).items(),
        ]
    )


def _show_side(out: Output, side: Side | str, show_values: bool) -> None:
    if isinstance(side, str):
        out.line(side)
        return
    values = side.values if show_values else {}
    out.line(f"{side.system}: {side.name}")
    out.line(f"  {side.link}")  # in one line, however long: it is copied
    out.facts([(f"  {name}", value) for name, value in {**side.facts, **values}.items()])


def _body(letter: "Letter | None", show_values: bool) -> dict[str, str]:
    """What was kept of a message that nobody could read may hold anything."""
    if letter is None or letter.body is None:
        return {}
    if not show_values:
        return {"body": f"{len(letter.body)} bytes; --show-values shows them"}
    return {"body": letter.body.decode(errors="replace")}


def _document(case: HintCase, now: dict[str, str]) -> dict[str, Any]:
    return {
        "id": case.id,
        **dataclasses.asdict(case.cause),
        "object": case.hint.object if case.hint else None,
        "key": case.hint.key if case.hint else None,
        "root": case.hint.root if case.hint else None,
        "first": case.first.isoformat(),
        "last": case.last.isoformat(),
        "attempts": case.attempts,
        "replays": case.hint.replay if case.hint else 0,
        "now": now.get(case.id),
        "in_step": now.get(case.id) == IN_STEP if case.id in now else None,
    }


def _side_document(side: Side | str, show_values: bool) -> dict[str, Any]:
    if isinstance(side, str):
        return {"note": side}
    data = {"system": side.system, "name": side.name, "link": side.link, "facts": side.facts}
    return {**data, "values": side.values} if show_values else data


def _minute(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
