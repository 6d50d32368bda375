"""Sessions with the real SDK against the broker (Service Bus contract 3.6)."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.aio import AutoLockRenewer
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    SessionLockLostError,
)

from sandbox.servicebus import QueueOptions
from tests.contract.servicebus_support import Stage, served

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(20)]

NAMES = ["two", "closed", "lost", "state", "empty", "waiting", "many", "listed"]
QUEUES = [
    *(QueueOptions(name, requires_session=True) for name in NAMES),
    QueueOptions("renewed", requires_session=True, lock_duration=timedelta(seconds=1.5)),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with served(QUEUES) as running:
        for name in ("lost", "state", "many"):
            running.receivers[name] = session_receiver(running, name, "s")
        await running.open(*(running.receivers[name] for name in ("lost", "state", "many")))
        yield running


def messages(session_id: str, *bodies: str) -> list[ServiceBusMessage]:
    return [ServiceBusMessage(body, session_id=session_id) for body in bodies]


def session_receiver(stage: Stage, queue: str, session_id: Any, **options: Any) -> Any:
    return stage.client.get_queue_receiver(queue, session_id=session_id, **options)


async def test_two_next_available_receivers_get_different_sessions_in_order(stage: Stage) -> None:
    await stage.senders["two"].send_messages(
        messages("a", "1", "2", "3") + messages("b", "4", "5") + messages("a", "6")
    )
    receivers = await stage.open(
        *(session_receiver(stage, "two", NEXT_AVAILABLE_SESSION) for _ in range(2))
    )

    async def drain(receiver: Any) -> tuple[str, list[str]]:
        bodies = []
        while received := await receiver.receive_messages(1, max_wait_time=0.3):
            [message] = received
            assert message.session_id == receiver.session.session_id
            bodies.append(str(message))
            await receiver.complete_message(message)
        return receiver.session.session_id, bodies

    results = await asyncio.gather(*map(drain, receivers))

    assert dict(results) == {"a": ["1", "2", "3", "6"], "b": ["4", "5"]}
    assert sum(stage.broker.counts()["two"].values()) == 0


async def test_a_closed_session_goes_to_the_next_receiver_at_once(stage: Stage) -> None:
    await stage.senders["closed"].send_messages(messages("s", "1"))
    holder = session_receiver(stage, "closed", "s")
    await holder.__aenter__()
    [message] = await holder.receive_messages(1, max_wait_time=2)
    successor = session_receiver(stage, "closed", NEXT_AVAILABLE_SESSION, max_wait_time=5)

    await asyncio.gather(stage.open(successor), holder.close())
    [again] = await successor.receive_messages(1, max_wait_time=2)

    assert str(again) == str(message)
    assert again.delivery_count == 0  # a closed session counts no attempt
    await successor.complete_message(again)


async def test_a_lost_session_lock_fails_settling_and_the_message_counts_an_attempt(
    stage: Stage,
) -> None:
    await stage.senders["lost"].send_messages(messages("s", "1"))
    receiver: Any = stage.receivers["lost"]
    [message] = await receiver.receive_messages(1, max_wait_time=2)
    assert stage.broker.expire_locks("lost") == 1

    with pytest.raises(SessionLockLostError):
        await receiver.complete_message(message)
    with pytest.raises(SessionLockLostError):
        await receiver.session.renew_lock()

    [waiting] = stage.broker.peek("lost")
    assert (waiting.delivery_count, waiting.locked) == (1, False)


async def test_renewal_keeps_the_session_beyond_its_lock_duration(stage: Stage) -> None:
    await stage.senders["renewed"].send_messages(messages("s", "1"))
    [receiver] = await stage.open(session_receiver(stage, "renewed", NEXT_AVAILABLE_SESSION))
    [message] = await receiver.receive_messages(1, max_wait_time=2)
    first_end = receiver.session.locked_until_utc

    async with AutoLockRenewer() as renewer:
        renewer.register(receiver, receiver.session, max_lock_renewal_duration=10)
        await asyncio.sleep(1.8)
        await receiver.complete_message(message)

    assert receiver.session.locked_until_utc > first_end
    assert stage.broker.counts()["renewed"]["active"] == 0


async def test_session_state_is_bytes_kept_by_the_broker(stage: Stage) -> None:
    receiver: Any = stage.receivers["state"]

    assert await receiver.session.get_state() is None
    await receiver.session.set_state("blocked")
    assert await receiver.session.get_state() == b"blocked"
    await receiver.session.set_state(None)
    assert await receiver.session.get_state() is None


async def test_next_available_times_out_or_gets_the_session_that_comes_while_it_waits(
    stage: Stage,
) -> None:
    async def times_out() -> None:
        started = time.monotonic()
        with pytest.raises(OperationTimeoutError):
            await session_receiver(
                stage, "empty", NEXT_AVAILABLE_SESSION, max_wait_time=0.6
            ).__aenter__()
        assert 0.4 < time.monotonic() - started < 5

    async def waits() -> None:
        receiver = session_receiver(stage, "waiting", NEXT_AVAILABLE_SESSION, max_wait_time=5)
        opening = asyncio.create_task(stage.open(receiver))
        await asyncio.sleep(0.7)
        assert not opening.done()
        await stage.senders["waiting"].send_messages(messages("late", "1"))
        await opening
        assert receiver.session.session_id == "late"
        [message] = await receiver.receive_messages(1, max_wait_time=2)
        await receiver.complete_message(message)

    await asyncio.gather(times_out(), waits())


async def test_one_session_receiver_holds_64_messages_and_settles_them_concurrently(
    stage: Stage,
) -> None:
    bodies = [str(n) for n in range(64)]
    await stage.senders["many"].send_messages(messages("s", *bodies))
    receiver: Any = stage.receivers["many"]
    received: list[Any] = []
    while len(received) < 64:
        received += await receiver.receive_messages(64 - len(received), max_wait_time=2)
    assert stage.broker.counts()["many"]["locked"] == 64

    async def settle(number: int, message: Any) -> None:
        if number % 2:
            await receiver.complete_message(message)
        else:
            await receiver.dead_letter_message(message, reason="even")

    await asyncio.gather(*(settle(n, m) for n, m in reversed(list(enumerate(received)))))

    assert [str(m) for m in received] == bodies
    counts = stage.broker.counts()["many"]
    assert (counts["locked"], counts["dead_letter"]) == (0, 32)


async def test_sessions_with_messages_can_be_listed(stage: Stage) -> None:
    await stage.senders["listed"].send_messages(messages("b", "1") + messages("a", "2"))
    browser = stage.client.list_queue_sessions("listed")
    assert sorted([session async for session in browser]) == ["a", "b"]
