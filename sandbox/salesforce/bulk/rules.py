"""How fast the jobs of the sandbox run, and what goes wrong with them on demand.

A job fault is {"kind", "job_type": "ingest" | "query" | null, "object": "Account" | null, "skip": 0,
"count": 1} and, by kind:

    fail         the job ends Failed after `after_rows` rows with `message`; the rest is unprocessed
    stuck        the job stays InProgress after `after_rows` rows until it is aborted or released
    lock         UNABLE_TO_LOCK_ROW on `rows` rows, every `every`-th from `after_rows` on; not written
    lost-create  the job is created, but the answer is `status` SERVER_UNAVAILABLE

Dropped connections, 503, 401 and slow answers of single calls are faults of `/sandbox/faults`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.salesforce.bulk.jobs import Job

KINDS = ("fail", "stuck", "lock", "lost-create")


@dataclass
class Rules:
    """Seconds are real ones; `rows_per_second` slows ingest and query jobs down, null is full speed."""

    start_seconds: float = 0.05
    """From UploadComplete to InProgress."""
    finish_seconds: float = 0.0
    """From the last row to JobComplete or Failed."""
    rows_per_second: float | None = None
    page_rows: int = 50_000
    """Rows of a page of query results whose request has no maxRecords."""
    seed: int = 0
    """Decides the order of result rows."""

    def __post_init__(self) -> None:
        pace = self.rows_per_second
        if self.start_seconds < 0 or self.finish_seconds < 0 or self.page_rows < 1:
            raise ValueError("negative time or empty page")
        if pace is not None and pace <= 0:
            raise ValueError("rows_per_second must be above 0")


@dataclass
class JobFault:
    kind: str
    job_type: str | None = None
    object: str | None = None
    skip: int = 0
    count: int | None = 1
    """How many jobs have it; null is all."""
    after_rows: int = 0
    rows: int = 1
    every: int = 1
    status: int = 503
    message: str = "InternalServerError : An unexpected error occurred"
    fired: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.job_type not in (None, "ingest", "query"):
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; job_type ingest or query")
        if min(self.after_rows, self.rows, self.skip) < 0 or self.every < 1:
            raise ValueError("after_rows, rows and skip must not be negative, every at least 1")

    def applies(self, job: Job) -> bool:
        if self.count == 0 or self.job_type not in (None, job.kind):
            return False
        if self.object is not None and self.object.lower() != job.object.lower():
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None:
            self.count -= 1
        self.fired += 1
        return True

    def locked(self, first: int, count: int) -> set[int]:
        """Which of the `count` rows from row `first` on are locked."""
        last = self.after_rows + (self.rows - 1) * self.every
        return {
            number
            for number in range(max(first, self.after_rows), min(first + count, last + 1))
            if (number - self.after_rows) % self.every == 0
        }


class JobFaults:
    def __init__(self) -> None:
        self.waiting: list[JobFault] = []

    def add(self, given: dict[str, Any]) -> None:
        unknown = set(given) - {field.name for field in fields(JobFault)}
        if unknown:
            raise ValueError(f"a job fault has no {', '.join(sorted(unknown))}")
        self.waiting.append(JobFault(**given))

    def take(self, kind: str, job: Job) -> JobFault | None:
        return next((f for f in self.waiting if f.kind == kind and f.applies(job)), None)
