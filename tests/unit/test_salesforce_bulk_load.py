"""Loads by Bulk API 2.0: files, states, and how each state ends."""

from __future__ import annotations

from typing import Any

import pytest

from integration.salesforce.bulk_load import ABORT_GRACE
from tests.unit.salesforce_bulk_support import (
    GOOD,
    World,
    seen,
    some_rows,
)
from tests.unit.test_salesforce_org import FakeOrg, fault, org

__all__ = ["org"]


async def test_a_load_creates_uploads_closes_and_polls(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    result = await world.run(world.begin())
    assert seen(result) == GOOD
    (job,) = world.bulk.jobs.values()
    assert job.body == {
        "object": "PricebookEntry",
        "operation": "upsert",
        "externalIdFieldName": "D365_Key__c",
        "contentType": "CSV",
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    }
    header = b"D365_Key__c,UnitPrice,Note__c\n"
    assert job.uploads == [header + b"K0,12.50,#N/A\nK1,12.50,#N/A\nK2,12.50,#N/A\n"]
    # create, state, upload, close, two looks: no result file of a job without failures
    assert len(world.bulk.requests) == 6
    assert await world.failures() == []


async def test_looks_come_at_growing_gaps(org: FakeOrg) -> None:
    world = World(org)
    world.bulk.looks = ["UploadComplete", *["InProgress"] * 6, "JobComplete"]
    await world.rows(some_rows(0, 1))
    await world.run(world.begin())
    assert [delay for delay in world.delays if delay] == [2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_load_without_rows_ends_without_a_call(org: FakeOrg) -> None:
    world = World(org)
    await world.rows([], [])
    assert (await world.run(world.begin())).state == "JobComplete"
    assert world.bulk.requests == []


async def test_rows_are_cut_into_files_that_follow_each_other(org: FakeOrg) -> None:
    world = World(org, bulk_file_bytes=100_000)
    part = [(f"K{number}", "x" * 1000, "") for number in range(30)]
    await world.rows(*[part] * 7)
    result = await world.run(world.begin())
    assert result.processed == 7 * 30
    jobs = list(world.bulk.jobs.values())
    assert [len(job.rows) for job in jobs] == [90, 90, 30]
    assert all(len(job.uploads[0]) <= 100_000 for job in jobs)
    assert all(job.uploads[0].startswith(b"D365_Key__c,") for job in jobs)
    order = [r.method for r in world.bulk.requests if r.method in ("POST", "PUT")]
    assert order == ["POST", "PUT"] * 3  # none begins before the one before it has ended


async def test_a_part_larger_than_a_file_goes_alone(org: FakeOrg) -> None:
    world = World(org, bulk_file_bytes=100_000)
    await world.rows(some_rows(0, 2), [("K", "x" * 60_000, "y" * 60_000)], some_rows(5, 2))
    await world.run(world.begin())
    assert [len(job.rows) for job in world.bulk.jobs.values()] == [2, 1, 2]


async def test_a_failed_job_keeps_what_it_wrote_and_gives_back_the_rest(org: FakeOrg) -> None:
    world = World(org, bulk_file_bytes=100_000)
    await world.rows(some_rows(0, 4), [("K4", "x" * 99_990, "")], some_rows(5, 2))
    world.bulk.looks = ["InProgress", "Failed"]
    world.bulk.reached = 2
    world.bulk.refuse = {"K0": "DUPLICATE_VALUE:duplicate value found:--"}
    world.bulk.message = "InternalServerError : try again"
    result = await world.run(world.begin())
    assert seen(result, "processed", "failed", "unprocessed", "state") == {
        "processed": 2,
        "failed": 1,
        "unprocessed": 5,
        "state": "Failed",
    }
    assert result.description == "InternalServerError : try again"
    assert result.unknown
    lines = await world.failures()
    assert len(world.bulk.jobs) == 1
    assert lines[0]["code"] == "DUPLICATE_VALUE"
    assert {line["key"] for line in lines[1:]} == {"K2", "K3", "K4", "K5", "K6"}
    assert {(line["code"], line["transient"]) for line in lines[1:]} == {("UNPROCESSED", True)}


async def test_a_wrong_header_fails_the_load_with_its_message_and_every_row(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3), some_rows(3, 2))
    world.bulk.looks = ["Failed"]
    world.bulk.reached = 0
    world.bulk.message = "InvalidBatch : Field name not found : Note__c"
    world.bulk.files["unprocessedrecords"] = '"D365_Key__c"\n'
    result = await world.run(world.begin())
    assert (result.state, result.description) == ("Failed", world.bulk.message)
    assert (result.processed, result.unprocessed, result.unknown) == (0, 5, False)
    lines = await world.failures()
    assert [line["key"] for line in lines] == ["K0", "K1", "K2", "K3", "K4"]
    assert {line["message"] for line in lines} == {world.bulk.message}
    assert not any(line["transient"] for line in lines)


async def test_a_job_that_somebody_aborted_ends_the_load(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    world.bulk.looks = ["InProgress", "Aborted"]
    world.bulk.reached = 1
    result = await world.run(world.begin())
    assert seen(result, "state", "processed", "unprocessed", "unknown") == {
        "state": "Aborted",
        "processed": 1,
        "unprocessed": 2,
        "unknown": True,
    }
    assert not any(line["transient"] for line in await world.failures())


async def test_a_stuck_job_is_aborted_at_the_deadline(org: FakeOrg) -> None:
    world = World(org, bulk_hours=1)
    await world.rows(some_rows(0, 3))
    world.bulk.looks = ["InProgress"] * 500
    world.bulk.reached = 1
    result = await world.run(world.begin(), most=200)
    assert (result.state, result.processed, result.unprocessed) == ("deadline", 1, 2)
    assert result.unknown
    assert 3600 <= sum(world.delays) < 3600 + 200
    (job,) = world.bulk.jobs.values()
    assert job.state == "Aborted"
    assert all(line["transient"] for line in await world.failures())


async def test_a_job_that_cannot_even_be_aborted_is_left_with_an_unknown_outcome(
    org: FakeOrg,
) -> None:
    world = World(org, bulk_hours=1)
    await world.rows(some_rows(0, 3))
    world.bulk.looks = ["InProgress"] * 500
    world.bulk.reached = 1
    refused = (400, fault("INVALIDJOBSTATE"))
    world.bulk.interrupt("PATCH", lambda _: None, refused)
    result = await world.run(world.begin(), most=300)
    assert (result.state, result.unknown, result.unprocessed) == ("deadline", True, 0)
    assert sum(world.delays) >= 3600 + ABORT_GRACE


async def test_a_job_that_ends_while_it_is_aborted_counts_as_complete(org: FakeOrg) -> None:
    world = World(org, bulk_hours=1)
    await world.rows(some_rows(0, 3))
    world.bulk.looks = [*["InProgress"] * 64, "JobComplete"]
    late = (400, fault("INVALIDJOBSTATE"))
    world.bulk.interrupt("PATCH", lambda _: None, late)
    assert seen(await world.run(world.begin(), most=200)) == GOOD


@pytest.mark.parametrize(
    "wrong",
    [
        {"operation": "update"},
        {"external_id": None},
        {"external_id": "Other__c"},
        {"key": "Other__c"},
        {"columns": ["D365_Key__c", "d365_key__c"]},
        {"name": "load/rows"},
    ],
)
def test_a_load_that_salesforce_would_refuse_is_not_begun(
    org: FakeOrg, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):
        World(org).begin(**wrong)


async def test_a_cancelled_load_aborts_its_job_and_gives_back_what_is_not_written(
    org: FakeOrg,
) -> None:
    world = World(org, bulk_file_bytes=100_000)
    world.bulk.looks, world.bulk.reached = ["InProgress"], 20
    world.bulk.refuse = {"K3": "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"}
    part = [(f"K{number}", "x" * 1000, "") for number in range(60)]
    await world.rows(part, [(f"L{number}", "x" * 1000, "") for number in range(60)])
    position = world.begin()
    while position["phase"] != "poll":
        position = (await world.load.advance(position)).position
    result = await world.run(world.load.cancel(position))
    assert (result.state, result.description) == ("Aborted", "cancelled")
    assert (result.processed, result.failed, result.unprocessed) == (20, 1, 40 + 60)
    assert [job.state for job in world.bulk.jobs.values()] == ["Aborted"]
    codes = {line["key"]: line["code"] for line in await world.failures()}
    assert codes.pop("K3") == "REQUIRED_FIELD_MISSING"
    assert set(codes) == {f"K{n}" for n in range(20, 60)} | {f"L{n}" for n in range(60)}
    assert set(codes.values()) == {"UNPROCESSED"}


async def test_a_load_that_is_cancelled_before_its_file_was_sent_writes_nothing(
    org: FakeOrg,
) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    position = (await world.load.advance(world.begin())).position
    assert position["phase"] == "upload"
    result = await world.run(world.load.cancel(position))
    assert (result.state, result.processed, result.unprocessed) == ("Aborted", 0, 3)
    assert world.bulk.asked("PUT") == 0
    calls = len(world.bulk.requests)
    result = await world.run(world.load.cancel(world.begin()))  # not even a job
    assert (result.state, result.unprocessed, len(world.bulk.requests)) == ("Aborted", 3, calls)


async def test_a_cancel_as_the_last_file_ends_changes_nothing(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    position = world.begin()
    while position["phase"] != "poll":
        position = (await world.load.advance(position)).position
    (job,) = world.bulk.jobs.values()
    job.state, job.looks = "JobComplete", []
    result = await world.run(world.load.cancel(position))
    assert seen(result) == GOOD


async def test_nothing_is_asked_of_a_job_that_is_over(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    position = world.begin()
    await world.load.abort(position)
    assert world.bulk.requests == []
    position = (await world.load.advance(position)).position
    await world.load.abort(position)
    await world.load.abort(position)  # refused the second time, which is no trouble
    assert [job.state for job in world.bulk.jobs.values()] == ["Aborted"]
