"""The management side of the broker, as azure-servicebus reads it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from integration.cli.checks.check import run_probes
from integration.cli.checks.service_bus import PATIENCE, ServiceBusChecks
from integration.connections import service_bus
from integration.settings import AzureSettings
from sandbox.servicebus.broker import Broker
from sandbox.topology import queues
from tests.unit.doctor_support import not_ok

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[Broker]:
    started = Broker(queues())
    await started.start()
    yield started
    await started.stop()


def settings(text: str) -> AzureSettings:
    given: dict[str, Any] = {"ServiceBus": text, "AzureWebJobsStorage": "x"}
    return AzureSettings(**given)


async def test_the_sdk_reads_properties_and_counts_and_misses_what_is_not_there(
    broker: Broker,
) -> None:
    def read() -> None:
        from azure.core.exceptions import ResourceNotFoundError
        from azure.core.pipeline.transport import RequestsTransport
        from azure.servicebus.management import ServiceBusAdministrationClient

        class Plain(RequestsTransport):
            def send(self, request: Any, **options: Any) -> Any:
                request.url = request.url.replace("https://", "http://", 1)
                return super().send(request, **options)

        text = broker.connection_string
        with ServiceBusAdministrationClient.from_connection_string(
            text, transport=Plain()
        ) as client:
            changes = client.get_queue("changes")
            assert changes.requires_session
            assert changes.duplicate_detection_history_time_window == timedelta(minutes=10)
            assert str(changes.forward_dead_lettered_messages_to).endswith("/dead-letter")
            assert changes.default_message_time_to_live > timedelta(days=10_000)
            assert client.get_queue_runtime_properties("changes").active_message_count == 0
            with pytest.raises(ResourceNotFoundError):
                client.get_queue("missing")

    await asyncio.to_thread(read)


async def test_nobody_reads_without_a_token(broker: Broker) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{broker.port}/changes")
    assert answer.status_code == 401


async def test_who_may_not_read_properties_is_told_so_and_the_rest_goes_on() -> None:
    """A namespace that answers AMQP, and refuses its management."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n") if await reader.read(4) == b"GET " else b""
        if head:
            writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = (
        f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=n;SharedAccessKey=k;"
        "UseDevelopmentEmulator=true;"
    )
    async with server, service_bus(settings(text), **PATIENCE) as client:
        checks = ServiceBusChecks(client, settings(text)).probes()
        rows = await run_probes([each for each in checks if each.name == "queue properties"])
    assert not_ok(rows) == [("warning", "queue properties")]
    assert rows[0].found == "cannot be read with your rights"
    assert "Data Owner" in rows[0].advice
