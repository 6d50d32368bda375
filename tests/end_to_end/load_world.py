"""Loads in a running sandbox: starts them as the operator's command does, and waits for their end."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob import ContainerClient

from integration.jobs.kinds import LOAD_ACCOUNTS
from integration.jobs.messages import StepMessage
from integration.jobs.runner import JobRunner
from integration.jobs.store import JobStore
from integration.messaging.service_bus import Queues
from integration.state.blobs import BlobState
from sandbox.salesforce.clock import stamp
from sandbox.stack import MASTER_KEY
from tests.end_to_end.job_runs import claims_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from integration.jobs.job import Position, Progress
    from integration.jobs.state import JobState
    from tests.end_to_end.world import World

# A load waits for the longest batch; a write to F&O needs five seconds of one.
SETTINGS = {
    "BATCH_SECONDS": "7",
    "PACKAGE_THRESHOLD": "3",
    "PACKAGE_POLL_SECONDS": "0.2",
    "BULK_POLL_SECONDS": "0.2",
    "BULK_THRESHOLD": "200",
}
_LONG = timedelta(seconds=2)  # no other wait of these phases is as long


class _Kind:
    longest = timedelta(hours=1)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    async def step(self, position: Position) -> Progress:
        raise AssertionError("the app runs the steps")


class Loads:
    def __init__(self, world: World) -> None:
        self.world = world

    async def run(self, kind: str = LOAD_ACCOUNTS, **params: Any) -> JobState:
        """A load while nothing else is handled."""
        return await self.ended(await self.start(kind, **params), kind, hurry=True)

    async def start(self, kind: str = LOAD_ACCOUNTS, **params: Any) -> str:
        async with self._queues() as queues:
            with self._container() as container:
                runner = JobRunner(BlobState(container), queues, [_Kind(kind)])
                job = await runner.start(kind, params)
        assert job is not None, "one runs already"
        return job

    async def ended(
        self, job: str, kind: str = LOAD_ACCOUNTS, timeout: float = 90, *, hurry: bool = False
    ) -> JobState:
        """`hurry`: no batch is under way, so the load need not wait until earlier ones are over."""
        state = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    state = await self.state(job, kind)
                    if not state.is_running:
                        return state
                    if hurry:
                        hurry = not await self._hurried(state)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            app = self.world.sandbox.app
            last = "\n".join(list(app.errors)[-15:]) if app else ""
            raise AssertionError(f"the load goes on: {state}\n{last}") from None

    async def hurried(self, job: str, kind: str = LOAD_ACCOUNTS) -> None:
        """The load has published its hold and does not wait any longer. No batch may be under way."""
        async with asyncio.timeout(60):
            while not await self._hurried(await self.state(job, kind)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _hurried(self, seen: JobState) -> bool:
        """Sends the message of a step that waits for earlier batches as if its time had come, also for the
        records: else they would have changed right before the load reads them. False where it does not
        wait (yet)."""
        now = datetime.now(UTC)
        if seen.position.get("phase") not in ("target", "look") or seen.due_at < now + _LONG:
            return False
        org, long_ago = self.world.sandbox.salesforce.org, stamp(now - timedelta(minutes=1))
        for name in ("Account", "Contact"):
            for row in list(org.store.tables[name].rows.values()):
                if row["SystemModstamp"] > long_ago:
                    org.store.put(name, {**row, "SystemModstamp": long_ago})
        org.commit()
        with self._container() as container:
            store = JobStore(BlobState(container))
            loaded = await store.load(seen.kind, seen.id)
            assert loaded is not None
            state, etag = loaded
            armed = state.armed(now)
            await store.save(armed, etag)
        message = StepMessage(armed.kind, armed.id, armed.step)
        async with self._queues() as queues:
            await queues.send_job(message.to_bytes(), message_id=armed.message_id, delay=0)
        return True

    async def after_a_kill(self, kind: str = LOAD_ACCOUNTS) -> None:
        with self._container() as container:
            await claims_over(JobStore(BlobState(container)), kind)

    async def state(self, job: str, kind: str = LOAD_ACCOUNTS) -> JobState:
        with self._container() as container:
            loaded = await JobStore(BlobState(container)).load(kind, job)
        assert loaded is not None
        return loaded[0]

    async def phase(self, job: str, *phases: str) -> None:
        """Waits until the load is in one of these phases, or over."""
        async with asyncio.timeout(60):
            while True:
                state = await self.state(job)
                if state.position.get("phase") in phases or not state.is_running:
                    return
                await asyncio.sleep(0.02)

    async def package_begun(self, job: str) -> None:
        """Waits until F&O works on a package of the load."""
        await self._position(job, lambda at: (at.get("package") or {}).get("phase") == "poll")

    async def ingest_begun(self, job: str) -> None:
        """Waits until Salesforce works on numbers of the load."""
        await self._position(job, lambda at: (at.get("bulk") or {}).get("phase") == "poll")

    async def _position(self, job: str, holds: Callable[[Position], bool]) -> None:
        state = await self.state(job)
        async with asyncio.timeout(60):
            while not holds(state.position):
                assert state.is_running, state
                await asyncio.sleep(0.05)
                state = await self.state(job)

    async def asked_to_end(self, job: str, kind: str = LOAD_ACCOUNTS) -> bool:
        state = await self.state(job, kind)
        with self._container() as container:
            return await JobStore(BlobState(container)).is_asked_to_end(state)

    async def running_until(self, job: str, condition: Callable[[], bool]) -> None:
        """Waits until the condition holds or the load is over."""
        async with asyncio.timeout(60):
            while True:
                if condition() or not (await self.state(job)).is_running:
                    return
                await asyncio.sleep(0.02)

    async def timer(self, name: str = "send_packages") -> None:
        sandbox = self.world.sandbox
        answer = await sandbox.http.post(
            f"{sandbox.app_url}/admin/functions/{name}",
            headers={"x-functions-key": MASTER_KEY},
            json={"input": ""},
        )
        assert answer.status_code == 202, answer.text

    async def newest(self, kind: str = LOAD_ACCOUNTS, *, besides: set[str] | None = None) -> str:
        async with asyncio.timeout(20):
            while True:
                ids = {run.id for run in await self.runs(kind)} - (besides or set())
                if ids:
                    return max(ids)
                await asyncio.sleep(0.05)

    async def runs(self, kind: str = LOAD_ACCOUNTS) -> list[JobState]:
        with self._container() as container:
            return await JobStore(BlobState(container)).runs(kind)

    def document(self, name: str) -> Any:
        with self._container() as container:
            return json.loads(container.download_blob(name).readall())

    def documents(self, prefix: str) -> list[str]:
        with self._container() as container:
            if not container.exists():
                return []
            return sorted(container.list_blob_names(name_starts_with=prefix))

    @asynccontextmanager
    async def _queues(self) -> AsyncIterator[Queues]:
        broker = self.world.sandbox.broker
        client = ServiceBusClient.from_connection_string(broker.connection_string)
        queues = Queues(client, buckets=16)
        try:
            yield queues
        finally:
            await queues.close()

    @contextmanager
    def _container(self) -> Iterator[ContainerClient]:
        storage = self.world.sandbox.storage.connection_string
        with ContainerClient.from_connection_string(storage, "integration-state") as container:
            yield container
