"""What the tests of the Salesforce stand-in share: one key per module, clients over ASGI, fixtures."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from sandbox.salesforce import SalesforceStandIn
from sandbox.salesforce.server import new_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BASE = "http://salesforce.test"
ROOT = "/services/data/v62.0"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def connect(standin: SalesforceStandIn) -> httpx.AsyncClient:
    """A client without a token, over ASGI; the caller closes it."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=standin.app), base_url=BASE)


@asynccontextmanager
async def signed_in(standin: SalesforceStandIn) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(standin) as client:
        form = {"grant_type": JWT_BEARER, "assertion": standin.assertion()}
        token = (await client.post("/services/oauth2/token", data=form)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture(scope="module")
def key() -> str:
    """Takes a while to make."""
    return new_key()


@pytest.fixture
def standin(key: str) -> SalesforceStandIn:
    return SalesforceStandIn(private_key_pem=key)


@pytest.fixture
async def api(standin: SalesforceStandIn) -> AsyncIterator[httpx.AsyncClient]:
    async with signed_in(standin) as client:
        yield client
