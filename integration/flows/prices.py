"""Flow 4: released products and their prices, from F&O to Product2 and PricebookEntry.

A job, because whole tables are compared. Each step takes a page of items in F&O's order, works out what
Salesforce should hold today and pushes the items whose fingerprint differs from the last confirmed push. A
price whose dates begin or end, a changed rule and a changed product all change the fingerprint. A full
refresh compares every item with Salesforce itself, so edits made there are healed; failures need no
record of their own: an item that was not confirmed is pushed again by the next run.

Position: {"full","today","chunk","from","seen"}: the fingerprint chunk by the key it begins after, the item
after which to go on, and how many of the chunk's items this pass has seen.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from integration.errors import ContractError, RecordError
from integration.flows.price_rules import PriceRules
from integration.flows.pricebook_changes import WantedItem
from integration.flows.pricebook_writer import CollectionsPriceTarget
from integration.flows.products import ODataPriceSource
from integration.jobs.job import Progress, RowFailure
from integration.jobs.kinds import PRICES
from integration.mapping.products import COMPANY, ProductMapping
from integration.state.fingerprints import Chunk, Fingerprints, digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.d365.client import D365Client
    from integration.flows.pricebook_writer import PriceTarget
    from integration.flows.products import PriceSource, SourceItem, SourcePage
    from integration.jobs.job import Position
    from integration.mapping.customisation import Customisation
    from integration.mapping.price_books import Prices
    from integration.salesforce.client import SalesforceClient
    from integration.settings import Settings, Switch
    from integration.state.blobs import BlobState
    from integration.state.fingerprints import ChunkStore

_LAST_FULL = "prices/last-full.json"


class PriceJob:
    """Started with {} (a full refresh when one is due) or {"full": true}."""

    kind = PRICES
    longest = timedelta(hours=20)

    def __init__(
        self,
        state: ChunkStore,
        source: PriceSource,
        target: PriceTarget,
        prices: Prices,
        rules: PriceRules,
        *,
        switch: Switch = "on",
        page: int = 500,
        rows: int = 2000,
        full_every: timedelta = timedelta(days=7),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`page` items are read and about `rows` rows written in one step."""
        self._state = state
        self._source = source
        self._target = target
        self._prices = prices
        self._rules = rules
        self._products = ProductMapping(prices)
        self._fingerprints = Fingerprints(state, PRICES)
        self._switch = switch
        self._page = page
        self._rows = rows
        self._full_every = full_every
        self._clock = clock

    async def step(self, position: Position) -> Progress:
        if self._switch == "off":
            return Progress(position, {"switched-off": 1}, done=True)
        if "today" not in position:
            position = await self._beginning(position)
        dry = self._switch == "dry"
        chunk = Chunk() if dry else await self._fingerprints.chunk(position["chunk"])
        page = await self._source.page(position["from"], chunk.until, self._page)
        work = self._work(page, chunk, position)
        pushed = await self._target.push(work.changed)
        for each in work.changed:
            work.digests[each.item] = each.digest if each.item in pushed.confirmed else ""
        work.counts.update(pushed.counts)
        following = await self._after(position, chunk, work, dry=dry)
        if following is None and position["full"] and not dry:
            marker = {"started_at": position["started_at"]}
            await self._state.write(_LAST_FULL, json.dumps(marker).encode())
        return Progress(
            following or position,
            +work.counts,
            done=following is None,
            failures=(*work.failures, *pushed.failures),
        )

    async def _beginning(self, params: Position) -> Position:
        """One day counts for the whole job, also beyond midnight."""
        now = self._clock()
        return {
            "full": params.get("full") is True or await self._full_refresh_is_due(now),
            "today": self._prices.today(now).isoformat(),
            "started_at": now.isoformat(),
            "chunk": "",
            "from": "",
            "seen": 0,
        }

    async def _full_refresh_is_due(self, now: datetime) -> bool:
        document = await self._state.read(_LAST_FULL)
        if document is None:
            return True
        last = datetime.fromisoformat(json.loads(document.body)["started_at"])
        # A schedule does not fire to the second; a quarter of an hour early is still in time.
        return now - last >= self._full_every - timedelta(minutes=15)

    def _work(self, page: SourcePage, chunk: Chunk, position: Position) -> _Work:
        today = date.fromisoformat(position["today"])
        full = position["full"] or self._switch == "dry"
        work = _Work(more=page.more)
        cost = 0
        for source in page.items:
            if cost >= self._rows and work.ends_well:
                work.more = True
                break
            work.counts["read"] += 1
            work.last = source.item
            work.digests[source.item] = ""
            try:
                wanted = self._wanted(source, today, work.counts)
            except (RecordError, ContractError) as error:
                work.counts["failed"] += 1
                work.failures.append(RowFailure.of(source.item, error))
                continue
            if not full and chunk.rows.get(source.item) == wanted.digest:
                work.digests[source.item] = wanted.digest
                work.counts["unchanged"] += 1
            else:
                cost += wanted.rows
                work.changed.append(wanted)
        return work

    def _wanted(self, source: SourceItem, today: date, counts: Counter[str]) -> WantedItem:
        sold = [row for row in source.rows if str(row[COMPANY]).lower() not in source.stopped]
        fields = self._products.map(source.rows, sold)
        prices, skipped = self._rules.prices_of(source.rows, source.agreements, today)
        counts.update({f"skipped:{reason}": count for reason, count in skipped.items()})
        if not fields["IsActive"]:
            prices = {}
        texts = sorted((*key, str(price)) for key, price in prices.items())
        return WantedItem(source.item, fields, prices, digest(fields, texts))

    async def _after(
        self, position: Position, chunk: Chunk, work: _Work, *, dry: bool
    ) -> Position | None:
        """Saves the fingerprints and returns where to go on, None at the end."""
        if dry:
            return {**position, "from": work.last} if work.more else None
        start, known = position["chunk"], list(chunk.rows.items())
        head = {**dict(known[: position["seen"]]), **work.digests}
        rest = {item: value for item, value in known if item not in head}
        if work.more and len(head) >= self._page:
            await self._fingerprints.split(start, head, work.last, Chunk(chunk.until, rest))
            return {**position, "chunk": work.last, "from": work.last, "seen": 0}
        if not work.more:
            work.counts["gone"] += len(rest)  # no longer released in F&O; left alone in Salesforce
            rest = {}
        rows = {**head, **rest}
        if list(rows.items()) != known:
            await self._fingerprints.save(start, Chunk(chunk.until, rows))
        if work.more:
            return {**position, "from": work.last, "seen": len(head)}
        if chunk.until is None:
            return None
        return {**position, "chunk": chunk.until, "from": chunk.until, "seen": 0}


@dataclass(slots=True)
class _Work:
    """What one step does. `digests` of every item it looked at, empty while not confirmed."""

    more: bool
    last: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    changed: list[WantedItem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[RowFailure] = field(default_factory=list)

    @property
    def ends_well(self) -> bool:
        """Whether a filter can name the last item: F&O takes `*` for a wildcard (F&O contract 2.2)."""
        return "*" not in self.last


def build_price_job(
    settings: Settings,
    customisation: Customisation,
    salesforce: SalesforceClient,
    d365: D365Client,
    state: BlobState,
) -> PriceJob:
    app, prices = settings.app, customisation.prices
    rules = PriceRules(prices, settings.d365.company)
    products = ProductMapping(prices)
    return PriceJob(
        state,
        ODataPriceSource(
            d365, rules.companies, products.source_fields(), sales_stop=prices.sales_stop
        ),
        CollectionsPriceTarget(
            salesforce,
            [rule.book for rule in rules.rules],
            products.target_fields(),
            dry=app.flow_prices == "dry",
        ),
        prices,
        rules,
        switch=app.flow_prices,
        page=app.prices_page,
        rows=app.prices_rows,
        full_every=timedelta(days=app.prices_full_refresh_days),
    )
