"""Products and prices of F&O become products and price book entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.demo.logbook import counts_of
from sandbox.demo.scene import Scene
from sandbox.verification.prices import price_differences

if TYPE_CHECKING:
    from sandbox.demo.stage import Stage


class PriceScene(Scene):
    """Two runs: the first pushes all of it, the second what has changed and what was refused before."""

    title = "products, prices"
    trigger = "timer sync_prices, twice"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._inactive: list[str] = []
        self._refused = 0

    async def run(self) -> None:
        stage = self.stage
        wanted = {"company": "usmf", "seed": stage.seed, "products": 40, "prices": 3, "stock": True}
        await stage.d365("POST", "generate", wanted)
        products = [
            row
            for row in await stage.rows("d365", "ReleasedProductsV2")
            if row["dataAreaId"] == "usmf" and row["ItemNumber"].startswith("P0")
        ]
        odd, obsolete, dearer = products[:3]
        rule = {"object": "Product2", "field": "ProductCode", "regex": odd["ItemNumber"]}
        await stage.salesforce("PUT", "validation-rules", [{**rule, "message": "not this one"}])
        first, seconds = await stage.timer("sync_prices", "prices")
        self._refused = counts_of(first).get("failed", 0)
        await stage.salesforce("PUT", "validation-rules", [])
        key = {name: obsolete[name] for name in ("dataAreaId", "ItemNumber")}
        await stage.d365(
            "PATCH", "state/ReleasedProductsV2", {**key, "ProductLifecycleStateId": "Obsolete"}
        )
        key = {name: dearer[name] for name in ("dataAreaId", "ItemNumber")}
        price = {**key, "SalesPrice": 1234.56, "ProductSearchName": "Dearer and renamed"}
        await stage.d365("PATCH", "state/ReleasedProductsV2", price)
        self._inactive = [obsolete["ItemNumber"]]
        second, again = await stage.timer("sync_prices", "prices")
        counts = counts_of(second)
        self.own.records = counts.get("read", 0)
        self.own.synced = counts.get("read", 0) - counts.get("failed", 0)
        self.own.skipped = sum(n for name, n in counts.items() if name.startswith("skipped:"))
        self.own.retried = self._refused
        self.own.slowest = max(seconds, again)

    async def problems(self) -> list[str]:
        found = await price_differences(self.stage.sandbox, inactive=self._inactive)
        if self._refused != 1:
            found.append(f"{self._refused} products were refused in the first run, should be 1")
        return found + self.counted(records=45, synced=45)
