"""Long work in short pieces: the HTTP server answers in between, each piece commits what it wrote."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sandbox.d365.dmf.executions import Execution
    from sandbox.d365.environment import Environment

SECONDS = 0.005


async def slices(
    environment: Environment, execution: Execution, work: Iterator[None]
) -> AsyncIterator[None]:
    """Drives `work`, which yields where it may be interrupted; yields itself after every piece.

    Ends with the work, or when the execution is canceled.
    """
    ended = object()
    while not execution.canceled.is_set():
        until = time.perf_counter() + SECONDS
        with environment.acting(execution.client_id), environment.store.transaction():
            while time.perf_counter() < until:
                if next(work, ended) is ended:
                    return
        yield
        await asyncio.sleep(0)
