"""Notices when nothing comes, and when something went in and never came out.

A job, started by a timer. It compares three things:

* the notes of what was put into the queue with those of what was handled (`messaging.journal`). What is due
  for a while although a later message of its bucket was handled is lost: it gets a new hint.
* what people changed in Salesforce since the last look with the hints that came from there. Movement
  without a hint is a silence: the records of that time are read by the catch-up at once.
* the number of posted invoices in F&O with the hints for invoices. A rise without a hint starts a
  reconciliation.

The state of each alarm is in `watch/state.json`, for `status`; it is also a metric and a log line, for the
alert rules. Position: none, one step does it all.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from integration.d365.filters import ge
from integration.d365.literals import COMPANY
from integration.flows.conservation import Conservation
from integration.flows.reading import count_rows
from integration.flows.reconcile_keys import CHANGED
from integration.jobs.job import Progress
from integration.jobs.kinds import CATCH_UP, RECONCILE, WATCH
from integration.salesforce.soql import condition, select
from integration.telemetry import log_event, record_alarm, record_backlog, record_events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from integration.d365.client import D365Client
    from integration.flows.conservation import Documents, Notes
    from integration.flows.context import FlowEntry
    from integration.jobs.job import Position
    from integration.messaging.hints import Hint
    from integration.salesforce.client import SalesforceClient
    from integration.settings import Settings, WatchSettings
    from integration.state.blobs import BlobState

STATE = "watch/state.json"
_RECENT = timedelta(hours=2)
_LISTED = 200  # records of a silence; more are as silent
_INVOICES = ("SalesInvoiceHeadersV2", "FreeTextInvoiceHeaders")


class Outbox(Protocol):
    async def send_hints(self, hints: Iterable[Hint]) -> None: ...


class WatchJob:
    kind = WATCH
    longest = timedelta(minutes=30)

    def __init__(
        self,
        state: Documents,
        outbox: Outbox,
        salesforce: SalesforceClient,
        d365: D365Client,
        objects: Iterable[str],
        settings: WatchSettings,
        start_job: Callable[[str, dict[str, Any]], Awaitable[str | None]],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`objects` of Salesforce that have a flow."""
        self._state = state
        self._outbox = outbox
        self._salesforce = salesforce
        self._d365 = d365
        self._objects = tuple(objects)
        self._settings = settings
        self._start_job = start_job
        self._clock = clock
        self._conservation = Conservation(state, settings)

    async def step(self, position: Position) -> Progress:
        now = self._clock()
        before = await self._read(STATE)
        notes, documents = await self._conservation.read(now)
        lost = self._conservation.take_lost(notes, now)
        await self._outbox.send_hints(lost)
        record_events("watch", "hinted-again", len(lost))
        unheard, silent = await self._salesforce_silence(notes, before, now)
        invoices, unannounced = await self._invoice_silence(notes, before, now)
        oldest = min((note[2] for note in notes.open.values()), default=now.timestamp())
        age = max(0.0, now.timestamp() - oldest)
        alarms = {
            "lost-hints": len(lost),
            "salesforce-silence": sum(silent.values()),
            "d365-silence": unannounced,
            "backlog": int(age) if age > self._settings.backlog_minutes * 60 else 0,
        }
        self._raise(alarms)
        record_backlog(len(notes.open), age)
        report = {
            "at": now.isoformat(),
            "since": before.get("at"),
            "accepted": notes.accepted.total(),
            "handled": notes.handled,
            "recent": _recent(before, notes, now),
            "waiting": len(notes.open),
            "oldest_seconds": round(age),
            "lost": len(lost),
            "unheard": unheard,
            "silent": silent,
            "invoices": invoices,
            "alarms": alarms,
        }
        await self._conservation.keep(notes, now)
        await self._state.write(STATE, json.dumps(report).encode())
        for name in documents:  # read again by the next run where this is not reached: no harm
            await self._state.delete(name)
        counts = Counter(accepted=notes.accepted.total(), handled=notes.handled, lost=len(lost))
        return Progress(position, +counts, done=True)

    # Silence

    async def _salesforce_silence(
        self, notes: Notes, before: Mapping[str, Any], now: datetime
    ) -> tuple[dict[str, str], dict[str, int]]:
        """Objects that people changed while no hint came, with the time since when; and of those for which
        that is too long, how many records changed since the last look."""
        if "at" not in before or not self._objects:
            return {}, {}
        # The last moments are left out: their hints may be on the way.
        late = timedelta(seconds=self._settings.settled_seconds)
        start, until = datetime.fromisoformat(before["at"]) - late, now - late
        quiet = [name for name in self._objects if not notes.accepted["salesforce", name]]
        moved = await self._moved(quiet, start, until)
        known: dict[str, str] = before.get("unheard", {})
        unheard = {
            name: known.get(name, start.isoformat())
            for name in quiet
            if name in known or moved[name]
        }
        patience = timedelta(minutes=self._settings.silence_minutes)
        silent = {
            name: max(1, moved[name])
            for name, since in unheard.items()
            if until - datetime.fromisoformat(since) >= patience
        }
        if silent:
            gaps = [
                {"object": name, "since": unheard[name], "reason": "silence"} for name in silent
            ]
            if await self._start_job(CATCH_UP, {"gaps": gaps}):  # else the next look tries again
                unheard = {name: at for name, at in unheard.items() if name not in silent}
        return unheard, silent

    async def _moved(
        self, objects: Sequence[str], start: datetime, until: datetime
    ) -> dict[str, int]:
        """How many records people changed, some hundreds at most. One call."""
        user = (await self._salesforce.tokens.current()).user_id
        where = [condition(CHANGED, ">", start), condition(CHANGED, "<=", until)]
        if user:
            where.append(condition("LastModifiedById", "!=", user))
        queries = [select(name, ("Id",), where=where, limit=_LISTED) for name in objects]
        found = await self._salesforce.query_together(queries) if queries else []
        return {name: len(rows) for name, rows in zip(objects, found, strict=True)}

    async def _invoice_silence(
        self, notes: Notes, before: Mapping[str, Any], now: datetime
    ) -> tuple[dict[str, int], int]:
        """The posted invoices of the last days by entity, and how many came without any event."""
        since = (now - timedelta(days=2)).date()
        counts = {
            name: await count_rows(self._d365, name, key=COMPANY, filter=ge("InvoiceDate", since))
            for name in _INVOICES
        }
        known = before.get("invoices") or counts
        risen = sum(max(0, counts[name] - known.get(name, 0)) for name in _INVOICES)
        heard = any(source == "d365" and "Invoice" in name for source, name in notes.accepted)
        unannounced = 0 if heard else risen
        if unannounced:
            await self._start_job(RECONCILE, {})
        return counts, unannounced

    def _raise(self, alarms: Mapping[str, int]) -> None:
        for name, value in alarms.items():
            record_alarm(name, value)
            if value:
                log_event("alarm", level=logging.ERROR, alarm=name, value=value)

    async def _read(self, name: str) -> dict[str, Any]:
        document = await self._state.read(name)
        found: dict[str, Any] = json.loads(document.body) if document else {}
        return found


def _recent(before: Mapping[str, Any], notes: Notes, now: datetime) -> list[dict[str, Any]]:
    """What was handled by object, look by look: for `status`, which adds up the last hour."""
    oldest = (now - _RECENT).isoformat()
    finished = {f"{source} {name}": count for (source, name), count in notes.finished.items()}
    kept = [look for look in before.get("recent", ()) if look["at"] > oldest]
    return [*kept, {"at": now.isoformat(), "finished": finished}]


def build_watch_job(
    settings: Settings,
    entries: Sequence[FlowEntry],
    salesforce: SalesforceClient,
    d365: D365Client,
    state: BlobState,
    outbox: Outbox,
    start_job: Callable[[str, dict[str, Any]], Awaitable[str | None]],
) -> WatchJob:
    named = settings.watch.objects
    ours = [entry.object for entry in entries if entry.source == "salesforce"]
    return WatchJob(state, outbox, salesforce, d365, named or ours, settings.watch, start_job)
