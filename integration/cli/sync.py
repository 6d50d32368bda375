"""`sync`: one record or a few, now: sent and followed to the outcome, or, dry, compared field by field."""

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integration.cli import audit, completing, differences
from integration.cli.asking import confirm
from integration.cli.command import command
from integration.cli.objects import NAMES, Records
from integration.cli.options import Seconds, ShowValues, Why, Yes
from integration.cli.outcomes import FAILED_AGAIN, Outcomes, new_run, told
from integration.cli.output import Column, Output, many
from integration.cli.problems import DONE, FAILED, WrongUse
from integration.cli.running import running_app
from integration.cli.tables import effective
from integration.cli.veil import HINT, veiled
from integration.flows.engine import converge
from integration.flows.outcomes import Failed, Outcome, Skipped
from integration.messaging.hints import Hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.flows.flow import Record
    from integration.flows.reconcile_keys import Ref
    from integration.wiring import App

_TOGETHER = 100  # records compared in one go
_MOST = 2000


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "sync",
        examples=(
            "sync account ACCOUNT_ID --dry-run",
            "sync account ACCOUNT_ID --dry-run --show-values --all-fields",
            "sync account ACCOUNT_ID --yes",
            "sync account --where \"BillingCountry = 'Germany'\" --limit 20 --dry-run",
            "sync customer --where \"dataAreaId eq 'usmf'\" --limit 5 --dry-run --json",
        ),
    )(sync)


async def sync(
    out: Output,
    name: Annotated[
        str, typer.Argument(metavar="OBJECT", help=f"{NAMES}.", autocompletion=completing.objects)
    ],
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Salesforce ids; of F&O keys such as 'usmf|US-000123'."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Writes nothing; shows what would be written.")
    ] = False,
    where: Annotated[
        str,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="SOQL of a Salesforce object, OData $filter of F&O.",
        ),
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=_MOST, metavar="N", help="At most N records.")
    ] = 50,
    all_fields: Annotated[
        bool, typer.Option("--all-fields", help="Dry: the fields that are in step too.")
    ] = False,
    show_values: ShowValues = False,
    timeout: Seconds = 120,
    yes: Yes = False,
    why: Why = "",
) -> int:
    """Brings records in step now, and says what became of them.

    The records are handed to the deployed app, as an event would be. With --dry-run they are compared here
    and nothing is written: of each field the source value, the mapped value, the current value, the decision.
    """
    if bool(ids) == bool(where):
        raise WrongUse("which records?", "name their ids, or a condition with --where")
    async with running_app() as app:
        records = Records.of(app, name)
        refs = records.named(ids) if ids else await records.where(where, limit)
        if not refs:
            out.document({"records": []})
            out.line("there is no such record")
            return DONE
        if dry_run:
            return await _dry(app, out, records, refs, all_fields, show_values)
        confirm(out, f"Send {many(len(refs), 'record')} of {records.name}?", yes=yes)
        return await _send(app, out, refs, timeout, why, show_values)


async def _send(
    app: "App", out: Output, refs: "Sequence[Ref]", timeout: float, why: str, show_values: bool
) -> int:
    run, now = new_run(), datetime.now(UTC)
    outcomes = Outcomes(app, out, run, timeout)
    places = {outcomes.place(number): ref for number, ref in enumerate(refs)}
    keys = [ref.key for ref in refs]
    await audit.record(app, "sync", why, run=run, object=refs[0].object, keys=keys)
    try:
        await app.queues.send_hints(
            Hint(
                source=ref.source,
                object=ref.object,
                key=ref.key,
                root=ref.root,
                company=ref.company,
                event_id=f"cli:{place}",
                seen_at=now,
                reply_to=place,
            )
            for place, ref in places.items()
        )
        replies = {
            place: dataclasses.replace(
                reply, description=veiled(reply.description, values=show_values)
            )
            for place, reply in (await outcomes.wait(places)).items()
        }
    finally:
        await outcomes.forget()
    ends = {ref.key: replies.get(place) for place, ref in places.items()}
    out.document(
        {
            "records": [
                {"key": key, "outcome": None} if reply is None else dataclasses.asdict(reply)
                for key, reply in ends.items()
            ]
        }
    )
    rows = [(key, told(reply), reply.description if reply else "") for key, reply in ends.items()]
    out.table((Column(refs[0].object, True), "outcome", "description"), rows)
    if not show_values and any(description for *_, description in rows):
        out.line(HINT)
    unanswered = [key for key, reply in ends.items() if reply is None or not reply.is_final]
    if unanswered:
        out.line(f"{len(unanswered)} have not ended in time; does the app run? (`status`)")
    bad = any(reply is not None and reply.outcome in FAILED_AGAIN for reply in ends.values())
    return FAILED if bad or unanswered else DONE


async def _dry(
    app: "App",
    out: Output,
    records: Records,
    refs: "Sequence[Ref]",
    all_fields: bool,
    show_values: bool,
) -> int:
    outcomes: dict[str, Outcome] = {}
    sources: dict[str, Record] = {}
    with out.progress(f"comparing {len(refs)}", len(refs)) as bar:
        for start in range(0, len(refs), _TOGETHER):
            part = [ref.key for ref in refs[start : start + _TOGETHER]]
            outcomes |= await converge(
                records.entry.flow, dict.fromkeys(part, ""), dry=True, sources=sources
            )
            bar.to("", start + len(part))
    tables = effective(app.settings, app.customisation, records.name)
    documents: list[dict[str, Any]] = []
    for number, ref in enumerate(refs):
        outcome = outcomes.get(ref.key, Skipped("not-found"))
        lines = differences.lines(tables, sources.get(ref.key), outcome)
        shown = [line for line in lines if all_fields or line.differs]
        decision = veiled(differences.summary(outcome), values=show_values)
        documents.append(
            {
                "key": ref.key,
                "decision": decision,
                "fields": [differences.as_json(line, values=show_values) for line in shown],
            }
        )
        if number:
            out.line()
        out.line(f"{ref.object} {ref.key}: {decision}")
        if shown:
            _show(out, shown, show_values)
    out.document({"dry_run": True, "records": documents})
    if not show_values and any(each["fields"] for each in documents):
        out.line()
        out.line(HINT)
    return FAILED if any(isinstance(each, Failed) for each in outcomes.values()) else DONE


def _show(out: Output, lines: differences.Lines, values: bool) -> None:
    rows = [
        (
            line.target,
            line.source,
            differences.shown(line.value, values=values),
            differences.shown(line.mapped, values=values)
            if line.decision != differences.PROBLEM
            else veiled(line.mapped, values=values),
            differences.shown(line.current, values=values),
            line.decision,
        )
        for line in lines
    ]
    columns = (Column("field", True), Column("from", True), "source", "mapped", "current")
    out.table((*columns, "decision"), rows)
