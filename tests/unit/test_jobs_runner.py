"""The job engine: one run at a time, one step at a time, whatever is lost or doubled."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from integration.deadline import remaining
from integration.errors import (
    ContractError,
    RecordRejected,
    Throttled,
    Unreachable,
)
from integration.jobs.job import Progress, RowFailure
from integration.jobs.messages import StepMessage
from tests.unit.test_jobs_support import Countdown, Crash, CrashClock, World


async def _state(world: World, kind: str = "countdown"):
    return (await world.runner.store.runs(kind))[0]


async def test_a_job_runs_step_after_step_to_its_end() -> None:
    job = Countdown(3)
    world = World(job)
    job_id = await world.runner.start("countdown", {})
    assert job.ran == []  # starting does no work
    await world.drain()
    state = await _state(world)
    assert (state.id, state.status, state.step) == (job_id, "done", 3)
    assert state.counts == {"written": 3}
    assert job.ran == [0, 1, 2]


async def test_only_one_job_of_a_kind_runs() -> None:
    world = World(Countdown(2))
    first = await world.runner.start("countdown", {})
    assert first is not None
    assert await world.runner.start("countdown", {}) is None
    await world.drain()
    second = await world.runner.start("countdown", {})
    assert second not in (None, first)


async def test_of_two_instances_that_start_at_once_one_wins() -> None:
    world = World(Countdown(1))
    first = await world.runner.start("countdown", {})
    lease = world.blobs.documents.pop("jobs/countdown/current.json")
    # Between this instance's look and its write, the other one takes the lease.
    state = "jobs/countdown/x.json"
    world.blobs.before_write = [(state, b"{}"), ("jobs/countdown/current.json", lease.body)]
    assert await world.runner.start("countdown", {}) is None
    names = [n async for n in world.blobs.names("jobs/countdown/2")]
    assert names == [f"jobs/countdown/{first}.json"]  # the loser left nothing behind


async def test_the_params_are_the_first_position_and_a_delay_is_waited() -> None:
    job = Countdown(3, delay=40)
    world = World(job)
    began = world.now
    await world.runner.start("countdown", {"at": 1})
    await world.drain()
    assert job.ran == [1, 2]
    assert world.now - began == timedelta(seconds=40)


async def test_a_repeated_message_runs_no_step_twice() -> None:
    job = Countdown(4)
    world = World(job)
    await world.runner.start("countdown", {})
    at, _, body = world.messages[0]
    for number in range(3):
        world.messages.append((at, f"double {number}", body))
    await world.drain()
    assert job.ran == [0, 1, 2, 3]


async def test_a_message_that_comes_while_its_step_runs_waits_for_the_claim() -> None:
    job = Countdown(1)
    world = World(job, step_seconds=30)
    job_id = await world.runner.start("countdown", {})
    assert job_id is not None

    def crash(_: int) -> None:
        job.before = lambda _: None
        raise Crash

    job.before = crash
    await world.deliver()
    claimed = (await _state(world)).claimed_until
    assert claimed is not None
    await world.runner.advance(StepMessage("countdown", job_id, 0).to_bytes())
    assert job.ran == []  # another instance may still be at work
    await world.drain()
    assert job.ran == [0]
    assert world.now >= claimed - timedelta(seconds=2)


@pytest.mark.parametrize("crash_at", range(1, 25))
async def test_a_crash_before_or_after_any_write_or_send_loses_and_repeats_nothing(
    crash_at: int,
) -> None:
    job = Countdown(3)
    world = World(job)
    world.crash = world.blobs.crash = clock = CrashClock(crash_at)
    try:
        await world.runner.start("countdown", {})
    except Crash:
        world.pass_time(31)
        await world.runner.start("countdown", {})
    await world.drain()
    assert clock.ticks >= crash_at  # it did crash
    world.crash = world.blobs.crash = lambda: None
    runs = await world.runner.store.runs("countdown")
    held, _ = await world.runner.store.holder("countdown")
    ended = [run for run in runs if run.status == "done"]
    assert len(ended) == 1
    assert ended[0].counts == {"written": 3}
    assert job.effects == {0: "row 0", 1: "row 1", 2: "row 2"}
    assert all(run.step == 0 for run in runs if run is not ended[0])  # orphans of a crashed start
    assert held in (None, ended[0].id)
    assert await world.runner.start("countdown", {}) is not None


async def test_a_lost_message_is_sent_again_by_the_next_timer() -> None:
    job = Countdown(2)
    world = World(job)
    await world.runner.start("countdown", {})
    world.lost = True
    await world.deliver()
    world.lost = False
    assert world.messages == []
    assert await world.runner.re_arm() == 0  # not late yet
    world.pass_time(31)
    assert await world.runner.re_arm() == 1
    assert await world.runner.re_arm() == 0
    await world.drain()
    assert job.ran == [0, 1]


async def test_starting_arms_a_stranded_job_again() -> None:
    job = Countdown(1)
    world = World(job)
    world.lost = True
    await world.runner.start("countdown", {})
    world.lost = False
    world.pass_time(60)
    assert await world.runner.start("countdown", {}) is None
    await world.drain()
    assert (await _state(world)).status == "done"


async def test_trouble_of_a_system_repeats_the_step_with_growing_waits() -> None:
    job = Countdown(1)
    world = World(job, base_delay=10, max_delay=60)
    tries: list[float] = []
    began = world.now

    def down(_: int) -> None:
        tries.append((world.now - began).total_seconds())
        if len(tries) < 6:
            raise Unreachable("down")

    job.before = down
    await world.runner.start("countdown", {})
    await world.deliver()
    waiting = await _state(world)
    assert (waiting.status, waiting.error) == (
        "running", {"reason": "unreachable", "description": "down"},
    )  # fmt: skip
    await world.drain()
    assert tries == [0, 10, 30, 70, 130, 190]
    state = await _state(world)
    assert (state.status, state.error) == ("done", None)


async def test_retry_after_wins() -> None:
    job = Countdown(1)
    world = World(job, base_delay=10)
    began = world.now

    def throttled(_: int) -> None:
        job.before = lambda _: None
        raise Throttled("slow down", retry_after=123)

    job.before = throttled
    await world.runner.start("countdown", {})
    await world.drain()
    assert world.now - began == timedelta(seconds=123)


async def test_a_job_past_its_deadline_fails_with_its_last_trouble() -> None:
    job = Countdown(1)
    world = World(job)
    began = world.now

    def down(_: int) -> None:
        raise Unreachable("F&O is down")

    job.before = down
    await world.runner.start("countdown", {})
    await world.drain()
    state = await _state(world)
    assert (state.status, (state.error or {})["reason"]) == ("failed", "job-deadline")
    assert "F&O is down" in (state.error or {})["description"]
    assert world.now - began == job.longest
    assert await world.runner.start("countdown", {}) is not None  # the kind is free again


async def test_what_can_never_succeed_ends_the_job_at_once() -> None:
    job = Countdown(2)
    world = World(job)

    def refused(_: int) -> None:
        raise RecordRejected("no such price book", reason="price-book")

    job.before = refused
    await world.runner.start("countdown", {})
    assert await world.drain() == 1
    state = await _state(world)
    assert (state.status, state.error) == (
        "failed", {"reason": "price-book", "description": "no such price book"},
    )  # fmt: skip


async def test_an_unexpected_exception_is_tried_four_times_and_its_text_is_not_kept() -> None:
    job = Countdown(1)
    world = World(job)
    tries: list[int] = []

    def broken(at: int) -> None:
        tries.append(at)
        raise KeyError("secret value")

    job.before = broken
    await world.runner.start("countdown", {})
    await world.drain()
    state = await _state(world)
    assert (len(tries), state.status) == (4, "failed")
    assert "secret" not in json.dumps(state.error)


async def test_storage_trouble_leaves_the_message_to_the_broker() -> None:
    job = Countdown(1)
    world = World(job)
    await world.runner.start("countdown", {})
    world.blobs.error = Unreachable("state", system="storage")
    with pytest.raises(Unreachable):
        await world.runner.advance(world.messages[0][2])
    world.blobs.error = None
    await world.drain()
    assert job.ran == [0]


async def test_a_step_knows_its_deadline() -> None:
    class Looks(Countdown):
        kind = "looks"

        async def step(self, position):
            self.left = remaining()
            return Progress({}, done=True)

    job = Looks()
    world = World(job, step_seconds=17)
    await world.runner.start("looks", {})
    await world.drain()
    assert 16 < (job.left or 0) <= 17


async def test_a_position_that_is_no_json_fails_the_job_and_not_the_process() -> None:
    class Wrong(Countdown):
        kind = "wrong"

        async def step(self, position):
            return Progress({"when": timedelta(1)})

    world = World(Wrong())
    await world.runner.start("wrong", {})
    await world.drain()
    assert (await _state(world, "wrong")).status == "failed"


async def test_the_first_hundred_failures_are_in_the_state_and_all_beside_it() -> None:
    class Fails(Countdown):
        kind = "fails"

        async def step(self, position):
            at = position.get("at", 0)
            rows = tuple(RowFailure(f"{at}-{n}", "refused", "no") for n in range(70))
            return Progress({"at": at + 1}, {"failed": 70}, done=at == 1, failures=rows)

    world = World(Fails())
    await world.runner.start("fails", {})
    await world.drain()
    state = await _state(world, "fails")
    assert (len(state.failures), state.counts["failed"]) == (100, 140)
    assert state.failures[0]["key"] == "0-0"
    prefix = f"failed-rows/fails/{state.id}/"
    names = [name async for name in world.blobs.names(prefix)]
    assert names == [f"{prefix}000000.jsonl", f"{prefix}000001.jsonl"]
    rows = [
        json.loads(line) for name in names for line in world.blobs.documents[name].body.splitlines()
    ]
    assert [row["key"] for row in rows] == [f"{at}-{n}" for at in range(2) for n in range(70)]
    assert rows[-1] == {"key": "1-69", "reason": "refused", "description": "no"}


async def test_old_runs_are_forgotten() -> None:
    world = World(Countdown(1))
    for _ in range(35):
        await world.runner.start("countdown", {})
        await world.drain()
        world.pass_time(60)
    assert len(await world.runner.store.runs("countdown")) <= 31


async def test_the_failed_rows_are_forgotten_with_their_run() -> None:
    class Fails(Countdown):
        async def step(self, position):
            return Progress({}, done=True, failures=(RowFailure("1", "refused", "no"),))

    world = World(Fails(1))
    for _ in range(35):
        await world.runner.start("countdown", {})
        await world.drain()
        world.pass_time(60)
    assert len([name async for name in world.blobs.names("failed-rows/")]) <= 31


@pytest.mark.parametrize(
    "body",
    [
        b"\xff", b"[]", b'{"v":2,"kind":"a","id":"b","step":0}', b'{"v":1,"kind":"a","id":"b"}',
        b'{"v":1,"kind":"../x","id":"b","step":0}', b'{"v":1,"kind":"a","id":"b","step":true}',
        b'{"v":1,"kind":"a","id":7,"step":1}', b'{"v":1,"kind":"a","id":"b","step":-1}',
    ],
)  # fmt: skip
async def test_an_unreadable_message_is_said_to_be_so(body: bytes) -> None:
    with pytest.raises(ContractError):
        await World(Countdown()).runner.advance(body)


async def test_a_message_of_an_unknown_job_is_dropped() -> None:
    world = World(Countdown())
    await world.runner.advance(StepMessage("countdown", "gone", 0).to_bytes())
    await world.runner.advance(StepMessage("other", "gone", 0).to_bytes())
    assert world.messages == []
