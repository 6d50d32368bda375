"""`messaging.Queues` connected to a broker of its own, shared by the tests of one module."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient

from integration.messaging.hints import Hint
from integration.messaging.service_bus import Queues
from sandbox.servicebus.broker import Broker, PeekedMessage
from sandbox.servicebus.options import QueueOptions

BUCKETS = 4
WINDOW = timedelta(minutes=10)


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
    """For all tests of a module; each of them takes it as `stage`."""
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


def hint(key: str, **changes: Any) -> Hint:
    values: dict[str, Any] = {
        "source": "salesforce",
        "object": "Account",
        "key": key,
        "event_id": f"event-{key}",
        "seen_at": datetime(2025, 3, 1, tzinfo=UTC),
    }
    return Hint(**{**values, **changes})
