"""Asks Service Bus what the checks compare: queues, their properties, dead letters. Nothing is received.

A person on duty may send to some queues and look into `dead-letter` (infra/modules/access.bicep). Properties
are management, which takes more rights; without them that part is told to be unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from integration.cli.checks.check import Check, Probe, Work, failed, not_checked, ok, warning
from integration.cli.checks.service_bus_judging import (
    QUEUES,
    judge_dead_letters,
    judge_left_behind,
    judge_queue,
)
from integration.messaging.service_bus import DEAD_LETTER

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusClient

    from integration.settings import AzureSettings

AREA = "Service Bus"
_SETTINGS = ("ServiceBus", "ServiceBus__fullyQualifiedNamespace")
# The SDK's own repeats would outlast a check.
PATIENCE: dict[str, Any] = {"retry_total": 1, "retry_backoff_max": 2}
_BOUND, _PAGE = 1000, 250  # dead letters that are counted, and in one call
_REACH = "check ServiceBus, the network rules of the namespace, and your sign-in (`az login`)"
_RIGHTS = (
    "ask for the role Azure Service Bus Data Owner, or look into Service Bus > Queues in the portal"
)
Properties = dict[str, Mapping[str, Any] | None]  # None: there is no such queue


@dataclass(frozen=True)
class ServiceBusChecks:
    """`client` with few repeats of its own: the checks end after seconds."""

    client: ServiceBusClient
    settings: AzureSettings

    def probes(self) -> list[Probe]:
        probes = [
            Probe(AREA, f"queue {name}", self._queue(name), settings=_SETTINGS) for name in QUEUES
        ]
        opened = (f"{AREA} queue {DEAD_LETTER}",)
        probes += [
            Probe(AREA, "queue properties", self._properties, settings=_SETTINGS),
            Probe(AREA, "dead letters", self._dead_letters, opened, _SETTINGS),
            Probe(AREA, "not forwarded", self._left_behind, opened, _SETTINGS),
        ]
        return probes

    def _queue(self, name: str) -> Work:
        """That it exists and can be used, by opening a link without moving a message."""

        async def check() -> list[Check]:
            title, refused = f"queue {name}", 0
            for open_link, word in ((self._open_sender, "sent to"), (self._peek_one, "read")):
                trouble = await _trouble_of(open_link, name)
                if trouble is None:
                    return [ok(title, f"exists, can be {word}")]
                if trouble == "forbidden":
                    refused += 1
                else:
                    step = _REACH if trouble != "missing" else "run `azd provision` (infra/)"
                    text = "there is no such queue" if trouble == "missing" else trouble
                    return [failed(title, text, step)]
            text = "your sign-in may neither send nor read here"
            return [not_checked(title, text, "ask for the role, or run doctor as the app")]

        return check

    async def _open_sender(self, name: str) -> None:
        async with self.client.get_queue_sender(name) as sender:
            await sender.create_message_batch()  # opens the link

    async def _peek_one(self, name: str) -> None:
        async with self.client.get_queue_receiver(name) as receiver:
            await receiver.peek_messages(max_message_count=1)

    async def _properties(self) -> list[Check]:
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

        title = "queue properties"
        try:
            found = await asyncio.to_thread(_read_properties, self.settings)
        except AzureError as error:
            status = error.status_code if isinstance(error, HttpResponseError) else None
            if status in (401, 403) or isinstance(error, ClientAuthenticationError):
                return [warning(title, "cannot be read with your rights", _RIGHTS)]
            return [not_checked(title, f"cannot be read ({type(error).__name__})", _REACH)]
        rows = [row for name, each in found.items() if each for row in judge_queue(name, each)]
        return rows or [ok(title, "as infra/ makes them")]

    async def _dead_letters(self) -> list[Check]:
        from azure.core.exceptions import AzureError

        try:
            return [judge_dead_letters(await self._letters(), _BOUND)]
        except AzureError as error:
            text = f"cannot be read ({type(error).__name__})"
            return [
                failed("dead letters", text, "ask for the role Service Bus Data Receiver on it")
            ]

    async def _letters(self) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        async with self.client.get_queue_receiver(DEAD_LETTER) as receiver:
            position = 0
            while len(found) < _BOUND:
                page = await receiver.peek_messages(_PAGE, sequence_number=position)
                if not page:
                    break
                found += [(each.subject or "", each.enqueued_time_utc) for each in page]
                position = (page[-1].sequence_number or 0) + 1
        return found

    async def _left_behind(self) -> list[Check]:
        found = await asyncio.gather(*(self._stuck(name) for name in QUEUES))
        counts = dict(zip(QUEUES, found, strict=True))
        known = {name: count for name, count in counts.items() if count is not None}
        return [judge_left_behind(known, counts.keys() - known.keys())]

    async def _stuck(self, name: str) -> int | None:
        from azure.core.exceptions import AzureError
        from azure.servicebus import ServiceBusSubQueue
        from azure.servicebus.exceptions import MessagingEntityNotFoundError

        sub_queue = ServiceBusSubQueue.DEAD_LETTER
        try:
            async with self.client.get_queue_receiver(name, sub_queue=sub_queue) as receiver:
                return len(await receiver.peek_messages(_PAGE))
        except MessagingEntityNotFoundError:
            return 0  # its own row says so
        except AzureError:
            return None


async def _trouble_of(open_link: Callable[[str], Awaitable[None]], name: str) -> str | None:
    """`missing`, `forbidden`, or why the link cannot be opened."""
    from azure.core.exceptions import AzureError
    from azure.servicebus import exceptions

    try:
        await open_link(name)
    except exceptions.MessagingEntityNotFoundError:
        return "missing"
    except (exceptions.ServiceBusAuthorizationError, exceptions.ServiceBusAuthenticationError):
        return "forbidden"
    except (AzureError, OSError) as error:
        return f"cannot be opened ({type(error).__name__})"
    return None


def _read_properties(settings: AzureSettings) -> Properties:
    """Blocks; the asynchronous class needs another HTTP library. Raises AzureError without the rights."""
    from azure.core.exceptions import ResourceNotFoundError
    from azure.servicebus.management import ServiceBusAdministrationClient

    from integration.identity import credential

    options: dict[str, Any] = {"retry_total": 1, "connection_timeout": 5, "read_timeout": 8}
    if settings.service_bus:
        text = settings.service_bus.get_secret_value()
        if "usedevelopmentemulator=true" in text.lower():
            options["transport"] = _WithoutTls(connection_timeout=5, read_timeout=8)
        client = ServiceBusAdministrationClient.from_connection_string(text, **options)
    else:
        identity = credential(settings.service_bus_client_id)
        namespace = settings.service_bus_namespace or ""
        client = ServiceBusAdministrationClient(namespace, identity, **options)
    found: Properties = {}
    with client:
        for name in QUEUES:
            try:
                found[name] = dict(client.get_queue(name).items())
            except ResourceNotFoundError:
                found[name] = None
    return found


class _WithoutTls:
    """An emulator speaks HTTP, while the SDK asks for HTTPS always."""

    def __init__(self, **options: Any) -> None:
        from azure.core.pipeline.transport import RequestsTransport

        self._transport = RequestsTransport(**options)

    def __enter__(self) -> Self:
        self._transport.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def send(self, request: Any, **options: Any) -> Any:
        request.url = request.url.replace("https://", "http://", 1)
        return self._transport.send(request, **options)
