"""Runs an ingest job: header, batches of 10,000 rows against the allowance, transactions of 200."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from sandbox.salesforce.bulk.columns import read_header
from sandbox.salesforce.bulk.csv_files import ResultFile, Upload
from sandbox.salesforce.bulk.jobs import BATCH_ROWS, Aborted, Job, JobFailed
from sandbox.salesforce.bulk.rows import TRANSACTION_ROWS, RowWriter

if TYPE_CHECKING:
    from sandbox.salesforce.bulk.rules import JobFaults, Rules
    from sandbox.salesforce.bulk.service import Bulk

SUCCESSFUL, FAILED, UNPROCESSED = "successfulresults", "failedresults", "unprocessedrecords"


async def run(bulk: Bulk, job: Job) -> None:
    """From UploadComplete to the end; also called to end a job that was aborted before it ran."""
    assert job.upload is not None
    upload = Upload(job, job.upload)
    try:
        try:
            await job.pause(bulk.rules.start_seconds)
            job.enter("InProgress")
            upload.start()
            _open_results(job, upload.columns, bulk.rules)
            await _write_rows(bulk, job, upload)
            await job.pause(bulk.rules.finish_seconds)
        except JobFailed as failure:
            end = ("Failed", str(failure))
        except Aborted:
            end = ("Aborted", "")
        else:
            end = ("JobComplete", "")
        await _keep_unprocessed(job, upload, bulk.rules)
        for file in job.results.values():
            file.finish()
        job.enter(*end)
    finally:
        upload.close()


def _open_results(job: Job, columns: list[str], rules: Rules) -> None:
    dice = random.Random(f"{rules.seed} {job.id}")
    for name, more in (
        (SUCCESSFUL, ["sf__Id", "sf__Created"]),
        (FAILED, ["sf__Id", "sf__Error"]),
        (UNPROCESSED, []),
    ):
        job.results[name] = ResultFile(job.folder / name, [*more, *columns], job, dice)


async def _write_rows(bulk: Bulk, job: Job, upload: Upload) -> None:
    org, rules, faults = bulk.api.org, bulk.rules, bulk.faults
    obj = org.schema.objects[job.object]
    header = read_header(org.store, obj, upload.columns)
    writer = RowWriter(org, job, obj, header)
    troubles = _Troubles(job, faults)
    while True:
        room = min(TRANSACTION_ROWS, BATCH_ROWS - job.processed % BATCH_ROWS)
        rows = upload.take(await troubles.before(room))
        if not rows:
            return
        if job.processed % BATCH_ROWS == 0:
            if bulk.api.batches.used >= bulk.api.batches.max:
                upload.put_back(rows)
                raise JobFailed("ExceededQuota : ApiBatchItems Limit exceeded.")
            bulk.api.batches.used += 1
        rows = _whole(upload, rows)
        outcome = writer.write(rows, job.processed, troubles.locked(len(rows)))
        job.results[SUCCESSFUL].add(outcome.good)
        job.results[FAILED].add(outcome.bad)
        job.processed += len(rows)
        job.failed += len(outcome.bad)
        pace = rules.rows_per_second
        await job.pause(len(rows) / pace if pace else 0)


def _whole(upload: Upload, rows: list[list[str]]) -> list[list[str]]:
    """The rows up to the first one with too few or too many cells, which ends the job."""
    width = len(upload.columns)
    for place, row in enumerate(rows):
        if len(row) != width:
            upload.put_back(rows[place:])
            if place == 0:
                raise JobFailed(
                    f"InvalidBatch : The row has {len(row)} columns, the header has {width}"
                )
            return rows[:place]
    return rows


async def _keep_unprocessed(job: Job, upload: Upload, rules: Rules) -> None:
    try:
        if not job.results:
            upload.start()
            _open_results(job, upload.columns, rules)
        while rows := upload.take(TRANSACTION_ROWS):
            job.results[UNPROCESSED].add(list(rows))
            await asyncio.sleep(0)
    except JobFailed:
        # What is no CSV cannot be given back as rows.
        if not job.results:
            _open_results(job, [], rules)


class _Troubles:
    """The faults set for this job, and where in the file they strike."""

    def __init__(self, job: Job, faults: JobFaults) -> None:
        self._job = job
        self._fail = faults.take("fail", job)
        self._stuck = faults.take("stuck", job)
        self._lock = faults.take("lock", job)

    async def before(self, room: int) -> int:
        """How many rows may be written next; ends or stops the job where it shall."""
        done = self._job.processed
        if self._fail is not None and done >= self._fail.after_rows:
            raise JobFailed(self._fail.message)
        if self._stuck is not None and done >= self._stuck.after_rows:
            self._stuck = None
            await self._job.stick()
        for fault in (self._fail, self._stuck):
            if fault is not None:
                room = min(room, fault.after_rows - done)
        return room

    def locked(self, count: int) -> set[int]:
        return self._lock.locked(self._job.processed, count) if self._lock else set()
