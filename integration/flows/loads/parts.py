"""What a load works with, and what its phases have in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from integration.d365.package_rows import package_rows
from integration.deadline import remaining
from integration.flows.loads.findings import Findings, spool_of
from integration.jobs.job import Progress
from integration.messaging.hints import Hint
from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from integration.d365.client import D365Client
    from integration.d365.package_export import PackageExport
    from integration.d365.package_import import PackageImport
    from integration.flows.endings import Endings, Outbox
    from integration.flows.loads.definition import LoadDefinition
    from integration.flows.loads.dirty import DirtyKeys
    from integration.jobs.job import Position
    from integration.salesforce.bulk_load import BulkLoad
    from integration.salesforce.bulk_query import BulkQuery
    from integration.salesforce.client import SalesforceClient
    from integration.settings import Settings
    from integration.state.blobs import Document
    from integration.state.holds import Holds

ENOUGH = 3.0  # seconds that must be left for one more piece of work in a step


class LoadStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """One per kind of load and process."""

    definition: LoadDefinition
    settings: Settings
    store: LoadStore
    salesforce: SalesforceClient
    d365: D365Client
    outbox: Outbox
    endings: Endings
    holds: Holds
    dirty: DirtyKeys
    packages: PackageImport
    exports: PackageExport
    bulk_load: BulkLoad
    bulk_query: BulkQuery
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    exported_rows: Callable[..., AsyncIterator[tuple[int, list[tuple[str, ...]]]]] = package_rows

    def spool(self, position: Position, name: str) -> Spool:
        return spool_of(self.store, position, name)

    def named_spool(self, name: str) -> Spool:
        return Spool(self.store, name)

    async def findings(self, position: Position) -> Findings:
        found = Findings(self.store, position, package_rows=self.settings.volume.package_rows)
        await found.begin()
        return found

    def hint(self, position: Position, key: str) -> Hint:
        """The same id whenever it is made for this run, so that the broker drops the second one."""
        seen_at = datetime.fromisoformat(position["started_at"])
        event = f"{self.definition.kind}:{position['run']}:{key}"
        return Hint(
            source="salesforce",
            object=self.definition.object,
            key=key,
            event_id=event,
            seen_at=seen_at,
        )


def has_time(needed: float = ENOUGH) -> bool:
    left = remaining()
    return left is None or left > needed


def to(position: Position, phase: str, **members: Any) -> Position:
    """The first position of another phase."""
    return {**position, "phase": phase, "at": [0, 0], **members}


def to_end(position: Position) -> Position:
    """The first position behind packages and numbers."""
    return to(position, "note-again" if position.get("cancelled") else "letters")


def progress(
    position: Position,
    found: Findings | None = None,
    *,
    counts: Mapping[str, int] | None = None,
    delay: float = 0,
    done: bool = False,
) -> Progress:
    """With the counts of what was found, or those given."""
    counted = +found.counts if found else counts or {}
    return Progress(position, counted, delay=delay, done=done)
