"""What clients see when the broker refuses, pauses, loses them or restarts; and odd clients."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue, exceptions
from azure.servicebus.aio import ServiceBusClient

from sandbox.servicebus import Broker, QueueOptions
from sandbox.servicebus.threaded import ThreadedBroker
from tests.contract.servicebus_support import Stage, served

pytestmark = pytest.mark.timeout(20)
on_module_loop = pytest.mark.asyncio(loop_scope="module")

EXCEPTIONS = {
    "com.microsoft:server-busy": exceptions.ServiceBusServerBusyError,
    "com.microsoft:entity-disabled": exceptions.MessagingEntityDisabledError,
    "com.microsoft:timeout": exceptions.OperationTimeoutError,
    "amqp:not-found": exceptions.MessagingEntityNotFoundError,
    "amqp:unauthorized-access": exceptions.ServiceBusAuthorizationError,
    "amqp:resource-limit-exceeded": exceptions.ServiceBusQuotaExceededError,
    "amqp:internal-error": exceptions.ServiceBusError,
}
QUEUES = [
    *(QueueOptions(condition) for condition in EXCEPTIONS),
    QueueOptions("paused"),
    QueueOptions("killed", lock_duration=timedelta(seconds=2)),
    QueueOptions("killed-session", requires_session=True),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with served(QUEUES) as running:
        yield running


@on_module_loop
async def test_refused_sends_raise_the_sdk_class_of_their_condition(stage: Stage) -> None:
    async def refused(condition: str, expected: type[Exception]) -> None:
        # The SDK closes and reopens the sender after some conditions, so each has its own queue.
        queue, sender = condition, stage.senders[condition]
        stage.broker.refuse_sends(queue, condition)
        with pytest.raises(exceptions.ServiceBusError) as raised:
            await sender.send_messages([ServiceBusMessage("1"), ServiceBusMessage("2")])
        assert type(raised.value) is expected
        assert stage.broker.counts()[queue]["active"] == 0
        await sender.send_messages(ServiceBusMessage("accepted again"))
        assert stage.broker.counts()[queue]["active"] == 1

    await asyncio.gather(*(refused(*pair) for pair in EXCEPTIONS.items()))


@on_module_loop
async def test_a_paused_queue_takes_messages_but_gives_none_until_resumed(stage: Stage) -> None:
    sender, receiver = stage.senders["paused"], stage.receivers["paused"]
    stage.broker.pause("paused")
    await sender.send_messages(ServiceBusMessage("1"))
    assert await receiver.receive_messages(1, max_wait_time=0.5) == []

    stage.broker.resume("paused")

    [message] = await receiver.receive_messages(1, max_wait_time=2)
    await receiver.complete_message(message)


@on_module_loop
async def test_links_that_cannot_be_served_are_refused_when_they_open(stage: Stage) -> None:
    receiver = stage.client.get_queue_receiver
    [holder] = await stage.open(receiver("killed-session", session_id="held"))
    refused = {
        stage.client.get_queue_sender("nowhere"): exceptions.MessagingEntityNotFoundError,
        receiver("nowhere"): exceptions.MessagingEntityNotFoundError,
        receiver(
            "nowhere", sub_queue=ServiceBusSubQueue.DEAD_LETTER
        ): exceptions.MessagingEntityNotFoundError,
        receiver("killed-session"): exceptions.ServiceBusError,
        receiver("paused", session_id="s"): exceptions.ServiceBusError,
        receiver("killed-session", session_id="held"): exceptions.SessionCannotBeLockedError,
    }
    results = await asyncio.gather(*(h.__aenter__() for h in refused), return_exceptions=True)

    assert [type(result) for result in results] == list(refused.values())
    assert holder.session.session_id == "held"
    with pytest.raises(exceptions.ServiceBusError, match="requires sessions"):
        await stage.senders["killed-session"].send_messages(ServiceBusMessage("no session"))


SYNC_CLIENT = """
import sys, time
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage
client = ServiceBusClient.from_connection_string(sys.argv[1])
sender = client.get_queue_sender("killed")
sender.send_messages([ServiceBusMessage("done"), ServiceBusMessage("locked")])
client.get_queue_sender("killed-session").send_messages(ServiceBusMessage("s", session_id="s"))
session = client.get_queue_receiver("killed-session", session_id=NEXT_AVAILABLE_SESSION)
[message] = session.receive_messages(1, max_wait_time=5)
session.session.renew_lock()
receiver = client.get_queue_receiver("killed")
done, locked = receiver.receive_messages(2, max_wait_time=5)
receiver.complete_message(done)
print(locked, session.session.session_id, flush=True)
time.sleep(60)
"""


@on_module_loop
async def test_a_killed_synchronous_client_frees_its_session_at_once_and_its_lock_in_time(
    stage: Stage,
) -> None:
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SYNC_CLIENT,
        stage.broker.connection_string,
        stdout=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    assert await client.stdout.readline() == b"locked s\n"
    counts = stage.broker.counts()
    assert counts["killed"]["locked"] == counts["killed-session"]["locked"] == 1

    client.send_signal(signal.SIGKILL)
    await client.wait()
    await asyncio.sleep(0.1)

    [freed] = stage.broker.peek("killed-session")
    assert (freed.locked, freed.delivery_count) == (False, 0)
    assert stage.broker.peek("killed")[0].locked  # a plain lock lasts until it expires
    [message] = await stage.receivers["killed"].receive_messages(1, max_wait_time=5)
    assert (str(message), message.delivery_count) == ("locked", 1)
    await stage.receivers["killed"].complete_message(message)


async def test_a_client_with_retries_survives_lost_connections_and_a_restart() -> None:
    broker = Broker([QueueOptions("q")])
    await broker.start()
    port = broker.port
    async with (
        ServiceBusClient.from_connection_string(
            broker.connection_string, retry_backoff_factor=0.1
        ) as client,
        client.get_queue_sender("q") as sender,
    ):
        await sender.send_messages(ServiceBusMessage("1"))
        assert broker.drop_connections() == 1
        await sender.send_messages(ServiceBusMessage("2"))
        await broker.stop()
        assert broker.snapshot()["connections"] == 0
        await broker.start()
        assert broker.port == port
        await sender.send_messages(ServiceBusMessage("3"))
        assert [m.body for m in broker.peek("q")] == [b"1", b"2", b"3"]
    await broker.stop()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"HEAD / HTTP/1.1\r\n\r\n", b"AMQP\x03\x01\x00\x00"),
        (b"AMQP\x00\x01\x00\x00\xff\xff\xff\xff\x02\x00\x00\x00", b"amqp:decode-error"),
        (b"AMQP\x00\x01\x00\x00\x00\x00\x00\x09\x02\x00\x00\x00\xff", b"amqp:decode-error"),
    ],
)
async def test_a_client_that_speaks_nonsense_is_told_and_disconnected(
    sent: bytes, answer: bytes
) -> None:
    broker = Broker([QueueOptions("q")])
    await broker.start()
    reader, writer = await asyncio.open_connection(broker.host, broker.port)
    writer.write(sent)
    assert answer in await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    await broker.stop()


def test_a_broker_in_a_thread_answers_questions_of_other_threads() -> None:
    with ThreadedBroker(Broker([QueueOptions("q")])) as running:
        assert running.broker.port > 0
        assert running.call(running.broker.counts)["q"]["active"] == 0
        with pytest.raises(KeyError):
            running.call(running.broker.peek, "nowhere")
