"""What `status` tells, read part by part: a part that cannot be read says why, the rest is shown."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from integration.cli import following
from integration.cli.cases import opened_box
from integration.cli.problems import short
from integration.errors import IntegrationError
from integration.flows.catch_up_gaps import GAPS
from integration.flows.conservation import Conservation
from integration.flows.reconciliation import STATE as RECONCILE_STATE
from integration.flows.watch import STATE as WATCH_STATE
from integration.salesforce.soql import select

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from integration.wiring import App

_CATCH_UP = "catch-up/"
_HOUR = timedelta(hours=1)
JOB = "job"
QUEUE, LETTERS, LEDGER, JOBS = "what waits", "dead letters", "ledger", "jobs"  # parts


@dataclass(slots=True)
class FlowState:
    """`handled` in the last hour; `oldest` is the age in seconds of the oldest that is due.

    A count is None where it could not be read, or where there is none: a job has no records that wait.
    """

    flow: str
    objects: str
    switch: str
    waiting: int | None = None
    scheduled: int | None = None
    oldest: float | None = None
    handled: int | None = None
    failed: int | None = None
    reviews: int | None = None
    ledger: int | None = None

    @property
    def is_job(self) -> bool:
        return self.objects == JOB


@dataclass(slots=True)
class Status:
    """`unknown`: the parts that could not be read, with the reason."""

    at: datetime
    flows: dict[str, FlowState]
    undecodable: int | None = None
    jobs: list[dict[str, Any]] = field(default_factory=list)
    watermarks: dict[str, str] = field(default_factory=dict)
    alarms: dict[str, int] = field(default_factory=dict)
    watched_at: str | None = None
    calls: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        return {**asdict(self), "flows": [asdict(flow) for flow in self.flows.values()]}

    @property
    def is_well(self) -> bool:
        letters = any(flow.failed or flow.reviews for flow in self.flows.values())
        troubled = any(self.alarms.values()) or bool(self.unknown)
        return not (letters or self.undecodable or troubled)


async def read_status(app: App) -> Status:
    status = Status(datetime.now(UTC), _flows(app))
    parts = {
        "Salesforce": _calls(app, status),
        "F&O": _d365(app),
        QUEUE: _waiting(app, status),
        LETTERS: _letters(app, status),
        LEDGER: _ledger(app, status),
        JOBS: _jobs(app, status),
        "watermarks": _watermarks(app, status),
    }

    async def read(part: Awaitable[None]) -> str:
        try:
            await part
        except IntegrationError as error:
            return f"{short(error)}: {error.description}"
        return ""

    said = await asyncio.gather(*map(read, parts.values()))
    status.unknown = {name: why for name, why in zip(parts, said, strict=True) if why}
    return status


def _flows(app: App) -> dict[str, FlowState]:
    """In the order of the release; prices and payments are jobs and have no hints."""
    found: dict[str, FlowState] = {}
    for entry in app.entries:
        name = entry.flow.name
        if name in found:
            found[name].objects += f", {entry.object}"
        else:
            found[name] = FlowState(name, entry.object, entry.switch)
    settings = app.settings.app
    found["prices"] = FlowState("prices", JOB, settings.flow_prices)
    found["payments"] = FlowState("payments", JOB, settings.flow_payments)
    return found


async def _waiting(app: App, status: Status) -> None:
    """From the notes of the watch, and those that it has not read yet."""
    now, watch = status.at, app.settings.watch
    notes, _ = await Conservation(app.state, watch).read(
        now + timedelta(seconds=watch.settled_seconds)
    )
    report = await _document(app, WATCH_STATE)
    by_object = {(entry.source, entry.object): entry.flow.name for entry in app.entries}
    waiting, later = Counter[str](), Counter[str]()
    for note in notes.open.values():
        flow = status.flows.get(by_object.get((note[4], note[5]), ""))
        if flow is None:
            continue
        age = now.timestamp() - note[2]
        if age < 0:
            later[flow.flow] += 1
        else:
            waiting[flow.flow] += 1
            flow.oldest = max(flow.oldest or 0.0, age)
    handled = Counter({f"{source} {name}": n for (source, name), n in notes.finished.items()})
    for look in report.get("recent", ()):
        if datetime.fromisoformat(look["at"]) > now - _HOUR:
            handled.update(look["finished"])
    for flow in _with_records(status):
        flow.waiting, flow.scheduled = waiting[flow.flow], later[flow.flow]
        flow.handled = sum(
            handled[f"{source} {name}"]
            for (source, name), owner in by_object.items()
            if owner == flow.flow
        )
    status.watched_at = report.get("at")
    status.alarms = report.get("alarms", {})


def _with_records(status: Status) -> list[FlowState]:
    return [flow for flow in status.flows.values() if not flow.is_job]


async def _letters(app: App, status: Status) -> None:
    async with opened_box(app) as box:
        letters = await box.letters()
    kinds = Counter((letter.flow, letter.kind == "review") for letter in letters)
    for flow in status.flows.values():
        flow.failed = kinds.pop((flow.flow, False), 0)
        flow.reviews = kinds.pop((flow.flow, True), 0)
    status.undecodable = kinds.total()


async def _ledger(app: App, status: Status) -> None:
    kept = Counter([entry.flow async for entry in app.ledger.entries()])
    for flow in status.flows.values():
        flow.ledger = kept[flow.flow]


async def _jobs(app: App, status: Status) -> None:
    """The newest run of each kind."""
    for kind in following.KINDS:
        runs = await app.jobs.store.runs(kind)
        status.jobs += [
            following.document(run) | {"took": following.lasted(run)} for run in runs[:1]
        ]


async def _watermarks(app: App, status: Status) -> None:
    reconcile = await _document(app, RECONCILE_STATE)
    for name, at in reconcile.get("watermarks", {}).items():
        status.watermarks[f"reconciled: {name}"] = at
    payments = await _document(app, "payments/watermark.json")
    prices = await _document(app, "prices/last-full.json")
    gaps = await _document(app, GAPS)
    async for name in app.state.names(_CATCH_UP):
        if name != GAPS:
            channel = name.removeprefix(_CATCH_UP).removesuffix(".json")
            status.watermarks[f"events: {channel}"] = (await _document(app, name))["at"]
    for name, at in (
        ("payments", payments.get("confirmed_at")),
        ("payments, full", payments.get("full_at")),
        ("prices, full", prices.get("started_at")),
        ("last gap in the events", (gaps.get("gaps") or [{}])[-1].get("until")),
    ):
        if at:
            status.watermarks[name] = at


async def _calls(app: App, status: Status) -> None:
    """Costs one call, whose answer tells it."""
    await app.salesforce.query_all_rows(select("Account", ("Id",), limit=1))
    budget = app.salesforce.budget
    if budget is not None:
        status.calls = {"used": budget.used, "limit": budget.limit}


async def _d365(app: App) -> None:
    """Costs one small read: is it there, and does it let us in?"""
    from integration.flows.customers import ENTITY_SET, NUMBER

    rows = app.d365.query(ENTITY_SET, select=(NUMBER,), top=1)
    async for _ in rows:
        break


async def _document(app: App, name: str) -> Mapping[str, Any]:
    document = await app.state.read(name)
    data = json.loads(document.body) if document else {}
    return data if isinstance(data, dict) else {"gaps": data}
