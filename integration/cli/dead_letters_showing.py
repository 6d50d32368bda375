"""`dead-letters show`: one dead letter with its reason, and the record behind it on both sides."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integration.cli.both_sides import Side, both_sides
from integration.cli.cases import (
    HintCase,
    chosen,
    document_of,
    minute,
    opened_box,
    read_cases,
    states_now,
)
from integration.cli.command import command
from integration.cli.options import ShowValues
from integration.cli.output import Output
from integration.cli.problems import DONE, WrongUse
from integration.cli.running import running_app
from integration.cli.veil import HINT, veiled

if TYPE_CHECKING:
    from integration.messaging.dead_letter_box import Letter
    from integration.wiring import App

_SHOWN = 20  # cases of one `show`


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "show",
        examples=("dead-letters show LETTER_ID", "dead-letters show ACCOUNT_ID --show-values"),
    )(show)


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
                    **document_of(case, now),
                    "description": veiled(case.description, values=show_values),
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
    if not show_values:
        out.line()
        out.line(HINT)
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
            ("description", veiled(case.description, values=show_values)),
            ("first seen", minute(case.first)),
            ("last seen", minute(case.last)),
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


def _side_document(side: Side | str, show_values: bool) -> dict[str, Any]:
    if isinstance(side, str):
        return {"note": side}
    data = {"system": side.system, "name": side.name, "link": side.link, "facts": side.facts}
    return {**data, "values": side.values} if show_values else data
