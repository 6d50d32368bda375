"""Keeps the tables that the app reads and writes as files, for the floor that is measured beside it.

An ASGI wrapper around a stand-in. Files of the folder, in the order of the calls: `*.json` pages of F&O,
`*-in.csv` result pages of Salesforce, `*-out.csv` files sent to it. `*.gz` where it travelled packed.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path
    from typing import BinaryIO

    from sandbox.web import App, Receive, Scope, Send

_PAGE = re.compile(r"GET /data/\w+")
_RESULTS = re.compile(r"GET /services/data/v[\d.]+/jobs/query/\w+/results")
_UPLOAD = re.compile(r"PUT /services/data/v[\d.]+/jobs/ingest/\w+/batches/?")


class Recorder:
    def __init__(self, app: App, folder: Path, system: str) -> None:
        """`system` begins the names of the files."""
        self._app = app
        self._folder = folder
        self._system = system
        self._numbers = itertools.count(1)
        self.is_on = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = f"{scope.get('method')} {scope.get('path')}"
        if not self.is_on or scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _UPLOAD.fullmatch(call):
            with self._file("-out.csv").open("wb") as file:
                await self._app(scope, _copying(receive, file), send)
        elif _PAGE.fullmatch(call) or _RESULTS.fullmatch(call):
            answer = _Answer(send)
            await self._app(scope, receive, answer)
            kind = ".json" if _PAGE.fullmatch(call) else "-in.csv"
            packed = ".gz" if answer.headers.get(b"content-encoding") == b"gzip" else ""
            self._file(kind + packed).write_bytes(b"".join(answer.body))
        else:
            await self._app(scope, receive, send)

    def _file(self, ending: str) -> Path:
        return self._folder / f"{self._system}-{next(self._numbers):06d}{ending}"


class _Answer:
    def __init__(self, send: Send) -> None:
        self._send = send
        self.headers: dict[bytes, bytes] = {}
        self.body: list[bytes] = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.headers |= dict(message.get("headers", ()))
        self.body.append(message.get("body", b""))
        await self._send(message)


def _copying(receive: Receive, file: BinaryIO) -> Receive:
    async def copy() -> MutableMapping[str, Any]:
        message = await receive()
        file.write(message.get("body", b""))
        return message

    return copy
