"""The functions `advance_jobs` and `sync_prices`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from azure.functions.servicebus import ServiceBusMessage
from azure.functions.timer import TimerRequest

from integration import wiring
from integration.triggers import advance_jobs, timers
from tests.unit.account_support import settings_of
from tests.unit.test_jobs_support import Countdown, World
from tests.unit.trigger_support import MemoryQueues, app_with

if TYPE_CHECKING:
    import azure.functions as func

    from integration.jobs.runner import JobRunner


class Prices(Countdown):
    kind = "prices"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(Prices(2))


def _use(monkeypatch: pytest.MonkeyPatch, runner: JobRunner, **settings: str) -> MemoryQueues:
    queues = MemoryQueues()
    monkeypatch.setattr(wiring, "_app", app_with(settings_of(**settings), queues, jobs=runner))
    return queues


def _function(blueprint: func.Blueprint):
    [builder] = blueprint._function_builders
    return builder._function.get_user_function()


async def _advance(body: bytes) -> None:
    message = ServiceBusMessage(
        body=body, message_id="1", application_properties={}, user_properties={}
    )
    await _function(advance_jobs.bp)(message)


async def _timer() -> None:
    await timers.sync_prices._function._func(TimerRequest(past_due=False))


async def test_the_timer_starts_the_job_and_the_messages_run_it(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    _use(monkeypatch, world.runner)
    await _timer()
    await _timer()  # while it runs: left out
    while world.messages:
        await _advance(world.messages.pop(0)[2])
    runs = await world.runner.store.runs("prices")
    assert [(run.status, run.counts) for run in runs] == [("done", {"written": 2})]


async def test_the_timer_starts_nothing_while_prices_are_off_but_wakes_stranded_jobs(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    world.lost = True
    await world.runner.start("prices", {})
    world.lost = False
    world.pass_time(60)
    _use(monkeypatch, world.runner, FLOW_PRICES="off")
    await _timer()
    assert len(world.messages) == 1
    assert len(await world.runner.store.runs("prices")) == 1


async def test_an_unreadable_message_becomes_a_dead_letter(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    queues = _use(monkeypatch, world.runner)
    await _advance(b"not json")
    [letter] = queues.letters
    assert (letter.kind, letter.flow, letter.body) == ("undecodable", "jobs", b"not json")


async def test_the_bindings_are_those_of_the_queue_and_the_schedule() -> None:
    functions = [
        advance_jobs.bp._function_builders[0]._function,
        timers.sync_prices._function,
    ]
    bindings = [function.get_trigger().get_dict_repr() for function in functions]
    assert bindings[0]["queueName"] == "jobs"
    assert str(bindings[0]["cardinality"].value) == "one"
    assert bindings[0]["dataType"].name == "BINARY"
    assert not bindings[0].get("isSessionsEnabled")
    assert bindings[1]["schedule"] == "%SYNC_PRICES_SCHEDULE%"
