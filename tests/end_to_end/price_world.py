"""A sandbox for products and prices: rows of F&O, runs of the job, and what Salesforce holds afterwards."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from azure.storage.blob import ContainerClient

from integration.jobs.store import JobStore
from integration.state.blobs import BlobState
from sandbox.stack import MASTER_KEY, Sandbox
from tests.end_to_end.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.jobs.state import JobState

MAPPING = """
[prices]
base_currencies = {{ usmf = "USD" }}
time_zone = "{zone}"
inactive = {{ ProductLifecycleStateId = ["Obsolete"] }}

[prices.books."Direct Sales"]
group = "DIRECT"
"""
WEST, EAST = "Etc/GMT+12", "Etc/GMT-14"  # 26 hours apart: never the same day
_records = itertools.count(1)


class Prices:
    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self._files = {}
        for zone in (WEST, EAST, "UTC"):
            path = folder / f"{zone.replace('/', '_')}.toml"
            path.write_text(MAPPING.format(zone=zone))
            self._files[zone] = str(path)
        container = ContainerClient.from_connection_string(
            world.sandbox.storage.connection_string, "integration-state"
        )
        self.container = container
        self.jobs = JobStore(BlobState(container))

    def settings(self, zone: str = "UTC", **more: str) -> dict[str, str]:
        return {"MAPPING_FILE": self._files[zone], "JOB_STEP_SECONDS": "7", **more}

    async def product(self, **fields: Any) -> str:
        item = fields.pop("ItemNumber", None) or f"P{uuid.uuid4().hex[:10].upper()}"
        row = {"dataAreaId": "usmf", "ItemNumber": item, "ProductNumber": item,
               "ProductSearchName": f"Name of {item}", "SalesUnitSymbol": "ea",
               "SalesPrice": 100, "SalesPriceQuantity": 1, **fields}  # fmt: skip
        await self.world.put("d365", "state/ReleasedProductsV2", row, method="POST")
        return item

    async def agreement(self, item: str, price: float, **fields: Any) -> dict[str, Any]:
        row = {"dataAreaId": "usmf", "RecordId": next(_records), "ItemNumber": item,
               "ItemCode": "Table", "AccountCode": "All", "Price": price, "SalesPriceQuantity": 1,
               "PriceCurrencyCode": "USD", "QuantityUnitySymbol": "ea", **fields}  # fmt: skip
        await self.world.put("d365", "state/SalesPriceAgreements", row, method="POST")
        return row

    async def group_price(self, item: str, price: float, **fields: Any) -> dict[str, Any]:
        group = {
            "AccountCode": "GroupId",
            "PriceCustomerGroupCode": "DIRECT",
            "AccountRelation": "DIRECT",
        }
        return await self.agreement(item, price, **group, **fields)

    async def start(self) -> None:
        answer = await self.world.sandbox.http.post(
            f"{self.world.sandbox.app_url}/admin/functions/sync_prices",
            headers={"x-functions-key": MASTER_KEY},
            json={"input": ""},
        )
        assert answer.status_code == 202, answer.text

    async def run(self, timeout: float = 30) -> JobState:
        """One run by the timer, to its end."""
        before = {job.id for job in await self.jobs.runs("prices")}
        await self.start()
        new: list[JobState] = []
        try:
            async with asyncio.timeout(timeout):
                while not new or new[0].is_running:
                    await asyncio.sleep(0.1)
                    new = [j for j in await self.jobs.runs("prices") if j.id not in before]
        except TimeoutError:
            raise AssertionError(f"the job did not end: {new[:1]}") from None
        return new[0]

    async def full_run(self) -> JobState:
        """A run that finds its last full refresh too long ago."""
        self.container.delete_blob("prices/last-full.json")
        return await self.run()

    async def product_in_salesforce(self, item: str) -> dict[str, Any] | None:
        rows = await self.world._rows("salesforce", "Product2", D365_Item_Number__c=item)
        assert len(rows) < 2
        return rows[0] if rows else None

    async def entries(self, item: str) -> dict[str, tuple[Decimal, bool]]:
        """Key → price and activity, of the item's entries."""
        product = await self.product_in_salesforce(item)
        assert product is not None
        rows = await self.world._rows("salesforce", "PricebookEntry", Product2Id=product["Id"])
        return {r["D365_Key__c"]: (Decimal(str(r["UnitPrice"])), r["IsActive"]) for r in rows}

    async def edit(self, object_name: str, key: str, **fields: Any) -> None:
        """As a person does in Salesforce."""
        await self.world.put("salesforce", f"state/{object_name}/{key}", fields, method="PATCH")

    async def entry_id(self, key: str) -> str:
        rows = await self.world._rows("salesforce", "PricebookEntry", D365_Key__c=key)
        return str(rows[0]["Id"])

    def writes(self) -> list[tuple[str, str]]:
        """Everything but reads that went to Salesforce."""
        calls = self.world.salesforce.calls
        return [(c.method, c.path) for c in calls if c.method == "PATCH"]


@asynccontextmanager
async def new_prices(
    folder: Path, *, emptied: bool = False, **settings: str
) -> AsyncIterator[Prices]:
    """`folder`: for the mapping files; `emptied`: without the products and prices F&O has at first."""
    # A short lock: the message of a killed app comes back after that.
    sandbox = Sandbox(lock_seconds=4)
    world = World(sandbox)  # before the start: it taps the lines
    async with sandbox:
        prices = Prices(world, folder)
        if emptied:
            for name in ("ReleasedProductsV2", "SalesPriceAgreements"):
                await world.put("d365", f"state/{name}", None, method="DELETE")
        await world.run_with(**prices.settings(**settings))
        try:
            yield prices
        finally:
            prices.container.close()
