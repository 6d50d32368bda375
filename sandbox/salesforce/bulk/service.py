"""The jobs of the org with their tasks and files. Files lie in a temporary folder until `stop`."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sandbox.salesforce import ids
from sandbox.salesforce.bulk import ingest, query
from sandbox.salesforce.bulk.jobs import Job
from sandbox.salesforce.bulk.rules import JobFaults, Rules
from sandbox.salesforce.errors import not_found

if TYPE_CHECKING:
    from sandbox.salesforce.api import Api
    from sandbox.salesforce.call import Call

logger = logging.getLogger(__name__)


class Bulk:
    def __init__(self, api: Api) -> None:
        self.api = api
        self.rules = Rules()
        self.faults = JobFaults()
        self.jobs: dict[str, Job] = {}
        self._ids = ids.IdFactory()
        self._folder: Path | None = None

    # --- life -------------------------------------------------------------------------------------

    async def reset(self) -> None:
        """No jobs, no faults, a full allowance, the first rules."""
        await self.stop()
        self.rules, self.faults = Rules(), JobFaults()
        self.api.batches.used = self.api.query_jobs.used = 0

    async def stop(self) -> None:
        """Ends all jobs and removes their files."""
        tasks = [job.task for job in self.jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.jobs.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    # --- jobs -------------------------------------------------------------------------------------

    def create(self, call: Call, kind: Literal["ingest", "query"], **given: Any) -> Job:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="salesforce-bulk-"))
        job_id = self._ids.new("750")
        job = Job(
            id=job_id,
            kind=kind,
            actor=call.actor,
            version=call.version.lower(),
            folder=self._folder / job_id,
            **given,
        )
        job.folder.mkdir()
        self.jobs[job_id] = job
        return job

    def find(self, kind: str, given: str) -> Job:
        job = self.jobs.get(ids.normalise(given) or "")
        if job is None or job.kind != kind:
            raise not_found()
        return job

    def start(self, job: Job) -> None:
        """From here on the job runs by itself."""
        job.enter("UploadComplete")
        job.task = asyncio.create_task(self._run(job), name=f"bulk job {job.id}")

    async def abort(self, job: Job) -> None:
        """Returns when the job has stopped and its unprocessed rows can be read."""
        job.abort.set()
        if job.task is None and job.upload is not None:
            job.task = asyncio.create_task(self._run(job), name=f"bulk job {job.id}")
        if job.task is not None:
            await asyncio.shield(job.task)
        if not job.over:
            job.enter("Aborted")

    def remove(self, job: Job) -> None:
        del self.jobs[job.id]
        shutil.rmtree(job.folder)

    async def _run(self, job: Job) -> None:
        try:
            await (ingest.run if job.kind == "ingest" else query.run)(self, job)
        except Exception as exc:
            logger.exception("job %s of the stand-in broke", job.id)
            job.enter("Failed", f"InternalServerError : {exc!r}")

    # --- sandbox ----------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """The rules, and the allowances of 24 hours."""
        return {
            **asdict(self.rules),
            "batches": asdict(self.api.batches),
            "query_jobs": asdict(self.api.query_jobs),
        }

    def set_settings(self, given: dict[str, Any]) -> None:
        rules = dict(given)
        for name, quota in (("batches", self.api.batches), ("query_jobs", self.api.query_jobs)):
            numbers = rules.pop(name, {})
            quota.max = numbers.get("max", quota.max)
            quota.used = numbers.get("used", quota.used)
        self.rules = Rules(**{**asdict(self.rules), **rules})

    def release(self) -> None:
        """Lets stuck jobs go on."""
        for job in self.jobs.values():
            job.released.set()
