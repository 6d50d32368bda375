"""F&O and Salesforce in memory behind the seams of the job `prices`. Holds no tests."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from integration.deadline import deadline
from integration.errors import RecordRejected, Unreachable
from integration.flows.price_rules import PriceRules
from integration.flows.pricebook_changes import Org
from integration.flows.pricebook_writer import Pushed
from integration.flows.prices import PriceJob
from integration.flows.pricing.source import SourceItem
from integration.jobs.job import RowFailure
from integration.mapping.customisation import load_customisation
from integration.salesforce.bulk_csv import decode_rows
from integration.salesforce.bulk_load import LoadAdvance
from integration.salesforce.bulk_position import LoadResult
from integration.settings import VolumeSettings
from integration.state.pushed import Rows
from integration.state.spool import Spool
from tests.unit.test_jobs_support import CrashClock, JobBlobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.flows.pricebook_changes import WantedItem
    from integration.flows.pricing.report import Report
    from integration.jobs.job import Position, Progress

FILE = """
[prices]
base_currencies = { usmf = "USD" }
inactive = { ProductLifecycleStateId = ["Obsolete"] }
[prices.books.Direct]
group = "D"
"""
FOUR_BOOKS = """[prices.books.Dealers]
group = "DEAL"
[prices.books.Key]
customer = "US-001"
group = "DEAL"
currencies = ["USD"]
[prices.books.Germany]
company = "demf"
[prices.books.Shop]
site = "2"
warehouse = "24"
currencies = ["USD"]
"""
BOOKS = {"standard": "01sS", "Direct": "01sD"}
ENTRY = "D365_Key__c"
ITEM = "D365_Item_Number__c"


def order(item: str) -> tuple[int, str]:
    """F&O's collation in these tests: by length, then text."""
    return len(item), item


class Items:
    """F&O: items with their base price, four at a time. `slow` lets a step see four of them only."""

    def __init__(self, *items: str) -> None:
        self.prices = dict.fromkeys(items, 10)
        self.fields: dict[str, dict[str, Any]] = {}
        self.agreements: dict[str, list[dict[str, Any]]] = {}
        self.opened: list[tuple[str, str | None]] = []
        self.slow = False
        self.errors: list[Exception | None] = []  # of the next calls

    async def decide(self, position: Position, report: Report) -> Position:
        return position | {"phase": "scan"}

    async def finished(self, position: Position) -> None: ...

    async def open(self, position: Position, after: str, until: str | None) -> Stream:
        self.opened.append((after, until))
        found = [
            item
            for item in sorted(self.prices, key=order)
            if order(item) > order(after) and (until is None or order(item) <= order(until))
        ]
        return Stream(self, found)

    def item(self, item: str) -> SourceItem:
        row = {"dataAreaId": "usmf", "ItemNumber": item, "ProductSearchName": f"Name of {item}",
               "SearchName": "", "ProductNumber": item, "SalesPrice": self.prices[item],
               "SalesPriceQuantity": 1, "SalesUnitSymbol": "ea"}  # fmt: skip
        row |= self.fields.get(item, {})
        return SourceItem(item, [row], self.agreements.get(item, []))


class Stream:
    def __init__(self, items: Items, names: list[str]) -> None:
        self._items = items
        self._names = names

    async def next(self) -> list[SourceItem]:
        if self._items.errors and (error := self._items.errors.pop(0)):
            raise error
        found, self._names = self._names[:4], self._names[4:]
        return [self._items.item(name) for name in found]


class Salesforce:
    """`products`: item → cells; `entries`: (book's id, item, currency) → {key, price, active}; `refuses`:
    item or entry key → code and message."""

    def __init__(self) -> None:
        self.products: dict[str, dict[str, str]] = {}
        self.entries: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.refuses: dict[str, tuple[str, str]] = {}

    def upsert_product(self, row: dict[str, str]) -> tuple[str, str] | None:
        if refusal := self.refuses.get(row[ITEM]):
            return refusal
        self.products.setdefault(row[ITEM], {}).update({k: v for k, v in row.items() if v})
        return None

    def upsert_entry(self, row: dict[str, str]) -> tuple[str, str] | None:
        """By key, as Bulk does it; the answer is why not."""
        key, price = row[ENTRY], row.get("UnitPrice")
        if refusal := self.refuses.get(key):
            return refusal
        place = next((p for p, entry in self.entries.items() if entry["key"] == key), None)
        given = (row.get("Pricebook2Id", ""), row.get(f"Product2.{ITEM}", ""),
                 row.get("CurrencyIsoCode", ""))  # fmt: skip
        if place is None:
            if not all(given) or not price:
                return "REQUIRED_FIELD_MISSING", "Required fields are missing: [Pricebook2Id]"
            if given[1] not in self.products:
                return "INVALID_FIELD", f"Foreign key external ID: {given[1]} not found for field"
            if given in self.entries:
                return "DUPLICATE_VALUE", "This price definition already exists in this price book"
            standard = self.entries.get((BOOKS["standard"], given[1], given[2]))
            if given[0] != BOOKS["standard"] and not (standard and standard["active"]):
                return "STANDARD_PRICE_NOT_DEFINED", "Before creating a custom price"
            self.entries[given] = {"key": key}
            place = given
        elif any(given):
            return "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields"
        entry = self.entries[place]
        entry["active"] = row["IsActive"] == "true"
        if price:
            entry["price"] = price
        return None

    @property
    def prices(self) -> dict[str, str]:
        """Key → price of the active entries."""
        return {each["key"]: each["price"] for each in self.entries.values() if each["active"]}


class Target:
    """The Collections path: compares and writes items; `refuses` some; `error` instead of an answer."""

    def __init__(self, org: Salesforce) -> None:
        self.org_held = org
        self.pushes: list[list[str]] = []
        self.refuses: set[str] = set()
        self.error: Exception | None = None
        self.asked = 0

    async def org(self) -> Org:
        self.asked += 1
        return Org(BOOKS, currencies=True)

    async def push(self, items: Sequence[WantedItem]) -> Pushed:
        if self.error:
            raise self.error
        if items:
            self.pushes.append([each.item for each in items])
        pushed = Pushed()
        for each in items:
            if each.item in self.refuses:
                pushed.counts["failed"] += 1
                pushed.failures.append(RowFailure.of(each.item, RecordRejected("no")))
                continue
            self._write(each)
            pushed.confirmed.add(each.item)
        return pushed

    def _write(self, each: WantedItem) -> None:
        org = self.org_held
        if not each.is_active and each.item not in org.products:
            return
        org.products[each.item] = {k: str(v) for k, v in each.fields.items()}
        for (book, currency), price in each.prices.items():
            place = (BOOKS[book], each.item, currency)
            key = f"{book}|{each.item}|{currency}"
            org.entries[place] = {"key": key, "price": str(price), "active": True}
        wanted = {(BOOKS[book], each.item, currency) for book, currency in each.prices}
        for place, entry in org.entries.items():
            if each.is_active and place[1] == each.item and place not in wanted:
                entry["active"] = False

    @property
    def pushed(self) -> list[str]:
        return [item for push in self.pushes for item in push]

    @property
    def held(self) -> dict[str, str]:
        """Item → standard price."""
        prices = self.org_held.prices
        return {key.split("|")[1]: price for key, price in prices.items() if key[:8] == "standard"}


class Loads:
    """Bulk: writes when it is advanced the first time, and tells the result the second time."""

    def __init__(self, blobs: JobBlobs, org: Salesforce) -> None:
        self.blobs, self.org = blobs, org
        self.loads: list[tuple[str, int]] = []
        self.rows: list[dict[str, str]] = []
        self.aborted: list[str] = []
        self.state = "JobComplete"
        self.state_of: dict[str, str] = {}  # by stage

    def begin(self, rows: str, *, object: str, columns: Sequence[str], key: str, name: str,
              operation: str, external_id: str | None = None) -> Position:  # fmt: skip
        assert (operation, external_id) == ("upsert", key)
        return {"rows": rows, "object": object, "columns": list(columns), "key": key, "name": name}

    async def advance(self, position: Position) -> LoadAdvance:
        if "result" not in position:
            return LoadAdvance(position | {"result": await self._run(position)}, delay=2)
        return LoadAdvance(position, result=LoadResult(**position["result"]))

    async def abort(self, position: Position) -> None:
        self.aborted.append(position["rows"].rpartition("/")[2])

    async def _run(self, position: Position) -> dict[str, Any]:
        body = b"".join([part async for part in Spool(self.blobs, position["rows"]).stream()])
        rows = [dict(zip(position["columns"], row, strict=True)) for row in decode_rows(body)]
        self.loads.append((position["rows"].rpartition("/")[2], len(rows)))
        self.rows += rows
        upsert = self.org.upsert_entry if position["key"] == ENTRY else self.org.upsert_product
        lines = []
        for row in rows[::-1]:  # results come in no order
            if refusal := upsert(row):
                code, message = refusal
                lines.append({"key": row[position["key"]], "id": "", "code": code, "fields": [],
                              "message": message, "transient": code == "UNABLE_TO_LOCK_ROW"})  # fmt: skip
        name = f"{position['name']}/failures"
        state = self.state_of.get(self.loads[-1][0], self.state)
        if lines:
            await Spool(self.blobs, name).put(0, "\n".join(map(json.dumps, lines)).encode())
        return {"processed": len(rows), "failed": len(lines), "unprocessed": 0, "failures": name,
                "created": None, "state": state, "description": "", "unknown": False}  # fmt: skip


class Run:
    """Runs of the job; every step in a process of its own, unless `one_process`."""

    def __init__(self, *items: str, threshold: int = 2000) -> None:
        self.source, self.org, self.blobs = Items(*items), Salesforce(), JobBlobs()
        self.target, self.loads = Target(self.org), Loads(self.blobs, self.org)
        self.now = datetime(2026, 7, 31, 2, tzinfo=UTC)
        self.options: dict[str, Any] = {"volume": VolumeSettings(bulk_threshold=threshold)}
        self.failures: dict[str, str] = {}
        self.one_process = False
        self._job: PriceJob | None = None

    def job(self) -> PriceJob:
        if self._job is not None and self.one_process:
            return self._job
        prices = load_customisation(FILE).prices
        rules = PriceRules(prices, "usmf")
        self._job = PriceJob(
            self.blobs,
            self.source,
            self.target,
            self.loads,
            prices,
            rules,
            clock=lambda: self.now,
            **self.options,
        )
        return self._job

    async def step(self, position: Position) -> Progress:
        position = json.loads(json.dumps(position))
        before = copy.deepcopy(position)
        # Of a slow step so little is left that nothing but the first piece of work fits.
        with deadline(0 if self.source.slow else 3600):
            progress = await self.job().step(position)
        assert position == before, "a step may not change the position it was given"
        return progress

    async def run(self, **params: Any) -> dict[str, int]:
        """All steps of one run; the counts. What happened before is forgotten."""
        self.target.pushes.clear()
        self.source.opened.clear()
        self.loads.loads.clear()
        self.loads.rows.clear()
        self.failures.clear()
        totals: dict[str, int] = {}
        position: dict[str, Any] = params
        for _ in range(400):
            progress = await self.step(position)
            for name, count in progress.counts.items():
                totals[name] = totals.get(name, 0) + count
            self.failures |= {each.key: each.reason for each in progress.failures}
            if progress.done:
                assert not [name for name in self.blobs.documents if name.startswith("spool/")]
                return totals
            position = progress.position
        raise AssertionError("the job never ends")

    async def run_that_dies(self, at: int) -> int:
        """All steps of one run; before or after its n-th write the process ends, and the step runs again.

        `at` counts both moments of every write; the answer is how many there were.
        """
        clock = CrashClock(at, Unreachable("storage", system="storage"))
        self.blobs.crash = clock
        position: dict[str, Any] = {}
        for _ in range(400):
            try:
                progress = await self.step(position)
            except Unreachable:
                continue
            if progress.done:
                self.blobs.crash = lambda: None
                return clock.ticks
            position = progress.position
        raise AssertionError("the job never ends")

    def chunks(self) -> list[Rows]:
        """The fingerprints."""
        return [
            Rows.from_bytes(document.body)
            for name, document in self.blobs.documents.items()
            if name.startswith("fingerprints/") and not name.endswith("index.json")
        ]
