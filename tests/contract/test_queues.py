"""`messaging.Queues` over the real Service Bus SDK against the sandbox's broker."""

import asyncio
import gc
import json
import socket
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient

import integration.wiring
from integration.errors import Unreachable
from integration.messaging.dead_letters import DeadLetter
from integration.messaging.hints import Hint, bucket_of
from integration.messaging.service_bus import Queues
from integration.triggers.converge_changes import converge_changes
from sandbox.servicebus import options
from sandbox.servicebus.broker import Broker, PeekedMessage
from sandbox.servicebus.options import QueueOptions

if TYPE_CHECKING:
    import azure.functions as func

BUCKETS = 4
WINDOW = timedelta(minutes=10)

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Stage:
    """One broker and one `Queues` for the module; every test looks only at what came since it began."""

    def __init__(self, broker: Broker, queues: Queues) -> None:
        self.broker = broker
        self.queues = queues
        self._seen = {"changes": 0, "dead-letter": 0}

    def new(self, queue: str) -> list[PeekedMessage]:
        messages = self.broker.peek(queue, 100_000)
        seen, self._seen[queue] = self._seen[queue], len(messages)
        return messages[seen:]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Stage]:
    broker = Broker(
        [
            QueueOptions("changes", requires_session=True, duplicate_detection_window=WINDOW),
            QueueOptions("dead-letter", duplicate_detection_window=WINDOW),
        ]
    )
    await broker.start()
    client = ServiceBusClient.from_connection_string(broker.connection_string, retry_total=0)
    queues = Queues(client, buckets=BUCKETS, timeout=5)
    try:
        yield Stage(broker, queues)
    finally:
        await queues.close()
        await broker.stop()


@pytest.fixture
def stage(running: Stage) -> Stage:
    for queue in ("changes", "dead-letter"):
        running.new(queue)
    return running


@dataclass(frozen=True)
class ReceivedMessage:
    """What the worker passes to the function."""

    body: bytes
    message_id: str = "id"
    session_id: str = "bucket-002"

    def get_body(self) -> bytes:
        return self.body


def hint(key: str, **changes: Any) -> Hint:
    values: dict[str, Any] = {
        "source": "salesforce",
        "object": "Account",
        "key": key,
        "event_id": f"event-{key}",
        "seen_at": datetime(2025, 3, 1, tzinfo=UTC),
    }
    return Hint(**{**values, **changes})


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


@pytest.mark.parametrize("condition", [options.SERVER_BUSY, options.ENTITY_DISABLED])
async def test_a_refusal_is_unreachable_and_the_next_send_succeeds(
    stage: Stage, condition: str
) -> None:
    stage.broker.refuse_sends("changes", condition)
    with pytest.raises(Unreachable) as caught:
        await stage.queues.send_hints([hint(f"refused-{condition}")])
    assert (caught.value.system, caught.value.reason) == ("service_bus", "queue-unavailable")
    await stage.queues.send_hints([hint(f"refused-{condition}")])
    assert len(stage.new("changes")) == 1


async def test_while_the_settings_are_wrong_a_message_waits_instead_of_running_out_of_tries(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integration.wiring, "_app", None)
    monkeypatch.setattr(integration.wiring, "_spare", None)
    monkeypatch.setenv("ServiceBus", stage.broker.connection_string)
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.delenv("D365_BASE_URL", raising=False)
    message = ReceivedMessage(hint("early").to_bytes())
    await converge_changes(cast("func.ServiceBusMessage", message))
    assert integration.wiring._spare is not None
    await integration.wiring._spare.close()
    [waiting] = stage.new("changes")
    assert (waiting.body, waiting.session_id) == (hint("early").to_bytes(), "bucket-002")
    assert waiting.state == "scheduled"


@contextmanager
def broken_connections() -> Iterator[None]:
    """azure-servicebus 7.15 leaves the socket of a connection that broke to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


async def failure_of(queues: Queues, one: Hint) -> tuple[str, str] | None:
    """System and reason, without the traceback, which would keep the connection alive."""
    try:
        await queues.send_hints([one])
    except Unreachable as error:
        return error.system, error.reason
    return None


UNAVAILABLE = ("service_bus", "queue-unavailable")


async def test_after_lost_connections_sending_goes_on(stage: Stage) -> None:
    await stage.queues.send_hints([hint("before")])
    stage.broker.drop_connections()
    with broken_connections():
        # The first may notice the loss only now.
        failures = [await failure_of(stage.queues, hint("after")) for _ in range(3)]
    assert set(failures) <= {None, UNAVAILABLE}
    assert failures[-1] is None
    assert [m.message_id for m in stage.new("changes")] == [
        "event-before:1:0:0",
        "event-after:1:0:0",
    ]


async def test_a_broker_that_is_away_and_comes_back(stage: Stage) -> None:
    await stage.broker.stop()
    with broken_connections():
        assert await failure_of(stage.queues, hint("away")) == UNAVAILABLE
        assert await failure_of(stage.queues, hint("away")) == UNAVAILABLE
    await stage.broker.start()
    assert await failure_of(stage.queues, hint("away")) is None
    assert len(stage.new("changes")) == 1


async def test_a_broker_that_never_answers_is_given_up_in_time() -> None:
    with socket.socket() as silent, broken_connections():
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = ServiceBusClient.from_connection_string(
            f"Endpoint=sb://127.0.0.1:{silent.getsockname()[1]};SharedAccessKeyName=n;"
            "SharedAccessKey=k;UseDevelopmentEmulator=true;",
            retry_total=0,
        )
        queues = Queues(client, buckets=BUCKETS, timeout=0.5)
        async with asyncio.timeout(7):
            assert await failure_of(queues, hint("a")) == UNAVAILABLE
        await queues.close()
        del client, queues
