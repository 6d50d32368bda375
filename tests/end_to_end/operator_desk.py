"""The person on duty: runs commands against a running sandbox and keeps what they say."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.storage.blob import ContainerClient

from integration.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.world import World


@dataclass(frozen=True)
class Said:
    """`out` is stdout, `err` stderr; both without a terminal."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def width(self) -> int:
        return max(map(len, self.out.splitlines() or [""]))


class Operator:
    """Runs in this process: a process of its own for each command would cost a second each."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def run(self, *arguments: str, **settings: str) -> Said:
        """`settings` beside those of the sandbox; an empty one is not set."""
        return await asyncio.to_thread(self._run, arguments, settings)

    async def done(self, *arguments: str, **settings: str) -> Said:
        said = await self.run(*arguments, **settings)
        assert said.code == 0, (said.out, said.err)
        return said

    async def json(self, *arguments: str, code: int = 0) -> Any:
        said = await self.run(*arguments, "--json")
        assert said.code == code, (said.out, said.err)
        return said.json

    def _run(self, arguments: tuple[str, ...], settings: dict[str, str]) -> Said:
        out, err = io.StringIO(), io.StringIO()
        with (
            _environment({**self.world.sandbox.env, **settings}),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(arguments)
        return Said(code, out.getvalue(), err.getvalue())

    # What the commands leave in the state container

    def documents(self, prefix: str) -> dict[str, Any]:
        with self._container() as container:
            names = list(container.list_blob_names(name_starts_with=prefix))
            return {name: json.loads(container.download_blob(name).readall()) for name in names}

    def etags(self, *prefixes: str) -> dict[str, str]:
        """What there is, and in which version."""
        with self._container() as container:
            return {
                blob.name: blob.etag
                for prefix in prefixes
                for blob in container.list_blobs(name_starts_with=prefix)
            }

    def put(self, name: str, body: Any) -> None:
        with self._container() as container:
            container.upload_blob(name, json.dumps(body).encode(), overwrite=True)

    def audited(self, command: str) -> list[dict[str, Any]]:
        found = self.documents("audit/").values()
        return [each for each in found if each["command"] == command]

    def _container(self) -> ContainerClient:
        storage = self.world.sandbox.storage.connection_string
        return ContainerClient.from_connection_string(storage, "integration-state")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
