"""`doctor`: looks at everything that the app needs, and tells what to do about what is wrong."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from integration.cli.checks.check import Check, Probe, ok, run_probes
from integration.cli.checks.given import Given, read_given
from integration.cli.checks.settings import check_settings
from integration.cli.command import command
from integration.cli.output import Column, Output
from integration.cli.problems import DONE, FAILED, WRONG_USE
from integration.cli.settings_file import resolve_secrets
from integration.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTINGS = "settings"
_TRIES = 2  # of a call; the second one is for a lost connection
_DELAY = 0.5  # seconds before it
_FEW = 2  # rows with the same cause that are shown each


def add_to(app: typer.Typer) -> None:
    examples = ("doctor", "doctor --problems", "doctor --json")
    command(app, "doctor", examples=examples, secrets=False)(doctor)


async def doctor(
    out: Output,
    problems: Annotated[
        bool, typer.Option("--problems", help="Only the rows that are not ok.")
    ] = False,
) -> int:
    """Checks settings, sign-ins, fields, rights, queues and storage: one row each, with what to do.

    Nothing is written but one document in the state container, which is removed again. Exit code 1 where
    a check failed, 2 where the settings are wrong; what does not need the wrong setting is checked all
    the same.
    """
    rows = await diagnose()
    show(out, rows, problems=problems)
    return exit_code(rows)


def show(out: Output, rows: Sequence[Check], *, problems: bool = False) -> None:
    """`problems`: only those that are not ok, in the table; scripts get all."""
    counts = Counter(row.status for row in rows)
    checks = [_member(row) for row in rows]
    out.document({"checks": checks, "counts": counts, "exit_code": exit_code(rows)})
    shown = _folded([row for row in rows if row.status != "ok"]) if problems else rows
    columns = (Column("status", whole=True), Column("area", whole=True), "check", "found")
    if shown:
        out.table(columns, [(row.status, row.area, row.name, _told(row)) for row in shown])
        out.line()
    out.line(", ".join(f"{count} {status}" for status, count in counts.items()))


async def diagnose() -> list[Check]:
    """All rows, area by area. Never raises for what is wrong with the settings or the systems."""
    given = read_given(await asyncio.to_thread(resolve_secrets, os.environ))
    async with AsyncExitStack() as stack:
        probes = await _probes(given, stack)
        return await run_probes(probes, given.broken)


def exit_code(rows: Sequence[Check]) -> int:
    failed = {row.area for row in rows if row.status == "failed"}
    if SETTINGS in failed:
        return WRONG_USE
    return FAILED if failed else DONE


def _folded(rows: Sequence[Check]) -> list[Check]:
    """One row for all that come after the same failure, so that it is not lost among them."""
    same = Counter((row.area, row.found) for row in rows if row.status == "not checked")
    found: list[Check] = []
    for row in rows:
        count = same[row.area, row.found] if row.status == "not checked" else 1
        if count > _FEW:
            found_ = row.found.replace("comes after", "come after")
            row = replace(row, name=f"{count} checks", found=found_)
        if row not in found:
            found.append(row)
    return found


def _member(row: Check) -> dict[str, str]:
    data = asdict(row)
    return {key: data[key] for key in ("area", "name", "status", "found", "advice")}


def _told(row: Check) -> str:
    return f"{row.found}\n→ {row.advice}" if row.advice else row.found


async def _probes(given: Given, stack: AsyncExitStack) -> list[Probe]:
    """With clients of their own, because the app itself does not start with wrong settings."""
    import httpx

    from integration.cli.checks.d365 import D365Checks
    from integration.cli.checks.salesforce import SalesforceChecks
    from integration.d365.client import D365Client
    from integration.d365.metadata import Metadata
    from integration.salesforce.client import SalesforceClient
    from integration.salesforce.repeats import CallRetries

    settings = given.settings

    async def look_at_settings() -> Sequence[Check]:
        return check_settings(given, os.environ)

    async def start() -> Sequence[Check]:
        """What only the flows know of each other's settings."""
        from integration.wiring import build_app

        await (await build_app(settings)).close()
        return [ok("start", "the app starts with these settings")]

    probes = [Probe(SETTINGS, "settings", look_at_settings)]
    if not (given.problems or given.mapping_problems or given.unresolved):
        probes.append(Probe(SETTINGS, "start", start))
    retries = CallRetries(tries=_TRIES, delay=_DELAY)
    http = await stack.enter_async_context(httpx.AsyncClient())
    salesforce = SalesforceClient(settings.salesforce, http, retries=retries)
    probes += SalesforceChecks(salesforce, given).probes()
    d365_http = await stack.enter_async_context(httpx.AsyncClient())
    d365 = D365Client(settings.d365, d365_http, tries=_TRIES, delay=_DELAY)
    stack.push_async_callback(d365.close)
    probes += D365Checks(d365, given, Metadata(d365)).probes()
    return probes + await _azure_probes(given, stack)


async def _azure_probes(given: Given, stack: AsyncExitStack) -> list[Probe]:
    from integration.cli.checks import service_bus, storage
    from integration.connections import service_bus as connect
    from integration.connections import state_container

    azure, probes = given.settings.azure, list[Probe]()
    try:
        client = await stack.enter_async_context(connect(azure, **service_bus.PATIENCE))
    except ConfigurationError as error:
        probes.append(_unusable(service_bus.AREA, error))
    else:
        probes += service_bus.ServiceBusChecks(client, azure).probes()
    try:
        container = state_container(azure)
    except ConfigurationError as error:
        return [*probes, _unusable(storage.AREA, error)]
    stack.callback(container.close)
    return probes + storage.probes(container)


def _unusable(area: str, error: ConfigurationError) -> Probe:
    async def fail() -> Sequence[Check]:
        raise error

    return Probe(area, "connection", fail)
