"""The world's words for what people delete, bring back and merge in Salesforce."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sandbox import topology
from sandbox.stack import Sandbox
from tests.end_to_end.order_world import OrderWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OBJECTS = ("Account", "Contact", "Opportunity")


@asynccontextmanager
async def new_gone_world(lock_seconds: float = 60, **settings: str) -> AsyncIterator[GoneWorld]:
    sandbox = Sandbox(settings=settings, lock_seconds=lock_seconds)
    world = GoneWorld(sandbox)
    async with sandbox:
        await sandbox.subscribe(*OBJECTS)
        await world.stock_price_book()
        yield world


class GoneWorld(OrderWorld):
    async def a_second_later(self) -> None:
        """Salesforce's times are whole seconds; two changes in one cannot be told apart by them."""
        await asyncio.sleep(1.02 - time.time() % 1)

    async def undelete(self, object_name: str, key: str) -> None:
        await self.put("salesforce", f"state/{object_name}/{key}/undelete", {}, method="POST")

    async def merge_into(
        self, master: str, *losers: str, object_name: str = "Account", events: bool = True
    ) -> None:
        path = f"state/{object_name}/{master}/merge"
        path += "" if events else "?events=false"
        await self.put("salesforce", path, {"merged": list(losers)}, method="POST")

    async def tell_of_object(self, object_name: str, *keys: str) -> None:
        event = {**self.event(*keys), "entity": object_name}
        assert (await self.sandbox.post_event(event)).status_code == 202

    async def tell_at_once(self, *keys: str, object_name: str = "Account") -> None:
        """In this order; nothing is handled before all hints wait."""
        self.sandbox.broker.pause(topology.CHANGES)
        for key in keys:
            await self.tell_of_object(object_name, key)
        self.sandbox.broker.resume(topology.CHANGES)
        await self.settled()

    async def tell_in_turn(self, *keys: str, object_name: str = "Account") -> None:
        for key in keys:
            await self.tell_of_object(object_name, key)
            await self.settled()

    async def number(self, account: str) -> str:
        return str((await self.account(account))["D365_Customer_Number__c"])

    async def customer_numbered(self, number: str) -> dict[str, Any]:
        [row] = await self._rows("d365", "CustomersV3", filter_=f"CustomerAccount eq '{number}'")
        return row

    async def customer_count(self) -> int:
        return len(await self._rows("d365", "CustomersV3"))

    async def edit_customer(self, number: str, **fields: Any) -> None:
        """As a person in F&O."""
        row = await self.customer_numbered(number)
        kept = {name: value for name, value in row.items() if not name.startswith("@")}
        await self.add_customer(**{**kept, **fields})

    async def contact_of(self, account: str, **fields: Any) -> str:
        """Its contact person exists."""
        own = uuid.uuid4().hex[:8]
        row = {"AccountId": account, "LastName": f"Weiß {own}", "Email": f"{own}@example.com"}
        [key] = await self.insert("Contact", {**row, **fields})
        await self.tell_of_object("Contact", key)
        await self.settled()
        assert len(await self.persons(key)) == 1
        return key

    async def persons(self, contact: str) -> list[dict[str, Any]]:
        text = f"SalesforceContactId eq '{contact}'"
        return await self._rows("d365", "ContactPersons", filter_=text)

    async def contact(self, key: str) -> dict[str, Any]:
        [row] = await self._rows("salesforce", "Contact", Id=key)
        return row
