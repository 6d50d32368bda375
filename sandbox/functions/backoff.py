"""A growing, jittered pause between attempts to reach the broker."""

from __future__ import annotations

import asyncio
import contextlib
import random

_FIRST, _LONGEST = 0.25, 5.0  # seconds; the broker is a neighbour on the same machine


class Backoff:
    """`wait` doubles the pause each time; `reset` after an attempt that succeeded."""

    def __init__(self) -> None:
        self._pause = _FIRST

    def reset(self) -> None:
        self._pause = _FIRST

    def give_up_for_now(self) -> None:
        """The next pause is the longest one: a refused credential does not heal in a second."""
        self._pause = _LONGEST

    async def wait(self, stopping: asyncio.Event) -> None:
        """Sleeps, but no longer than until `stopping` is set."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), self._pause * random.uniform(0.5, 1.0))
        self._pause = min(_LONGEST, self._pause * 2)
