"""The world's words for opportunities, their lines and sales orders."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sandbox.stack import Sandbox
from tests.end_to_end.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ITEMS = ("D0001", "D0002", "D0003")
Line = tuple[str, float, float]  # item, quantity, unit price


@asynccontextmanager
async def new_order_world(lock_seconds: float = 60, **settings: str) -> AsyncIterator[OrderWorld]:
    """Started, with Salesforce telling the app of accounts and opportunities, and products to sell."""
    sandbox = Sandbox(settings=settings, lock_seconds=lock_seconds)
    world = OrderWorld(sandbox)
    async with sandbox:
        await sandbox.subscribe("Account", "Opportunity")
        await world.stock_price_book()
        yield world


class OrderWorld(World):
    entries: dict[str, str]

    async def insert(self, object_name: str, *rows: dict[str, Any]) -> list[str]:
        """Ids; nobody is told."""
        url = f"{self.sandbox.salesforce.url}/sandbox/state/{object_name}"
        answer = await self.sandbox.http.post(url, json=list(rows), params={"events": "false"})
        assert answer.is_success, answer.text
        return list(answer.json()["ids"])

    async def edit(self, object_name: str, key: str, *, events: bool = True, **fields: Any) -> None:
        url = f"{self.sandbox.salesforce.url}/sandbox/state/{object_name}/{key}"
        params = {} if events else {"events": "false"}
        answer = await self.sandbox.http.patch(url, json=fields, params=params)
        assert answer.is_success, answer.text

    async def remove(self, object_name: str, key: str) -> None:
        url = f"{self.sandbox.salesforce.url}/sandbox/state/{object_name}/{key}"
        (await self.sandbox.http.delete(url)).raise_for_status()

    async def stock_price_book(self) -> None:
        self.entries = {}
        [book] = [row for row in await self._rows("salesforce", "Pricebook2") if row["IsStandard"]]
        for item in (*ITEMS, "NOT-RELEASED"):
            [product] = await self.insert(
                "Product2",
                {"Name": f"Product {item}", "D365_Item_Number__c": item, "IsActive": True},
            )
            entry = {
                "Pricebook2Id": book["Id"], "Product2Id": product, "UnitPrice": 100,
                "CurrencyIsoCode": "EUR", "IsActive": True,
            }  # fmt: skip
            [self.entries[item]] = await self.insert("PricebookEntry", entry)

    async def open_deal(self, account: str, *lines: Line, **fields: Any) -> str:
        """An opportunity that is still open."""
        deal = {
            "AccountId": account, "Name": f"Deal {uuid.uuid4().hex[:8]}", "StageName": "Proposal",
            "CloseDate": "2025-06-30", "CurrencyIsoCode": "EUR", **fields,
        }  # fmt: skip
        [key] = await self.insert("Opportunity", deal)
        await self.add_lines(key, *lines)
        return key

    async def add_lines(self, deal: str, *lines: Line) -> list[str]:
        rows = [
            {"OpportunityId": deal, "PricebookEntryId": self.entries[item], "Quantity": quantity,
             "UnitPrice": price, "SortOrder": number}
            for number, (item, quantity, price) in enumerate(lines)
        ]  # fmt: skip
        return await self.insert("OpportunityLineItem", *rows) if rows else []

    async def win(self, account: str, *lines: Line, **fields: Any) -> str:
        key = await self.open_deal(account, *lines, **fields)
        await self.edit("Opportunity", key, StageName="Closed Won")
        return key

    async def win_settled(self, account: str, *lines: Line, **fields: Any) -> str:
        """Its order exists and is reported; the calls so far are forgotten."""
        key = await self.win(account, *lines, **fields)
        await self.settled()
        assert (await self.deal(key))["D365_Status__c"] == "Ordered"
        self.forget_calls()
        return key

    async def deal(self, key: str) -> dict[str, Any]:
        [row] = await self._rows("salesforce", "Opportunity", Id=key)
        return row

    def ordered_by_now(self, deal: str) -> bool:
        """Whether the Opportunity holds its number."""
        row = self.sandbox.salesforce.org.store.tables["Opportunity"].rows[deal]
        return bool(row.get("D365_Order_Number__c"))

    async def line_items(self, deal: str) -> list[dict[str, Any]]:
        return await self._rows("salesforce", "OpportunityLineItem", OpportunityId=deal)

    async def orders(self, deal: str) -> list[dict[str, Any]]:
        """Whichever way they carry the opportunity, in every company."""
        text = f"SalesforceOpportunityId eq '{deal}' or SalesOrderNumber eq '{deal}'"
        return await self._rows("d365", "SalesOrderHeadersV2", filter_=text)

    async def order(self, deal: str) -> dict[str, Any]:
        found = await self.orders(deal)
        assert len(found) == 1, f"{deal} has {len(found)} orders"
        return found[0]

    async def order_lines(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        text = f"SalesOrderNumber eq '{order['SalesOrderNumber']}'"
        return await self._rows("d365", "SalesOrderLines", filter_=text)

    async def put_order(self, **header: Any) -> None:
        """As if it had been made in F&O."""
        await self.put("d365", "state/SalesOrderHeadersV2", header, method="POST")

    async def is_ordered(self, deal: str) -> bool:
        """Exactly one order with exactly the opportunity's lines, and both sides know."""
        order, opportunity = await self.order(deal), await self.deal(deal)
        items = await self.line_items(deal)
        lines = await self.order_lines(order)
        wanted = sorted((item["Id"], item["Quantity"], item["TotalPrice"]) for item in items)
        found = sorted(
            (line["SalesforceLineId"], line["OrderedSalesQuantity"], line["LineAmount"])
            for line in lines
        )
        assert found == wanted
        assert opportunity["D365_Order_Number__c"] == order["SalesOrderNumber"]
        assert opportunity["D365_Status__c"] == "Ordered"
        assert not opportunity.get("D365_Error__c")
        assert self.letters(deal) == []
        return True

    def tell_of(self, deal: str, account: str | None = None) -> dict[str, Any]:
        return {**self.event(deal), "entity": "Opportunity", "parentId": account}
