"""A queue, a clock and blobs in memory, in which jobs run, crash and are delivered again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from integration.jobs.job import Progress
from integration.jobs.runner import JobRunner
from tests.unit.state_support import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from integration.jobs.job import Job, Position

REDELIVERED_AFTER = 60.0  # a lock that runs out


class Crash(BaseException):
    """The process is gone: nothing catches it."""


class CrashClock:
    """Counts effects on the outside; the process dies right at the one numbered `at`."""

    def __init__(self, at: int = 0, error: type[BaseException] | BaseException = Crash) -> None:
        self.ticks = 0
        self.at = at
        self._error = error

    def __call__(self) -> None:
        self.ticks += 1
        if self.ticks == self.at:
            raise self._error


class JobBlobs(MemoryStore):
    """Crashes right before or right after the n-th write."""

    def __init__(self) -> None:
        super().__init__()
        self.crash: Callable[[], None] = lambda: None

    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str:
        self.crash()
        etag = await super().write(name, body, expected=expected)
        self.crash()
        return etag

    async def delete(self, name: str) -> None:
        self.documents.pop(name, None)

    async def names(self, prefix: str) -> AsyncIterator[str]:
        for name in sorted(self.documents):
            if name.startswith(prefix):
                yield name


class Countdown:
    """A job of `steps` steps; `effects` by step, as an upsert by key would leave them."""

    kind = "countdown"
    longest = timedelta(hours=1)

    def __init__(self, steps: int = 3, *, delay: float = 0) -> None:
        self.steps = steps
        self.delay = delay
        self.ran: list[int] = []
        self.effects: dict[int, str] = {}
        self.before: Callable[[int], None] = lambda _: None

    async def step(self, position: Position) -> Progress:
        at = int(position.get("at", 0))
        self.before(at)
        self.ran.append(at)
        self.effects[at] = f"row {at}"
        done = at + 1 == self.steps
        return Progress({"at": at + 1}, {"written": 1}, delay=self.delay, done=done)


class World:
    def __init__(self, *jobs: Job, **options: Any) -> None:
        self.now = datetime(2026, 7, 31, 2, 0, tzinfo=UTC)
        self.blobs = JobBlobs()
        self.messages: list[tuple[datetime, str, bytes]] = []
        self.sent_ids: list[str] = []
        self.lost = False
        self.crash: Callable[[], None] = lambda: None
        self.runner = JobRunner(self.blobs, self, jobs, clock=lambda: self.now, **options)

    async def send_job(self, body: bytes, *, message_id: str, delay: float) -> None:
        self.crash()
        if not message_id.endswith(":look"):  # one of those is enough
            assert message_id not in self.sent_ids, "the broker would drop it as a duplicate"
        self.sent_ids.append(message_id)
        if not self.lost:
            self.messages.append((self.now + timedelta(seconds=delay), message_id, body))
        self.crash()

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def deliver(self) -> bool:
        """The next message, at its time; after a crash it comes again. False: there is none."""
        if not self.messages:
            return False
        self.messages.sort(key=lambda message: message[0])
        at, message_id, body = self.messages.pop(0)
        self.now = max(self.now, at)
        try:
            await self.runner.advance(body)
        except (Crash, ConnectionError):
            again = self.now + timedelta(seconds=REDELIVERED_AFTER)
            self.messages.append((again, message_id, body))
        return True

    async def drain(self, most: int = 200) -> int:
        """Until no message is left; returns how many were delivered."""
        count = 0
        while await self.deliver():
            count += 1
            assert count < most, "the messages never end"
        return count
