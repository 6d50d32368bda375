"""What cannot be handled is kept where people or reconciliation find it, and never lost."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from integration.errors import (
    RecordBusy,
    RecordRejected,
    Unreachable,
)
from integration.flows.outcomes import Moved, RecordMerged
from tests.unit.dispatcher_support import BUS_DOWN, Stage, hint
from tests.unit.flow_support import MemoryFlow


@pytest.fixture
async def stage() -> Stage:
    return Stage()


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


async def test_a_flow_hears_that_its_record_was_kept_and_the_record_stays_kept_if_it_cannot_note_it(
    stage: Stage,
) -> None:
    stage.flow.faults["read", "a"] = RecordRejected("no", reason="validation")
    stage.flow.faults["read", "b"] = RecordRejected("no", reason="validation")
    stage.flow.faults["kept", "b"] = ZeroDivisionError()
    await stage.deliver(hint("a"), hint("b"))
    assert [(key, end.reason) for key, end in stage.flow.noted] == [("a", "validation")]
    assert len(stage.outbox.letters) == 2


async def test_nothing_is_noted_of_a_record_that_could_not_be_kept(stage: Stage) -> None:
    stage.flow.faults["read", "a"] = RecordRejected("no")
    stage.outbox.error = BUS_DOWN
    with pytest.raises(Unreachable):
        await stage.deliver(hint())
    assert stage.flow.noted == []


async def test_of_a_merged_record_that_needs_a_person_the_other_is_handled_all_the_same(
    stage: Stage,
) -> None:
    problem = RecordMerged("two", follow=Moved("winner", "winner"), reason="merged-customers")
    stage.flow.faults["read", "a"] = problem
    await stage.deliver(hint())
    assert [(one.key, one.root) for one in stage.outbox.sent] == [("winner", "winner")]
    [letter] = stage.outbox.letters
    assert (letter.kind, letter.reason) == ("review", "merged-customers")
    assert letter.hint is not None
    assert letter.hint.key == "a"


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
