"""Queries by Bulk API 2.0: pages by locator, read again after a crash."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from integration.deadline import deadline
from integration.errors import (
    ContractError,
    DeadlineReached,
    IntegrationError,
    RecordRejected,
    Unreachable,
)
from integration.salesforce.budget import ApiBudget
from integration.salesforce.bulk_query import BulkQuery
from tests.unit.salesforce_bulk_support import Clock, FakeBulk, csv_answer, quoted, volume
from tests.unit.test_salesforce_org import EXPIRED, FakeOrg, fault, org

__all__ = ["org"]

SOQL = "SELECT Id, Name, Account.Name FROM Contact WHERE Name != 'O''Hara'"
HEADER = ["Id", "Name", "Account.Name"]
FIRST = quoted([HEADER, ["1", "A\nB", "X"], ["2", "", "Y"]])
SECOND = quoted([HEADER, ["3", "C", ""]])
ROWS = [
    {"Id": "1", "Name": "A\nB", "Account.Name": "X"},
    {"Id": "2", "Name": None, "Account.Name": "Y"},
    {"Id": "3", "Name": "C", "Account.Name": None},
]


class World:
    def __init__(self, org: FakeOrg, *, tries: int = 3, **settings: Any) -> None:
        self.bulk = FakeBulk(org)
        self.bulk.pages = [(FIRST, "MTAw/+="), (SECOND, "null")]
        self.clock = Clock()
        self.client = org.client(tries=tries)
        self.query = BulkQuery(self.client, volume(**settings), clock=self.clock)
        self.positions: list[dict[str, Any]] = []
        self.delays: list[float] = []

    async def run(self, position: dict[str, Any]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for _ in range(100):
            self.positions.append(position)
            advance = await self.query.advance(json.loads(json.dumps(position)))
            rows += advance.rows or []
            if advance.done:
                return rows
            position = advance.position
            self.delays.append(advance.delay)
            self.clock.now += advance.delay
        raise AssertionError("the query does not end")

    async def ready(self) -> dict[str, Any]:
        """The position of the first page."""
        position = self.query.begin(SOQL)
        while position["phase"] != "read":
            position = (await self.query.advance(position)).position
        return position


async def test_a_query_is_created_polled_and_read_page_by_page(org: FakeOrg) -> None:
    world = World(org)
    assert await world.run(world.query.begin(SOQL)) == ROWS
    create, *_, first, second = world.bulk.requests
    assert json.loads(create.content) == {"operation": "query", "query": SOQL}
    assert dict(first.url.params) == {"maxRecords": "50000"}
    assert second.url.raw_path.endswith(b"?maxRecords=50000&locator=MTAw%2F%2B%3D")
    assert first.headers["accept"] == "text/csv"
    assert first.headers["accept-encoding"] == "gzip"
    assert [delay for delay in world.delays if delay] == [2, 4]


async def test_deleted_rows_are_asked_for_by_query_all(org: FakeOrg) -> None:
    world = World(org)
    await world.query.advance(world.query.begin(SOQL, all_rows=True))
    assert json.loads(world.bulk.requests[0].content)["operation"] == "queryAll"


async def test_no_rows_are_one_page_without_any(org: FakeOrg) -> None:
    world = World(org)
    world.bulk.pages = [(quoted([HEADER]), "null")]
    assert await world.run(world.query.begin(SOQL)) == []


@pytest.mark.parametrize("text", ["", quoted([HEADER])])
async def test_a_page_without_headers_of_its_own_is_the_last(org: FakeOrg, text: str) -> None:
    world = World(org)
    position = await world.ready()
    world.bulk.interrupt("GET results", csv_answer(text))
    advance = await world.query.advance(position)
    assert (advance.rows, advance.done) == ([], True)


async def test_a_step_that_repeats_reads_the_same_page_again(org: FakeOrg) -> None:
    world = World(org)
    await world.run(world.query.begin(SOQL))
    *_, first, second = world.positions
    for _ in range(2):
        advance = await world.query.advance(first)
        assert (advance.rows, advance.position) == (ROWS[:2], second)
        assert (await world.query.advance(second)).rows == ROWS[2:]


async def test_a_page_is_read_on_in_its_middle(org: FakeOrg) -> None:
    world = World(org, bulk_query_rows=1000)
    rows = [[str(number), f"N{number}", "é\n"] for number in range(5000)]
    text = quoted([HEADER, *rows]).encode()

    async def pieces() -> Any:
        for start in range(0, len(text), 7_001):
            yield text[start : start + 7_001]

    def page(_: httpx.Request) -> httpx.Response:
        headers = {"Content-Type": "text/csv", "Sforce-NumberOfRecords": "5000"}
        return httpx.Response(200, content=pieces(), headers=headers)

    position = await world.ready()
    world.bulk.interrupt("GET results", *[page] * 50)
    found: list[str | None] = []
    done, reads = False, 0
    while not done:
        reads += 1
        async with aclosing(world.query.batches(json.loads(json.dumps(position)))) as batches:
            for _ in range(3):  # then the step's time is over
                part = await anext(batches)
                found += [row["Id"] for row in part.rows or ()]
                position, done = part.position, part.done
                if done:
                    break
    assert reads > 3
    assert found == [str(number) for number in range(5000)]


async def test_a_page_that_breaks_off_or_is_too_short_is_trouble(org: FakeOrg) -> None:
    world = World(org)
    position = await world.ready()
    short = {"Sforce-NumberOfRecords": "3", "Sforce-Locator": "null"}
    world.bulk.interrupt("GET results", csv_answer(FIRST, short))
    with pytest.raises(Unreachable, match="2 of 3"):
        await world.query.advance(position)
    assert (await world.query.advance(position)).rows == ROWS[:2]


async def test_a_page_that_hangs_ends_with_the_time_of_the_step(org: FakeOrg) -> None:
    world = World(org)
    position = await world.ready()

    async def hangs() -> Any:
        yield FIRST.encode()[:10]
        await asyncio.sleep(60)

    answer = httpx.Response(200, content=hangs(), headers={"Content-Type": "text/csv"})
    world.bulk.interrupt("GET results", answer)
    with deadline(1.2), pytest.raises((Unreachable, DeadlineReached)):
        await world.query.advance(position)


async def test_an_expired_session_is_renewed_between_pages(org: FakeOrg) -> None:
    world = World(org)
    world.bulk.interrupt("GET results", EXPIRED)
    assert await world.run(world.query.begin(SOQL)) == ROWS
    assert len(org.sign_ins) == 2


async def test_streamed_calls_are_counted_and_tell_the_budget(org: FakeOrg) -> None:
    world = World(org)
    position = await world.ready()
    org.calls.clear()
    headers = {"Sforce-Limit-Info": "api-usage=25/100"}
    world.bulk.interrupt("GET results", (503, None), csv_answer(SECOND, headers))
    await world.query.advance(position)
    assert org.calls == [("bulk query page", 503), ("bulk query page", 200)]
    assert world.client.budget == ApiBudget(25, 100)


@pytest.mark.parametrize(
    ("reply", "error", "reason"),
    [
        ((404, fault("NOT_FOUND")), RecordRejected, "NOT_FOUND"),
        ((409, None), RecordRejected, "http-409"),
        ((200, None), ContractError, "undecodable"),
    ],
)
async def test_pages_that_are_gone_end_the_query(
    org: FakeOrg, reply: Any, error: type[IntegrationError], reason: str
) -> None:
    world = World(org)
    position = await world.ready()
    if reply == (200, None):
        reply = csv_answer('"Id","Name"\n"1"\n')
    world.bulk.interrupt("GET results", reply)
    with pytest.raises(error) as caught:
        await world.query.advance(position)
    assert caught.value.reason == reason


async def test_a_query_that_failed_says_why(org: FakeOrg) -> None:
    world = World(org)
    world.bulk.looks = ["InProgress", "Failed"]
    world.bulk.message = "MALFORMED_QUERY: unexpected token"
    with pytest.raises(RecordRejected, match="unexpected token") as caught:
        await world.run(world.query.begin(SOQL))
    assert caught.value.reason == "bulk-query-failed"


async def test_a_query_that_does_not_end_is_aborted_at_the_deadline(org: FakeOrg) -> None:
    world = World(org, bulk_hours=1)
    world.bulk.looks = ["InProgress"] * 500
    with pytest.raises(RecordRejected) as caught:
        await world.run(world.query.begin(SOQL))
    assert caught.value.reason == "bulk-query-deadline"
    (job,) = world.bulk.jobs.values()
    assert job.state == "Aborted"
    assert sum(world.delays) >= 3600
