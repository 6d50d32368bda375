"""`messaging.Queues` when the broker refuses, is away or never answers; the trigger without settings."""

import asyncio
import gc
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest
from azure.servicebus.aio import ServiceBusClient

import integration.wiring
from integration import putting_back
from integration.errors import Unreachable
from integration.messaging.hints import Hint
from integration.messaging.service_bus import Queues
from integration.triggers.converge_changes import converge_changes
from sandbox.servicebus import options
from tests.contract.queues_support import BUCKETS, Stage, hint, running, stage

if TYPE_CHECKING:
    import azure.functions as func

__all__ = ["running", "stage"]  # the fixtures

UNAVAILABLE = ("service_bus", "queue-unavailable")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class ReceivedMessage:
    """What the worker passes to the function."""

    body: bytes
    message_id: str = "id"
    session_id: str = "bucket-002"

    def get_body(self) -> bytes:
        return self.body


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
    monkeypatch.setattr(putting_back, "_spare", None)
    monkeypatch.setenv("ServiceBus", stage.broker.connection_string)
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.delenv("D365_BASE_URL", raising=False)
    message = ReceivedMessage(hint("early").to_bytes())
    await converge_changes(cast("func.ServiceBusMessage", message))
    assert putting_back._spare is not None
    await putting_back._spare.close()
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
