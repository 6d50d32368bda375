"""The first phase: reads F&O in order, compares fingerprints, and keeps the rows of changed items.

The range of a fingerprint chunk is read as one stream. A step stops where its time ends, after a whole item,
and the stream stays open in this process: the next step reads nothing twice, unless it runs elsewhere.

What a push would confirm lies in the Spool `digests` until it has arrived. Position, as far as it is of this
phase: `chunk` being read, `from` (the item after which to go on), `matched` items of the chunk, `unit` (parts
of `digests` it has filled so far: the first one and the number of rows, and whether anything differs), and of
all chunks before it `units`: its own number where nothing differs, else [first part, part behind the last].
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from integration.errors import IntegrationError, RecordRejected
from integration.flows.pricing.changes import Changes, wanted_item
from integration.flows.pricing.held import Plans
from integration.flows.pricing.mapper import ItemMapper
from integration.flows.pricing.scan_work import ScanWork
from integration.state.pushed import Chunk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from integration.flows.price_rules import PriceRules
    from integration.flows.pricebook_changes import Org
    from integration.flows.pricebook_writer import PriceTarget
    from integration.flows.pricing.mapper import MappedItem
    from integration.flows.pricing.report import Report
    from integration.flows.pricing.source import PriceSource, PriceStream, SourceItem
    from integration.jobs.job import Position
    from integration.mapping.price_books import Prices
    from integration.state.pushed import PushedTable
    from integration.state.spool import PartStore

_SLICE = 250  # items between two looks at other work of this process


class Scan:
    def __init__(
        self,
        store: PartStore,
        fingerprints: PushedTable,
        source: PriceSource,
        target: PriceTarget,
        prices: Prices,
        rules: PriceRules,
        *,
        dry: bool,
        part_items: int,
    ) -> None:
        """`part_items` of a part of digests."""
        self._part_items = part_items
        self._store = store
        self._fingerprints = fingerprints
        self._source = source
        self._target = target
        self._prices = prices
        self._rules = rules
        self._dry = dry
        self._plans = Plans()
        self._org: tuple[str, Org] | None = None
        self._mapper: tuple[date, ItemMapper] | None = None
        self._stream: tuple[tuple[str, int, str], PriceStream] | None = None

    def mapper(self, today: date) -> ItemMapper:
        if self._mapper is None or self._mapper[0] != today:
            self._mapper = today, ItemMapper(self._prices, self._rules, today)
        return self._mapper[1]

    async def org(self, run: str) -> Org:
        """Asked once a run: price books may be made between two of them."""
        if self._org is None or self._org[0] != run:
            self._org = run, await self._target.org()
        return self._org[1]

    async def advance(self, position: Position, report: Report, today: date) -> Position:
        index = [] if self._dry else await self._fingerprints.index()
        work = ScanWork(
            self._store, position, report, self.mapper(today), part_items=self._part_items
        )
        while True:
            number = work.position["chunk"]
            known = index[number] if number < len(index) else None
            chunk = await self._fingerprints.chunk(known.name) if known else Chunk()
            until = known.until if known else None
            if not await self._range(work, chunk, until):
                await work.save()
                return work.position
            await work.end_chunk(chunk, until, known=known is not None)
            del chunk  # before the next one is read
            if until is None:
                await work.save()
                return work.position | {"phase": "decide"}

    async def _range(self, work: ScanWork, chunk: Chunk, until: str | None) -> bool:
        """Reads on; True at the end of the range."""
        place = (work.position["run"], work.position["chunk"], work.position["from"])
        kept, self._stream = self._stream, None
        if kept and kept[0] == place:
            stream = kept[1]
        else:
            stream = await self._source.open(work.position, place[2], until)
        slowest = 0.0
        while True:
            began = time.monotonic()
            try:
                items = await stream.next()
            except IntegrationError:
                if work.position["from"] == place[2]:  # nothing was taken from it
                    self._stream = place, stream
                raise
            for start in range(0, len(items), _SLICE):
                await self._look(work, items[start : start + _SLICE], chunk)
                await asyncio.sleep(0)
            if not items:
                return True
            await work.save(only_if_full=True)
            work.position["from"] = items[-1].item
            slowest = max(slowest, time.monotonic() - began)
            if items[-1].is_bound and not work.report.has_time(2 * slowest):
                self._stream = (place[0], place[1], items[-1].item), stream
                return False

    async def _look(self, work: ScanWork, items: Sequence[SourceItem], chunk: Chunk) -> None:
        looked = work.look(items, chunk)
        changed = [each.mapped for each in looked if each.mapped is not None]
        if self._dry:
            columns = work.mapper.columns
            wanted = [wanted_item(columns, each.cells, each.decimals()) for each in changed]
            pushed = await self._target.push(wanted)
            work.report.counts.update(pushed.counts)
            work.report.add_failures(pushed.failures)
            return
        changes = await self._changes(work, changed) if changed else None
        for each in looked:
            after = each.traits
            if each.mapped is not None and changes is not None:
                after = changes.add(each.mapped, each.traits)
            work.seen.add(each.item, each.digest, after, each.traits)
        if changes is not None:
            changes.pack()

    async def _changes(self, work: ScanWork, changed: Sequence[MappedItem]) -> Changes:
        position = work.position
        org = await self.org(position["run"])
        if not org.currencies:
            _check_currency(position, changed)
        if work.changes is None:
            full, part = position["full"], position["part"]
            work.changes = Changes(
                self._store, position["run"], org, part=part, full=full, plans=self._plans
            )
        return work.changes


def _check_currency(position: Position, changed: Sequence[MappedItem]) -> None:
    """Raises RecordRejected where an org of one currency should take prices in several."""
    for mapped in changed:
        for _, currency in mapped.prices:
            if position["currency"] not in ("", currency):
                raise RecordRejected(
                    "the org has one currency, the prices have"
                    f" {', '.join(sorted((position['currency'], currency)))}; name it in"
                    " [prices] currencies",
                    reason="currencies",
                    system="salesforce",
                )
            position["currency"] = currency
