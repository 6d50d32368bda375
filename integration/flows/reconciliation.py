"""Reconciliation: compares both sides, reports what differs, and sends hints for the differences alone.

It writes to neither system. Every record is compared by its own flow with writing switched off, so nothing
is judged here that the flow itself would judge otherwise. A job on the job engine: a step handles one page
of keys. After the hints were handled the records are compared once more, which tells what was repaired.

Position: {"run","full","started_at","phase","after","rows","state","sent","report"}; `sent` are the hinted
records to look at again, `state` what `reconcile/state.json` said: {"watermarks":{name: time},
"cursors":{name: where a rolling source goes on},"counts":{name: the pair a job was started for},
"refused":{record: the change that an earlier run tried in vain}}.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from integration.flows.catch_up_gaps import healed_gaps
from integration.flows.drift_report import as_text, listed, new_entity, new_report
from integration.flows.endings import LEDGER_EVENT
from integration.flows.outcomes import Skipped, Synced, WouldChange
from integration.flows.reconcile_compare import FINAL, change_of, compare, judge, name_of
from integration.flows.reconcile_healing import CHECKED_AGAIN, Healing
from integration.flows.reconcile_keys import Ref, Window
from integration.flows.reconcile_scope import Scope, scope_of
from integration.jobs.job import Progress
from integration.jobs.kinds import RECONCILE
from integration.telemetry import log_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from integration.flows.reconcile_keys import KeySource
    from integration.flows.reconcile_parts import (
        DirtyNotes,
        HintSender,
        LedgerReader,
        Sides,
        Store,
    )
    from integration.jobs.job import Position
    from integration.messaging.hints import Source
    from integration.settings import ReconcileSettings, VolumeSettings

STATE = "reconcile/state.json"
REPORTS = "reports/reconcile/"
_LEDGER, _COUNTS, _CHECK, _END = "ledger", "counts", "check", "end"


class ReconcileJob:
    """Started with {} (the changes since the last run), {"full": true}, or with a part of it
    (`reconcile_scope`)."""

    kind = RECONCILE
    longest = timedelta(hours=20)

    def __init__(
        self,
        state: Store,
        ledger: LedgerReader,
        outbox: HintSender,
        sides: Sides,
        start_job: Callable[[str, dict[str, Any]], Awaitable[str | None]],
        settings: ReconcileSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        dirty: DirtyNotes | None = None,
        volume: VolumeSettings | None = None,
    ) -> None:
        """`start_job`, `dirty` and `volume`: see `reconcile_healing.Healing`."""
        self._state = state
        self._ledger = ledger
        self._outbox = outbox
        self._entries = {(entry.flow.name, entry.object): entry for entry in sides.flows}
        self._sources = {source.name: source for source in sides.sources}
        self._counts = sides.counts
        self._settings = settings
        self._clock = clock
        self._healing = Healing(
            outbox, self._entries, start_job, clock=clock, dirty=dirty, volume=volume
        )
        self._phases = [_LEDGER, *self._sources, _COUNTS, _CHECK, _END]

    async def step(self, position: Position) -> Progress:
        if "phase" not in position:
            return Progress(await self._beginning(position))
        phase = position["phase"]
        if phase == _LEDGER:
            return await self._ledger_step(position)
        if phase == _COUNTS:
            return await self._counts_step(position)
        if phase == _CHECK:
            return await self._check_step(position)
        if phase == _END:
            return await self._end_step(position)
        return await self._source_step(position, self._sources[phase])

    async def _beginning(self, params: Position) -> Position:
        now = self._clock()
        run, full = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z", params.get("full") is True
        document = await self._state.read(STATE)
        state = json.loads(document.body) if document else {}
        report = new_report(run, now.isoformat(timespec="seconds"), full=full)
        scope = scope_of(params, self._sources)
        if scope:
            report["scope"] = scope
        for source in self._sources.values():
            report["not_compared"].update(
                {name: reason for name in source.flows if (reason := self._off(name))}
            )
        return {
            "run": run,
            "full": full,
            "started_at": now.isoformat(),
            "scope": scope,
            "phase": Scope.of({"scope": scope}).phases(self._phases, self._sources)[0],
            "after": None,
            "rows": 0,
            "state": {"watermarks": {}, "cursors": {}, "counts": {}, "refused": {}, **state},
            "sent": [],
            "report": report,
        }

    def _off(self, flow: str) -> str | None:
        """Why the records of a flow are not compared."""
        entries = [entry for (name, _), entry in self._entries.items() if name == flow]
        if not entries:
            return "this app has no such flow"
        return "the flow is switched off" if entries[0].switch == "off" else None

    def _following(self, position: Position) -> Position:
        phases = Scope.of(position).phases(self._phases, self._sources)
        phase = phases[phases.index(position["phase"]) + 1]
        return {**position, "phase": phase, "after": None, "rows": 0}

    # The ledger

    async def _ledger_step(self, position: Position) -> Progress:
        found, after = await self._ledger.page(position["after"] or "", self._settings.page)
        report = position["report"]
        hints = []
        for entry in found:
            report["ledger"]["entries"] += 1
            oldest = report["ledger"]["oldest"]
            report["ledger"]["oldest"] = min(oldest, entry.since) if oldest else entry.since
            flow = self._entries.get((entry.flow, entry.object))
            if flow is None or flow.switch != "on":
                report["not_compared"][f"ledger of {entry.flow}"] = (
                    self._off(entry.flow) or "the flow is on dry run"
                )
                continue
            side: Source = "salesforce" if entry.source == "salesforce" else "d365"
            ref = Ref(entry.flow, side, entry.object, entry.key, entry.root, entry.company)
            hints.append(self._healing.hint(ref, position, LEDGER_EVENT))
        await self._outbox.send_hints(hints)
        report["ledger"]["hinted"] += len(hints)
        following = {**position, "after": after} if after else self._following(position)
        return Progress(following, {"ledger": len(hints)})

    # The records

    async def _source_step(self, position: Position, source: KeySource) -> Progress:
        report = position["report"]
        flows = [flow for flow in source.flows if self._off(flow) is None]
        if not flows:
            return Progress(self._following(position))
        window = self._window(position, source)
        since = window.since.isoformat(timespec="seconds") if window.since else None
        entity = report["entities"].setdefault(source.name, new_entity(source.how, since))
        is_part = Scope.of(position).is_part
        rolls = source.rolling and not position["full"] and not is_part
        after = position["after"]
        if rolls and not position["rows"]:
            after = position["state"]["cursors"].get(source.name)
        try:
            page = await source.page(window, after, self._settings.page)
            outcomes = await compare(self._new(page.refs, flows, position), self._entries)
        except FINAL as error:
            report["not_compared"][source.name] = f"{error.reason}: {error.description}"
            log_event("not compared", error=error, entity=source.name, reason=error.reason)
            return Progress(self._following(position), {"troubled": 1})
        refused = {} if position["full"] else position["state"]["refused"]
        sent = judge(entity, outcomes, refused)
        await self._healing.send(position, entity, sent)
        counts = {"compared": len(outcomes), "different": len(sent)}
        rows = position["rows"] + page.rows
        position = {**position, "rows": rows, "after": page.after}
        if page.after and not (rolls and rows >= self._settings.sweep):
            return Progress(position, counts)
        entity["complete"] = True
        if is_part:
            return Progress(self._following(position), counts)
        if source.rolling:
            position["state"]["cursors"][source.name] = page.after
        position["state"]["watermarks"][source.name] = position["started_at"]
        return Progress(self._following(position), counts)

    def _new(self, refs: Iterable[Ref], flows: list[str], position: Position) -> list[Ref]:
        """Without those that another source found already: they are in its report."""
        known = {Ref(**sent) for _, sent in position["sent"]}
        scope = Scope.of(position)
        return [
            ref
            for ref in refs
            if ref.flow in flows
            and (ref.flow, ref.object) in self._entries
            and ref not in known
            and scope.includes(ref)
        ]

    def _window(self, position: Position, source: KeySource) -> Window:
        started = datetime.fromisoformat(position["started_at"])
        if part := Scope.of(position).window(started):
            return part
        if position["full"] or source.rolling:
            return Window(None, started)
        saved = position["state"]["watermarks"].get(source.name)
        if saved:
            since = datetime.fromisoformat(saved) - timedelta(
                minutes=self._settings.overlap_minutes
            )
        else:
            since = started - timedelta(hours=self._settings.window_hours)
        return Window(since, started)

    # Counts

    async def _counts_step(self, position: Position) -> Progress:
        report = position["report"]
        for kind in await self._counts.into(report, position["state"]["counts"]):
            await self._healing.start(kind, report)
        if position["full"]:
            await self._healing.start("payments", report)
        await self._healing.start_loads(position, report)
        following = self._following(position)
        delay = self._settings.settle_seconds if position["sent"] else 0
        return Progress(following, delay=delay)

    # The second look, and the end

    async def _check_step(self, position: Position) -> Progress:
        page, rest = (
            position["sent"][: self._settings.page],
            position["sent"][self._settings.page :],
        )
        if not page:
            return Progress(self._following(position))
        entities = {Ref(**ref): entity for entity, ref in page}
        counts: Counter[str] = Counter()
        outcomes = await compare(entities, self._entries)
        for ref, outcome in outcomes.items():
            entity = position["report"]["entities"][entities[ref]]
            refused = position["state"]["refused"]
            refused.pop(name_of(ref), None)
            if isinstance(outcome, Synced | Skipped):
                entity["repaired"] += 1
                counts["repaired"] += 1
                continue
            listed(entity["not_repaired"], ref.key)
            if isinstance(outcome, WouldChange) and len(refused) < CHECKED_AGAIN:
                refused[name_of(ref)] = change_of(outcome)
        return Progress({**position, "sent": rest}, counts)

    async def _end_step(self, position: Position) -> Progress:
        """The watermarks are saved after the work and its report."""
        report = {**position["report"], "ended_at": self._clock().isoformat(timespec="seconds")}
        told = position["state"].get("gaps_told", "")
        report["gaps"] = gaps = await healed_gaps(self._state, since=told)
        position["state"]["gaps_told"] = max([told, *(gap["healed_at"] for gap in gaps)])
        name = f"{REPORTS}{position['run']}"
        body = json.dumps(report, indent=1, ensure_ascii=False)
        await self._state.write(f"{name}.json", body.encode())
        await self._state.write(f"{name}.txt", as_text(report).encode())
        await self._state.write(STATE, json.dumps(position["state"]).encode())
        log_event("drift report", report=f"{name}.txt")
        return Progress(position, done=True)
