"""The package client against the F&O stand-in and Azurite: real files behind real signatures."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from azure.storage.blob import ContainerClient

from integration.d365.client import D365Client
from integration.d365.package_api import PackageApi
from integration.d365.package_export import PackageExport
from integration.d365.package_import import PackageImport
from integration.d365.package_rows import package_rows
from integration.d365.packages import Column, PackageTable, encode_rows
from integration.settings import D365Settings, VolumeSettings
from integration.state.blobs import BlobState
from integration.state.spool import Spool
from tests.contract.d365_standin import BASE, CLIENT, connect, entra
from tests.contract.packages_support import azurite, environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from integration.d365.package_steps import ImportResult
    from integration.d365.packages import Position
    from sandbox.d365 import D365StandIn
    from sandbox.entra import EntraStandIn
    from sandbox.storage.azurite import Azurite

__all__ = ["azurite", "entra"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLE = PackageTable(
    "Customers V3",
    (
        Column("CUSTOMERACCOUNT", auto_generated=True),
        Column("ORGANIZATIONNAME"),
        Column("CUSTOMERGROUPID"),
        Column("SALESCURRENCYCODE"),
        Column("SALESFORCEACCOUNTID"),
    ),
    ("SALESFORCEACCOUNTID",),
)


@dataclass
class Token:
    token: str
    expires_on: int


class Credential:
    def __init__(self, d365: D365StandIn) -> None:
        self._d365 = d365

    def get_token(self, *scopes: str) -> Token:
        return Token(self._d365.entra.issue_token(CLIENT, BASE), int(time.time()) + 3600)

    def close(self) -> None:
        return


def key(number: int) -> str:
    return f"001{number:015}"


def customers(count: int) -> list[list[str | None]]:
    """Names with everything a CSV file must quote."""
    return [[None, f'"{n}", Straße;\r\nWerk {n}', "30", "USD", key(n)] for n in range(1, count + 1)]


class World:
    def __init__(self, d365: D365StandIn, http: httpx.AsyncClient, state: BlobState) -> None:
        settings = D365Settings(base_url=BASE, company="usmf", throttle_fallback=0.01)
        client = D365Client(settings, http, credential=Credential(d365), delay=0.01)
        self.api = PackageApi(client)
        self.http = http
        self.state = state
        self.settings = VolumeSettings(package_poll=0.01)
        self.late = timedelta()

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.late

    def importer(self) -> PackageImport:
        return PackageImport(self.api, self.state, self.settings, clock=self.clock)

    async def begin(
        self, rows: list[list[str | None]], execution: str = "run-1", owner: str = "job-1"
    ) -> Position:
        spool = Spool(self.state, f"{owner}/rows")
        await spool.clear()
        for part in range(0, len(rows), 20):
            await spool.put(part // 20, encode_rows(rows[part : part + 20]))
        return self.importer().begin(
            f"{owner}/rows",
            TABLE,
            company="usmf",
            project="SalesforceIntegration-customers",
            execution=execution,
            owner=owner,
        )

    async def end(self, position: Position) -> ImportResult:
        """Every position goes through JSON and a new object, as between two steps of a job."""
        while True:
            done = await self.importer().advance(json.loads(json.dumps(position)))
            if done.result:
                return done.result
            position = done.position
            await asyncio.sleep(min(done.delay, 0.05))

    async def imported(self, rows: list[list[str | None]], **names: str) -> ImportResult:
        return await self.end(await self.begin(rows, **names))

    async def failures(self, result: ImportResult) -> dict[str, tuple[str, str]]:
        found = {}
        async for part in Spool(self.state, result.failures).stream():
            for line in part.decode().splitlines():
                entry = json.loads(line)
                found[entry["key"]["SALESFORCEACCOUNTID"]] = (entry["field"], entry["message"])
        return found

    async def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.http.get("/sandbox/state/CustomersV3")).json()
        return found

    async def fault(self, kind: str, **settings: Any) -> None:
        answer = await self.http.post("/sandbox/packages/faults", json={"kind": kind, **settings})
        assert answer.status_code == 200, answer.text

    async def counts(self) -> dict[str, int]:
        counts: dict[str, int] = (await self.http.get("/sandbox/packages")).json()["counts"]
        return counts

    async def exported(self, position: Position) -> tuple[list[dict[str, str]], Position]:
        export = PackageExport(self.api, self.state, self.settings, clock=self.clock)
        while True:
            done = await export.advance(json.loads(json.dumps(position)))
            assert not done.failure, done.description
            if done.file_url:
                columns = ("SALESFORCEACCOUNTID", "ORGANIZATIONNAME", "CUSTOMERACCOUNT")
                reading = package_rows(done.file_url, "Customers V3", columns, batch=20)
                found = [
                    dict(zip(columns, row, strict=True))
                    async for _, rows in reading
                    for row in rows
                ]
                return found, done.position
            position = done.position
            await asyncio.sleep(min(done.delay, 0.05))


@pytest_asyncio.fixture(loop_scope="module")
async def world(azurite: Azurite, entra: EntraStandIn) -> AsyncIterator[World]:
    name = f"state-{secrets.token_hex(4)}"
    with ContainerClient.from_connection_string(azurite.connection_string, name) as container:
        async with (
            environment(azurite, entra, start_delay=0.01, run_delay=0.02) as d365,
            connect(d365) as http,
        ):
            yield World(d365, http, BlobState(container))


async def test_fifty_customers_of_which_three_are_bad_arrive_and_come_back(world: World) -> None:
    rows = customers(50)
    rows[6][2] = "none"  # refused by the target
    rows[17][1] = "x" * 500  # refused by staging
    rows[33][3] = "XXX"
    await world.fault("bad-request", polls=2)
    await world.fault("error-file", polls=4)
    result = await world.imported(rows)
    assert (result.status, result.rows, result.failed) == ("PartiallySucceeded", 50, 3)
    assert not result.unknown
    assert "DMFExecutionHistoryWorkspace" in result.description
    failures = await world.failures(result)
    assert set(failures) == {key(7), key(18), key(34)}
    for number, field in (
        (7, "CUSTOMERGROUPID"),
        (18, "ORGANIZATIONNAME"),
        (34, "SALESCURRENCYCODE"),
    ):
        assert failures[key(number)][0] == field
        assert failures[key(number)][1]

    there = {row["SalesforceAccountId"]: row for row in await world.rows()}
    good = [row for row in rows if row[4] not in failures]
    assert {name: row["OrganizationName"] for name, row in there.items()} == {
        row[4]: row[1] for row in good
    }
    await world.fault("export-url", polls=3)
    begun = PackageExport(world.api, world.state, world.settings).begin(
        "Customers V3 all", "Customers V3", company="usmf", execution="out-1", change_tracked=False
    )
    back, _ = await world.exported(begun)
    assert {row["SALESFORCEACCOUNTID"]: row["ORGANIZATIONNAME"] for row in back} == {
        row[4]: row[1] for row in good
    }
    assert all(row["CUSTOMERACCOUNT"].startswith("US-0000") for row in back)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_the_encoding_is_that_of_the_source_format(world: World, encoding: str) -> None:
    formats = {"utf-8": "CSV-Unicode", "utf-16": "CSV-UTF16"}
    world.settings = VolumeSettings(
        package_poll=0.01, package_encoding=encoding, package_format=formats[encoding]
    )
    result = await world.imported(customers(3))
    assert (result.status, result.unknown) == ("Succeeded", False), result.description
    assert "Straße" in (await world.rows())[0]["OrganizationName"]


async def test_steps_that_run_twice_import_once(world: World) -> None:
    position = await world.begin(customers(5))
    while True:
        first = await world.importer().advance(position)
        done = await world.importer().advance(position)
        position = done.position
        if done.result:
            break
        await asyncio.sleep(min(first.delay, 0.05))
    assert done.result.status == "Succeeded"
    assert len(await world.rows()) == 5
    counts = await world.counts()
    assert counts["imports"] == 1
    assert counts["refused_reuse"] >= 1


async def test_two_imports_at_once_go_one_after_the_other(world: World) -> None:
    await world.fault("slow", seconds=0.2)
    rows = customers(6)
    results = await asyncio.gather(
        world.imported(rows[:3]), world.imported(rows[3:], execution="run-2", owner="job-2")
    )
    assert [result.status for result in results] == ["Succeeded", "Succeeded"]
    counts = await world.counts()
    assert (counts["imports"], counts.get("refused_parallel", 0)) == (2, 0)


async def test_an_import_that_somebody_else_began_is_waited_for(world: World) -> None:
    await world.fault("busy", count=2)
    assert (await world.imported(customers(2))).status == "Succeeded"
    assert (await world.counts())["refused_parallel"] == 2


@pytest.mark.parametrize("rows", [0, 4])
async def test_a_crash_of_the_engine_leaves_every_row_unknown(world: World, rows: int) -> None:
    await world.fault("crash", rows=rows)
    result = await world.imported(customers(10))
    assert (result.status, result.failed, result.unknown) == ("Failed", 0, True)


async def test_rows_without_a_file_are_unknown(world: World) -> None:
    await world.fault("no-error-file")
    bad = customers(4)
    bad[1][2] = "none"
    result = await world.imported(bad)
    assert (result.status, result.unknown) == ("PartiallySucceeded", True)
    assert "none" in result.description


async def test_rows_without_messages_are_told_without_a_reason(world: World) -> None:
    await world.fault("no-errors")
    bad = customers(4)
    bad[1][2] = "none"
    result = await world.imported(bad)
    assert (result.failed, result.unknown) == (1, False)
    assert await world.failures(result) == {key(2): ("", "")}


async def test_a_package_without_a_good_row_has_failed_with_all_reasons(world: World) -> None:
    bad = customers(3)
    for row in bad:
        row[2] = "none"
    result = await world.imported(bad)
    assert (result.status, result.failed, result.unknown) == ("Failed", 3, False)


async def test_a_stuck_import_ends_at_its_deadline_and_the_next_one_runs(world: World) -> None:
    await world.fault("stuck")
    position = await world.begin(customers(2))
    while position["phase"] != "poll" or position["polls"] < 5:
        position = (await world.importer().advance(position)).position
    world.late = timedelta(hours=6)
    result = await world.end(position)
    assert (result.status, result.unknown) == ("deadline", True)
    again = await world.imported(customers(2), execution="run-2", owner="job-2")
    assert again.status == "Succeeded"


async def test_a_canceled_import_is_awaited_because_f_and_o_cannot_be_told_to_stop(
    world: World,
) -> None:
    await world.fault("slow", seconds=0.3)
    position = await world.begin(customers(2))
    while position["phase"] != "poll":
        position = (await world.importer().advance(position)).position
    result = await world.end(world.importer().cancel(position))
    assert (result.status, result.unknown) == ("Succeeded", False)
    again = await world.imported(customers(4)[2:], execution="run-2", owner="job-2")
    assert again.status == "Succeeded"
    assert len(await world.rows()) == 4
    assert (await world.counts()).get("refused_parallel", 0) == 0


async def test_changes_are_exported_once_they_were_processed(world: World) -> None:
    export = PackageExport(world.api, world.state, world.settings, clock=world.clock)

    def begin(execution: str) -> Position:
        return export.begin(
            "Customers V3 changes",
            "Customers V3",
            company="usmf",
            execution=execution,
            change_tracked=True,
        )

    await world.imported(customers(3))
    first, _ = await world.exported(begin("out-1"))
    assert len(first) == 3
    # Nobody processed them: they come again, although F&O's own position has moved.
    again, position = await world.exported(begin("out-2"))
    assert again == first
    await export.processed(position)
    more = customers(5)[3:]
    await world.imported(more, execution="run-2")
    second, position = await world.exported(begin("out-3"))
    assert [row["SALESFORCEACCOUNTID"] for row in second] == [row[4] for row in more]
