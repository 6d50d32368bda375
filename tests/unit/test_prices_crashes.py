"""The process of the job `prices` dies around every call of a run by Bulk; both stand-ins in this process."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from integration.d365.client import D365Client
from integration.d365.package_api import PackageApi
from integration.d365.package_export import PackageExport
from integration.errors import IntegrationError
from integration.flows.price_rules import PriceRules
from integration.flows.pricebook_writer import CollectionsPriceTarget
from integration.flows.prices import PriceJob
from integration.flows.pricing.exporting import Exporting
from integration.flows.pricing.reading import Reading
from integration.flows.products import ODataPriceSource
from integration.mapping.customisation import load_customisation
from integration.mapping.products import ProductMapping
from integration.salesforce.bulk_load import BulkLoad
from integration.salesforce.client import SalesforceClient
from integration.salesforce.repeats import CallRetries
from integration.settings import SalesforceSettings, VolumeSettings
from integration.state.pushed import PushedTable
from sandbox.d365 import D365StandIn
from sandbox.salesforce import SalesforceStandIn
from sandbox.salesforce.server import new_key
from tests.contract.d365_standin import BASE, CLIENT, new_entra
from tests.unit.test_d365_support import AccessToken
from tests.unit.test_d365_support import settings as d365_settings
from tests.unit.test_jobs_support import Crash, JobBlobs

URL = "http://org.test"
FILE = '[prices]\nbase_currencies = { usmf = "USD" }\n[prices.books."Direct Sales"]\ngroup = "D"\n'
ENTRA, KEY = new_entra(), new_key()
ITEMS = [f"C{number}" for number in range(8)]
REFUSED = "C5"


class Credential:
    def get_token(self, *scopes: str) -> AccessToken:
        return AccessToken(ENTRA.issue_token(CLIENT, BASE), int(time.time()) + 3600)

    def close(self) -> None: ...


class Line(httpx.AsyncBaseTransport):
    """Leads to both stand-ins. The process dies at call `die_at`, before or after it is executed."""

    def __init__(self, d365: D365StandIn, salesforce: SalesforceStandIn) -> None:
        self._d365 = httpx.ASGITransport(d365.app)
        self._salesforce = httpx.ASGITransport(salesforce.app)
        self.die_at = 0
        self.after = False
        self.calls: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_salesforce = str(request.url).startswith(URL)
        line = self._salesforce if is_salesforce else self._d365
        if "/sandbox/" in request.url.path or "oauth2" in request.url.path:
            return await line.handle_async_request(request)
        self.calls.append(f"{request.method} {request.url.path}")
        dies = len(self.calls) == self.die_at
        if dies and not self.after:
            raise Crash
        answer = await line.handle_async_request(request)
        if dies:
            await answer.aread()
            raise Crash
        return answer


class World:
    def __init__(self) -> None:
        self.salesforce = SalesforceStandIn(private_key_pem=KEY)
        self.line = Line(D365StandIn(entra=ENTRA), self.salesforce)
        self.blobs = JobBlobs()
        self.failures: dict[str, str] = {}

    def job(self, http: httpx.AsyncClient) -> PriceJob:
        """As a new process builds it."""
        org = self.salesforce
        volume = VolumeSettings(bulk_threshold=4, bulk_poll=0.01)
        given = SalesforceSettings(
            login_url=URL,
            client_id=org.client_id,
            auth="client_credentials",
            client_secret=org.client_secret,
        )
        client = SalesforceClient(given, http, retries=CallRetries(tries=1, delay=0))
        d365 = D365Client(d365_settings(), http, credential=Credential(), tries=1)
        prices = load_customisation(FILE).prices
        rules, products = PriceRules(prices, "usmf"), ProductMapping(prices)
        odata = ODataPriceSource(
            d365, ("usmf",), products.source_fields(), sales_stop=False, page=4
        )
        return PriceJob(
            self.blobs,
            Reading(
                self.blobs,
                PushedTable(self.blobs, "prices"),
                d365,
                odata,
                Exporting(self.blobs, PackageExport(PackageApi(d365), self.blobs, volume)),
                volume,
                d365_settings(),
                prices,
            ),
            CollectionsPriceTarget(
                client, [rule.book for rule in rules.rules], products.target_fields()
            ),
            BulkLoad(client, self.blobs, volume),
            prices,
            rules,
            volume=volume,
        )

    async def run(self, *, die_at: int = 0, after: bool = False) -> dict[str, int]:
        """One run to its end, in a new process after a crash; the counts of the steps that were saved."""
        self.line.die_at, self.line.after = die_at, after
        self.line.calls.clear()
        self.failures.clear()
        counts: dict[str, int] = {}
        position: dict[str, Any] = {}
        async with httpx.AsyncClient(transport=self.line) as http:
            job = self.job(http)
            for _ in range(300):
                try:
                    progress = await job.step(json.loads(json.dumps(position)))
                except (Crash, IntegrationError):
                    job = self.job(http)
                    continue
                for name, count in progress.counts.items():
                    counts[name] = counts.get(name, 0) + count
                self.failures |= {each.key: each.reason for each in progress.failures}
                if progress.done:
                    return counts
                position = progress.position
                await asyncio.sleep(min(progress.delay, 0.01))
        raise AssertionError(f"the job never ends: {self.line.calls[-10:]}")

    async def put(self, url: str, body: Any, method: str = "POST") -> None:
        async with httpx.AsyncClient(transport=self.line) as http:
            answer = await http.request(method, url, json=body)
            assert answer.is_success, answer.text

    async def prices(self, price: int, items: list[str]) -> None:
        rows = [
            {"dataAreaId": "usmf", "ItemNumber": item, "ProductNumber": item,
             "ProductSearchName": item, "SalesPrice": price, "SalesPriceQuantity": 1}
            for item in items
        ]  # fmt: skip
        await self.put(f"{BASE}/sandbox/state/ReleasedProductsV2", rows)

    def entries(self) -> dict[str, float]:
        rows = self.salesforce.org.store.tables["PricebookEntry"].rows.values()
        return {row["D365_Key__c"]: row["UnitPrice"] for row in rows if row["IsActive"]}


@pytest.fixture
async def world() -> World:
    found = World()
    for name in ("ReleasedProductsV2", "SalesPriceAgreements"):
        await found.put(f"{BASE}/sandbox/state/{name}", None, "DELETE")
    rule = {"object": "Product2", "field": "Name", "regex": f"^{REFUSED}$", "message": "no"}
    await found.put(f"{URL}/sandbox/validation-rules", [rule], "PUT")
    await found.put(f"{URL}/sandbox/bulk", {"start_seconds": 0}, "PUT")
    return found


@pytest.mark.parametrize("after", [False, True])
async def test_wherever_the_process_dies_the_run_ends_right(world: World, *, after: bool) -> None:
    """Each round changes all prices and adds an item; an entry disappears, and one item is always refused."""
    items, price = list(ITEMS), 10
    await world.prices(price, items)
    await world.run()
    deaths = 0
    while True:
        deaths += 1
        price += 1
        items.append(f"D{deaths:03}")
        await world.prices(price, items)
        victim = f"Direct Sales|{items[deaths % 4]}|USD"
        rows = world.salesforce.org.store.tables["PricebookEntry"].rows
        [gone] = [key for key, row in rows.items() if row["D365_Key__c"] == victim]
        await world.put(f"{URL}/sandbox/state/PricebookEntry/{gone}", None, "DELETE")
        await world.run(die_at=deaths, after=after)
        good = [item for item in items if item != REFUSED]
        expected = {
            f"{book}|{item}|USD": price for item in good for book in ("standard", "Direct Sales")
        }
        assert world.entries() == expected, world.line.calls
        assert world.failures == {REFUSED: "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
        made = len(world.line.calls)
        counts = await world.run()
        assert counts["unchanged"] == len(good)
        if deaths > made:
            break
    assert deaths > 20
