"""Opens many SDK senders and receivers at once and closes them at once.

The SDK needs about half a second to open and one to close each of them, whatever the broker does
(Service Bus contract section 2), so a test module opens what it needs in one go and shares it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from sandbox.servicebus import Broker, QueueOptions


class Stage:
    """A running broker with a client that never retries. `senders` and `receivers` are by queue;
    receivers exist for queues without sessions."""

    def __init__(self, broker: Broker, client: ServiceBusClient) -> None:
        self.broker = broker
        self.client = client
        self.senders: dict[str, ServiceBusSender] = {}
        self.receivers: dict[str, ServiceBusReceiver] = {}
        self._opened: list[Any] = []

    async def open(self, *handlers: Any) -> tuple[Any, ...]:
        """Opens them together; they are closed at the end of the module."""
        self._opened.extend(handlers)
        await asyncio.gather(*(handler.__aenter__() for handler in handlers))
        return handlers

    async def open_queues(self, options: list[QueueOptions]) -> None:
        self.senders = {o.name: self.client.get_queue_sender(o.name) for o in options}
        self.receivers = {
            o.name: self.client.get_queue_receiver(o.name)
            for o in options
            if not o.requires_session
        }
        await self.open(*self.senders.values(), *self.receivers.values())

    async def close(self) -> None:
        await asyncio.gather(*(handler.close() for handler in self._opened))


@asynccontextmanager
async def served(options: list[QueueOptions]) -> AsyncIterator[Stage]:
    broker = Broker(options)
    await broker.start()
    try:
        async with ServiceBusClient.from_connection_string(
            broker.connection_string, retry_total=0
        ) as client:
            stage = Stage(broker, client)
            try:
                await stage.open_queues(options)
                yield stage
            finally:
                await stage.close()
    finally:
        await broker.stop()
