"""`dead-letters purge`: removes what nobody needs any more; a copy stays in the archive."""

from typing import Annotated

import typer

from integration.cli import audit
from integration.cli.asking import confirm, reason
from integration.cli.cases import (
    IN_STEP,
    chosen,
    not_compared,
    opened_box,
    read_cases,
    states_now,
)
from integration.cli.command import command
from integration.cli.options import Flow, Kind, Reason, System, Why, Yes
from integration.cli.outcomes import new_run
from integration.cli.output import Output, many
from integration.cli.problems import DONE, FAILED, WrongUse
from integration.cli.removing import ARCHIVE, remove
from integration.cli.running import running_app


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "purge",
        examples=(
            'dead-letters purge --resolved --yes --why "corrected in Salesforce"',
            'dead-letters purge LETTER_ID --yes --why "test record"',
        ),
    )(purge)


async def purge(
    out: Output,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Of the list, or of records.")
    ] = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Only those whose record is in step by now.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    flow: Flow = "",
    why_code: Reason = "",
    system: System = "",
    kind: Kind = "",
    yes: Yes = False,
    why: Why = "",
) -> int:
    """Removes dead letters, reviews and ledger entries; the records themselves are not touched.

    Each is archived first (`archive/dead-letters/` in the state container). Before a record is left out of
    step for good, consider `replay`: it never makes things worse.
    """
    if not (ids or resolved or every or flow or why_code or system or kind):
        raise WrongUse("this would remove everything", "name ids or filters, --resolved, or --all")
    async with running_app() as app, opened_box(app) as box:
        cases, letters = await read_cases(app, box)
        cases = chosen(cases, ids=ids or (), flow=flow, reason=why_code, system=system, kind=kind)
        if resolved:
            now = await states_now(app, cases)
            cases = [case for case in cases if now.get(case.id) == IN_STEP]
            for reason_, count in not_compared(now).items():
                stay = "stays" if count == 1 else "stay"
                out.say(f"{many(count, 'case')} {stay}, not compared because of {reason_}")
        if not cases:
            out.document({"removed": [], "locked": []})
            out.line("nothing of that kind is there")
            return DONE
        confirm(out, f"Remove {many(len(cases), 'case')}? A copy of each is archived.", yes=yes)
        given, run = reason(out, why), new_run()
        kept = await audit.record(
            app, "dead-letters purge", given, run=run, cases=[case.id for case in cases]
        )
        with out.progress(f"removing {len(cases)}"):
            locked = await remove(app, out, box, cases, letters, run=run, audit=kept)
    removed = [case.id for case in cases if case not in locked]
    out.document({"removed": removed, "locked": [case.id for case in locked], "audit": kept})
    out.line(f"{len(removed)} removed; copies are in {ARCHIVE} of the state container")
    if locked:
        out.line(f"{len(locked)} are held by another command just now and stay")
    return FAILED if locked else DONE
