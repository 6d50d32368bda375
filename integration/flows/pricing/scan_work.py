"""What one step of the scan has in its hands: its position, the digests it has seen, the rows to send."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from integration.errors import ContractError, RecordError
from integration.flows.pricing.held import NOTHING
from integration.state.pushed import UNCONFIRMED, Rows
from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.flows.pricing.changes import Changes
    from integration.flows.pricing.mapper import ItemMapper, MappedItem
    from integration.flows.pricing.report import Report
    from integration.flows.pricing.source import SourceItem
    from integration.jobs.job import Position
    from integration.state.pushed import Chunk, Traits
    from integration.state.spool import PartStore

DIGESTS = "digests"


class Looked(NamedTuple):
    """An item as it is to be remembered; `mapped` where it is to be sent."""

    item: str
    digest: bytes
    traits: Traits
    mapped: MappedItem | None


def new_unit(first: int) -> Position:
    return {"first": first, "rows": 0, "dirty": False}


class ScanWork:
    """What one step has in its hands."""

    def __init__(
        self,
        store: PartStore,
        position: Position,
        report: Report,
        mapper: ItemMapper,
        *,
        part_items: int,
    ) -> None:
        self._store = store
        self._part_items = part_items
        self.position: Position = {**position, "unit": dict(position["unit"])}
        self.report = report
        self.mapper = mapper
        self.changes: Changes | None = None
        self.seen = Rows()

    def look(self, items: Sequence[SourceItem], chunk: Chunk) -> list[Looked]:
        position, counts, mapper = self.position, self.report.counts, self.mapper
        unit, full = position["unit"], position["full"]
        found: list[Looked] = []
        skipped: Counter[str] = Counter()
        for source in items:
            known = chunk.get(source.item)
            before, traits = (known.digest, known.traits) if known else (UNCONFIRMED, NOTHING)
            if source.unread:
                counts["unchanged"] += 1
                position["matched"] += known is not None
                unit["dirty"] = unit["dirty"] or known is None
                found.append(Looked(source.item, before, traits, None))
                continue
            try:
                mapped = mapper.map(source, skipped)
            except (RecordError, ContractError) as error:
                self.report.failed(source.item, error)
                digest, sent = UNCONFIRMED, None
            else:
                digest = mapped.digest()
                sent = mapped if full or digest != before else None
                counts["unchanged"] += sent is None
            if known:
                position["matched"] += 1
            if known is None or digest != before or sent is not None:
                unit["dirty"] = True
            found.append(Looked(source.item, digest, traits, sent))
        counts["read"] += len(items)
        counts.update({f"skipped:{reason}": count for reason, count in skipped.items()})
        return found

    async def end_chunk(self, chunk: Chunk, until: str | None, *, known: bool) -> None:
        """Everything of the chunk was seen: what was not seen is no longer in F&O."""
        position = self.position
        gone = len(chunk) - position["matched"]
        if gone:
            self.report.counts["gone"] += gone  # left alone in Salesforce
            position["unit"]["dirty"] = True
        if position["unit"]["dirty"]:
            await self._save_seen()
            unit = position["unit"]
            entry = {"parts": [unit["first"], position["digests"]], "until": until}
            entry |= {"rows": unit["rows"]}
            position["units"] = [*position["units"], entry]
        elif known:
            position["units"] = [*position["units"], position["chunk"]]
        self.seen = Rows()
        position["unit"] = new_unit(position["digests"])
        position |= {"chunk": position["chunk"] + 1, "from": until or "", "matched": 0}

    async def save(self, *, only_if_full: bool = False) -> None:
        if self.changes is not None and (self.changes.is_full or not only_if_full):
            await self.changes.flush()
            self.position["part"] = self.changes.part
            for kind, count in self.changes.counts.items():
                rows = self.position["rows"]
                self.position["rows"] = rows | {kind: rows.get(kind, 0) + count}
            self.changes.counts.clear()
        # An undisturbed chunk needs no part, if it is seen to its end in one step.
        if not only_if_full or (
            self.position["unit"]["dirty"] and len(self.seen) >= self._part_items
        ):
            await self._save_seen()

    async def _save_seen(self) -> None:
        if not len(self.seen):
            return
        position, unit = self.position, self.position["unit"]
        spool = Spool(self._store, f"{position['run']}/{DIGESTS}")
        await spool.put(position["digests"], self.seen.to_bytes())
        position["unit"] = unit | {"rows": unit["rows"] + len(self.seen)}
        position["digests"] += 1
        self.seen = Rows()
