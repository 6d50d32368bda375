"""One job of many rows in a sandbox of its own: its calls, its time, and what the app's process needed.

The app runs with the settings of Azure, not with the sandbox's short waits.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob import ContainerClient

from bench.calls import Calls, app_process, forget_calls
from bench.memory import PeakMemory, cpu_seconds
from bench.recorder import Recorder
from integration.jobs.runner import JobRunner
from integration.jobs.store import JobStore
from integration.messaging.service_bus import Queues
from integration.state.blobs import BlobState
from sandbox.stack import MASTER_KEY, Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from integration.jobs.job import Position, Progress
    from integration.jobs.state import JobState

LIKE_AZURE = {"JOB_STEP_SECONDS": "60"}
_LONGEST = 3600  # seconds of a job
_POLLS = ("jobs/ingest/{id}", "jobs/query/{id}", "GetExecutionSummaryStatus")


@dataclass(frozen=True)
class Run:
    """`calls` without `polls`; `cpu` seconds of the app's process; `idle` is what it uses of a second while
    it waits for messages; `peak` its largest resident memory in MB."""

    calls: Calls
    polls: int
    seconds: float
    cpu: float
    idle: float
    peak: float
    counts: Mapping[str, int]
    operations: Mapping[str, int]

    @property
    def waiting(self) -> float:
        """CPU seconds that the app would have used in this time without any work."""
        return self.idle * self.seconds

    @property
    def work(self) -> float:
        return self.cpu - self.waiting

    def once(self, tenth: Run) -> float:
        """CPU seconds that do not depend on the rows, from a run of a tenth of them: imports, tokens, first
        connections."""
        return max(0.0, (10 * tenth.work - self.work) / 9)


class VolumeSandbox:
    """`folder` holds what the app read and wrote (see `recorder`); for `idle_for` seconds the waiting app is
    looked at before a run."""

    def __init__(self, sandbox: Sandbox, folder: Path, recorders: tuple[Recorder, ...]) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.idle_for = 10.0
        self._recorders = recorders

    async def post(self, system: str, route: str, body: Any) -> Any:
        """Calls a `/sandbox/…` route of a stand-in."""
        url = f"{getattr(self.sandbox, system).url}/sandbox/{route}"
        answer = await self.sandbox.http.post(url, json=body, timeout=900)
        return answer.raise_for_status().json()

    async def by_timer(self, function: str, kind: str) -> Run:
        """Starts the job by its timer and waits for its end. Raises RuntimeError where it fails."""

        async def start() -> None:
            answer = await self.sandbox.http.post(
                f"{self.sandbox.app_url}/admin/functions/{function}",
                json={"input": ""},
                headers={"x-functions-key": MASTER_KEY},
            )
            answer.raise_for_status()

        return await self._measured(start, kind)

    async def by_command(self, kind: str, params: dict[str, Any]) -> Run:
        """Starts it as an operator's command does."""

        async def start() -> None:
            connection = self.sandbox.broker.connection_string
            queues = Queues(ServiceBusClient.from_connection_string(connection), buckets=16)
            try:
                with self.state() as container:
                    runner = JobRunner(BlobState(container), queues, [_Kind(kind)])
                    if await runner.start(kind, params) is None:
                        raise RuntimeError("one runs already")
            finally:
                await queues.close()

        return await self._measured(start, kind)

    def state(self) -> ContainerClient:
        storage = self.sandbox.storage.connection_string
        return ContainerClient.from_connection_string(storage, "integration-state")

    async def keep_packages(self, ending: str) -> None:
        """Adds the tables of all data packages to the folder. They travel by the blob storage of F&O."""
        storage = self.sandbox.storage.connection_string

        def keep() -> None:
            with ContainerClient.from_connection_string(storage, "dmf") as blobs:
                for number, name in enumerate(blobs.list_blob_names()):
                    package = io.BytesIO(blobs.download_blob(name).readall())
                    for file in _tables(package):
                        (self.folder / f"package-{number:06d}{ending}").write_bytes(file)

        await asyncio.to_thread(keep)

    async def _measured(self, start: Any, kind: str) -> Run:
        sandbox = self.sandbox
        pid = app_process(sandbox).pid
        (await sandbox.http.get(f"{sandbox.app_url}/api/health")).raise_for_status()
        idle = -cpu_seconds(pid)
        await asyncio.sleep(self.idle_for)
        idle = (idle + cpu_seconds(pid)) / self.idle_for
        salesforce, d365 = sandbox.salesforce.control.calls, sandbox.d365.control.calls
        forget_calls(sandbox)
        before, started = cpu_seconds(pid), time.monotonic()
        with PeakMemory(pid) as peak:
            self._record(on=True)
            await start()
            state = await self._end_of(kind)
            self._record(on=False)
        seconds, cpu = time.monotonic() - started, cpu_seconds(pid) - before
        calls = Calls(_without_polls(salesforce).total(), _without_polls(d365).total())
        return Run(
            calls,
            Calls.of(sandbox).total - calls.total,
            seconds,
            cpu,
            idle,
            peak.megabytes,
            state.counts,
            dict(salesforce + d365),
        )

    async def _end_of(self, kind: str) -> JobState:
        with self.state() as container:
            jobs = JobStore(BlobState(container))
            async with asyncio.timeout(_LONGEST):
                while True:
                    runs = await jobs.runs(kind)
                    if runs and not runs[0].is_running:
                        break
                    await asyncio.sleep(0.5)
        if runs[0].status != "done":
            raise RuntimeError(f"the job failed: {runs[0].error}")
        return runs[0]

    def _record(self, *, on: bool) -> None:
        for each in self._recorders:
            each.is_on = on


@asynccontextmanager
async def volume_sandbox(**settings: str) -> AsyncIterator[VolumeSandbox]:
    """Started, with the app running; the folder is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        sandbox = Sandbox(settings={**LIKE_AZURE, **settings})
        recorders = []
        for system in ("salesforce", "d365"):
            stand_in = getattr(sandbox, system)
            stand_in.app = Recorder(stand_in.app, folder, system)
            recorders.append(stand_in.app)
        async with sandbox:
            yield VolumeSandbox(sandbox, folder, tuple(recorders))


class _Kind:
    """A job that somebody else runs."""

    longest = timedelta(hours=12)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    async def step(self, position: Position) -> Progress:
        raise RuntimeError("the app runs the steps")


def _tables(package: io.BytesIO) -> list[bytes]:
    if not zipfile.is_zipfile(package):  # a file of errors
        return []
    with zipfile.ZipFile(package) as files:
        return [files.read(name) for name in files.namelist() if name.endswith(".csv")]


def _without_polls(calls: Counter[str]) -> Counter[str]:
    return Counter(
        {
            name: count
            for name, count in calls.items()
            if not (name.endswith(_POLLS) and not name.startswith("PATCH"))
        }
    )
