"""A job that is asked to end: at its next step, whatever it waits for, and whatever is lost on the way."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from integration.errors import RecordRejected, Unreachable
from integration.jobs.job import Progress
from tests.unit.test_jobs_support import Countdown, Crash, CrashClock, World

if TYPE_CHECKING:
    from integration.jobs.job import Position
    from integration.jobs.state import JobState


class Tidy(Countdown):
    """Has something to put in order: two steps of its own after it was told to end."""

    kind = "tidy"

    def __init__(self, steps: int = 9, *, delay: float = 0) -> None:
        super().__init__(steps, delay=delay)
        self.told: list[int] = []
        self.at_cancel: list[Exception] = []

    async def cancel(self, position: Position) -> Progress:
        if self.at_cancel:
            raise self.at_cancel.pop(0)
        self.told.append(int(position.get("at", 0)))
        self.effects[-1] = "stopped"
        return Progress({"at": self.steps - 2}, {"stopped": 1})


async def begun(job: Countdown, steps: int) -> tuple[World, str]:
    world = World(job, base_delay=600)
    job_id = await world.runner.start(job.kind, {})
    assert job_id is not None
    for _ in range(steps):
        await world.deliver()
    return world, job_id


async def state_of(world: World, job: Countdown, job_id: str) -> JobState:
    loaded = await world.runner.store.load(job.kind, job_id)
    assert loaded is not None
    return loaded[0]


async def test_a_job_ends_between_two_steps_with_its_totals_and_frees_its_kind() -> None:
    job = Countdown(5, delay=3000)
    world, job_id = await begun(job, 2)
    asked = world.now
    assert await world.runner.cancel(job.kind, job_id)
    await world.deliver()
    state = await state_of(world, job, job_id)
    assert (state.status, state.counts, state.error) == ("cancelled", {"written": 2}, None)
    assert world.now == asked  # the wait of fifty minutes was not waited out
    await world.drain()  # the message that was scheduled changes nothing any more
    assert job.ran == [0, 1]
    assert await world.runner.start(job.kind, {}) is not None


async def test_a_job_before_its_first_step_can_be_cancelled() -> None:
    job = Countdown(2)
    world, job_id = await begun(job, 0)
    assert await world.runner.cancel(job.kind, job_id)
    await world.drain()
    assert (await state_of(world, job, job_id)).status == "cancelled"
    assert job.ran == []


async def test_a_job_that_waits_out_trouble_does_not_wait_to_end() -> None:
    job = Countdown(2)
    job.before = _down
    world, job_id = await begun(job, 1)
    began = world.now
    assert await world.runner.cancel(job.kind, job_id)
    await world.deliver()
    assert (await state_of(world, job, job_id)).status == "cancelled"
    assert world.now - began < timedelta(seconds=1)


async def test_a_step_at_work_comes_to_its_end_first() -> None:
    job = Countdown(9)
    world, job_id = await begun(job, 1)
    job.before = _crash
    await world.deliver()  # claimed, and nobody knows whether the process still runs
    claimed = (await state_of(world, job, job_id)).claimed_until
    assert claimed is not None
    job.before = lambda _: None
    assert await world.runner.cancel(job.kind, job_id)
    await world.drain()
    state = await state_of(world, job, job_id)
    assert (state.status, state.counts) == ("cancelled", {"written": 1})
    assert state.updated_at >= claimed


async def test_a_job_that_has_something_to_put_in_order_does_that_in_further_steps() -> None:
    job = Tidy()
    world, job_id = await begun(job, 2)
    assert await world.runner.cancel("tidy", job_id)
    assert await world.runner.cancel("tidy", job_id)  # somebody asks twice
    await world.drain()
    state = await state_of(world, job, job_id)
    assert (state.status, state.counts) == ("cancelled", {"written": 4, "stopped": 1})
    assert (job.told, job.ran) == ([2], [0, 1, 7, 8])


async def test_trouble_while_it_ends_is_waited_out() -> None:
    job = Tidy()
    job.at_cancel = [Unreachable("down"), Unreachable("down")]
    world, job_id = await begun(job, 2)
    began = world.now
    await world.runner.cancel("tidy", job_id)
    await world.drain()
    assert (await state_of(world, job, job_id)).status == "cancelled"
    assert job.told == [2]
    assert world.now - began >= timedelta(seconds=900)


async def test_what_cannot_be_put_in_order_is_told() -> None:
    job = Tidy()
    world, job_id = await begun(job, 2)

    def refused(at: int) -> None:
        if at == 8:
            raise RecordRejected("it runs on", reason="left")

    job.before = refused
    await world.runner.cancel("tidy", job_id)
    await world.drain()
    state = await state_of(world, job, job_id)
    assert state.status == "cancelled"
    assert state.error == {"reason": "left", "description": "it runs on"}


async def test_nothing_is_asked_of_a_job_that_does_not_run() -> None:
    job = Countdown(1)
    world, job_id = await begun(job, 1)
    assert not await world.runner.cancel(job.kind, job_id)
    assert not await world.runner.cancel(job.kind, "20260101T000000-0")
    assert not [name for name in world.blobs.documents if name.startswith("cancel/")]


async def test_a_lost_request_message_is_no_lost_request() -> None:
    job = Tidy()
    world, job_id = await begun(job, 2)
    world.lost = True
    await world.runner.cancel("tidy", job_id)
    world.lost = False
    await world.drain()
    assert job.told == [2]
    assert (await state_of(world, job, job_id)).status == "cancelled"


@pytest.mark.parametrize("crash_at", range(1, 21))
async def test_a_crash_anywhere_on_the_way_to_the_end_repeats_no_step(crash_at: int) -> None:
    job = Tidy()
    world, job_id = await begun(job, 2)
    world.crash = world.blobs.crash = clock = CrashClock(crash_at)
    try:
        await world.runner.cancel("tidy", job_id)
    except Crash:
        await world.runner.cancel("tidy", job_id)  # the operator repeats the command
    await world.drain()
    assert clock.ticks >= min(crash_at, 15)
    world.crash = world.blobs.crash = lambda: None
    state = await state_of(world, job, job_id)
    assert state.status == "cancelled"
    assert state.counts == {"written": 4, "stopped": 1}
    assert set(job.effects) == {0, 1, 7, 8, -1}
    assert await world.runner.start("tidy", {}) is not None


async def test_the_request_goes_with_the_run() -> None:
    job = Countdown(1)
    world = World(job)
    for _ in range(35):
        job_id = await world.runner.start(job.kind, {})
        assert job_id is not None
        await world.runner.cancel(job.kind, job_id)
        await world.drain()
        world.pass_time(60)
    assert len([name for name in world.blobs.documents if name.startswith("cancel/")]) <= 31


def _down(_: int) -> None:
    raise Unreachable("down")


def _crash(_: int) -> None:
    raise Crash
