"""Which way the job `prices` reads F&O: OData, packages, change tracking. F&O's OData is the stand-in in this
process; its packages are made of the rows it holds."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.d365.client import D365Client
from integration.d365.package_export import ExportAdvance
from integration.errors import IntegrationError
from integration.flows.price_rules import PriceRules
from integration.flows.prices import PriceJob
from integration.flows.pricing.exporting import Exporting
from integration.flows.pricing.hashes import hash_of
from integration.flows.pricing.order import Order
from integration.flows.pricing.reading import Reading
from integration.flows.products import ODataPriceSource
from integration.mapping.customisation import load_customisation
from integration.mapping.products import ProductMapping
from integration.settings import VolumeSettings
from integration.state.pushed import PushedTable
from sandbox.d365 import D365StandIn
from tests.contract.d365_standin import BASE, CLIENT, new_entra
from tests.unit.price_support import Loads, Salesforce, Target
from tests.unit.test_d365_support import AccessToken, settings
from tests.unit.test_jobs_support import JobBlobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from integration.jobs.job import Position

FILE = '[prices]\nbase_currencies = { usmf = "USD" }\n[prices.books.Direct]\ngroup = "D"\n'
ENTRA = new_entra()
STEP = 3  # rows of a package that one batch holds


class Credential:
    def get_token(self, *scopes: str) -> AccessToken:
        return AccessToken(ENTRA.issue_token(CLIENT, BASE), int(time.time()) + 3600)

    def close(self) -> None: ...


class Packages:
    """Data management: a full package holds the table, a tracked one the rows noted in `changed`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.changed: dict[str, list[dict[str, Any]]] = {}
        self.begun: list[tuple[str, bool]] = []
        self.done: list[str] = []
        self.failure: dict[str, str] = {}

    def begin(self, project: str, entity: str, *, company: str, execution: str,
              change_tracked: bool) -> Position:  # fmt: skip
        self.begun.append((entity, change_tracked))
        return {"project": project, "entity": entity, "tracked": change_tracked, "asked": 0}

    async def advance(self, position: Position) -> ExportAdvance:
        if failure := self.failure.get(position["project"].rpartition(" ")[2]):
            return ExportAdvance(position, failure=failure)
        if position["asked"] < 2:
            return ExportAdvance(position | {"asked": position["asked"] + 1}, delay=1)
        kind = "changes" if position["tracked"] else "all"
        return ExportAdvance(position, file_url=f"{kind} {position['entity']}")

    async def processed(self, position: Position) -> None:
        self.done.append(position["project"])
        self.changed.pop(position["entity"], None)

    async def rows(
        self, url: str, entity: str, columns: Sequence[str], *, start: int = 0
    ) -> AsyncIterator[tuple[int, list[tuple[str, ...]]]]:
        kind, _, name = url.partition(" ")
        rows = self.changed.get(name, []) if kind == "changes" else await self.world.rows()
        cells = [
            {k.upper(): f"{v:.6f}" if isinstance(v, float) else str(v) for k, v in row.items()}
            for row in rows
        ]
        for at in range(start, len(cells), STEP):
            found = [tuple(row.get(name, "") for name in columns) for row in cells[at : at + STEP]]
            yield min(at + STEP, len(cells)), found


class World:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.calls: list[str] = []
        self.packages, self.blobs, self.org = Packages(self), JobBlobs(), Salesforce()
        self.target, self.loads = Target(self.org), Loads(self.blobs, self.org)
        self.now = datetime(2026, 7, 31, 2, tzinfo=UTC)
        self.volume = VolumeSettings(export_threshold=5, d365_page=100)
        self.file = FILE

    def job(self) -> PriceJob:
        client = D365Client(settings(), self.http, credential=Credential(), tries=1)
        prices = load_customisation(self.file).prices
        rules, products = PriceRules(prices, "usmf"), ProductMapping(prices)
        odata = ODataPriceSource(
            client, ("usmf",), products.source_fields(), sales_stop=prices.sales_stop, page=4
        )
        pushed = PushedTable(self.blobs, "prices")
        exporting = Exporting(self.blobs, self.packages, self.packages.rows)
        reading = Reading(
            self.blobs, pushed, client, odata, exporting, self.volume, settings(), prices
        )
        return PriceJob(
            self.blobs, reading, self.target, self.loads, prices, rules, volume=self.volume,
            clock=lambda: self.now,
        )  # fmt: skip

    async def run(self, **params: Any) -> dict[str, int]:
        """In one process per step."""
        self.calls.clear()
        self.target.pushes.clear()
        self.packages.begun.clear()
        self.packages.done.clear()
        counts: dict[str, int] = {}
        position: dict[str, Any] = params
        for _ in range(200):
            progress = await self.job().step(json.loads(json.dumps(position)))
            for name, count in progress.counts.items():
                counts[name] = counts.get(name, 0) + count
            position = progress.position
            if progress.done:
                return counts
        raise AssertionError("the job never ends")

    async def rows(self) -> list[dict[str, Any]]:
        answer = await self.http.get("/sandbox/state/SalesPriceAgreements")
        rows = [{k: v for k, v in row.items() if k[0] != "@"} for row in answer.json()]
        random.Random(7).shuffle(rows)
        return rows

    async def put(self, name: str, *rows: dict[str, Any]) -> None:
        answer = await self.http.post(f"/sandbox/state/{name}", json=list(rows))
        assert answer.is_success, answer.text
        entity = {"ReleasedProductsV2": "Released products V2"}.get(name, "Sales price agreements")
        self.packages.changed.setdefault(entity, []).extend(rows)

    async def products(self, *items: str, price: int = 10) -> None:
        await self.put(
            "ReleasedProductsV2",
            *({"dataAreaId": "usmf", "ItemNumber": item, "ProductNumber": item,
               "ProductSearchName": item, "SalesPrice": price, "SalesPriceQuantity": 1}
              for item in items),
        )  # fmt: skip

    async def agreement(self, item: str, price: float, record: int, **fields: Any) -> None:
        row = {"dataAreaId": "usmf", "RecordId": record, "ItemNumber": item, "ItemCode": "Table",
               "AccountCode": "GroupId", "PriceCustomerGroupCode": "D", "Price": price,
               "SalesPriceQuantity": 1, "PriceCurrencyCode": "USD", **fields}  # fmt: skip
        await self.put("SalesPriceAgreements", row)

    @property
    def direct(self) -> dict[str, str]:
        prices = self.org.prices.items()
        return {key.split("|")[1]: price for key, price in prices if key[:6] == "Direct"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    standin = D365StandIn(entra=ENTRA)

    async def note(request: httpx.Request) -> None:
        if "/data/" in request.url.path:
            found.calls.append(f"{request.method} {request.url.path.rsplit('/', 1)[1]}")

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(standin.app), base_url=BASE, event_hooks={"request": [note]}
    ) as http:
        found = World(http)
        await http.delete("/sandbox/state/ReleasedProductsV2")
        await http.delete("/sandbox/state/SalesPriceAgreements")
        yield found


ITEMS = [f"I{number:02}" for number in range(9)]


async def filled(world: World) -> None:
    await world.products(*ITEMS)
    for number, item in enumerate(ITEMS):
        await world.agreement(item, number + 0.5, number)
        await world.agreement(item, 99, 100 + number, FromQuantity=5)
    await world.agreement("unreleased", 5, 999)


EXPECTED = {item: f"{number}.50" for number, item in enumerate(ITEMS)}


async def test_a_package_gives_the_prices_that_odata_gives(world: World) -> None:
    await filled(world)
    await world.run()
    assert world.packages.begun == [
        ("Released products V2", True), ("Sales price agreements", True),
        ("Sales price agreements", False),
    ]  # fmt: skip
    assert world.direct == EXPECTED
    assert "GET SalesPriceAgreements" not in world.calls[1:]  # the first one counts
    world.volume = VolumeSettings(d365_page=100)
    assert await world.run() == {"read": 9, "unchanged": 9, "skipped:outranked": 9}


async def test_between_full_refreshes_only_named_items_are_read(world: World) -> None:
    await filled(world)
    await world.run()
    await world.agreement("i03", 7, 3)
    await world.products("I055")
    counts = await world.run()
    assert world.packages.begun == [
        ("Released products V2", True), ("Sales price agreements", True),
    ]  # fmt: skip
    assert world.target.pushed == ["I03", "I055"]
    assert (counts["read"], counts["unchanged"]) == (10, 8)
    assert world.direct == EXPECTED | {"I03": "7.00", "I055": "10.00"}
    assert len(world.packages.done) == 2
    assert await world.run() == {"read": 10, "unchanged": 10}


async def test_a_price_that_begins_or_ends_today_names_its_item(world: World) -> None:
    await filled(world)
    await world.agreement("I01", 0.25, 500, PriceApplicableFromDate="2026-08-01T12:00:00Z")
    await world.agreement("I02", 0.75, 501, PriceApplicableToDate="2026-07-31T12:00:00Z")
    await world.run()
    assert (world.direct["I01"], world.direct["I02"]) == ("1.50", "0.75")
    assert await world.run() == {"read": 9, "unchanged": 9}
    world.now += timedelta(days=1)
    await world.run()
    assert world.target.pushed == ["I01", "I02"]
    assert world.direct == EXPECTED | {"I01": "0.25"}


async def test_what_did_not_arrive_is_read_again_though_nothing_changed(world: World) -> None:
    await filled(world)
    world.target.refuses = {"I04"}
    assert (await world.run())["failed"] == 1
    world.target.refuses = set()
    await world.run()
    assert world.target.pushed == ["I04"]
    assert world.direct == EXPECTED


async def test_a_changed_mapping_file_and_a_full_refresh_read_everything(world: World) -> None:
    await filled(world)
    await world.run()
    world.file = FILE.replace('"D"', '"E"')
    await world.run()
    assert len(world.packages.begun) == 3
    assert set(world.direct.values()) == {"10.00"}
    await world.run(full=True)
    assert len(world.packages.begun) == 3


async def test_sales_stops_are_not_tracked_so_everything_is_read(world: World) -> None:
    world.file = FILE.replace("[prices]", "[prices]\nsales_stop = true", 1)
    await filled(world)
    await world.run()
    stop = {"dataAreaId": "usmf", "ItemNumber": "I05", "IsSalesProcessingStopped": "Yes"}
    await world.http.post("/sandbox/state/ProductDefaultOrderSettings", json=[stop])
    await world.run()
    assert world.packages.begun == [("Sales price agreements", False)]
    assert world.target.pushed == ["I05"]
    assert world.org.products["I05"]["IsActive"] == "False"


@pytest.mark.parametrize("failure", ["Failed", "Canceled", "deadline", "expired"])
async def test_what_a_package_cannot_tell_odata_tells(world: World, failure: str) -> None:
    await filled(world)
    world.packages.failure = {"changes": failure, "agreements": failure}
    counts = await world.run()
    assert counts["exports-failed"] == 3
    assert world.direct == EXPECTED
    world.packages.failure = {}
    await world.run()
    assert len(world.packages.begun) == 3  # without change tracking all is read again
    await world.agreement("I03", 7, 3)
    world.packages.failure = {"changes": failure}
    await world.run()
    assert world.direct == EXPECTED | {"I03": "7.00"}
    assert [name for name in world.packages.done if failure != "expired"] == []


async def test_a_run_that_fails_has_processed_nothing(world: World) -> None:
    await filled(world)
    await world.run()
    await world.agreement("I03", 7, 3)
    world.target.error = IntegrationError("down")
    with pytest.raises(IntegrationError):
        await world.run()
    assert world.packages.done == []
    world.target.error = None
    await world.run()
    assert world.target.pushed == ["I03"]


async def test_where_most_items_changed_all_are_read(world: World) -> None:
    items = [f"M{number:04}" for number in range(900)]
    await world.products(*items)
    await world.agreement("M0001", 3, 1)
    await world.run()
    await world.products(*items, price=11)
    world.volume = VolumeSettings(export_threshold=5, d365_page=10_000)
    counts = await world.run()
    assert counts["read"] == 900
    assert "POST $batch" not in world.calls
    assert set(world.org.prices.values()) == {"11.00", "3.00"}


async def test_below_the_threshold_no_package_is_made(world: World) -> None:
    world.volume = VolumeSettings(export_threshold=1000)
    await filled(world)
    await world.run()
    assert world.packages.begun == []
    assert world.direct == EXPECTED


def test_an_order_knows_the_place_of_every_item() -> None:
    items = [f"Item {number}" for number in range(5000)]
    order = Order(hash_of(item.casefold()) for item in items)
    assert [order.place(item.upper()) for item in items] == list(range(5000))
    assert order.place("another") is None
