"""A client of Bulk API 2.0 that only sends what a test says, against a stand-in on a real socket."""

from __future__ import annotations

import asyncio
import csv
import io
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest_asyncio

from sandbox.salesforce import SalesforceStandIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = "/services/data/v62.0"
ACCOUNT_KEY = "D365_Customer_Number__c"
ITEM_KEY = "D365_Item_Number__c"
PRICE_KEY = "D365_Key__c"
OVER = ("JobComplete", "Failed", "Aborted")


class Client:
    def __init__(self, standin: SalesforceStandIn, http: httpx.AsyncClient) -> None:
        self.standin = standin
        self.http = http

    async def log_in(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.standin.client_id,
            "client_secret": self.standin.client_secret,
        }
        answer = await self.http.post("/services/oauth2/token", data=form)
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    async def settings(self, **given: Any) -> None:
        (await self.http.put("/sandbox/bulk", json=given)).raise_for_status()

    async def fault(self, **given: Any) -> None:
        (await self.http.post("/sandbox/bulk/faults", json=given)).raise_for_status()

    async def insert(self, object_name: str, *rows: dict[str, Any]) -> list[str]:
        answer = await self.http.post(f"/sandbox/state/{object_name}", json=list(rows))
        answer.raise_for_status()
        return answer.json()["ids"]

    async def rows(self, object_name: str) -> list[dict[str, Any]]:
        return (await self.http.get(f"/sandbox/state/{object_name}")).json()

    async def create(self, object_name: str, operation: str, **more: Any) -> str:
        body = {"object": object_name, "operation": operation, "contentType": "CSV", **more}
        answer = await self.http.post(f"{ROOT}/jobs/ingest", json=body)
        assert answer.status_code == 200, answer.text
        return f"{ROOT}/jobs/ingest/{answer.json()['id']}"

    async def upload(self, job: str, text: str | bytes) -> httpx.Response:
        headers = {"Content-Type": "text/csv; charset=UTF-8"}
        return await self.http.put(f"{job}/batches", content=text, headers=headers)

    async def close(self, job: str) -> httpx.Response:
        return await self.http.patch(job, json={"state": "UploadComplete"})

    async def started(self, object_name: str, operation: str, text: str, **more: Any) -> str:
        """A job that is uploaded and closed; its URL."""
        job = await self.create(object_name, operation, **more)
        assert (await self.upload(job, text)).status_code == 201
        assert (await self.close(job)).json()["state"] == "UploadComplete"
        return job

    async def until(self, job: str, *states: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                info = (await self.http.get(job)).json()
                if info["state"] in (states or OVER):
                    return info
                await asyncio.sleep(0.005)

    async def loaded(
        self, object_name: str, operation: str, text: str, **more: Any
    ) -> tuple[str, dict[str, Any]]:
        """A job that ran to its end: URL and description."""
        job = await self.started(object_name, operation, text, **more)
        return job, await self.until(job)

    async def results(self, job: str, name: str) -> list[dict[str, str]]:
        answer = await self.http.get(f"{job}/{name}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/csv")
        return read_csv(answer.text)

    async def errors(self, job: str) -> list[str]:
        return [row["sf__Error"] for row in await self.results(job, "failedResults")]

    async def query(self, soql: str, operation: str = "query", **more: Any) -> str:
        body = {"operation": operation, "query": soql, **more}
        answer = await self.http.post(
            f"{ROOT}/jobs/query", json=body, headers={"Accept": "text/csv"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "UploadComplete"
        return f"{ROOT}/jobs/query/{answer.json()['id']}"


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@asynccontextmanager
async def bulk_client() -> AsyncIterator[Client]:
    """One stand-in and one client."""
    async with (
        SalesforceStandIn() as standin,
        httpx.AsyncClient(base_url=standin.url, timeout=30) as http,
    ):
        yield Client(standin, http)


async def fresh(client: Client) -> Client:
    (await client.http.post("/sandbox/reset")).raise_for_status()
    await client.settings(start_seconds=0)
    await client.log_in()
    return client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Client]:
    """For all tests of a module; each of them takes it as `bulk`."""
    async with bulk_client() as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def bulk(shared: Client) -> Client:
    return await fresh(shared)
