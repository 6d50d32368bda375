"""Fills the org with many rows in seconds: accounts as people enter them, products, standard prices.

Rows are written through the org as the clerk, without telling subscribers, a slice at a time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.changes import Actor
from sandbox.salesforce.generate import generate_accounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sandbox.salesforce.org import Org

SLICE = 500


async def seed(
    org: Org,
    *,
    accounts: int = 0,
    products: int = 0,
    standard_prices: bool = False,
    numbered: bool = False,
    legal_entities: Sequence[str] = ("USMF",),
    seed: int = 0,
) -> dict[str, int]:
    """Accounts of `generate_accounts`; with `numbered` they carry D365_Customer_Number__c C-000001….

    Products are active and have D365_Item_Number__c I-000001…; `standard_prices` gives each an active
    EUR price in the standard price book. Returns how many rows were written, by object.
    """
    bodies = await asyncio.to_thread(generate_accounts, accounts, seed, legal_entities)
    if numbered:
        for number, body in enumerate(bodies, 1):
            body["D365_Customer_Number__c"] = f"C-{number:06d}"
    await _insert(org, "Account", bodies)
    items: list[dict[str, Any]] = [
        {
            "Name": f"Item {number}",
            "ProductCode": f"I-{number:06d}",
            "D365_Item_Number__c": f"I-{number:06d}",
            "IsActive": True,
        }
        for number in range(1, products + 1)
    ]
    made = await _insert(org, "Product2", items)
    prices: list[dict[str, Any]] = []
    if standard_prices:
        book = standard_book(org)
        prices = [
            {"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 100, "IsActive": True}
            for product in made
        ]
    await _insert(org, "PricebookEntry", prices)
    return {"Account": accounts, "Product2": products, "PricebookEntry": len(prices)}


def standard_book(org: Org) -> str:
    books = org.store.tables["Pricebook2"].rows.values()
    return str(next(book["Id"] for book in books if book["IsStandard"]))


async def _insert(org: Org, object_name: str, bodies: Iterable[dict[str, Any]]) -> list[str]:
    obj, actor = org.schema.objects[object_name], Actor(org.users.clerk, allow_save=True)
    made = []
    for body in bodies:
        made.append(org.insert(actor, obj, body))
        if len(made) % SLICE == 0:
            org.commit(announce=False)
            await asyncio.sleep(0)
    org.commit(announce=False)
    return made
