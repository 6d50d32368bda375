"""Every message comes to an end: in step, skipped, put back, or kept with its reason."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integration.deadline import remaining
from integration.errors import (
    AuthenticationFailed,
    ContractError,
    CreatePending,
    OutcomeUnknown,
    RecordBusy,
    RecordNeedsReview,
    RecordRejected,
    Throttled,
)
from integration.flows.outcomes import Moved, Skipped
from integration.messaging.hints import bucket_of
from tests.unit.dispatcher_support import BUCKETS, D365_DOWN, Stage, hint
from tests.unit.flow_support import MemoryFlow


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_a_record_in_step_leaves_nothing_behind(stage: Stage) -> None:
    stage.flow.add("a")
    await stage.deliver(hint())
    assert stage.flow.source["a"]["number"] == "N-a"
    assert stage.outbox.is_empty


@pytest.mark.parametrize("record", [None, Skipped("deleted-in-salesforce")])
async def test_a_skipped_record_leaves_nothing_behind(stage: Stage, record: Any) -> None:
    if record is not None:
        stage.flow.source["a"] = record
    await stage.deliver(hint())
    assert stage.outbox.is_empty


async def test_a_record_of_another_bucket_is_sent_there(stage: Stage) -> None:
    other = next(
        f"r{n}" for n in range(99) if bucket_of(f"r{n}", BUCKETS) != bucket_of("a", BUCKETS)
    )
    stage.flow.add("a", root=other)
    await stage.deliver(hint(attempt=2))
    [sent] = stage.outbox.sent
    assert (sent.key, sent.root, sent.attempt) == ("a", other, 2)
    assert sent.message_id != hint(attempt=2).message_id
    assert stage.flow.target == {}


async def test_a_merged_record_is_followed(stage: Stage) -> None:
    stage.flow.source["a"] = Moved("winner", "winner")
    await stage.deliver(hint())
    assert [(one.key, one.root) for one in stage.outbox.sent] == [("winner", "winner")]


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (RecordRejected("no group", reason="validation"), "failed", "validation"),
        (RecordNeedsReview("two", reason="several-customers"), "review", "several-customers"),
        (ContractError("strange"), "failed", "undecodable"),
    ],
)
async def test_what_cannot_succeed_is_kept_with_its_reason(
    stage: Stage, error: Exception, kind: str, reason: str
) -> None:
    stage.flow.add("a")
    stage.flow.faults["write", "a"] = error
    given = hint()
    await stage.deliver(given)
    [letter] = stage.outbox.letters
    assert (letter.kind, letter.reason, letter.flow) == (kind, reason, "memory")
    assert letter.hint == given
    assert not stage.outbox.scheduled


@pytest.mark.parametrize("error", [RecordBusy("locked"), OutcomeUnknown("?"), KeyError("bug")])
async def test_one_records_trouble_is_tried_again_and_then_kept(
    stage: Stage, error: Exception
) -> None:
    stage.flow.add("a")
    stage.flow.faults["write", "a"] = error
    current, delays = hint(), []
    for _ in range(3):
        await stage.deliver(current)
        current, delay = stage.outbox.scheduled[-1]
        delays.append(delay)
    assert (current.attempt, current.put_backs) == (4, 0)
    assert delays[0] < delays[1] < delays[2] <= 120
    assert not stage.outbox.letters
    await stage.deliver(current)
    assert stage.outbox.letters[0].kind == "failed"
    assert len(stage.outbox.scheduled) == 3


@pytest.mark.parametrize(
    "error",
    [
        D365_DOWN,
        Throttled("slow", system="d365", retry_after=77),
        AuthenticationFailed("expired", system="d365"),
        CreatePending("begun", retry_after=77, system="d365"),
    ],
)
async def test_trouble_of_a_system_puts_back_without_using_an_attempt(
    stage: Stage, error: Exception
) -> None:
    stage.flow.add("a")
    stage.flow.faults["write"] = error
    await stage.deliver(hint(attempt=4))
    [(later, delay)] = stage.outbox.scheduled
    assert (later.attempt, later.put_backs) == (4, 1)
    assert delay >= (getattr(error, "retry_after", None) or 15)


async def test_only_its_age_ends_waiting_for_a_system(stage: Stage) -> None:
    stage.flow.add("a")
    stage.flow.faults["read"] = D365_DOWN
    await stage.deliver(hint(seen_at=datetime.now(UTC) - timedelta(hours=73)))
    [letter] = stage.outbox.letters
    assert (letter.reason, letter.system) == ("unreachable", "d365")
    assert letter.description.startswith("given up after 73 h")


async def test_a_policy_may_say_that_a_failure_is_only_skipped(stage: Stage) -> None:
    stage.flow.policy = replace(stage.flow.policy, rejected="skip")
    stage.flow.add("a")
    stage.flow.faults["write", "a"] = RecordRejected("duplicate")
    await stage.deliver(hint())
    assert stage.outbox.is_empty


async def test_a_flow_that_is_off_parks_its_hints_unread() -> None:
    stage = Stage("off")
    stage.flow.add("a")
    await stage.deliver(hint(attempt=2))
    [(parked, delay)] = stage.outbox.scheduled
    assert (parked.attempt, parked.put_backs, delay) == (2, 1, 900)
    assert stage.flow.calls == []


async def test_a_dry_flow_logs_what_it_would_write(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage("dry")
    stage.flow.add("a")
    stage.flow.target["a"] = {"name": "Old", "number": "N-a", "etag": 1}
    with caplog.at_level(logging.INFO, "integration"):
        await stage.deliver(hint())
    [record] = [vars(r) for r in caplog.records if r.getMessage().startswith("dry run")]
    assert (record["i_operation"], record["i_fields"]) == ("update", "name")
    assert stage.flow.target["a"]["name"] == "Old"
    assert "Acme" not in caplog.text
    assert stage.outbox.is_empty


async def test_deliveries_of_one_bucket_cost_one_batch(stage: Stage) -> None:
    for key in "abcdef":
        stage.flow.add(key)
    await stage.deliver(*(hint(key) for key in "abcdef"))
    assert stage.flow.stages() == ["read", "find", "write", "write_back"]


async def test_the_batch_has_a_deadline() -> None:
    left: list[float | None] = []

    class Watching(MemoryFlow):
        async def read(self, keys: list[str]) -> Any:
            left.append(remaining())
            return await super().read(keys)

    await Stage(flow=Watching(), batch_seconds=0.5).deliver(hint())
    assert left[0] is not None
    assert 0 < left[0] <= 0.5
