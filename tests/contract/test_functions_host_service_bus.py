"""The Functions host on the local broker, through the real azure-servicebus SDK on both sides."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

from sandbox.servicebus.broker import Broker
from sandbox.servicebus.options import QueueOptions
from tests.contract.functions_apps.host_process import APPS, HostProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUES = [
    QueueOptions("text"),
    QueueOptions("binary"),
    QueueOptions("batch"),
    QueueOptions("work", lock_duration=timedelta(seconds=1.5), max_delivery_count=3),
    QueueOptions("sync"),
    QueueOptions("manual"),
    QueueOptions("out"),
    QueueOptions(
        "sessions",
        requires_session=True,
        lock_duration=timedelta(seconds=1.5),
        max_delivery_count=3,
    ),
]


class Bench:
    """The broker, a sender and the host process with the app."""

    def __init__(self, broker: Broker, client: ServiceBusClient, host: HostProcess) -> None:
        self.broker = broker
        self.host = host
        self._client = client
        self._senders: dict[str, ServiceBusSender] = {}

    def connect(self) -> None:
        self._http = httpx.AsyncClient(base_url=self.host.ready["base_url"], timeout=20)

    async def open_senders(self) -> None:
        """Opening one takes half a second; all at once they take as long as one."""
        self._senders = {q.name: self._client.get_queue_sender(q.name) for q in QUEUES}
        await asyncio.gather(*(sender.__aenter__() for sender in self._senders.values()))

    async def close_senders(self) -> None:
        await asyncio.gather(*(sender.close() for sender in self._senders.values()))

    async def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        await self._senders[queue].send_messages(list(messages))

    async def seen(self, function: str, **wanted: Any) -> list[dict[str, Any]]:
        found = (await self._http.get("/api/seen", params={"function": function})).json()
        return [e for e in found if all(e.get(k) == v for k, v in wanted.items())]

    async def wait_seen(self, function: str, count: int, **wanted: Any) -> list[dict[str, Any]]:
        async def enough() -> list[dict[str, Any]] | None:
            found = await self.seen(function, **wanted)
            return found if len(found) >= count else None

        return await eventually(enough)

    async def wait_empty(self, queue: str) -> None:
        async def empty() -> bool:
            counts = self.broker.counts()[queue]
            return counts["active"] + counts["locked"] == 0

        await eventually(empty)

    async def post(self, path: str, body: str) -> httpx.Response:
        return await self._http.post(path, content=body)

    async def close(self) -> None:
        await self.close_senders()
        await self._http.aclose()


async def eventually(check: Any, seconds: float = 12.0) -> Any:
    """The first true result of `check`."""
    ends = time.monotonic() + seconds
    while True:
        result = await check()
        if result:
            return result
        if time.monotonic() > ends:
            raise AssertionError("it did not happen in time")
        await asyncio.sleep(0.05)


def message(body: object, message_id: str, **properties: Any) -> ServiceBusMessage:
    return ServiceBusMessage(json.dumps(body), message_id=message_id, **properties)


@asynccontextmanager
async def running_bench() -> AsyncIterator[Bench]:
    broker = Broker(QUEUES)
    await broker.start()
    settings = {"ServiceBus": broker.connection_string, "TEXT": "text"}
    host = await asyncio.to_thread(HostProcess, APPS / "service_bus", settings)
    async with ServiceBusClient.from_connection_string(broker.connection_string) as client:
        bench = Bench(broker, client, host)
        await asyncio.gather(bench.open_senders(), asyncio.to_thread(host.__enter__))
        bench.connect()
        yield bench
        await asyncio.gather(bench.close(), asyncio.to_thread(host.__exit__))
    await broker.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench() -> AsyncIterator[Bench]:
    async with running_bench() as bench:
        yield bench


async def test_message_arrives_with_the_metadata_of_the_real_host(bench: Bench) -> None:
    sent = message(
        ["no", "object"],
        "metadata-1",
        correlation_id="c1",
        content_type="application/json",
        application_properties={"tenant": "t1", "attempt": 2},
        time_to_live=timedelta(minutes=5),
    )
    await bench.send("text", sent)
    (got,) = await bench.wait_seen("text", 1, message_id="metadata-1")
    assert json.loads(got["body"]) == ["no", "object"]
    assert got["correlation_id"] == "c1"
    assert got["content_type"] == "application/json"
    assert got["application_properties"] == {"tenant": "t1", "attempt": 2}
    assert got["delivery_count"] == 1
    assert got["enqueued"] is not None
    assert got["enqueued_has_zone"] is False
    # The real host never sends these.
    assert got["locked_until"] == "None"
    assert got["time_to_live"] == "None"
    assert got["dead_letter_reason"] is None
    # Nulls are left out.
    assert "SessionId" not in got["metadata"]
    await bench.wait_empty("text")


async def test_members_of_a_json_body_replace_message_properties(bench: Bench) -> None:
    body = {"messageid": "from the body", "CorrelationId": 7, "list": [1], "nothing": None}
    await bench.send("text", message(body, "overlay-1", correlation_id="c1"))
    (got,) = await bench.wait_seen("text", 1, message_id="from the body")
    assert got["correlation_id"] == "7"
    assert "list" not in got["metadata"]
    assert "nothing" not in got["metadata"]


async def test_binary_data_type_keeps_message_properties(bench: Bench) -> None:
    body = {"MessageId": "from the body", "DeliveryCount": "abc"}
    await bench.send("binary", message(body, "overlay-2"))
    (got,) = await bench.wait_seen("binary", 1, message_id="overlay-2")
    assert json.loads(got["body"]) == body


async def test_body_that_breaks_decoding_dead_letters_before_user_code(bench: Bench) -> None:
    await bench.send("text", message({"UserProperties": "zz"}, "poison"))

    async def dead() -> bool:
        return any(m.message_id == "poison" for m in bench.broker.peek("text/$DeadLetterQueue"))

    await eventually(dead)
    assert not [e for e in await bench.seen("text") if "zz" in e["body"]]


async def test_batch_shifts_properties_when_one_message_lacks_them(bench: Bench) -> None:
    batches: list[dict[str, Any]] = []
    # A receive call that ends just then splits the pair, so a few attempts may be needed.
    for _ in range(5):
        bench.broker.pause("batch")
        await bench.send("batch", message(1, "b1"), message(2, "b2", correlation_id="of b2"))
        bench.broker.resume("batch")
        await bench.wait_empty("batch")
        batches = await bench.seen("batch", size=2)
        if batches:
            break
    assert [m["message_id"] for m in batches[0]["messages"]] == ["b1", "b2"]
    assert [m["correlation_id"] for m in batches[0]["messages"]] == ["of b2", None]


async def test_plain_queue_runs_max_concurrent_calls_at_a_time(bench: Bench) -> None:
    orders = [message({"sleep": 0.4}, f"parallel-{n}") for n in range(8)]
    await bench.send("work", *orders)
    await bench.wait_empty("work")
    runs = [e for e in await bench.seen("work") if e["message_id"].startswith("parallel-")]
    assert len(runs) == 8
    at_once = max(sum(o["started"] <= e["started"] < o["ended"] for o in runs) for e in runs)
    assert at_once == 4


async def test_lock_is_renewed_while_a_function_runs_longer_than_the_lock(bench: Bench) -> None:
    await bench.send("work", message({"sleep": 2.2}, "long"))
    await bench.send(
        "sessions", message({"sleep": 2.2}, "long-in-session", session_id="long-session")
    )
    await asyncio.sleep(2.2)
    await bench.wait_empty("work")
    await bench.wait_empty("sessions")
    assert len(await bench.seen("work", message_id="long")) == 1
    assert len(await bench.seen("sessions", message_id="long-in-session")) == 1


async def test_failing_message_is_abandoned_until_it_is_dead_lettered(bench: Bench) -> None:
    await bench.send("work", message({"fail": True}, "fails"))
    await bench.send("sessions", message({"fail": True}, "fails-too", session_id="failing"))

    async def dead() -> bool:
        plain = bench.broker.peek("work/$DeadLetterQueue")
        session = bench.broker.peek("sessions/$DeadLetterQueue")
        return bool(plain) and bool(session)

    await eventually(dead)
    assert [e["count"] for e in await bench.seen("work", message_id="fails")] == [1, 2, 3]
    counts = [e["count"] for e in await bench.seen("sessions", message_id="fails-too")]
    assert counts == [1, 2, 3]
    lines = [line for line in bench.host.stderr if "work failed" in line]
    assert len(lines) == 3
    assert all("RuntimeError('asked to fail')" in line for line in lines)


async def test_64_invocations_of_one_session_run_at_the_same_time_in_order(bench: Bench) -> None:
    ids = [f"together-{n:02}" for n in range(64)]
    orders = [message({"barrier": True}, i, session_id="together") for i in ids]
    await bench.send("sessions", *orders)
    runs = await bench.wait_seen("sessions", 64, session_id="together")
    assert [e["message_id"] for e in runs] == ids
    await bench.wait_empty("sessions")
    # The barrier of 64 let them all through.
    assert all(e["ended"] for e in await bench.seen("sessions", session_id="together"))


async def test_several_sessions_run_concurrently_each_in_order(bench: Bench) -> None:
    orders = [
        message({"sleep": 0.5}, f"{name}-{n:02}", session_id=name)
        for n in range(20)
        for name in ("s1", "s2", "s3")
    ]
    await bench.send("sessions", *orders)
    await bench.wait_empty("sessions")
    starts = {}
    for name in ("s1", "s2", "s3"):
        runs = await bench.seen("sessions", session_id=name)
        assert [e["message_id"] for e in runs] == [f"{name}-{n:02}" for n in range(20)]
        starts[name] = (runs[0]["started"], runs[-1]["ended"])
    assert max(s for s, _ in starts.values()) < min(e for _, e in starts.values())


async def test_session_is_released_when_idle_so_that_others_are_served(bench: Bench) -> None:
    # Twice as many sessions as session receivers.
    names = [f"many-{n}" for n in range(16)]
    await bench.send("sessions", *(message({}, name, session_id=name) for name in names))
    await bench.wait_empty("sessions")
    found = {e["message_id"] for e in await bench.seen("sessions")}
    assert found.issuperset(names)


async def test_sync_functions_do_not_hold_up_each_other(bench: Bench) -> None:
    await bench.send("sync", *(message({}, f"sync-{n}") for n in range(4)))
    await bench.wait_empty("sync")
    runs = await bench.seen("blocking")
    assert max(e["ended"] for e in runs) - min(e["started"] for e in runs) < 0.9


async def test_message_stays_locked_without_auto_complete(bench: Bench) -> None:
    await bench.send("manual", message({}, "unsettled"))
    await bench.wait_seen("unsettled", 1)
    await asyncio.sleep(0.3)
    counts = bench.broker.counts()["manual"]
    assert counts["locked"] == 1


async def test_function_is_run_by_hand_with_an_input_text(bench: Bench) -> None:
    answer = await asyncio.to_thread(bench.host.run_by_hand, "binary", "typed by hand")
    assert answer.status_code == 202
    await bench.wait_seen("binary", 1, body="typed by hand")


async def test_output_binding_sends_one_message_per_array_element(bench: Bench) -> None:
    answer = await bench.post("/api/send", '[{"a": 1}, "text"]')
    assert answer.text == "sent"

    async def arrived() -> list[bytes] | None:
        bodies = [m.body for m in bench.broker.peek("out")]
        return bodies if len(bodies) == 2 else None

    assert await eventually(arrived) == [b'{"a":1}', b"text"]


async def test_listener_comes_back_after_lost_connections(bench: Bench) -> None:
    await bench.close_senders()
    assert bench.broker.drop_connections() > 0
    await bench.open_senders()
    await bench.send("work", message({}, "after the drop"))
    await bench.send("sessions", message({}, "after the drop", session_id="after"))
    await bench.wait_seen("work", 1, message_id="after the drop")
    await bench.wait_seen("sessions", 1, message_id="after the drop")
    assert bench.host.process.poll() is None


@pytest_asyncio.fixture(loop_scope="module")
async def own_bench() -> AsyncIterator[Bench]:
    """A bench whose host the test may end."""
    async with running_bench() as bench:
        yield bench


async def test_sigterm_settles_what_runs_and_takes_nothing_more(own_bench: Bench) -> None:
    bench = own_bench
    await bench.send("work", message({"sleep": 1.0}, "running"))
    await bench.send("sessions", message({"sleep": 1.0}, "running", session_id="s"))
    await bench.wait_seen("work", 1)
    await bench.wait_seen("sessions", 1)
    bench.host.process.send_signal(signal.SIGTERM)
    # A poll that is under way may still take messages; it lasts half a second.
    await asyncio.sleep(0.7)
    await bench.send("work", message({}, "too late"))
    assert await asyncio.to_thread(bench.host.process.wait, 10) == 0
    assert [m.message_id for m in bench.broker.peek("work")] == ["too late"]
    assert bench.broker.peek("work")[0].delivery_count == 0
    assert bench.broker.peek("sessions") == []


async def test_messages_of_a_killed_host_come_again(own_bench: Bench) -> None:
    bench = own_bench
    await bench.send("work", message({"sleep": 60}, "running"))
    await bench.send("sessions", message({"sleep": 60}, "running", session_id="s"))
    await bench.wait_seen("work", 1)
    await bench.wait_seen("sessions", 1)
    await asyncio.to_thread(bench.host.kill)

    async def released() -> bool:
        return not any(m.locked for q in ("work", "sessions") for m in bench.broker.peek(q))

    await eventually(released)
    # An expired lock counts as a delivery, a lost session does not.
    assert bench.broker.peek("work")[0].delivery_count == 1
    assert bench.broker.peek("sessions")[0].delivery_count == 0
