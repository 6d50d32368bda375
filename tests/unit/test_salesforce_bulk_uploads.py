"""Uploads that fail, repeat or die between any two calls: no row runs twice, none is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.deadline import deadline
from integration.errors import (
    BudgetSpent,
    DeadlineReached,
    RecordRejected,
    Unreachable,
)
from tests.unit.salesforce_bulk_support import (
    COLUMNS,
    GOOD,
    World,
    seen,
    some_rows,
)
from tests.unit.test_jobs_support import Crash
from tests.unit.test_salesforce_org import EXPIRED, FakeOrg, fault, org

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["org"]

BUSY = (503, fault("SERVER_UNAVAILABLE"))


def after_answer(world: World, error: Exception) -> Callable[[httpx.Request], Exception]:
    """The call is served, its answer is lost."""

    def lose(request: httpx.Request) -> Exception:
        world.bulk.serve(request)
        return error

    return lose


async def test_the_position_names_the_job_before_its_file_is_sent(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 1))
    advance = await world.load.advance(world.begin())
    assert advance.position["job"] in world.bulk.jobs
    assert world.bulk.asked("PUT") == 0


async def test_a_step_that_runs_again_changes_nothing(org: FakeOrg) -> None:
    """Every position of a load is advanced once more, as after a crash before it was saved."""
    straight = World(org, bulk_file_bytes=100_000)
    rows = [("K1", "x" * 60_000, ""), ("K2", "y", None)], [("K3", "x" * 60_000, "")]
    await straight.rows(*rows)
    straight.bulk.refuse = {"K2": "DUPLICATE_VALUE:duplicate value found:--"}
    expected = await straight.run(straight.begin())
    assert len(straight.positions) > 8
    for crash in range(len(straight.positions)):
        again = World(org, bulk_file_bytes=100_000)
        await again.rows(*rows)
        again.bulk.refuse = straight.bulk.refuse
        position = again.begin()
        for step in range(crash + 1):
            advance = await again.load.advance(position)
            if step < crash:
                position = advance.position
        assert await again.run(position) == expected
        assert await again.failures() == await straight.failures()
        ran = [job for job in again.bulk.jobs.values() if job.state == "JobComplete"]
        assert [job.rows[0][0] for job in ran] == ["K1", "K3"]
        assert all(
            job.state in ("JobComplete", "Aborted", "Open") for job in again.bulk.jobs.values()
        )


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
async def test_a_process_that_dies_at_any_call_leaves_a_load_that_ends_right(
    org: FakeOrg, when: str
) -> None:
    """Rows are inserted, so that a file that runs twice would show."""
    columns = {"operation": "insert", "external_id": None, "columns": COLUMNS}
    calls = crashes = 0
    while crashes == calls:
        calls += 1
        world = World(org, bulk_file_bytes=100_000)
        await world.rows([("K1", "x" * 60_000, ""), ("K2", "y", None)], [("K3", "x" * 60_000, "")])
        world.bulk.refuse = {"K2": "DUPLICATE_VALUE:duplicate value found:--"}
        setattr(world.bulk, when, calls)
        position = world.begin(**columns)
        try:
            result = await world.run(position)
        except Crash:
            crashes += 1
            result = await world.run(world.positions[-1])
        assert (result.processed, result.failed, result.state) == (3, 1, "JobComplete")
        assert [line["key"] for line in await world.failures()] == ["K2"]
        ran = [row[0] for job in world.bulk.jobs.values() if job.processed for row in job.rows]
        assert ran == ["K1", "K2", "K3"]
    assert crashes == 13  # each call of a load once


async def test_an_expired_session_sends_the_file_again_from_its_start(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3), some_rows(3, 3))
    world.bulk.interrupt("PUT", EXPIRED)
    assert (await world.run(world.begin())).processed == 6
    first, second = (r for r in world.bulk.requests if r.method == "PUT")
    assert first.content == second.content
    assert (first.headers["authorization"], second.headers["authorization"]) == (
        "Bearer T1",
        "Bearer T2",
    )


@pytest.mark.parametrize("trouble", [BUSY, httpx.WriteError("x"), httpx.ConnectError("x")])
async def test_an_upload_that_did_not_arrive_is_sent_again(org: FakeOrg, trouble: Any) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    world.bulk.interrupt("PUT", trouble)
    assert seen(await world.run(world.begin())) == GOOD
    assert len(world.bulk.jobs) == 1


async def test_an_upload_whose_answer_was_lost_goes_into_a_new_job(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    world.bulk.interrupt("PUT", after_answer(world, httpx.ReadError("x")))
    assert seen(await world.run(world.begin())) == GOOD
    assert [job.state for job in world.bulk.jobs.values()] == ["Aborted", "JobComplete"]


async def test_a_close_whose_answer_was_lost_is_found_done(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    lost = after_answer(world, httpx.ReadError("x"))
    world.bulk.interrupt("PATCH", lost)
    assert seen(await world.run(world.begin())) == GOOD
    assert len(world.bulk.jobs) == 1
    assert world.bulk.asked("PUT") == 1


async def test_a_file_that_is_refused_each_time_ends_the_load(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    world.bulk.interrupt("PUT", *[(400, fault("INVALIDJOB", "too large"))] * 3)
    with pytest.raises(RecordRejected, match="too large"):
        await world.run(world.begin())
    assert len(world.bulk.jobs) == 3


async def test_a_job_that_began_although_it_should_be_discarded_is_followed(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3))
    position = (await world.load.advance(world.begin())).position
    position = (await world.load.advance(position)).position
    (job,) = world.bulk.jobs.values()
    job.looks, job.state = [], "JobComplete"
    assert seen(await world.run(position | {"phase": "discard"})) == GOOD
    assert len(world.bulk.jobs) == 1


async def test_a_file_too_large_for_the_time_of_a_step_becomes_smaller(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(*[some_rows(10 * part, 10) for part in range(4)])
    position = (await world.load.advance(world.begin())).position

    async def stalls(_: httpx.Request) -> Any:
        await asyncio.sleep(60)

    world.bulk.interrupt("PUT", stalls)
    with deadline(3.2):
        advance = await world.load.advance(position)
    assert advance.position["phase"] == "discard"
    result = await world.run(advance.position)
    assert result.processed == 40
    jobs = list(world.bulk.jobs.values())
    assert jobs[0].state == "Aborted"
    assert [len(job.rows) for job in jobs[1:]] == [10, 10, 10, 10]


async def test_a_step_without_time_leaves_the_position_alone(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(*[some_rows(10 * part, 10) for part in range(4)])
    position = (await world.load.advance(world.begin())).position
    with deadline(2.5), pytest.raises(DeadlineReached):
        await world.load.advance(position)
    assert world.bulk.asked("PUT") == 0


async def test_storage_that_fails_inside_an_upload_is_told_as_storage(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 3), some_rows(3, 3))
    position = (await world.load.advance(world.begin())).position
    read, trouble = world.blobs.read, Unreachable("down", system="storage")

    async def failing(name: str) -> Any:
        if name.endswith("1"):
            raise trouble
        return await read(name)

    world.blobs.read = failing  # type: ignore[method-assign]
    with pytest.raises(Unreachable) as caught:
        await world.load.advance(position)
    assert caught.value.system == "storage"
    world.blobs.read = read  # type: ignore[method-assign]
    assert (await world.run(position)).processed == 6


async def test_spent_batches_of_the_day_are_waited_out_by_the_job(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 1))
    spent = (400, fault("EXCEEDEDQUOTA", "ExceededQuota : ApiBatchItems Limit exceeded."))
    world.bulk.interrupt("POST", spent)
    with pytest.raises(BudgetSpent):
        await world.load.advance(world.begin())
