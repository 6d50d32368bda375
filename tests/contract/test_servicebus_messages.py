"""Sending, receiving and settling with the real SDK against the broker, over sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from azure.servicebus import (
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
)

from sandbox.servicebus import QueueOptions
from tests.contract.servicebus_support import Stage, served

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(20)]

SECOND = timedelta(seconds=1)
QUEUES = [
    QueueOptions("plain"),
    QueueOptions("attempts", max_delivery_count=3),
    QueueOptions("reasons"),
    QueueOptions("forwarding", forward_dead_letters_to="dead-letter", max_delivery_count=1),
    QueueOptions("dead-letter", duplicate_detection_window=timedelta(minutes=10)),
    QueueOptions("short-locks", lock_duration=SECOND),
    QueueOptions("locks"),
    QueueOptions("unique", duplicate_detection_window=timedelta(minutes=10)),
    QueueOptions("expiring", dead_letter_on_expiration=True),
    QueueOptions("large"),
    QueueOptions("bodies"),
    QueueOptions("deleted"),
    QueueOptions("schedule"),
    QueueOptions("peeked"),
    QueueOptions("deferred"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with served(QUEUES) as running:
        yield running


def text(message: object) -> str:
    return str(message)


async def test_single_list_and_batch_arrive_in_order_and_are_completed(stage: Stage) -> None:
    sender, receiver = stage.senders["plain"], stage.receivers["plain"]
    batch = await sender.create_message_batch()
    batch.add_message(ServiceBusMessage("4"))
    batch.add_message(ServiceBusMessage("5"))
    before = datetime.now(UTC) - SECOND

    await sender.send_messages(
        ServiceBusMessage(
            "1",
            message_id="id-1",
            subject="s",
            correlation_id="c",
            content_type="text/plain",
            application_properties={"n": 1, "t": "x"},
        )
    )
    await sender.send_messages([ServiceBusMessage("2"), ServiceBusMessage("3")])
    await sender.send_messages(batch)
    received = await receiver.receive_messages(10, max_wait_time=2)

    assert [text(m) for m in received] == ["1", "2", "3", "4", "5"]
    assert [m.sequence_number for m in received] == [1, 2, 3, 4, 5]
    first = received[0]
    assert (first.message_id, first.subject, first.correlation_id) == ("id-1", "s", "c")
    assert first.application_properties == {b"n": 1, b"t": b"x"}
    assert first.delivery_count == 0
    assert before < first.enqueued_time_utc < first.locked_until_utc
    assert stage.broker.counts()["plain"]["locked"] == 5
    await asyncio.gather(*(receiver.complete_message(m) for m in received))
    assert sum(stage.broker.counts()["plain"].values()) == 0


async def test_the_last_allowed_abandon_dead_letters(stage: Stage) -> None:
    sender, receiver = stage.senders["attempts"], stage.receivers["attempts"]
    await sender.send_messages(ServiceBusMessage("bad"))

    attempts = []
    for _ in range(3):
        [message] = await receiver.receive_messages(1, max_wait_time=2)
        attempts.append(message.delivery_count)
        await receiver.abandon_message(message)

    assert attempts == [0, 1, 2]
    assert stage.broker.counts()["attempts"]["dead_letter"] == 1
    dead_letters = stage.client.get_queue_receiver(
        "attempts", sub_queue=ServiceBusSubQueue.DEAD_LETTER
    )
    await stage.open(dead_letters)
    [dead] = await dead_letters.receive_messages(1, max_wait_time=2)
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    expected = "Message could not be consumed after 3 delivery attempts."
    assert dead.dead_letter_error_description == expected
    await dead_letters.complete_message(dead)
    assert stage.broker.counts()["attempts"]["dead_letter"] == 0


async def test_a_dead_letter_keeps_the_reason_it_was_given_or_none(stage: Stage) -> None:
    sender, receiver = stage.senders["reasons"], stage.receivers["reasons"]
    await sender.send_messages([ServiceBusMessage("1"), ServiceBusMessage("2")])
    with_reason, without = await receiver.receive_messages(2, max_wait_time=2)

    await receiver.dead_letter_message(with_reason, reason="why", error_description="how")
    await receiver.dead_letter_message(without)

    first, second = stage.broker.peek("reasons/$DeadLetterQueue")
    assert first.application_properties == {
        "DeadLetterReason": "why",
        "DeadLetterErrorDescription": "how",
    }
    assert (second.body, second.application_properties) == (b"2", {})


async def test_dead_letters_are_forwarded_with_their_reason_and_source(stage: Stage) -> None:
    sender, receiver = stage.senders["forwarding"], stage.receivers["forwarding"]
    await sender.send_messages([ServiceBusMessage("1"), ServiceBusMessage("2")])
    first, second = await receiver.receive_messages(2, max_wait_time=2)
    await receiver.dead_letter_message(first, reason="why", error_description="how")
    await receiver.abandon_message(second)

    parked = await stage.receivers["dead-letter"].receive_messages(2, max_wait_time=2)

    assert [(text(m), m.dead_letter_reason, m.dead_letter_source) for m in parked] == [
        ("1", "why", "forwarding"),
        ("2", "MaxDeliveryCountExceeded", "forwarding"),
    ]
    assert [m.message_id for m in parked] == [first.message_id, second.message_id]
    assert [m.delivery_count for m in parked] == [0, 0]
    assert stage.broker.counts()["forwarding"]["dead_letter"] == 0


async def test_a_renewed_lock_outlives_its_duration_and_an_expired_one_redelivers(
    stage: Stage,
) -> None:
    sender, receiver = stage.senders["short-locks"], stage.receivers["short-locks"]
    await sender.send_messages([ServiceBusMessage("renewed"), ServiceBusMessage("expired")])
    renewed, expired = await receiver.receive_messages(2, max_wait_time=2)
    await asyncio.sleep(0.6)
    until = await receiver.renew_message_lock(renewed)
    assert until > expired.locked_until_utc
    await asyncio.sleep(0.6)

    await receiver.complete_message(renewed)
    with pytest.raises(MessageLockLostError):
        await receiver.complete_message(expired)
    [again] = await receiver.receive_messages(1, max_wait_time=2)

    assert (text(again), again.delivery_count) == ("expired", 1)
    await receiver.complete_message(again)


async def test_a_lost_lock_is_reported_by_the_link_and_by_renewal(stage: Stage) -> None:
    sender, receiver = stage.senders["locks"], stage.receivers["locks"]
    await sender.send_messages([ServiceBusMessage("1"), ServiceBusMessage("2")])
    first, second = await receiver.receive_messages(2, max_wait_time=2)
    assert stage.broker.expire_locks("locks") == 2

    with pytest.raises(MessageLockLostError):
        await receiver.complete_message(first)
    with pytest.raises(MessageLockLostError):
        await receiver.renew_message_lock(second)


async def test_duplicates_within_the_window_are_dropped_silently(stage: Stage) -> None:
    sender = stage.senders["unique"]
    for body in ("1", "2"):
        await sender.send_messages(ServiceBusMessage(body, message_id="same"))
    await sender.send_messages(
        [ServiceBusMessage("3", message_id="same"), ServiceBusMessage("4", message_id="other")]
    )

    assert [m.body for m in stage.broker.peek("unique")] == [b"1", b"4"]
    shown = json.loads(json.dumps(stage.broker.snapshot_messages("unique")))
    assert [(m["body"], m["message_id"]) for m in shown] == [("1", "same"), ("4", "other")]
    assert stage.broker.snapshot()["queues"]["unique"]["totals"]["duplicates"] == 2


async def test_an_expired_message_is_dead_lettered_without_anyone_receiving(stage: Stage) -> None:
    await stage.senders["expiring"].send_messages(
        [ServiceBusMessage("short", time_to_live=SECOND), ServiceBusMessage("long")]
    )
    await asyncio.sleep(1.2)

    [dead] = stage.broker.peek("expiring/$DeadLetterQueue")
    assert dead.body == b"short"
    assert dead.application_properties["DeadLetterReason"] == "TTLExpiredException"
    assert stage.broker.counts()["expiring"]["active"] == 1


async def test_large_messages_pass_in_several_frames_up_to_the_limit(stage: Stage) -> None:
    sender, receiver = stage.senders["large"], stage.receivers["large"]
    body = bytes(range(256)) * 1000  # 250 KiB, four frames
    await sender.send_messages(ServiceBusMessage(body))

    [message] = await receiver.receive_messages(1, max_wait_time=5)

    assert b"".join(message.body) == body
    await receiver.complete_message(message)
    with pytest.raises(MessageSizeExceededError):
        await sender.send_messages(ServiceBusMessage(b"x" * 300 * 1024))
    await sender.send_messages(ServiceBusMessage("the link still works"))


async def test_every_kind_of_body_arrives_unchanged(stage: Stage) -> None:
    sender, receiver = stage.senders["bodies"], stage.receivers["bodies"]
    await sender.send_messages(AmqpAnnotatedMessage(value_body={"a": [1, "b", None]}))
    await sender.send_messages(AmqpAnnotatedMessage(sequence_body=[[1, 2], ["x"]]))
    await sender.send_messages(AmqpAnnotatedMessage(data_body=[b"one", b"two"]))
    await sender.send_messages(AmqpAnnotatedMessage(value_body=None))
    await sender.send_messages(ServiceBusMessage(b"\x00\x53\x75\xa0\x01x"))

    value, sequence, data, empty, lookalike = await receiver.receive_messages(5, max_wait_time=2)

    assert value.body_type is AmqpMessageBodyType.VALUE
    assert value.body == {b"a": [1, b"b", None]}
    assert list(sequence.body) == [[1, 2], [b"x"]]
    assert list(data.body) == [b"one", b"two"]
    assert empty.body is None
    assert b"".join(lookalike.body) == b"\x00\x53\x75\xa0\x01x"


async def test_receive_and_delete_leaves_nothing_behind(stage: Stage) -> None:
    await stage.senders["deleted"].send_messages([ServiceBusMessage("1"), ServiceBusMessage("2")])
    receiver = stage.client.get_queue_receiver(
        "deleted", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE
    )
    await stage.open(receiver)

    received = await receiver.receive_messages(2, max_wait_time=2)

    assert [text(m) for m in received] == ["1", "2"]
    assert sum(stage.broker.counts()["deleted"].values()) == 0


async def test_scheduled_messages_wait_can_be_cancelled_and_get_a_new_number(stage: Stage) -> None:
    sender, receiver = stage.senders["schedule"], stage.receivers["schedule"]
    soon = datetime.now(UTC) + SECOND
    later = soon + timedelta(hours=1)
    [kept] = await sender.schedule_messages(ServiceBusMessage("operation"), soon)
    cancelled = await sender.schedule_messages(
        [ServiceBusMessage("a"), ServiceBusMessage("b")], later
    )
    await sender.send_messages(
        ServiceBusMessage("property", scheduled_enqueue_time_utc=soon + SECOND / 10)
    )
    assert stage.broker.counts()["schedule"] == {
        "active": 0,
        "scheduled": 4,
        "deferred": 0,
        "locked": 0,
        "dead_letter": 0,
    }

    await sender.cancel_scheduled_messages(cancelled)
    with pytest.raises(MessageNotFoundError):
        await sender.cancel_scheduled_messages(cancelled[0])
    [first] = await receiver.receive_messages(1, max_wait_time=3)
    [second] = await receiver.receive_messages(1, max_wait_time=3)

    assert [text(first), text(second)] == ["operation", "property"]
    assert first.sequence_number > kept
    assert first.enqueued_time_utc >= soon - timedelta(milliseconds=1)
    assert stage.broker.counts()["schedule"]["scheduled"] == 0


async def test_peek_pages_through_active_locked_and_scheduled_messages(stage: Stage) -> None:
    sender, receiver = stage.senders["peeked"], stage.receivers["peeked"]
    await sender.send_messages([ServiceBusMessage(str(n)) for n in range(5)])
    await sender.schedule_messages(ServiceBusMessage("s"), datetime.now(UTC) + timedelta(hours=1))
    await receiver.receive_messages(1, max_wait_time=2)

    # Without a number the SDK goes on behind the last message it has seen.
    pages = [await receiver.peek_messages(4, sequence_number=1)]
    pages += [await receiver.peek_messages(4) for _ in range(2)]

    assert [[text(m) for m in page] for page in pages] == [["0", "1", "2", "3"], ["4", "s"], []]
    assert pages[1][1].state is ServiceBusMessageState.SCHEDULED
    assert [
        text(m)
        for m in await receiver.peek_messages(2, sequence_number=pages[0][2].sequence_number)
    ] == ["2", "3"]


async def test_a_deferred_message_is_received_by_number_and_settled(stage: Stage) -> None:
    sender, receiver = stage.senders["deferred"], stage.receivers["deferred"]
    await sender.send_messages([ServiceBusMessage("1"), ServiceBusMessage("2")])
    messages = await receiver.receive_messages(2, max_wait_time=2)
    for message in messages:
        await receiver.defer_message(message)
    numbers = [message.sequence_number for message in messages]
    assert stage.broker.counts()["deferred"]["deferred"] == 2

    first, second = await receiver.receive_deferred_messages(numbers)
    assert first.state is ServiceBusMessageState.DEFERRED
    assert await receiver.renew_message_lock(first) >= first.enqueued_time_utc
    await receiver.complete_message(first)
    await receiver.dead_letter_message(second, reason="why")

    counts = stage.broker.counts()["deferred"]
    assert (counts["deferred"], counts["locked"], counts["dead_letter"]) == (0, 0, 1)
    with pytest.raises(MessageNotFoundError):
        await receiver.receive_deferred_messages(numbers[0])
