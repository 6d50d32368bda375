"""Runs invocations for all triggers: counts them, logs failures, sends the output bindings."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from .worker import Function, Inputs, Invocation, Metadata, Worker

log = logging.getLogger("sandbox.functions")

SendOutputs = Callable[[Function, Invocation], Awaitable[None]]


@dataclass
class Counts:
    """Invocations of one function since the host started."""

    running: int = 0
    succeeded: int = 0
    failed: int = 0


@dataclass
class Executor:
    """Every invocation of the host goes through `run`; `drained` tells when none is left."""

    worker: Worker
    send_outputs: SendOutputs
    counts: dict[str, Counts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = 0

    async def run(
        self,
        function: Function,
        inputs: Inputs,
        metadata: Metadata,
        *,
        trace_parent: str = "",
        trace_state: str = "",
    ) -> Invocation:
        """Invokes and sends the outputs. A failure of either is in the result and in the log."""
        counts = self.counts.setdefault(function.name, Counts())
        call = str(uuid.uuid4())
        counts.running += 1
        self._running += 1
        self._idle.clear()
        try:
            result = await self.worker.invoke(
                function,
                inputs,
                metadata,
                invocation_id=call,
                trace_parent=trace_parent,
                trace_state=trace_state,
            )
            if result.ok:
                result = await self._with_outputs(function, result)
        finally:
            counts.running -= 1
            self._running -= 1
            if self._running == 0:
                self._idle.set()
        if result.ok:
            counts.succeeded += 1
        else:
            counts.failed += 1
            log.error("%s failed (invocation %s): %s", function.name, call, result.error)
        return result

    async def drained(self) -> None:
        """Returns when no invocation is running."""
        await self._idle.wait()

    async def _with_outputs(self, function: Function, result: Invocation) -> Invocation:
        try:
            await self.send_outputs(function, result)
        except Exception as error:
            return Invocation(result.id, ok=False, error=f"output binding: {error!r}")
        return result
