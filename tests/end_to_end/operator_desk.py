"""The person on duty: runs commands against a running sandbox and keeps what they say."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.storage.blob import ContainerClient

from integration.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from tests.end_to_end.world import World


# typer sets this and removes it again while it builds a command, and a command beside it may read the
# environment just then.
_STEADY = {"PYDANTIC_DISABLE_PLUGINS": "1"}


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
        [[said]] = await self.together([arguments], **settings)
        return said

    async def together(self, *chains: Sequence[Sequence[str]], **settings: str) -> list[list[Said]]:
        """Chains of commands side by side, each chain on a thread of its own: most commands wait."""
        env = {**self.world.sandbox.env, **_STEADY, **settings}
        with _environment(env), _streams_by_thread() as run:
            return await asyncio.gather(
                *(asyncio.to_thread(lambda chain=chain: list(map(run, chain))) for chain in chains)
            )

    async def done(self, *arguments: str, **settings: str) -> Said:
        said = await self.run(*arguments, **settings)
        assert said.code == 0, (said.out, said.err)
        return said

    async def json(self, *arguments: str, code: int = 0) -> Any:
        said = await self.run(*arguments, "--json")
        assert said.code == code, (said.out, said.err)
        return said.json

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


class _ByThread(io.TextIOBase):
    """What a thread writes goes to a text of its own, where it has one."""

    def __init__(self, otherwise: TextIO) -> None:
        self._otherwise = otherwise
        self._mine = threading.local()

    def collect(self) -> io.StringIO:
        self._mine.text = io.StringIO()
        return self._mine.text

    def write(self, text: str) -> int:
        return getattr(self._mine, "text", self._otherwise).write(text)

    def flush(self) -> None:
        getattr(self._mine, "text", self._otherwise).flush()


@contextlib.contextmanager
def _streams_by_thread() -> Iterator[Callable[[Sequence[str]], Said]]:
    out, err = _ByThread(sys.stdout), _ByThread(sys.stderr)

    def run(arguments: Sequence[str]) -> Said:
        texts = out.collect(), err.collect()
        code = main(arguments)
        return Said(code, *(text.getvalue() for text in texts))

    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield run
