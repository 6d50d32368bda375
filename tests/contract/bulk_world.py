"""The app's Bulk loads and queries, step by step, against the stand-in on a real socket."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest_asyncio

from integration.deadline import deadline
from integration.errors import Unreachable
from integration.salesforce.bulk_csv import encode_rows
from integration.salesforce.bulk_load import BulkLoad, LoadResult
from integration.salesforce.bulk_query import BulkQuery
from integration.salesforce.client import SalesforceClient
from integration.salesforce.repeats import CallRetries
from integration.settings import SalesforceSettings
from integration.settings.volume import VolumeSettings
from integration.state.spool import Spool
from tests.contract.bulk_support import ACCOUNT_KEY, Client, fresh
from tests.unit.test_jobs_support import JobBlobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


COLUMNS = [ACCOUNT_KEY, "Name", "Phone", "Description"]


class World:
    """A load or query of the app; each step starts from JSON, within the time that a step has."""

    def __init__(self, org: Client, http: httpx.AsyncClient, volume: VolumeSettings) -> None:
        standin = org.standin
        settings = SalesforceSettings(
            login_url=standin.url,
            audience="https://login.salesforce.com",
            client_id=standin.client_id,
            username=standin.username,
            private_key=standin.private_key_pem,
        )
        self.org = org
        self.blobs = JobBlobs()
        self.client = SalesforceClient(settings, http, retries=CallRetries(3, 0.01))
        self.load = BulkLoad(self.client, self.blobs, volume)
        self.query = BulkQuery(self.client, volume)

    async def upsert(self, *parts: list[tuple[str | None, ...]], **changes: Any) -> LoadResult:
        spool = Spool(self.blobs, "job/rows")
        for number, rows in enumerate(parts):
            await spool.put(number, encode_rows(rows))
        given = {
            "object": "Account",
            "columns": COLUMNS,
            "operation": "upsert",
            "external_id": ACCOUNT_KEY,
            "key": ACCOUNT_KEY,
            "name": "job",
        }
        position, troubles = self.load.begin("job/rows", **(given | changes)), 0
        for _ in range(500):
            try:
                with deadline(30):
                    advance = await self.load.advance(json.loads(json.dumps(position)))
            except Unreachable:  # the job that runs the load takes its step again
                troubles += 1
                assert troubles < 3
                continue
            if advance.result:
                return advance.result
            position = advance.position
        raise AssertionError("the load does not end")

    async def failures(self) -> list[dict[str, Any]]:
        spool = Spool(self.blobs, "job/failures")
        return [json.loads(line) async for part in spool.stream() for line in part.splitlines()]

    async def selected(self, soql: str, **options: Any) -> list[dict[str, Any]]:
        position, rows = self.query.begin(soql, **options), []
        for _ in range(500):
            advance = await self.query.advance(json.loads(json.dumps(position)))
            rows += advance.rows or []
            if advance.done:
                return rows
            position = advance.position
        raise AssertionError("the query does not end")

    async def fault(self, **given: Any) -> None:
        (await self.org.http.post("/sandbox/faults", json=given)).raise_for_status()

    async def accounts(self) -> dict[str, dict[str, Any]]:
        return {row[ACCOUNT_KEY]: row for row in await self.org.rows("Account")}


@asynccontextmanager
async def world_of(org: Client, **volume: Any) -> AsyncIterator[World]:
    async with httpx.AsyncClient() as http:
        yield World(org, http, VolumeSettings(**({"bulk_poll": 0.001} | volume)))


@pytest_asyncio.fixture(loop_scope="module")
async def org(shared: Client) -> Client:
    """With the fixture `shared` of bulk_support."""
    return await fresh(shared)


@pytest_asyncio.fixture(loop_scope="module")
async def world(org: Client) -> AsyncIterator[World]:
    async with world_of(org) as world:
        yield world


def rows(first: int, count: int) -> list[tuple[str | None, ...]]:
    return [(f"D-{n}", f"Firm {n}", f"+49 {n}", "") for n in range(first, first + count)]
