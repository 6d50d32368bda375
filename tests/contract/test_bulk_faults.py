"""The app's Bulk loads and queries where calls, sessions and jobs fail."""

from __future__ import annotations

from typing import Any

import pytest

from integration.errors import BudgetSpent, Misconfigured, RecordRejected, Unreachable
from integration.salesforce.bulk_csv import encode_rows
from integration.state.spool import Spool
from tests.contract.bulk_support import ACCOUNT_KEY, Client, shared
from tests.contract.bulk_world import COLUMNS, World, org, rows, world, world_of

__all__ = ["org", "shared", "world"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "fault",
    [
        {"match": {"method": "PUT"}, "status": 503},
        {"match": {"method": "PUT"}, "drop": "before"},
        {"match": {"method": "PUT"}, "drop": "after"},
        {"match": {"method": "PATCH", "path": "jobs/ingest"}, "drop": "after"},
        {"match": {"method": "POST", "path": "jobs/ingest"}, "drop": "after"},
        {"match": {"path": "failedResults"}, "status": 503},
        {"match": {"path": "failedResults"}, "drop": "before"},
        {"match": {"path": "jobs/ingest/"}, "status": 503, "count": 2, "skip": 1},
    ],
    ids=str,
)
async def test_calls_that_fail_change_nothing_of_the_outcome(
    world: World, fault: dict[str, Any]
) -> None:
    await world.fault(**fault)
    result = await world.upsert(rows(0, 50), [("D-50", None, "", "")], operation="insert")
    assert (result.processed, result.failed, result.state) == (51, 1, "JobComplete")
    assert len(await world.failures()) == 1
    assert len(await world.accounts()) == 50


async def test_a_large_upload_goes_through_again_after_its_session_expired(org: Client) -> None:
    async with world_of(org) as world:
        await world.client.identity()
        given = [(key, name, phone, "x" * 2000) for key, name, phone, _ in rows(0, 1000)]
        position = world.load.begin(
            "job/rows",
            object="Account",
            columns=COLUMNS,
            operation="upsert",
            external_id=ACCOUNT_KEY,
            key=ACCOUNT_KEY,
            name="job",
        )
        await Spool(world.blobs, "job/rows").put(0, encode_rows(given))
        for _ in range(500):
            await org.http.post("/sandbox/sessions/expire")
            advance = await world.load.advance(position)
            if advance.result:
                break
            position = advance.position
        assert advance.result is not None
        assert advance.result.processed == 1000


async def test_a_job_that_fails_in_the_middle_gives_back_the_rest(world: World) -> None:
    await world.org.fault(kind="fail", after_rows=200, message="InternalServerError : later")
    result = await world.upsert(rows(0, 300))
    assert (result.state, result.processed, result.unprocessed) == ("Failed", 200, 100)
    lines = await world.failures()
    assert {(line["code"], line["transient"]) for line in lines} == {("UNPROCESSED", True)}
    written = set(await world.accounts())
    assert written | {line["key"] for line in lines} == {row[0] for row in rows(0, 300)}
    assert len(written) == 200


async def test_an_unknown_column_fails_every_row(world: World) -> None:
    result = await world.upsert(rows(0, 20), columns=[*COLUMNS[:3], "Nope__c"])
    assert (result.state, result.unprocessed, result.unknown) == ("Failed", 20, False)
    assert result.description.startswith("InvalidBatch : Field name not found : Nope__c")
    assert not any(line["transient"] for line in await world.failures())


async def test_a_stuck_job_is_aborted_at_its_deadline(org: Client) -> None:
    await org.fault(kind="stuck", after_rows=200)
    async with world_of(org, bulk_hours=0.2 / 3600) as world:
        result = await world.upsert(rows(0, 300))
        assert (result.state, result.processed, result.unprocessed) == ("deadline", 200, 100)
        assert result.unknown
        (job,) = org.standin.bulk.jobs.values()
        assert job.state == "Aborted"


async def test_spent_batches_of_the_day_are_told_as_such(world: World) -> None:
    world.org.standin.api.batches.used = world.org.standin.api.batches.max
    with pytest.raises(BudgetSpent):
        await world.upsert(rows(0, 1))


async def test_a_query_that_cannot_be_is_refused(world: World) -> None:
    with pytest.raises(Misconfigured, match="Nope__c"):
        await world.selected("SELECT Nope__c FROM Account")
    await world.org.fault(kind="fail", job_type="query", message="InternalServerError : x")
    with pytest.raises(RecordRejected, match="InternalServerError"):
        await world.selected("SELECT Id FROM Account")


async def test_a_page_whose_connection_breaks_is_read_again_from_the_same_place(
    world: World,
) -> None:
    await world.upsert(rows(0, 10))
    position = world.query.begin("SELECT Id FROM Account")
    while position["phase"] != "read":
        position = (await world.query.advance(position)).position
    await world.fault(match={"path": "results"}, drop="before", count=3)
    with pytest.raises(Unreachable):
        await world.query.advance(position)
    await world.org.http.delete("/sandbox/faults")
    assert len((await world.query.advance(position)).rows or []) == 10
