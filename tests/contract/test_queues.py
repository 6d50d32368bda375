"""`messaging.Queues` over the real Service Bus SDK against the sandbox's broker."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from integration.messaging.dead_letters import DeadLetter
from integration.messaging.hints import Hint, bucket_of
from tests.contract.queues_support import BUCKETS, Stage, hint, running, stage

__all__ = ["running", "stage"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_hints_go_to_the_session_of_their_root(stage: Stage) -> None:
    hints = [hint(f"a{number}") for number in range(20)]
    hints.append(hint("child", root="a1"))
    await stage.queues.send_hints(hints)
    messages = stage.new("changes")
    assert {m.session_id for m in messages} == {bucket_of(f"a{n}", BUCKETS) for n in range(20)}
    read = {Hint.from_bytes(message.body).key: message for message in messages}
    assert len(read) == 21
    for one in hints:
        message = read[one.key]
        assert Hint.from_bytes(message.body) == one
        assert message.session_id == bucket_of(one.root or one.key, BUCKETS)
        assert (message.message_id, message.state) == (one.message_id, "active")


async def test_a_session_keeps_the_order_in_which_hints_were_sent(stage: Stage) -> None:
    await stage.queues.send_hints([hint(f"o{number}", root="one") for number in range(30)])
    keys = [Hint.from_bytes(message.body).key for message in stage.new("changes")]
    assert keys == [f"o{number}" for number in range(30)]


async def test_the_same_hint_twice_is_once_in_the_queue_and_a_later_attempt_is_another(
    stage: Stage,
) -> None:
    first = hint("twice")
    await stage.queues.send_hints([first])
    await stage.queues.send_hints([first, first.later(uses_attempt=True)])
    await stage.queues.send_hints([first.later(uses_attempt=False), replace(first, replay=1)])
    assert [message.message_id for message in stage.new("changes")] == [
        "event-twice:1:0:0",
        "event-twice:2:0:0",
        "event-twice:1:1:0",
        "event-twice:1:0:1",
    ]


async def test_thousands_of_hints_with_the_longest_names_fit_the_messages_of_the_broker(
    stage: Stage,
) -> None:
    long = {"object": "x" * 80, "root": "one", "trace": "t" * 55, "company": "usmf"}
    await stage.queues.send_hints(
        hint(f"{number:018}", event_id=f"{number:0128}", **long) for number in range(1200)
    )
    assert len(stage.new("changes")) == 1200


async def test_a_scheduled_hint_comes_later(stage: Stage) -> None:
    before = datetime.now(UTC)
    await stage.queues.schedule(hint("later", attempt=2), 120)
    [message] = stage.new("changes")
    assert message.state == "scheduled"
    assert message.scheduled_at is not None
    delay = (message.scheduled_at - before).total_seconds()
    assert 119 < delay < 130
    assert Hint.from_bytes(message.body).attempt == 2


async def test_a_message_of_another_version_is_put_back_as_it_is(stage: Stage) -> None:
    await stage.queues.schedule_raw(b'{"v":2}', session="bucket-001", message_id="m+v1", delay=60)
    [message] = stage.new("changes")
    assert (message.body, message.session_id, message.message_id) == (
        b'{"v":2}',
        "bucket-001",
        "m+v1",
    )
    assert message.state == "scheduled"


async def test_a_dead_letter_carries_its_reason_for_people_and_tools(stage: Stage) -> None:
    letter = DeadLetter(
        kind="failed",
        flow="accounts",
        reason="validation",
        description="ä" * 5000,
        system="d365",
        hint=hint("dead"),
    )
    await stage.queues.dead_letter(letter)
    await stage.queues.dead_letter(letter)  # again after a crash
    [message] = stage.new("dead-letter")
    properties = {
        name.decode() if isinstance(name, bytes) else name: value
        for name, value in message.application_properties.items()
    }
    assert properties == {
        "DeadLetterReason": "validation",
        "DeadLetterErrorDescription": "ä" * 4096,
    }
    assert (message.subject, message.message_id) == ("failed", "failed:event-dead:1:0:0")
    assert json.loads(message.body)["hint"] == hint("dead").to_json()


async def test_the_largest_undecodable_message_finds_its_place(stage: Stage) -> None:
    await stage.queues.dead_letter(
        DeadLetter(
            kind="undecodable",
            flow="none",
            reason="undecodable",
            description="ä" * 4096,
            system="app",
            body=b"\xff" * 256 * 1024,
        )
    )
    assert len(stage.new("dead-letter")) == 1
