"""Won opportunities become sales orders, or tell the salesperson why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.demo.scene import Scene
from sandbox.verification.orders import order_differences

if TYPE_CHECKING:
    from sandbox.demo.stage import Row, Stage

_NOT_RELEASED = "NOT-RELEASED"


class OrderScene(Scene):
    title = "orders"
    trigger = "Salesforce JSON events"
    flows = ("orders",)

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._reviews: dict[str, tuple[str, str]] = {}  # key → reason, words on the opportunity
        self._old = ""

    async def run(self) -> None:
        stage = self.stage
        entries = await self._entries()
        wrong = await self._not_released()
        buyers = stage.dice.sample(stage.accounts, 6)
        deals = [
            await self._deal(buyers[0], entries[:4]),
            await self._deal(buyers[1], entries[2:5], discount=10),
            await self._deal(buyers[2], entries[5:6]),
            await self._deal(buyers[3], entries[:1], CloseDate="2024-12-31"),
            await self._deal(buyers[4], [entries[0], wrong]),
            await self._deal(buyers[5], []),
        ]
        self._old = deals[3]
        self._reviews = {
            deals[4]: ("unknown-items", f"item {_NOT_RELEASED} does not exist"),
            deals[5]: ("no-lines", "has no products"),
        }
        for key, (reason, _) in self._reviews.items():
            stage.letters[key] = ("review", reason)
        stage.orders = deals[:3]
        for deal in deals:
            await stage.update("Opportunity", deal, StageName="Closed Won")
        await stage.settled()

    async def _entries(self) -> list[Row]:
        """Entries in dollars of the standard price book, as the price flow has made them."""
        stage = self.stage
        released = {
            row["ItemNumber"]: row for row in await stage.rows("d365", "ReleasedProductsV2")
        }
        sold = {
            row["Id"]: released.get(row["D365_Item_Number__c"], {})
            for row in await stage.rows("salesforce", "Product2")
            if row["IsActive"]
        }
        found = [
            entry
            for entry in await stage.rows("salesforce", "PricebookEntry")
            if entry["CurrencyIsoCode"] == "USD"
            and entry["IsActive"]
            and str(entry["D365_Key__c"]).startswith("standard|")
            and sold.get(entry["Product2Id"], {}).get("ProductSubType") == "Product"
            and entry["UnitPrice"] > 1
        ]
        return stage.dice.sample(found, 6)

    async def _not_released(self) -> Row:
        """A product that a person has typed in."""
        stage = self.stage
        books = await stage.rows("salesforce", "Pricebook2")
        [book] = [row["Id"] for row in books if row["IsStandard"]]
        product = {
            "Name": "Typed by hand", "D365_Item_Number__c": _NOT_RELEASED, "IsActive": True,
        }  # fmt: skip
        [product_id] = await stage.insert("Product2", product, events=False)
        entry = {
            "Pricebook2Id": book, "Product2Id": product_id, "UnitPrice": 10,
            "CurrencyIsoCode": "USD", "IsActive": True,
        }  # fmt: skip
        [key] = await stage.insert("PricebookEntry", entry, events=False)
        return {**entry, "Id": key}

    async def _deal(
        self, account: str, entries: list[Row], *, discount: float | None = None, **fields: Any
    ) -> str:
        """Still open, with its lines."""
        dice = self.stage.dice
        deal = {
            "AccountId": account, "Name": f"Deal {dice.randrange(10**6):06d}",
            "StageName": "Proposal", "CloseDate": "2025-06-30", "CurrencyIsoCode": "USD", **fields,
        }  # fmt: skip
        [key] = await self.stage.insert("Opportunity", deal, events=False)
        lines = [
            {
                "OpportunityId": key, "PricebookEntryId": entry["Id"], "SortOrder": number,
                "Quantity": dice.randrange(1, 20), "UnitPrice": entry["UnitPrice"],
                **({"Discount": discount} if discount else {}),
            }
            for number, entry in enumerate(entries)
        ]  # fmt: skip
        if lines:
            await self.stage.insert("OpportunityLineItem", *lines, events=False)
        return key

    async def problems(self) -> list[str]:
        found = await order_differences(self.stage.sandbox, ordered=self.stage.orders)
        deals = {row["Id"]: row for row in await self.stage.rows("salesforce", "Opportunity")}
        for key, (_, words) in self._reviews.items():
            text = str(deals[key]["D365_Error__c"])
            if deals[key]["D365_Status__c"] != "Needs review" or words not in text:
                found.append(f"{key}: does not tell the salesperson that it {words}: {text!r}")
        if deals[self._old]["D365_Status__c"]:
            found.append(f"{self._old}: from before the cut-over, but has a status")
        return found + self.counted(records=6, synced=3, skipped=1, review=2)
