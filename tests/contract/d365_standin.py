"""What the tests of the F&O stand-in share: a client over ASGI with a token, customers, fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sandbox.d365 import D365StandIn
from sandbox.entra import EntraStandIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BASE = "https://contoso.operations.dynamics.com"
CLIENT = "0f6c8d1e-52c1-4f4b-8f1b-6f0a4f3f7c11"
WRITE_EXCEPTION = "Microsoft.Dynamics.Platform.Integration.Services.OData.AxODataWriteException"


def new_entra() -> EntraStandIn:
    """Makes an RSA key, so once per module is enough."""
    return EntraStandIn("5b0d2c8e-3a41-4c1c-9b34-0f6f0b8a1a77", {CLIENT: "secret"})


def connect(d365: D365StandIn) -> httpx.AsyncClient:
    """A client with a token, over ASGI; the caller closes it."""
    headers = {"authorization": f"Bearer {d365.entra.issue_token(CLIENT, BASE)}"}
    transport = httpx.ASGITransport(d365.app)
    return httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)


@pytest.fixture(scope="module")
def entra() -> EntraStandIn:
    return new_entra()


@pytest.fixture
def d365(entra: EntraStandIn) -> D365StandIn:
    return D365StandIn(entra=entra)


@pytest.fixture
async def client(d365: D365StandIn) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(d365) as http:
        yield http


def customer(**changes: Any) -> dict[str, Any]:
    """The smallest create F&O accepts (contract 5.2)."""
    return {
        "dataAreaId": "usmf",
        "OrganizationName": "Forest Wholesales",
        "CustomerGroupId": "30",
        "SalesCurrencyCode": "USD",
        **changes,
    }


async def create(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/data/CustomersV3?cross-company=true", json=customer(**changes))
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def infolog(answer: httpx.Response) -> str:
    """The useful text of a refusal, after checking the envelope around it (contract 2.8)."""
    error = answer.json()["error"]
    assert error["code"] == ""
    assert error["message"] == "An error has occurred."
    inner = error["innererror"]
    assert inner["type"] == WRITE_EXCEPTION
    assert inner["stacktrace"]
    text: str = inner["message"]
    assert text.startswith("Write failed for table row of type '")
    return text
