"""HTTP listener: routes, function keys and the admin endpoints, served by uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from sandbox.web import KEEP_ALIVE_SECONDS, Receive, Send, body_of

from .http_data import Answer, answer_of, header_values, query_values, request_datum

if TYPE_CHECKING:
    from .executor import Executor
    from .routes import Route

AdminHandler = Callable[[str, str, bytes], Awaitable[Answer | None]]

_HOP_HEADERS = {"content-length", "transfer-encoding", "connection", "date", "server"}


@dataclass(frozen=True)
class Keys:
    """The host key, valid for every function, and the master key, valid for admin as well."""

    function: str
    master: str

    def allow(self, level: str, given: str) -> bool:
        """Whether a key opens an endpoint of auth level anonymous, function or admin."""
        if level == "anonymous":
            return True
        accepted = [self.master] if level == "admin" else [self.master, self.function]
        return any(hmac.compare_digest(given.encode(), key.encode()) for key in accepted)


class HttpApp:
    """The ASGI app. `admin` gets (method, path below /admin/, body) after the master key check."""

    def __init__(
        self, routes: list[Route], executor: Executor, keys: Keys, admin: AdminHandler
    ) -> None:
        self._routes = routes
        self._executor = executor
        self._keys = keys
        self._admin = admin

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = header_values(scope)
        has_body = headers.get("content-length", "0") not in {"", "0"}
        body = await body_of(receive) if has_body else b""
        answer = await self._answer(scope, headers, body)
        await _send(send, answer, head=scope["method"] == "HEAD")

    async def _answer(self, scope: dict[str, Any], headers: dict[str, str], body: bytes) -> Answer:
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.split(b"?")[0].decode("latin-1")
        query = query_values(scope["query_string"])
        given = headers.get("x-functions-key") or query.get("code") or ""
        if path.lower().startswith("/admin/"):
            if not self._keys.allow("admin", given):
                return Answer(401)
            return await self._admin(scope["method"], path[len("/admin/") :], body) or Answer(404)
        for route in self._routes:
            params = route.match(scope["method"], path)
            if params is not None:
                break
        else:
            return Answer(200 if path == "/" and scope["method"] == "GET" else 404)
        if not self._keys.allow(route.auth_level, given):
            return Answer(401)
        function = route.function
        datum = request_datum(scope, headers, query, params, body)
        result = await self._executor.run(
            function,
            [(str(function.trigger["name"]), datum)],
            {},
            trace_parent=headers.get("traceparent", ""),
            trace_state=headers.get("tracestate", ""),
        )
        if not result.ok:
            return Answer(500)
        for name, output in result.outputs:
            if function.output(name)["type"] == "http":
                return answer_of(output)
        return answer_of(result.return_value)


class _Server(uvicorn.Server):
    """The host process owns the signals, not uvicorn."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpListener:
    """Serves the app until stopped; running requests get `drain_seconds` to end."""

    def __init__(self, app: HttpApp, host: str, port: int, drain_seconds: float) -> None:
        self._socket = socket.create_server((host, port), backlog=2048)
        self.port: int = self._socket.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, int(drain_seconds)),
            )
        )
        self._task: asyncio.Task[None] | None = None
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


async def _send(send: Send, answer: Answer, *, head: bool) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.headers.items()
        if name.lower() not in _HOP_HEADERS
    ]
    headers += [(b"set-cookie", cookie.encode("latin-1")) for cookie in answer.cookies]
    body = answer.body
    if answer.status in {204, 304}:
        body = b""
    else:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
