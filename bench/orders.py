"""API calls of one won opportunity with 20 lines, with each way of numbering; its customer exists.

Both systems are counted, the write-back included, in a process that has signed in and asked for the
descriptions (it does so once in five minutes, whatever the number of records).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.calls import Calls, forget_calls
from sandbox.stack import COMPANY, Sandbox

if TYPE_CHECKING:
    from bench.result import Row

LINES = 20
PROMISED = {"opportunity-id": 5, "sequence": 7}


@dataclass(frozen=True)
class Measured:
    numbering: str
    calls: Calls


async def rows() -> list[Row]:
    return [
        run.calls.row(
            f"API calls for a won opportunity with {LINES} lines, ORDER_NUMBERING={run.numbering}",
            PROMISED[run.numbering],
        )
        for run in await measure()
    ]


async def measure() -> list[Measured]:
    """One per numbering. Raises RuntimeError if an order is not as it should be."""
    return [await _measure(numbering) for numbering in PROMISED]


async def _measure(numbering: str) -> Measured:
    async with Sandbox(settings={"ORDER_NUMBERING": numbering}) as sandbox:
        await sandbox.subscribe("Opportunity")
        seller = _Seller(sandbox)
        await seller.prepare()
        await seller.win()  # makes the customer, and leaves a process that is warm
        forget_calls(sandbox)
        number = await seller.win()
        measured = Measured(numbering, Calls.of(sandbox))
        lines = sandbox.d365.environment.store.tables["SalesOrderLinesV3"].find(
            "SalesOrderNumber", number
        )
        if len(lines) != LINES:
            raise RuntimeError(f"order {number} has {len(lines)} lines instead of {LINES}")
        return measured


class _Seller:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._account = ""
        self._entry = ""

    async def prepare(self) -> None:
        """An account, and a price book entry of an item that is released in F&O."""
        [self._account] = await self._insert(
            "Account", {"Name": "Bench & Sons", "CurrencyIsoCode": "EUR"}
        )
        items = self._sandbox.d365.environment.store.tables["ReleasedProductsV2"].rows.values()
        item = next(
            row.values["ItemNumber"] for row in items if row.values["dataAreaId"] == COMPANY
        )
        books = self._sandbox.salesforce.org.store.tables["Pricebook2"].rows.values()
        book = next(row["Id"] for row in books if row["IsStandard"])
        [product] = await self._insert(
            "Product2", {"Name": "Bench", "D365_Item_Number__c": item, "IsActive": True}
        )
        entry = {"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 10}
        extra = {"CurrencyIsoCode": "EUR", "IsActive": True}
        [self._entry] = await self._insert("PricebookEntry", entry | extra)

    async def win(self) -> str:
        """The number of the order that a new won opportunity of 20 lines got."""
        [deal] = await self._insert(
            "Opportunity",
            {
                "AccountId": self._account,
                "Name": "Bench",
                "StageName": "Proposal",
                "CloseDate": "2025-06-30",
                "CurrencyIsoCode": "EUR",
            },
        )
        line = {"OpportunityId": deal, "PricebookEntryId": self._entry, "UnitPrice": 10}
        await self._insert(
            "OpportunityLineItem", *({**line, "Quantity": n} for n in range(1, LINES + 1))
        )
        url = f"{self._sandbox.salesforce.url}/sandbox/state/Opportunity/{deal}"
        answer = await self._sandbox.http.patch(url, json={"StageName": "Closed Won"})
        answer.raise_for_status()
        await self._sandbox.settled(60)
        row = self._sandbox.salesforce.org.store.tables["Opportunity"].rows[deal]
        if row.get("D365_Status__c") != "Ordered":
            raise RuntimeError(f"not ordered: {row.get('D365_Error__c')}")
        return str(row["D365_Order_Number__c"])

    async def _insert(self, object_name: str, *rows: dict[str, Any]) -> list[str]:
        url = f"{self._sandbox.salesforce.url}/sandbox/state/{object_name}"
        answer = await self._sandbox.http.post(url, json=list(rows), params={"events": "false"})
        return list(answer.raise_for_status().json()["ids"])
