"""Lets the concurrent deliveries of the buckets held here meet, so that 200 changes cost a handful of calls.

The DataLoader pattern: collect for a short window, remove double keys, handle together. A bucket is in
one batch at a time, which keeps the exclusion that its session promises; several idle buckets may share
a batch, because this process holds all of them (design, idea 3).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration import telemetry
from integration.flows.outcomes import Failed, Outcome, Skipped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from opentelemetry.trace import Span

    from integration.messaging.hints import Hint

COALESCED = "coalesced"
_WINDOWS = 4


@dataclass(slots=True)
class _Waiting:
    flow: str
    bucket: str
    hint: Hint
    answer: asyncio.Future[Outcome]
    span: Span


class Batcher:
    def __init__(
        self,
        run: Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, Outcome]]],
        *,
        window: float,
        size: int,
    ) -> None:
        """`window` in seconds, up to four of them in a burst; `size` is the most keys of one batch."""
        self._run = run
        self._window = window
        self._size = size
        self._waiting: list[_Waiting] = []
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._collecting = False

    async def submit(self, flow: str, bucket: str, hint: Hint) -> Outcome:
        """Waits until the hint was handled in some batch."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(flow, bucket, hint, answer, telemetry.current_span()))
        if not self._collecting:
            self._collecting = True
            self._start(self._collect())
        return await answer

    async def _collect(self) -> None:
        """One window; while a burst goes on some more, so that a busy process does not split it."""
        for _ in range(_WINDOWS):
            waiting = len(self._waiting)
            await asyncio.sleep(self._window)
            if not waiting < len(self._waiting) < self._size:
                break
        self._collecting = False
        self._dispatch()

    def _dispatch(self) -> None:
        """Starts a batch for everything that waits in idle buckets."""
        while batch := self._next_batch():
            taken = {id(item) for item in batch}
            self._waiting = [item for item in self._waiting if id(item) not in taken]
            self._busy |= {item.bucket for item in batch}
            self._start(self._handle(batch))

    def _next_batch(self) -> list[_Waiting]:
        ready = [item for item in self._waiting if item.bucket not in self._busy]
        if not ready:
            return []
        flow = ready[0].flow
        batch: list[_Waiting] = []
        for bucket in dict.fromkeys(item.bucket for item in ready if item.flow == flow):
            mine = [item for item in ready if item.bucket == bucket and item.flow == flow]
            if batch and len(batch) + len(mine) > self._size:
                break
            batch += mine[: self._size]
        return batch

    async def _handle(self, batch: list[_Waiting]) -> None:
        # Of several hints for one key the one with the fewest attempts speaks for all: it has the most
        # tries left. The others end here, so that a failing record is not multiplied.
        speakers: dict[str, _Waiting] = {}
        for item in sorted(batch, key=lambda item: (item.hint.attempt, item.hint.put_backs)):
            speakers.setdefault(item.hint.key, item)
        try:
            keys = {key: item.bucket for key, item in speakers.items()}
            first = sorted(batch, key=lambda item: speakers[item.hint.key] is not item)
            spans = [item.span for item in first]
            with telemetry.shared(f"batch {batch[0].flow}", spans, records=len(keys)):
                outcomes = await self._run(batch[0].flow, keys)
            for item in batch:
                self._answer(item, speakers, outcomes)
        except Exception as error:
            for item in batch:
                if not item.answer.done():
                    item.answer.set_result(Failed(error))
        finally:
            for item in batch:
                item.answer.cancel()  # no effect on those that have their answer
            self._busy -= {item.bucket for item in batch}
            self._dispatch()

    @staticmethod
    def _answer(
        item: _Waiting, speakers: Mapping[str, _Waiting], outcomes: Mapping[str, Outcome]
    ) -> None:
        if item.answer.done():
            return
        outcome = outcomes[item.hint.key]
        speaks = speakers[item.hint.key] is item
        item.answer.set_result(outcome if speaks else Skipped(COALESCED))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
