"""Service Bus output bindings, with the parsing the real host does (Functions contract D).

A string that is a JSON array becomes one message per element and a JSON object is serialised again;
bytes keep the body as it is. Message id, session id and properties cannot be set this way.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

from .app_settings import AppSettings, SettingError

if TYPE_CHECKING:
    from azure_functions_runtime.bindings.datumdef import Datum

    from .worker import Function, Invocation


class OutputSender:
    """Sends what functions put into their Service Bus outputs; one sender per entity, kept open."""

    def __init__(self, settings: AppSettings) -> None:
        self._settings = settings
        self._clients: dict[str, ServiceBusClient] = {}
        self._senders: dict[tuple[str, str], ServiceBusSender] = {}

    async def send(self, function: Function, invocation: Invocation) -> None:
        """Sends the outputs of one invocation. Raises when a binding is unknown or sending fails."""
        outputs = list(invocation.outputs)
        if invocation.return_value is not None and invocation.return_value.type is not None:
            outputs.append(("$return", invocation.return_value))
        for name, datum in outputs:
            binding = function.output(name)
            kind = str(binding["type"])
            if kind == "http":
                continue
            if kind != "serviceBus":
                raise SettingError(f"output binding '{kind}' is not served by the local host")
            entity = self._settings.resolve(str(binding.get("queueName") or binding["topicName"]))
            sender = self._sender(
                str(binding.get("connection") or ""), entity, "topicName" in binding
            )
            await sender.send_messages([ServiceBusMessage(body) for body in _bodies(datum)])

    async def close(self) -> None:
        for sender in self._senders.values():
            await sender.close()
        for client in self._clients.values():
            await client.close()

    def _sender(self, connection: str, entity: str, is_topic: bool) -> ServiceBusSender:
        key = (connection, entity)
        if key not in self._senders:
            if connection not in self._clients:
                text = self._settings.connection_string(connection)
                self._clients[connection] = ServiceBusClient.from_connection_string(text)
            client = self._clients[connection]
            self._senders[key] = (
                client.get_topic_sender(entity) if is_topic else client.get_queue_sender(entity)
            )
        return self._senders[key]


def _bodies(datum: Datum) -> list[bytes]:
    if datum.type == "bytes":
        return [datum.value]
    if datum.type in {"dict", "list"}:
        value = datum.value
    else:
        text = str(datum.value)
        try:
            value = json.loads(text)
        except ValueError:
            return [text.encode()]
        if not isinstance(value, dict | list):
            return [text.encode()]
    elements = value if isinstance(value, list) else [value]
    return [e.encode() if isinstance(e, str) else _compact(e) for e in elements]


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
