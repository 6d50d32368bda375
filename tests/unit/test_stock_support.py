"""What the stock check's tests share: the F&O stand-in behind ASGI, with a gate before it. Holds no tests."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx

from integration.d365.client import D365Client
from integration.flows.stock import StockCheck
from sandbox.d365 import D365StandIn
from sandbox.entra import EntraStandIn
from sandbox.web import Fault
from tests.unit.account_support import settings_of
from tests.unit.test_d365_support import AccessToken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.settings import Settings
    from sandbox.web import Receive, Scope, Send

BASE = "https://d365.test"
CLIENT = "0f6c8d1e-52c1-4f4b-8f1b-6f0a4f3f7c12"


@cache
def entra() -> EntraStandIn:
    return EntraStandIn("5b0d2c8e-3a41-4c1c-9b34-0f6f0b8a1a78", {CLIENT: "secret"})


class Credential:
    def get_token(self, *scopes: str) -> AccessToken:
        return AccessToken(entra().issue_token(CLIENT, BASE), int(time.time() + 3600))

    def close(self) -> None: ...


class Dynamics:
    """The stand-in, what it was asked, and a gate that holds calls back while it is closed."""

    def __init__(self) -> None:
        self.stand_in = D365StandIn(entra=entra())
        self.bodies: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body.decode())
        self.arrived.set()
        await self.gate.wait()

        async def replay() -> Any:
            return {"type": "http.request", "body": body}

        await self.stand_in.app(scope, replay, send)

    @property
    def calls(self) -> int:
        return len(self.bodies)

    def fault(self, **fault: Any) -> None:
        self.stand_in.control.faults.append(Fault(**fault))

    async def put(self, entity_set: str, *rows: dict[str, Any]) -> None:
        transport = httpx.ASGITransport(self.stand_in.app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
            answer = await http.post(f"/sandbox/state/{entity_set}", json=list(rows))
            assert answer.is_success, answer.text

    async def stock(
        self, item: str, warehouse: str = "11", on_hand: float = 1, **more: Any
    ) -> None:
        """One variant of an item in one warehouse; all of it is free."""
        row = {
            "dataAreaId": "usmf",
            "ItemNumber": item,
            "InventorySiteId": warehouse[:1],
            "InventoryWarehouseId": warehouse,
            "OnHandQuantity": on_hand,
            "AvailableOnHandQuantity": on_hand,
            "TotalAvailableQuantity": on_hand,
        }
        await self.put("WarehousesOnHandV2", {**row, **more})

    async def item(self, number: str, company: str = "usmf") -> None:
        await self.put(
            "ReleasedProductsV2",
            {
                "dataAreaId": company,
                "ItemNumber": number,
                "ProductNumber": number.strip(),
                "InventoryUnitSymbol": "ea",
            },
        )


@asynccontextmanager
async def checking(
    dynamics: Dynamics, *, filter_terms: int = 20, tries: int = 1, **app: str
) -> AsyncIterator[tuple[StockCheck, Settings]]:
    settings = settings_of(**app)
    d365 = settings.d365.model_copy(update={"filter_terms": filter_terms})
    settings = settings.model_copy(update={"d365": d365})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(dynamics)) as http:
        client = D365Client(d365, http, credential=Credential(), tries=tries, delay=0.001)
        yield StockCheck(client, settings, clock=dynamics.clock), settings
        await client.close()
