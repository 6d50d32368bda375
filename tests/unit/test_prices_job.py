"""The job `prices`: pages, fingerprints, full refreshes; source and target in memory behind their seams."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from integration.errors import RecordRejected, Unreachable
from integration.flows.price_rules import PriceRules
from integration.flows.pricebook_writer import Pushed
from integration.flows.prices import PriceJob
from integration.flows.products import SourceItem, SourcePage
from integration.jobs.job import RowFailure
from integration.mapping.customisation import load_customisation
from tests.unit.test_jobs_support import JobBlobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.flows.pricebook_changes import WantedItem
    from integration.jobs.job import Progress

FILE = '[prices]\nbase_currencies = { usmf = "USD" }\n[prices.books.Direct]\ngroup = "D"\n'


class Items:
    """F&O: items in an order of its own (by length, then text), with their base price."""

    def __init__(self, *items: str) -> None:
        self.prices = dict.fromkeys(items, 10)
        self.pages: list[tuple[str, str | None]] = []

    async def page(self, after: str, until: str | None, limit: int) -> SourcePage:
        self.pages.append((after, until))
        ordered = sorted(self.prices, key=_order)
        found = [
            item
            for item in ordered
            if _order(item) > _order(after) and (until is None or _order(item) <= _order(until))
        ]
        return SourcePage([self._item(item) for item in found[:limit]], len(found) > limit)

    def _item(self, item: str) -> SourceItem:
        row = {"dataAreaId": "usmf", "ItemNumber": item, "ProductSearchName": item,
               "SalesPrice": self.prices[item], "SalesPriceQuantity": 1}  # fmt: skip
        return SourceItem(item, [row])


def _order(item: str) -> tuple[int, str]:
    return len(item), item


class Target:
    """Salesforce: keeps what was pushed; `refuses` some items; `error` instead of an answer."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.pushes: list[list[str]] = []
        self.refuses: set[str] = set()
        self.error: Exception | None = None

    async def push(self, items: Sequence[WantedItem]) -> Pushed:
        if self.error:
            raise self.error
        if items:
            self.pushes.append([each.item for each in items])
        pushed = Pushed()
        for each in items:
            if each.item in self.refuses:
                pushed.counts["failed"] += 1
                error = RecordRejected("no")
                pushed.failures.append(RowFailure.of(each.item, error))
            else:
                self.held[each.item] = str(each.prices["standard", "USD"])
                pushed.confirmed.add(each.item)
        return pushed

    @property
    def pushed(self) -> list[str]:
        return [item for push in self.pushes for item in push]


class Run:
    def __init__(self, *items: str) -> None:
        self.source, self.target, self.blobs = Items(*items), Target(), JobBlobs()
        self.now = datetime(2026, 7, 31, 2, tzinfo=UTC)
        self.options: dict[str, Any] = {"page": 4}

    def job(self) -> PriceJob:
        prices = load_customisation(FILE).prices
        rules = PriceRules(prices, "usmf")
        return PriceJob(
            self.blobs,
            self.source,
            self.target,
            prices,
            rules,
            clock=lambda: self.now,
            **self.options,
        )

    async def run(self, **params: Any) -> dict[str, int]:
        """All steps of one run; the counts. Pushes before are forgotten."""
        self.target.pushes.clear()
        self.source.pages.clear()
        totals: dict[str, int] = {}
        position: dict[str, Any] = params
        for _ in range(200):
            progress: Progress = await self.job().step(json.loads(json.dumps(position)))
            for name, count in progress.counts.items():
                totals[name] = totals.get(name, 0) + count
            if progress.done:
                return totals
            position = progress.position
        raise AssertionError("the job never ends")


ITEMS = [f"A{number}" for number in range(15)]


async def test_every_item_is_pushed_once_in_the_order_of_the_source() -> None:
    run = Run(*ITEMS)
    counts = await run.run()
    assert run.target.pushed == sorted(ITEMS, key=_order)
    assert counts["read"] == 15
    assert max(len(push) for push in run.target.pushes) <= 4


async def test_a_second_run_pushes_nothing_and_writes_no_blob() -> None:
    run = Run(*ITEMS)
    await run.run()
    writes = run.blobs.writes
    counts = await run.run()
    assert run.target.pushes == []
    assert run.blobs.writes == writes
    assert counts == {"read": 15, "unchanged": 15}


async def test_a_change_an_addition_and_an_end_are_found_wherever_they_are() -> None:
    run = Run(*ITEMS)
    await run.run()
    run.source.prices |= {"A7": 11, "A": 5, "A05": 6, "ZZZZ": 7}
    del run.source.prices["A3"], run.source.prices["A14"]
    counts = await run.run()
    assert sorted(run.target.pushed) == ["A", "A05", "A7", "ZZZZ"]
    assert counts["gone"] == 2
    assert await run.run() == {"read": 16, "unchanged": 16}


async def test_chunks_stay_bounded_while_items_are_added() -> None:
    run = Run(*ITEMS)
    await run.run()
    run.source.prices |= dict.fromkeys((f"A5{number:03}" for number in range(40)), 1)
    await run.run()
    chunks = [
        json.loads(document.body)
        for name, document in run.blobs.documents.items()
        if name.startswith("fingerprints/")
    ]
    assert max(len(chunk["rows"]) for chunk in chunks) <= 8
    assert sum(len(chunk["rows"]) for chunk in chunks) == 55
    assert await run.run() == {"read": 55, "unchanged": 55}


async def test_a_step_writes_a_bounded_number_of_rows() -> None:
    run = Run(*ITEMS)
    run.options = {"page": 10, "rows": 7}  # three rows an item
    await run.run()
    assert max(len(push) for push in run.target.pushes) == 3
    assert run.target.pushed == sorted(ITEMS, key=_order)
    assert await run.run() == {"read": 15, "unchanged": 15}


async def test_a_refused_item_is_tried_again_by_the_next_run_alone() -> None:
    run = Run(*ITEMS)
    run.target.refuses = {"A3"}
    assert (await run.run())["failed"] == 1
    assert (await run.run())["failed"] == 1
    assert run.target.pushed == ["A3"]
    run.target.refuses = set()
    await run.run()
    assert run.target.pushed == ["A3"]
    assert (await run.run())["unchanged"] == 15


async def test_an_item_that_cannot_be_mapped_stops_no_other() -> None:
    run = Run("A1", " A2", "A3")
    counts = await run.run()
    assert run.target.pushed == ["A1", "A3"]
    assert counts["failed"] == 1


@pytest.mark.parametrize("stop_at", range(9))
async def test_a_step_that_is_repeated_changes_nothing(stop_at: int) -> None:
    """After a crash between a step's work and the saving of its position."""
    run = Run(*ITEMS)
    run.options = {"page": 4, "rows": 7}
    position: dict[str, Any] = {}
    for number in range(50):
        progress = await run.job().step(position)
        if number == stop_at:
            progress = await run.job().step(position)
        if progress.done:
            break
        position = progress.position
    assert run.target.held == dict.fromkeys(ITEMS, "10.00")
    assert await run.run() == {"read": 15, "unchanged": 15}


@pytest.mark.parametrize("crash_at", range(1, 20))
async def test_a_crash_between_the_writes_of_fingerprints_loses_no_item(crash_at: int) -> None:
    run = Run(*ITEMS)
    writes = 0

    def crash() -> None:
        nonlocal writes
        writes += 1
        if writes == crash_at:
            raise Unreachable("storage", system="storage")

    run.blobs.crash = crash
    position: dict[str, Any] = {}
    for _ in range(50):
        try:
            progress = await run.job().step(position)
        except Unreachable:
            continue
        if progress.done:
            break
        position = progress.position
    run.blobs.crash = lambda: None
    assert run.target.held == dict.fromkeys(ITEMS, "10.00")
    run.source.prices = dict.fromkeys(ITEMS, 12)
    await run.run()
    assert run.target.held == dict.fromkeys(ITEMS, "12.00")
    assert await run.run() == {"read": 15, "unchanged": 15}


async def test_trouble_of_salesforce_leaves_the_items_unconfirmed() -> None:
    run = Run("A1", "A2")
    run.target.error = Unreachable("down")
    with pytest.raises(Unreachable):
        await run.run()
    run.target.error = None
    await run.run()
    assert run.target.pushed == ["A1", "A2"]


async def test_a_full_refresh_is_due_after_its_days_or_on_demand() -> None:
    run = Run("A1", "A2")
    await run.run()
    run.now += timedelta(days=6)
    await run.run()
    assert run.target.pushed == []
    await run.run(full=True)
    assert run.target.pushed == ["A1", "A2"]
    run.now += timedelta(days=6, hours=23, minutes=50)  # a timer is not exact to the second
    await run.run()
    assert run.target.pushed == ["A1", "A2"]
    await run.run()
    assert run.target.pushed == []


async def test_a_full_refresh_that_did_not_end_is_still_due() -> None:
    run = Run(*ITEMS)
    await run.job().step({})
    assert "prices/last-full.json" not in run.blobs.documents


async def test_dry_compares_everything_and_keeps_no_fingerprint() -> None:
    run = Run(*ITEMS)
    run.options["switch"] = "dry"
    await run.run()
    assert sorted(run.target.pushed) == sorted(ITEMS)
    assert run.blobs.documents == {}


async def test_switched_off_it_does_nothing() -> None:
    run = Run(*ITEMS)
    run.options["switch"] = "off"
    assert await run.run() == {"switched-off": 1}
    assert run.source.pages == []


async def test_one_day_counts_for_the_whole_job() -> None:
    run = Run(*ITEMS)
    progress = await run.job().step({})
    run.now += timedelta(days=1)
    progress = await run.job().step(progress.position)
    assert progress.position["today"] == "2026-07-31"
