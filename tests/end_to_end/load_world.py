"""Loads in a running sandbox: starts them as the operator's command does, and waits for their end."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob import ContainerClient

from integration.jobs.kinds import LOAD_ACCOUNTS
from integration.jobs.runner import JobRunner
from integration.jobs.store import JobStore
from integration.messaging.service_bus import Queues
from integration.state.blobs import BlobState
from sandbox.stack import MASTER_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        return await self.ended(await self.start(kind, **params), kind)

    async def start(self, kind: str = LOAD_ACCOUNTS, **params: Any) -> str:
        sandbox = self.world.sandbox
        client = ServiceBusClient.from_connection_string(sandbox.broker.connection_string)
        queues = Queues(client, buckets=16)
        try:
            with self._container() as container:
                runner = JobRunner(BlobState(container), queues, [_Kind(kind)])
                job = await runner.start(kind, params)
        finally:
            await queues.close()
        assert job is not None, "one runs already"
        return job

    async def ended(self, job: str, kind: str = LOAD_ACCOUNTS, timeout: float = 60) -> JobState:
        state = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    state = await self.state(job, kind)
                    if not state.is_running:
                        return state
                    await asyncio.sleep(0.1)
        except TimeoutError:
            app = self.world.sandbox.app
            last = "\n".join(list(app.errors)[-15:]) if app else ""
            raise AssertionError(f"the load goes on: {state}\n{last}") from None

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

    def documents(self, prefix: str) -> list[str]:
        with self._container() as container:
            if not container.exists():
                return []
            return sorted(container.list_blob_names(name_starts_with=prefix))

    @contextmanager
    def _container(self) -> Iterator[ContainerClient]:
        storage = self.world.sandbox.storage.connection_string
        with ContainerClient.from_connection_string(storage, "integration-state") as container:
            yield container
