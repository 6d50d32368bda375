"""A create whose client went away: the connection is cut at once, the write happens later.

F&O keeps working on a request after its client timed out, so a client that reads too early concludes
that nothing was written. `PUT /sandbox/late-commit {"path": "CustomersV3", "delay_ms": 500, "count": 1}`
switches it on for the next writes whose path contains the text.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

WRITES = ("POST", "PATCH", "PUT", "DELETE")


class LateCommit:
    def __init__(self) -> None:
        self._path, self._delay, self._count = "", 0.0, 0
        self._tasks: set[asyncio.Task[None]] = set()

    def configure(self, given: dict[str, Any]) -> None:
        self._path = str(given.get("path", ""))
        self._delay = float(given.get("delay_ms", 500)) / 1000
        self._count = int(given.get("count", 1))

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self._path,
            "delay_ms": self._delay * 1000,
            "count": self._count,
            "pending": len(self._tasks),
        }

    def applies(self, method: str, path: str) -> bool:
        if self._count <= 0 or method not in WRITES or self._path not in path:
            return False
        self._count -= 1
        return True

    def schedule(self, work: Callable[[], object]) -> None:
        async def run() -> None:
            await asyncio.sleep(self._delay)
            work()

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drop(self) -> None:
        """Forgets what has not been written yet and waits for the tasks to end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._count = 0
