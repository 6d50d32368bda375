"""`backfill`: brings a whole entity in step, by the same jobs and flows as every day.

Accounts and contacts go through their load, which counts first and then chooses package or single calls
(`flows.loads.routing`); products, prices and payments are compared in full by their jobs, invoices by a
reconciliation of invoices alone. What runs already is followed, so the command can be given again any time.
"""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integration.cli import audit, completing, following
from integration.cli.asking import confirm
from integration.cli.command import command
from integration.cli.jobs import started
from integration.cli.options import Why, Yes
from integration.cli.output import Output
from integration.cli.pausing import pause
from integration.cli.problems import DONE, WrongUse
from integration.cli.running import running_app
from integration.deadline import deadline
from integration.jobs.kinds import LOAD_ACCOUNTS, LOAD_CONTACTS, PAYMENTS, PRICES, RECONCILE

if TYPE_CHECKING:
    from integration.jobs.job import Job
    from integration.wiring import App

_COMPANY = re.compile(r"[A-Za-z0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class _Entity:
    """`since` and `company` tell whether the job can be told so."""

    kind: str
    params: dict[str, Any]
    since: bool = False
    company: bool = False


ENTITIES = {
    "accounts": _Entity(LOAD_ACCOUNTS, {}, since=True, company=True),
    "contacts": _Entity(LOAD_CONTACTS, {}, since=True, company=True),
    "products": _Entity(PRICES, {"full": True}),
    "prices": _Entity(PRICES, {"full": True}),
    "invoices": _Entity(
        RECONCILE,
        {"full": True, "only": ["sales invoices", "free text invoices"]},
        since=True,
        company=True,
    ),
    "payments": _Entity(PAYMENTS, {"full": True}),
}


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "backfill",
        examples=(
            "backfill accounts --dry-run",
            "backfill accounts --since 2026-01-01 --yes --no-wait",
            "backfill invoices --since 2026-01-01 --company usmf --dry-run",
            "backfill prices --dry-run",
        ),
    )(backfill)


async def backfill(
    out: Output,
    entity: Annotated[
        str,
        typer.Argument(
            metavar="ENTITY",
            help=", ".join(ENTITIES) + ".",
            autocompletion=completing.one_of(*ENTITIES),
        ),
    ],
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="DATE", help="YYYY-MM-DD (UTC): changed, or dated, since then."
        ),
    ] = "",
    company: Annotated[
        str, typer.Option("--company", metavar="ID", help="Of this legal entity only.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Writes nothing; counts what differs.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follows the job to its end.")
    ] = True,
    yes: Yes = False,
    why: Why = "",
) -> int:
    """Brings all records of an entity in step: accounts, contacts, products, prices, invoices or payments.

    Records that are in step are left alone, so it may be given again at any time; while it runs, the second
    call follows the first. Ctrl-C leaves the job at work. At its end: read, unchanged, changed, failed, and
    where to find the failed ones.
    """
    chosen = ENTITIES.get(entity)
    if chosen is None:
        raise WrongUse(f"there is no entity {entity}", f"one of {', '.join(ENTITIES)}")
    params = {**chosen.params, **_window(entity, chosen, since, company)}
    async with running_app() as app:
        if dry_run and chosen.kind in (PRICES, PAYMENTS):
            return await _inline(app, out, chosen.kind, params)
        if dry_run:
            params["dry"] = True
        else:
            confirm(out, f"Bring all {entity} in step?", yes=yes)
        state, is_new = await following.start(app, chosen.kind, params)
        if is_new:
            await audit.record(
                app, f"backfill {entity}", why, job=state.id, kind=state.kind, params=params
            )
        else:
            out.say(f"job {state.kind} {state.id} runs already, with its own options")
        return await started(app, out, state, wait=wait)


def _window(entity: str, chosen: _Entity, since: str, company: str) -> dict[str, str]:
    """Raises WrongUse."""
    given: dict[str, str] = {}
    if since:
        if not chosen.since:
            raise WrongUse(f"{entity} are always compared in full", "leave --since out")
        given["since"] = _day(since).isoformat()
    if company:
        if not chosen.company:
            raise WrongUse(f"{entity} are always compared for all companies", "leave --company out")
        if not _COMPANY.fullmatch(company):
            raise WrongUse(f"{company} is no legal entity", "up to four letters and digits: usmf")
        given["company"] = company.lower()
    return given


def _day(text: str) -> datetime:
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUse(f"{text} is no date", "write it as 2026-01-31") from None
    return day if day.tzinfo else day.replace(tzinfo=UTC)


async def _inline(app: "App", out: Output, kind: str, params: dict[str, Any]) -> int:
    """A dry run writes nothing, so it needs neither the deployed app nor its turn."""
    from integration.state.overlay import Overlay

    job = _dry_job(app, kind, Overlay(app.state))
    position, counts = params, Counter[str]()
    with out.progress(f"{kind}, dry run") as bar:
        done = False
        while not done:
            with deadline(app.settings.app.job_step_seconds):
                progress = await job.step(position)
            position, done = progress.position, progress.done
            counts.update(progress.counts)
            bar.to(f"{position.get('phase', '')}  {following.counted(counts)}")
            await pause(0 if done else progress.delay)
    out.document({"dry_run": {"kind": kind, "counts": dict(counts)}})
    out.facts([("dry run", kind), ("counts", following.counted(counts) or "nothing differs")])
    out.line("nothing was written")
    return DONE


def _dry_job(app: "App", kind: str, state: Any) -> "Job":
    from integration.flows.payments import build_payment_job
    from integration.flows.pricing.build import build_price_job

    flow = {"flow_prices": "dry"} if kind == PRICES else {"flow_payments": "dry"}
    settings = app.settings.model_copy(
        update={"app": app.settings.app.model_copy(update=flow)},
    )
    build = build_price_job if kind == PRICES else build_payment_job
    return build(settings, app.customisation, app.salesforce, app.d365, state)
