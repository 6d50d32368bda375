"""Which way F&O is read, and what must be done before the scan can begin.

`odata` streams all products and agreements. Above `export_threshold` rows a full refresh takes the agreements
out of a data package (`export`), and between two of them change tracking names the items to read (`changes`).
What change tracking does not see is added: prices that begin or end by date, and items that did not arrive.
Whatever goes wrong with packages, or where their projects do not exist in F&O, all is read by OData.

Change tracking forgets what it has told (F&O contract 6.7), so a run of it counts as processed only when the
job has ended well. It is begun before the rows of a full refresh are read, so that nothing falls between.
Position: `reading`, `tracking` (whether change tracking runs along), `cursor` of a range of items.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import TYPE_CHECKING

from integration.d365.filters import any_of, ge, gt, le, lt
from integration.d365.literals import COMPANY
from integration.flows.loads.routing import look_up
from integration.flows.pricing.exporting import CHANGES, EXPORT, NAMED, ODATA, runs_of
from integration.flows.pricing.hashes import HashSet, hash_of, put_hashes, read_hashes
from integration.flows.pricing.named_source import NamedStream
from integration.flows.pricing.order import Order, put_order, read_order
from integration.flows.pricing.package_source import PackageStream
from integration.flows.products import AGREEMENTS
from integration.flows.reading import count_rows
from integration.mapping.products import ITEM
from integration.state.pushed import UNCONFIRMED

if TYPE_CHECKING:
    from integration.d365.client import D365Client
    from integration.flows.pricing.exporting import Exporting
    from integration.flows.pricing.report import Report
    from integration.flows.pricing.source import PriceStream
    from integration.flows.products import ODataPriceSource
    from integration.jobs.job import Position
    from integration.mapping.price_books import Prices
    from integration.settings import D365Settings, VolumeSettings
    from integration.state.pushed import PushedTable
    from integration.state.spool import PartStore

_TRACKING = "prices/tracking.json"
_ROWS_OF_AN_ITEM = 50  # with fewer items than the threshold divided by this, nothing is counted
_ORDER = "order"


class Reading:
    def __init__(
        self,
        store: PartStore,
        pushed: PushedTable,
        client: D365Client,
        odata: ODataPriceSource,
        exporting: Exporting,
        volume: VolumeSettings,
        d365: D365Settings,
        prices: Prices,
    ) -> None:
        self._store = store
        self._pushed = pushed
        self._client = client
        self._odata = odata
        self._exporting = exporting
        self._volume = volume
        self._d365 = d365
        self._sales_stop = prices.sales_stop
        text = f"{d365.company} {prices.model_dump_json()}"
        self._rules = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self._order: tuple[str, Order] | None = None
        self._named: tuple[str, HashSet] | None = None

    async def decide(self, position: Position, report: Report) -> Position:
        """The way for this run; reads the number of rows where it could matter."""
        items = sum(chunk.keys for chunk in await self._pushed.index())
        threshold = self._volume.export_threshold
        rows = items
        if not items or items * _ROWS_OF_AN_ITEM >= threshold:
            scope = any_of(COMPANY, self._odata.companies)
            rows += await count_rows(self._client, AGREEMENTS, key=ITEM, filter=scope)
        if rows < threshold:
            return position | {"phase": "scan"}
        # Of sales stops there is no change tracking.
        position = position | {"tracking": not self._sales_stop}
        known = await self._tracking()
        delta = position["tracking"] and not position["full"] and known.get("rules") == self._rules
        position["runs"] = runs_of(
            self._volume.package_project,
            self._odata.companies,
            tracked=position["tracking"],
            full=not delta,
        )
        if delta:
            return position | {"reading": CHANGES, "since": known["today"], "phase": "exports"}
        return position | {"reading": EXPORT, "phase": "order"}

    async def order(self, position: Position, report: Report) -> Position:
        """Reads the numbers of all items in F&O's order."""
        name = f"{position['run']}/{_ORDER}"
        pages = self._odata.product_pages(position["cursor"], (ITEM,))
        more = True
        while more:
            rows, more = await pages.next(None)
            items = dict.fromkeys(str(row[ITEM]) for row in rows)
            await put_order(self._store, name, position["marks"], items)
            position = position | {"marks": position["marks"] + 1, "cursor": pages.cursor}
            if more and not report.has_time():
                return position
        return position | {"cursor": "", "phase": "exports"}

    async def exports(self, position: Position, report: Report) -> Position:
        order = await self._order_of(position) if position["reading"] == EXPORT else None
        return await self._exporting.advance(position, report, order)

    async def names(self, position: Position, report: Report) -> Position:
        """Items whose prices begin or end by date since the last run, and those that did not arrive. Where
        they are so many that reading all is no more work, all are read."""
        since, today = date.fromisoformat(position["since"]), date.fromisoformat(position["today"])
        starts, ends = "PriceApplicableFromDate", "PriceApplicableToDate"
        turns = (gt(starts, since) & le(starts, today)) | (ge(ends, since) & lt(ends, today))
        pages = self._odata.agreement_pages(position["cursor"], turns)
        name, more = f"{position['run']}/{NAMED}", True
        while more:
            rows, more = await pages.next(None)
            hashes = {hash_of(str(row[ITEM]).casefold()) for row in rows}
            await put_hashes(self._store, name, position["marks"], hashes)
            position = position | {"marks": position["marks"] + 1, "cursor": pages.cursor}
            if more and not report.has_time():
                return position
        items = 0
        for number, chunk in enumerate(await self._pushed.index()):
            items += chunk.keys
            rows_ = (await self._pushed.chunk(chunk.name)).rows
            missing = [hash_of(row.key.casefold()) for row in rows_ if row.digest == UNCONFIRMED]
            await put_hashes(self._store, name, position["marks"] + number, missing)
        position = position | {"cursor": "", "phase": "scan"}
        named = len(await self._named_of(position))
        terms, batch = self._d365.filter_terms, self._d365.batch_size
        if look_up(2 * named, 2 * items, self._volume, terms=terms, batch=batch) == "table":
            return position | {"reading": ODATA}
        return position

    async def open(self, position: Position, after: str, until: str | None) -> PriceStream:
        """The items of a range, for the scan."""
        if position["reading"] == EXPORT:
            products = self._odata.open(after, until, agreements=False)
            order = await self._order_of(position)
            return PackageStream(products, self._store, position["run"], order)
        if position["reading"] == CHANGES:
            return NamedStream(
                self._client,
                self._odata.product_pages(after, (COMPANY, ITEM)),
                await self._named_of(position),
                companies=self._odata.companies,
                select=self._odata.select,
                until=until,
                per_filter=self._d365.filter_terms,
            )
        return self._odata.open(after, until)

    async def finished(self, position: Position) -> None:
        """All that was read has been sent or is known to have failed."""
        if position["tracking"]:
            entry = {"rules": self._rules, "today": position["today"]}
            await self._store.write(_TRACKING, json.dumps(entry).encode())
        await self._exporting.processed(position)

    async def _tracking(self) -> dict[str, str]:
        document = await self._store.read(_TRACKING)
        return dict(json.loads(document.body)) if document else {}

    async def _order_of(self, position: Position) -> Order:
        if self._order is None or self._order[0] != position["run"]:
            run = position["run"]
            self._order = run, await read_order(self._store, f"{run}/{_ORDER}")
        return self._order[1]

    async def _named_of(self, position: Position) -> HashSet:
        run = position["run"]
        if self._named is None or self._named[0] != run:
            hashes = await read_hashes(self._store, f"{run}/{NAMED}")
            self._named = run, HashSet(set(hashes))
        return self._named[1]
