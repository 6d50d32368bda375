"""Where a reconciliation sends what differs: hints, notes for a load where they are many, jobs for tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from integration.flows.loads.routing import to_d365
from integration.flows.reconcile_scope import Scope
from integration.jobs.kinds import LOAD_ACCOUNTS, LOAD_CONTACTS, RECONCILE
from integration.messaging.hints import Hint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from integration.flows.context import FlowEntry
    from integration.flows.drift_report import Report
    from integration.flows.reconcile_keys import Ref
    from integration.flows.reconcile_parts import DirtyNotes, HintSender
    from integration.jobs.job import Position
    from integration.settings import VolumeSettings

CHECKED_AGAIN = 1000  # records; a position must stay small
_LOADS = {"accounts": LOAD_ACCOUNTS, "contacts": LOAD_CONTACTS}  # by flow


class Healing:
    """`start_job(kind, params)` answers None where one of the kind runs; raises KeyError: no such job.

    With `dirty` and `volume` many differences of a flow that has a load go in a package.
    """

    def __init__(
        self,
        outbox: HintSender,
        entries: Mapping[tuple[str, str], FlowEntry],
        start_job: Callable[[str, dict[str, Any]], Awaitable[str | None]],
        *,
        clock: Callable[[], datetime],
        dirty: DirtyNotes | None,
        volume: VolumeSettings | None,
    ) -> None:
        self._outbox = outbox
        self._entries = entries
        self._start_job = start_job
        self._clock = clock
        self._dirty = dirty
        self._volume = volume

    async def send(self, position: Position, entity: Report, found: list[Ref]) -> None:
        """Hints for what differs; what a flow on dry run finds is only reported."""
        if Scope.of(position).dry:
            return
        refs = [ref for ref in found if self._entries[ref.flow, ref.object].switch == "on"]
        refs = await self._noted(position, entity, refs)
        await self._outbox.send_hints(self.hint(ref, position, f"{RECONCILE}:") for ref in refs)
        entity["hinted"] += len(refs)
        room = max(0, CHECKED_AGAIN - len(position["sent"]))
        position["sent"] += [[position["phase"], asdict(ref)] for ref in refs[:room]]

    async def _noted(self, position: Position, entity: Report, refs: list[Ref]) -> list[Ref]:
        """Notes for a load what has become too much for hints; returns the rest."""
        total = entity["hinted"] + entity.get("loaded", 0) + len(refs)
        if self._dirty is None or self._volume is None or to_d365(total, self._volume) != "package":
            return refs
        for flow in _LOADS:
            mine = [ref.key for ref in refs if ref.flow == flow]
            if mine:
                name = f"{position['run']}-{position['phase']}-{position['rows']}"
                await self._dirty.note(flow, mine, name=name)
                entity["loaded"] = entity.get("loaded", 0) + len(mine)
                position["loads"] = sorted({*position.get("loads", ()), flow})
        return [ref for ref in refs if ref.flow not in _LOADS]

    def hint(self, ref: Ref, position: Position, event: str) -> Hint:
        """The same event id when a step is repeated, so that the broker drops the second one."""
        return Hint(
            source=ref.source,
            object=ref.object,
            key=ref.key,
            root=ref.root,
            company=ref.company,
            event_id=f"{event}{position['run']}:{ref.flow}:{ref.key}",
            seen_at=self._clock(),
        )

    async def start_loads(self, position: Position, report: Report) -> None:
        """Of the flows whose differences were noted."""
        for flow in position.get("loads", ()):
            await self.start(_LOADS[flow], report, {"dirty": True})

    async def start(self, kind: str, report: Report, params: dict[str, Any] | None = None) -> None:
        """Whole tables are compared and healed by a job of their own."""
        try:
            run = await self._start_job(kind, params or {"full": True})
        except KeyError:
            report["not_compared"][kind] = "this app has no such job"
        else:
            report["jobs"][kind] = run or "runs already"
