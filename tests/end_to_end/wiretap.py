"""Sees every call that the app makes to a stand-in: an ASGI wrapper around it, nothing is patched."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.d365.multipart import parse_batch

if TYPE_CHECKING:
    from sandbox.d365.multipart import BatchItem
    from sandbox.web import App, Receive, Scope, Send


@dataclass(frozen=True)
class Call:
    """`at` on the monotonic clock, seconds."""

    method: str
    path: str
    content_type: str
    body: bytes
    at: float


@dataclass(frozen=True)
class Written:
    """One write to F&O, alone or out of a $batch."""

    method: str
    path: str
    values: dict[str, Any]


class Wiretap:
    def __init__(self, app: App) -> None:
        self._app = app
        self.calls: list[Call] = []
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            await self._app(scope, receive, send)
            return
        at = time.monotonic()
        messages, body = [], b""
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
            body += messages[-1].get("body", b"")
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").decode()
        path = (scope.get("raw_path") or scope["path"].encode()).split(b"?")[0].decode()
        self.calls.append(Call(scope["method"], path.replace("%24", "$"), kind, body, at))

        async def replay() -> Any:
            return messages.pop(0) if messages else await receive()

        self.running += 1
        try:
            await self._app(scope, replay, send)
        finally:
            self.running -= 1

    def to(self, text: str, method: str = "") -> list[Call]:
        """Calls whose path holds the text."""
        return [c for c in self.calls if text in c.path and method in ("", c.method)]

    def reads_of_customers(self) -> int:
        return len(self.to("CustomersV3", "GET"))

    def writes_to_d365(self) -> list[Written]:
        """In the order sent; reads inside a $batch are left out."""
        found: list[Written] = []
        for call in self.calls:
            if call.path.endswith("/$batch"):
                items: list[BatchItem] = []
                for part in parse_batch(call.content_type, call.body):
                    items += part if isinstance(part, list) else [part]
                found += [
                    Written(item.operation.method, item.operation.path, _json(item.operation.body))
                    for item in items
                    if item.operation.method != "GET"
                ]
            elif call.method != "GET":
                found.append(Written(call.method, call.path, _json(call.body)))
        return found

    def rows_to_salesforce(self) -> list[dict[str, Any]]:
        """The rows of all Collections updates, without their `attributes`."""
        return [
            {name: value for name, value in row.items() if name != "attributes"}
            for call in self.to("composite/sobjects", "PATCH")
            for row in json.loads(call.body)["records"]
        ]


def _json(body: bytes) -> dict[str, Any]:
    return json.loads(body) if body else {}
