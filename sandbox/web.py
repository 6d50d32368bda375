"""What all HTTP stand-ins share: serving on a free port, raw paths, call counts, faults and latency.

A stand-in is a Starlette app wrapped by `StandIn`, which adds the `/sandbox/…` control routes:

    GET|DELETE  /sandbox/calls    {"total": n, "by_operation": {"PATCH composite/sobjects": n, …}}
    GET|POST|DELETE /sandbox/faults   list, add one, remove all
    PUT         /sandbox/latency  {"per_call_ms": 100, "per_operation_ms": 20}

A fault: {"match": {"method": "POST", "path": "<regex>"}, "status": 429, "headers": {…},
"body": <json or text>, "latency_ms": 500, "drop": "before" | "after", "count": 3, "skip": 0,
"probability": 0.2, "seed": 7, "inner": true}. `drop: after` runs the call, then cuts the connection
instead of answering: the client cannot know that the write happened. `count: null` means for ever.
`inner` faults apply to operations inside a $batch or Collections call.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn

# Longer than any client keeps an idle connection (httpx: 5 s, uvicorn's own default too): who closes
# first must be the client, or a call now and then meets a connection that is just being closed.
KEEP_ALIVE_SECONDS = 75

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass
class Fault:
    method: str = ".*"
    path: str = ".*"
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    latency_ms: float = 0
    drop: str | None = None
    count: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    inner: bool = False
    fired: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        fields = dict(data)
        match = fields.pop("match", {})
        return cls(**match, **fields)

    def applies(self, method: str, path: str) -> bool:
        if self.count == 0:
            return False
        if not (re.fullmatch(self.method, method) and re.search(self.path, path)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self._random.random() >= self.probability:
            return False
        if self.count is not None:
            self.count -= 1
        self.fired += 1
        return True

    def to_json(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}


class Control:
    """Faults, latency and call counts of one stand-in."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.per_call_ms = 0.0
        self.per_operation_ms = 0.0
        self.calls: Counter[str] = Counter()

    def count(self, operation: str) -> None:
        """Counts one API call under a name such as `GET data/CustomersV3`."""
        self.calls[operation] += 1

    def outer_fault(self, method: str, path: str) -> Fault | None:
        return next((f for f in self.faults if not f.inner and f.applies(method, path)), None)

    def inner_fault(self, method: str, path: str) -> Fault | None:
        return next((f for f in self.faults if f.inner and f.applies(method, path)), None)

    async def operations(self, count: int) -> None:
        """Simulated time for `count` operations inside one call."""
        if self.per_operation_ms:
            await asyncio.sleep(self.per_operation_ms * count / 1000)


class StandIn:
    """ASGI wrapper: routes on the raw path, applies faults and latency, serves the control routes.

    The raw path matters because `A%2FB` must stay one segment (Salesforce contract 10); handlers
    therefore see percent-encoded path parameters and decode them themselves.
    """

    def __init__(self, app: App, control: Control) -> None:
        self.app = app
        self.control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.split(b"?")[0].decode("ascii")
        scope = {**scope, "path": path}
        if path.startswith("/sandbox/") and await self._control(scope, receive, send):
            return
        if not path.startswith("/sandbox/"):
            if self.control.per_call_ms:
                await asyncio.sleep(self.control.per_call_ms / 1000)
            fault = self.control.outer_fault(scope["method"], path)
            if fault and not await self._inject(fault, scope, receive, send):
                return
        await self.app(scope, receive, send)

    async def _inject(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> bool:
        """Returns True when the call shall be served as usual (after a delay)."""
        if fault.latency_ms:
            await asyncio.sleep(fault.latency_ms / 1000)
        if fault.drop == "after":

            async def swallow(_: MutableMapping[str, Any]) -> None: ...

            await self.app(scope, receive, swallow)
        if fault.drop:
            await cut_connection(send)
            return False
        if fault.status is None:
            return True
        await body_of(receive)
        text = fault.body if isinstance(fault.body, str) else json.dumps(fault.body)
        kind = "text/html" if text.startswith("<") else "application/json"
        await _answer(send, fault.status, text.encode(), {"content-type": kind, **fault.headers})
        return False

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> bool:
        path, method = scope["path"], scope["method"]
        control = self.control
        if path == "/sandbox/calls":
            if method == "DELETE":
                control.calls.clear()
            body: Any = {"total": control.calls.total(), "by_operation": dict(control.calls)}
        elif path == "/sandbox/faults":
            if method == "POST":
                given = json.loads(await body_of(receive))
                rows = given if isinstance(given, list) else [given]
                control.faults.extend(Fault.from_json(row) for row in rows)
            elif method == "DELETE":
                control.faults.clear()
            body = [fault.to_json() for fault in control.faults]
        elif path == "/sandbox/latency":
            if method == "PUT":
                given = json.loads(await body_of(receive))
                control.per_call_ms = float(given.get("per_call_ms", 0))
                control.per_operation_ms = float(given.get("per_operation_ms", 0))
            body = {
                "per_call_ms": control.per_call_ms,
                "per_operation_ms": control.per_operation_ms,
            }
        else:
            return False
        await _answer(send, 200, json.dumps(body).encode(), {"content-type": "application/json"})
        return True


async def body_of(receive: Receive) -> bytes:
    """The whole body of a request."""
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    raw = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def cut_connection(send: Send) -> None:
    """Ends the connection inside the answer: the client sees a protocol error and no body.

    An ASGI app cannot close the socket; promising more bytes than it sends makes the server do so.
    """
    headers = [(b"content-length", b"100"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": True})


class Server:
    """Serves one ASGI app on 127.0.0.1 inside the running event loop."""

    def __init__(
        self, app: App, *, port: int = 0, certificate: tuple[str, str] | None = None
    ) -> None:
        # The protocol is named because asyncio sets TCP_NODELAY only then; without it every small answer
        # waits some 40 ms for the peer's acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.scheme = "https" if certificate else "http"
        config = uvicorn.Config(
            app,
            log_level="critical",  # a cut answer (fault `drop`) would be reported as an error
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_certfile=certificate[0] if certificate else None,
            ssl_keyfile=certificate[1] if certificate else None,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
        )
        self._server = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        host = "localhost" if self.scheme == "https" else "127.0.0.1"
        return f"{self.scheme}://{host}:{self.port}"

    async def start(self) -> None:
        # `_serve` is what `serve` runs inside its signal handlers; the sandbox owns the signals.
        self._task = asyncio.create_task(self._server._serve([self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self._task is not None:
            self._server.should_exit = True
            await self._task
        self._socket.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
