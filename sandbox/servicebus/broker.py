"""The broker: serves the queues over AMQP and lets tests and the sandbox look inside.

Messages live in memory only; stopping and starting the same object keeps them, as a restart of
the real service would. Fault switches affect clients, never the inspection methods.
"""

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.servicebus.connection import Connection
from sandbox.servicebus.entries import Entry
from sandbox.servicebus.hub import QueueHub
from sandbox.servicebus.namespace import Namespace
from sandbox.servicebus.options import QueueError, QueueOptions

_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PeekedMessage:
    """A copy of a stored message; `state` is active, deferred or scheduled."""

    sequence_number: int
    body: bytes
    message_id: str | None
    session_id: str | None
    subject: str | None
    correlation_id: str | None
    content_type: str | None
    application_properties: dict[str, Any]
    delivery_count: int
    state: str
    locked: bool
    enqueued_at: datetime
    scheduled_at: datetime | None
    dead_letter_source: str | None


class Broker:
    """`await start()`, hand out `connection_string`, `await stop()`.

    With port 0 the first start picks a free port, which later starts keep.
    """

    def __init__(self, queues: list[QueueOptions], host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self._namespace = Namespace(queues)
        self._hubs = {id(queue): QueueHub(queue) for queue in self._namespace.all_queues()}
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._all_lost = asyncio.Event()

    # Life cycle

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        for hub in self._hubs.values():
            hub.start(loop)

    async def stop(self) -> None:
        """Closes every connection with a reason; the queues keep their messages."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.shut_down("amqp:connection:forced", "The broker is stopping.")
        try:
            if self._connections:
                await asyncio.wait_for(self._all_lost.wait(), _CLOSE_SECONDS)
        except TimeoutError:
            self.drop_connections()
            await self._all_lost.wait()
        await self._server.wait_closed()
        self._server = None
        for hub in self._hubs.values():
            hub.stop()

    def _connect(self) -> Connection:
        connection = Connection(self._find_hub, self._lost)
        self._connections.add(connection)
        self._all_lost.clear()
        return connection

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_lost.set()

    @property
    def connection_string(self) -> str:
        """The SDK goes without TLS and to this port only with `UseDevelopmentEmulator=true`."""
        return (
            f"Endpoint=sb://{self.host}:{self.port};SharedAccessKeyName=sandbox;"
            "SharedAccessKey=sandbox;UseDevelopmentEmulator=true;"
        )

    def _find_hub(self, path: str) -> QueueHub | None:
        queue = self._namespace.find(path)
        return None if queue is None else self._hubs[id(queue)]

    def _hub(self, path: str) -> QueueHub:
        hub = self._find_hub(path)
        if hub is None:
            raise KeyError(f"There is no queue '{path}'.")
        return hub

    # Inspection; a path may name a sub-queue: "changes/$DeadLetterQueue"

    def counts(self) -> dict[str, dict[str, int]]:
        """Per queue: active (available), scheduled, deferred, locked, dead_letter (own sub-queue).

        A message counts once, so their sum is everything the queue holds.
        """
        return {
            queue.options.name: {
                **queue.counts(),
                "dead_letter": sum(dead_letters.counts().values()),
            }
            for queue, dead_letters in self._namespace.main_queues()
        }

    def peek(self, queue: str, limit: int = 1000) -> list[PeekedMessage]:
        """Up to `limit` messages in sequence order, whatever their state."""
        return [_peeked(entry) for entry in self._hub(queue).queue.peek(0, limit)]

    def snapshot(self) -> dict[str, Any]:
        """Everything worth showing, as JSON types: counts, totals since the start, faults."""
        counts = self.counts()
        return {
            "connections": len(self._connections),
            "queues": {
                queue.options.name: {
                    "counts": counts[queue.options.name],
                    "totals": dict(queue.totals),
                    "sessions_held": queue.sessions_held(),
                    "paused": self._hubs[id(queue)].paused,
                    "refusals": [e.condition for e in self._hubs[id(queue)].refusals],
                }
                for queue, _ in self._namespace.main_queues()
            },
        }

    def snapshot_messages(self, queue: str, limit: int = 100) -> list[dict[str, Any]]:
        """`peek` as JSON types, bodies as text where they are text."""
        result = []
        for message in self.peek(queue, limit):
            record = asdict(message)
            record["body"] = message.body.decode(errors="replace")
            for key in ("enqueued_at", "scheduled_at"):
                record[key] = None if record[key] is None else record[key].isoformat()
            record["application_properties"] = {
                str(key): value if isinstance(value, bool | int | float | None) else str(value)
                for key, value in message.application_properties.items()
            }
            result.append(record)
        return result

    # Faults

    def pause(self, queue: str) -> None:
        """Receivers of the queue get nothing until `resume`; sending works."""
        self._hub(queue).paused = True

    def resume(self, queue: str) -> None:
        hub = self._hub(queue)
        hub.paused = False
        hub.changed()

    def refuse_sends(self, queue: str, condition: str, count: int = 1) -> None:
        """The next `count` sends (a batch is one) are rejected with that AMQP condition, such as
        `options.SERVER_BUSY`."""
        error = QueueError(condition, "Switched on as a fault of the sandbox.")
        self._hub(queue).refusals.extend([error] * count)

    def expire_locks(self, queue: str) -> int:
        """Ends all message and session locks of the queue now; returns how many messages were
        locked. They come back with one more failed delivery."""
        return self._hub(queue).queue.expire_locks()

    def drop_connections(self) -> int:
        """Resets every connection; returns how many there were."""
        connections = list(self._connections)
        for connection in connections:
            connection.drop()
        return len(connections)


def _peeked(entry: Entry) -> PeekedMessage:
    message = entry.message
    return PeekedMessage(
        sequence_number=entry.sequence_number,
        body=message.body,
        message_id=_text(message.message_id),
        session_id=message.session_id,
        subject=message.subject,
        correlation_id=_text(message.correlation_id),
        content_type=message.content_type,
        application_properties=message.application_properties,
        delivery_count=entry.delivery_count,
        state=entry.state.name.lower(),
        locked=entry.lock is not None,
        enqueued_at=datetime.fromtimestamp(entry.enqueued_at, UTC),
        scheduled_at=_time(message.scheduled_at),
        dead_letter_source=entry.dead_letter_source,
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
