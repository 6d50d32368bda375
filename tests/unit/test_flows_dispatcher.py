"""Every message comes to an end: in step, skipped, put back, or kept with its reason."""

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
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
    Unreachable,
)
from integration.flows.context import FlowEntry
from integration.flows.dispatcher import Dispatcher
from integration.flows.outcomes import Moved, Skipped
from integration.messaging.dead_letters import DeadLetter
from integration.messaging.hints import Hint, bucket_of
from integration.recovery.gate import SystemGate
from integration.state.ledger import LedgerEntry
from tests.unit.flow_support import MemoryFlow

BUCKETS = 4
D365_DOWN = Unreachable("down", system="d365")
BUS_DOWN = Unreachable("no broker", system="service_bus")


@dataclass
class MemoryOutbox:
    sent: list[Hint] = field(default_factory=list)
    scheduled: list[tuple[Hint, float]] = field(default_factory=list)
    raw: list[tuple[bytes, str, str, float]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    error: Exception | None = None

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    async def send_hints(self, hints: Iterable[Hint]) -> None:
        self._check()
        self.sent += hints

    async def schedule(self, hint: Hint, delay: float) -> None:
        self._check()
        self.scheduled.append((hint, delay))

    async def schedule_raw(
        self, body: bytes, *, session: str, message_id: str, delay: float
    ) -> None:
        self._check()
        self.raw.append((body, session, message_id, delay))

    async def dead_letter(self, letter: DeadLetter) -> None:
        self._check()
        self.letters.append(letter)

    @property
    def is_empty(self) -> bool:
        return not (self.sent or self.scheduled or self.raw or self.letters)


@dataclass
class MemoryLedger:
    entries: dict[tuple[str, str], LedgerEntry] = field(default_factory=dict)
    error: Exception | None = None

    async def record(self, entry: LedgerEntry) -> None:
        if self.error is not None:
            raise self.error
        self.entries[entry.flow, entry.key] = entry

    async def settle(self, flow: str, key: str) -> None:
        self.entries.pop((flow, key), None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A dispatcher with one flow between two dicts and an outbox that remembers."""

    def __init__(
        self, switch: str = "on", *, flow: MemoryFlow | None = None, batch_seconds: float = 60
    ) -> None:
        self.flow = flow or MemoryFlow()
        self.outbox = MemoryOutbox()
        self.ledger = MemoryLedger()
        self.clock = Clock()
        self.dispatcher = Dispatcher(
            [FlowEntry(self.flow, "salesforce", "Account", switch)],
            self.outbox,
            SystemGate(base=30, longest=900, clock=self.clock),
            self.ledger,
            buckets=BUCKETS,
            batch_seconds=batch_seconds,
            window=0.005,
            batch_size=100,
            park_seconds=900,
            random=Random(1),
        )

    async def deliver(self, *hints: Hint) -> None:
        await asyncio.gather(
            *(
                self.dispatcher.handle(
                    hint.to_bytes(),
                    session=bucket_of(hint.root or hint.key, BUCKETS),
                    message_id=hint.message_id,
                )
                for hint in hints
            )
        )


def hint(key: str = "a", **changes: Any) -> Hint:
    values: dict[str, Any] = {
        "source": "salesforce",
        "object": "Account",
        "key": key,
        "event_id": f"event-{key}",
        "seen_at": datetime.now(UTC) - timedelta(seconds=5),
    }
    return Hint(**{**values, **changes})


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


async def test_a_flow_that_reconciliation_heals_keeps_its_failures_in_the_ledger(
    stage: Stage,
) -> None:
    stage.flow.policy = replace(stage.flow.policy, rejected="reconcile")
    stage.flow.add("a")
    stage.flow.faults["write", "a"] = RecordRejected("no", reason="validation")
    given = hint(root="a", company="usmf", attempt=2)
    await stage.deliver(given)
    entry = stage.ledger.entries["memory", "a"]
    assert (entry.reason, entry.attempts, entry.company, entry.root) == (
        "validation",
        2,
        "usmf",
        "a",
    )
    assert datetime.fromisoformat(entry.since) == given.seen_at.replace(microsecond=0)
    assert stage.outbox.is_empty


async def test_without_the_ledger_the_hint_comes_again_rather_than_being_lost(
    stage: Stage,
) -> None:
    stage.flow.policy = replace(stage.flow.policy, rejected="reconcile")
    stage.ledger.error = Unreachable("no storage", system="storage")
    stage.flow.add("a")
    stage.flow.faults["write", "a"] = RecordRejected("no")
    await stage.deliver(hint())
    [(later, delay)] = stage.outbox.scheduled
    assert (later.attempt, delay) == (1, 900)


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_record_from_the_ledger_leaves_it_when_it_is_in_step_or_not_wanted(
    stage: Stage, wanted: bool
) -> None:
    stage.flow.policy = replace(stage.flow.policy, rejected="reconcile")
    stage.flow.add("a", name="Acme" if wanted else None)
    stage.flow.faults["read", "a"] = [RecordRejected("no")]
    await stage.deliver(hint())
    assert stage.ledger.entries
    await stage.deliver(hint(event_id="ledger:memory/a"))
    assert not stage.ledger.entries


async def test_an_end_is_told_to_people_and_kept_even_where_that_fails(stage: Stage) -> None:
    stage.flow.add("a")
    stage.flow.faults["write", "a"] = RecordRejected("no", reason="validation")
    await stage.deliver(hint())
    assert [(key, end.reason) for key, end in stage.flow.told] == [("a", "validation")]

    class Mute(MemoryFlow):
        async def ended(self, key: str, end: object) -> None:
            raise ZeroDivisionError

    mute = Stage(flow=Mute())
    mute.flow.faults["read", "a"] = RecordRejected("no")
    await mute.deliver(hint())
    [letter] = mute.outbox.letters
    assert letter.description == "no (could not be told: ZeroDivisionError)"


async def test_a_dry_flow_keeps_what_fails_and_tells_nobody() -> None:
    stage = Stage("dry")
    stage.flow.faults["read", "a"] = RecordRejected("no")
    await stage.deliver(hint())
    assert len(stage.outbox.letters) == 1
    assert stage.flow.told == []


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b'{"v":1,"key":5}', b"\x80"])
async def test_an_undecodable_message_is_kept_whole(stage: Stage, body: bytes) -> None:
    await stage.dispatcher.handle(body, session="bucket-000", message_id="m")
    [letter] = stage.outbox.letters
    assert (letter.kind, letter.body, letter.hint) == ("undecodable", body, None)


@pytest.mark.parametrize("first_id", ["event:1:0:0", "", "x" * 128])
async def test_an_unknown_version_waits_for_a_newer_instance_and_is_then_kept(
    stage: Stage, first_id: str
) -> None:
    body = json.dumps({**hint().to_json(), "v": 2}).encode()
    message_id, ids = first_id, []
    for _ in range(4):
        await stage.dispatcher.handle(body, session="bucket-003", message_id=message_id)
        kept, session, message_id, delay = stage.outbox.raw[-1]
        assert (kept, session, delay) == (body, "bucket-003", 60)
        assert len(message_id) <= 128
        ids.append(message_id)
    assert len(set(ids)) == 4
    assert not stage.outbox.letters
    await stage.dispatcher.handle(body, session="bucket-003", message_id=message_id)
    [letter] = stage.outbox.letters
    assert (letter.kind, letter.reason) == ("undecodable", "unknown-hint-version")
    assert letter.body == body


async def test_two_long_ids_of_an_unknown_version_stay_two(stage: Stage) -> None:
    body = json.dumps({**hint().to_json(), "v": 2}).encode()
    for message_id in ("x" * 125 + "1", "x" * 125 + "2"):
        await stage.dispatcher.handle(body, session="bucket-003", message_id=message_id)
    assert len({message_id for _, _, message_id, _ in stage.outbox.raw}) == 2


async def test_an_object_that_only_a_newer_release_handles_is_not_lost(stage: Stage) -> None:
    current = hint(object="Contact")
    for _ in range(4):
        await stage.deliver(current)
        current, delay = stage.outbox.scheduled[-1]
        assert delay == 60
    await stage.deliver(current)
    [letter] = stage.outbox.letters
    assert (letter.kind, letter.reason, letter.hint) == ("failed", "no-flow", current)


@pytest.mark.parametrize(
    "prepare",
    [
        lambda stage: stage.flow.source.update(a=Moved("b", "b")),
        lambda stage: stage.flow.faults.update({("read", "a"): RecordBusy("locked")}),
        lambda stage: stage.flow.faults.update({("read", "a"): RecordRejected("no")}),
    ],
)
async def test_only_trouble_of_service_bus_is_raised(stage: Stage, prepare: Any) -> None:
    stage.flow.add("a")
    prepare(stage)
    stage.outbox.error = BUS_DOWN
    with pytest.raises(Unreachable) as caught:
        await stage.deliver(hint())
    assert caught.value.system == "service_bus"


async def test_deliveries_of_one_bucket_cost_one_batch(stage: Stage) -> None:
    for key in "abcdef":
        stage.flow.add(key)
    await stage.deliver(*(hint(key) for key in "abcdef"))
    assert stage.flow.stages() == ["read", "find", "write", "write_back"]


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


async def test_the_batch_has_a_deadline() -> None:
    left: list[float | None] = []

    class Watching(MemoryFlow):
        async def read(self, keys: list[str]) -> Any:
            left.append(remaining())
            return await super().read(keys)

    await Stage(flow=Watching(), batch_seconds=0.5).deliver(hint())
    assert left[0] is not None
    assert 0 < left[0] <= 0.5
