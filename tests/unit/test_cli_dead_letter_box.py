"""The queue `dead-letter` as people read it, against a broker that speaks AMQP.

The SDK needs a second to open and close a receiver, so each test reads little and the broker tells the rest.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

from integration.errors import Misconfigured, Unreachable
from integration.messaging.dead_letter_box import DeadLetterBox, Letter
from integration.messaging.dead_letters import DeadLetter
from integration.messaging.hints import Hint
from sandbox import topology
from sandbox.servicebus.broker import Broker
from sandbox.servicebus.options import QueueOptions

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUEUE = topology.DEAD_LETTER
HINT = Hint(
    source="salesforce", object="Account", key="001A", event_id="e", seen_at=datetime.now(UTC)
)


@dataclass
class Desk:
    broker: Broker
    box: DeadLetterBox
    client: ServiceBusClient
    sender: ServiceBusSender
    before: int = 0

    async def keep(self, *keys: str) -> list[int]:
        """Dead letters of these records; their numbers."""
        await self.sender.send_messages([ServiceBusMessage(letter(key)) for key in keys])
        return self.numbers()

    async def new(self) -> list[Letter]:
        return (await self.box.letters())[self.before :]

    def numbers(self) -> list[int]:
        """Of what this test has sent, as far as it is there."""
        messages = self.broker.peek(QUEUE)[self.before :]
        return [message.sequence_number for message in messages]

    @property
    def locked(self) -> int:
        return self.broker.counts()[QUEUE]["locked"]


def letter(key: str) -> bytes:
    return DeadLetter(
        kind="failed",
        flow="accounts",
        reason="mapping",
        description="why",
        system="app",
        hint=replace(HINT, key=key),
    ).to_bytes()


def client_of(broker: Broker) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(broker.connection_string, retry_total=0)


@asynccontextmanager
async def running(queues: list[QueueOptions]) -> AsyncIterator[Broker]:
    broker = Broker(queues)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened() -> AsyncIterator[Desk]:
    queues = [
        queue if queue.name == QUEUE else replace(queue, max_delivery_count=1)
        for queue in topology.queues()
    ]
    async with (
        running(queues) as broker,
        client_of(broker) as client,
        client.get_queue_sender(QUEUE) as sender,
    ):
        box = DeadLetterBox(client_of(broker))
        yield Desk(broker, box, client, sender)
        await box.close()


@pytest_asyncio.fixture(loop_scope="module")
async def desk(opened: Desk) -> Desk:
    """What the tests before have left is in the queue still, and locked by nobody."""
    opened.broker.expire_locks(QUEUE)
    opened.before = len(opened.broker.peek(QUEUE))
    return opened


async def test_looking_changes_nothing_and_removing_takes_what_is_named_alone(desk: Desk) -> None:
    _, second, _ = await desk.keep("a", "b", "c")
    letters = await desk.new()
    assert [(each.flow, each.reason, each.kind) for each in letters] == [
        ("accounts", "mapping", "failed")
    ] * 3
    assert [each.hint.key for each in letters if each.hint] == ["a", "b", "c"]
    assert desk.locked == 0
    assert await desk.box.remove([second, 99_999]) == set()  # a number that is gone is no trouble
    assert second not in desk.numbers()
    assert len(desk.numbers()) == 2


async def test_what_an_earlier_command_has_passed_over_is_removed_when_its_lock_is_over(
    desk: Desk,
) -> None:
    first, second = await desk.keep("a", "b")
    assert await desk.box.remove([second]) == set()
    assert desk.locked == desk.before + 1
    waiting: list[int] = []

    def told(count: int) -> None:
        waiting.append(count)
        desk.broker.expire_locks(QUEUE)

    assert await desk.box.remove([first], on_wait=told) == set()
    assert (waiting, desk.numbers()) == ([1], [])


async def test_what_somebody_else_holds_stays_and_is_named(desk: Desk) -> None:
    [number] = await desk.keep("a")
    async with desk.client.get_queue_receiver(QUEUE) as receiver:
        await receiver.receive_messages(max_message_count=50, max_wait_time=2)
        assert await desk.box.remove([number], patience=1) == {number}
    assert desk.numbers() == [number]


async def test_whatever_lies_in_the_queue_is_shown_with_the_brokers_own_reason(desk: Desk) -> None:
    bodies = [b"", b"\xff\xfe", b"[1]", b'{"kind":"failed","hint":{"v":9}}']
    await desk.sender.send_messages([ServiceBusMessage(body) for body in bodies])
    await give_up(desk, topology.CHANGES, HINT.to_bytes(), session_id="bucket-001")
    await give_up(desk, topology.BUSINESS_EVENTS, b'{"BusinessEventId": "X"}')
    letters = await desk.new()
    assert [each.raw for each in letters[:4]] == bodies
    assert {each.hint for each in letters[:4]} == {None}
    hinted, event = letters[4:]
    assert (hinted.kind, hinted.reason) == ("failed", "MaxDeliveryCountExceeded")
    assert (hinted.system, hinted.queue, hinted.hint) == ("service_bus", topology.CHANGES, HINT)
    assert (event.kind, event.queue) == ("undecodable", topology.BUSINESS_EVENTS)
    assert event.body == b'{"BusinessEventId": "X"}'


async def give_up(desk: Desk, queue: str, body: bytes, session_id: str | None = None) -> None:
    async with (
        desk.client.get_queue_sender(queue) as sender,
        desk.client.get_queue_receiver(queue, session_id=session_id) as receiver,
    ):
        await sender.send_messages(ServiceBusMessage(body, session_id=session_id))
        [message] = await receiver.receive_messages(max_message_count=1, max_wait_time=2)
        await receiver.abandon_message(message)


async def test_more_letters_than_one_page_are_all_read_up_to_the_most(desk: Desk) -> None:
    await desk.keep(*map(str, range(260)))
    assert len(await desk.new()) == 260
    assert len(await desk.box.letters(most=255)) == 255


async def test_a_missing_queue_and_a_missing_broker_are_told_apart() -> None:
    queues = [queue for queue in topology.queues() if queue.name != QUEUE]
    queues = [replace(queue, forward_dead_letters_to=None) for queue in queues]
    async with running(queues) as broker:
        box = DeadLetterBox(client_of(broker))
        with pytest.raises(Misconfigured) as missing:
            await box.letters()
        await box.close()
        assert missing.value.reason == "queue-missing"
        gone = DeadLetterBox(client_of(broker))
    with pytest.raises(Unreachable) as unreachable:
        await gone.letters()
    await gone.close()
    assert unreachable.value.reason == "queue-unavailable"
    assert unreachable.value.system == "service_bus"
