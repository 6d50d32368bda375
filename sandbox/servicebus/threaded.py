"""Runs a broker on an event loop of its own thread, for synchronous callers and tests.

Inspection and fault switches of the broker touch what its loop works on; `call` runs them there.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from sandbox.servicebus.broker import Broker

T = TypeVar("T")

_START_SECONDS = 10.0


class ThreadedBroker:
    """A context manager: the broker listens inside, and is stopped with its thread on exit."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="servicebus-broker", daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def __enter__(self) -> "ThreadedBroker":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.broker.start(), self._loop).result(_START_SECONDS)
        return self

    def __exit__(self, *_exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self.broker.stop(), self._loop).result(_START_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def call(self, function: Callable[..., T], *args: object) -> T:
        """`function(*args)` on the broker's loop, with its result or exception."""

        async def run() -> T:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_START_SECONDS)
