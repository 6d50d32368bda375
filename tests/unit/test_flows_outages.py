"""While a system is down its hints wait, one of them probes, and its success lets all pass."""

import pytest

from integration.errors import (
    RecordRejected,
)
from tests.unit.dispatcher_support import D365_DOWN, Stage, hint


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def down_for(stage: Stage, *keys: str) -> None:
    for key in keys:
        stage.flow.add(key)
    stage.flow.faults["find"] = D365_DOWN
    await stage.deliver(hint(keys[0]))
    stage.outbox.scheduled.clear()
    stage.flow.calls.clear()


async def test_while_a_system_is_down_hints_wait_without_a_call(stage: Stage) -> None:
    await down_for(stage, "a", "b")
    stage.clock.now += 10
    await stage.deliver(hint("b"))
    [(later, delay)] = stage.outbox.scheduled
    assert (later.attempt, later.put_backs) == (1, 1)
    assert 20 <= delay <= 22
    assert stage.flow.calls == []


async def test_then_one_hint_probes_and_its_success_lets_all_pass(stage: Stage) -> None:
    await down_for(stage, "a", "b", "c")
    del stage.flow.faults["find"]
    stage.clock.now += 30
    await stage.deliver(hint("a"), hint("b"), hint("c"))
    assert stage.flow.calls[0][0] == "read"
    assert len(stage.flow.calls[0][1]) == 1
    waiting = stage.outbox.scheduled
    assert len(waiting) == 2
    assert all(delay <= 1.1 and later.attempt == 1 for later, delay in waiting)
    await stage.deliver(*(later for later, _ in waiting))
    assert stage.flow.target.keys() == {"a", "b", "c"}


async def test_a_failing_probe_closes_the_gate_for_longer(stage: Stage) -> None:
    await down_for(stage, "a", "b")
    stage.clock.now += 30
    await stage.deliver(hint("a"))
    stage.outbox.scheduled.clear()
    await stage.deliver(hint("b"))
    assert stage.outbox.scheduled[0][1] >= 60


async def test_a_record_that_never_came_to_the_system_does_not_keep_its_gate_open(
    stage: Stage,
) -> None:
    stage.flow.add("a")
    stage.flow.faults["find"] = D365_DOWN
    await stage.deliver(hint("a"), hint("not-there"))
    stage.flow.calls.clear()
    await stage.deliver(hint("a"))
    assert stage.flow.calls == []


async def test_a_probe_that_is_skipped_leaves_probing_to_the_next(stage: Stage) -> None:
    await down_for(stage, "a", "b", "c")
    stage.clock.now += 30
    await stage.deliver(hint("not-there"))
    await stage.deliver(hint("a"), hint("b"), hint("c"))
    asked = {key for name, keys in stage.flow.calls if name == "find" for key in keys}
    assert len(asked) == 1


async def test_one_failed_row_does_not_close_the_gate(stage: Stage) -> None:
    for key in "ab":
        stage.flow.add(key)
    stage.flow.faults["write", "a"] = D365_DOWN
    await stage.deliver(hint("a"), hint("b"))
    stage.flow.calls.clear()
    await stage.deliver(hint("b"))
    assert "read" in stage.flow.stages()


async def test_an_answer_of_the_system_to_one_record_keeps_its_gate_open(stage: Stage) -> None:
    for key in "ab":
        stage.flow.add(key)
    stage.flow.faults["write", "a"] = D365_DOWN
    stage.flow.faults["write", "b"] = RecordRejected("no", system="d365")
    await stage.deliver(hint("a"), hint("b"))
    stage.flow.calls.clear()
    await stage.deliver(hint("a"))
    assert "read" in stage.flow.stages()
