"""A job: its state, its description as JSON, and how its runner waits."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sandbox.salesforce import clock
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.salesforce.bulk.csv_files import ResultFile
    from sandbox.salesforce.bulk.snapshot import Snapshot
    from sandbox.salesforce.changes import Actor

State = Literal["Open", "UploadComplete", "InProgress", "JobComplete", "Failed", "Aborted"]
DELIMITERS = {
    "BACKQUOTE": "`",
    "CARET": "^",
    "COMMA": ",",
    "PIPE": "|",
    "SEMICOLON": ";",
    "TAB": "\t",
}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
OVER = ("JobComplete", "Failed", "Aborted")
BATCH_ROWS = 10_000
"""Rows of one internal batch, which counts against the daily allowance."""


class JobFailed(Exception):
    """Ends a job as Failed; the text is its errorMessage, e.g. `InvalidBatch : …`."""


class Aborted(Exception):
    """Somebody set the job's state to Aborted."""


@dataclass
class Job:
    id: str
    kind: Literal["ingest", "query"]
    operation: str
    object: str
    actor: Actor
    version: str
    folder: Path
    """Where its files are; made when the first one is written."""
    line_ending: str = "LF"
    column_delimiter: str = "COMMA"
    state: State = "Open"
    external_id: str | None = None
    query: str = ""
    error: str = ""
    processed: int = 0
    failed: int = 0
    created: str = field(default_factory=clock.now)
    changed: str = field(default_factory=clock.now)
    uploading: bool = False
    upload: Path | None = None
    results: dict[str, ResultFile] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    task: asyncio.Task[None] | None = None
    abort: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _started: float = 0.0
    _busy_ms: int = 0

    @property
    def delimiter(self) -> str:
        return DELIMITERS[self.column_delimiter]

    @property
    def newline(self) -> str:
        return LINE_ENDINGS[self.line_ending]

    @property
    def over(self) -> bool:
        return self.state in OVER

    def enter(self, state: State, error: str = "") -> None:
        if state == "InProgress":
            self._started = time.monotonic()
        elif state in OVER and self._started:
            self._busy_ms = int((time.monotonic() - self._started) * 1000)
        self.state, self.error, self.changed = state, error, clock.now()

    async def pause(self, seconds: float) -> None:
        """Lets others run; raises Aborted as soon as the job is to end."""
        if seconds > 0 and not self.abort.is_set():
            try:
                await asyncio.wait_for(self.abort.wait(), seconds)
            except TimeoutError:
                return
        else:
            await asyncio.sleep(0)
        if self.abort.is_set():
            raise Aborted

    async def stick(self) -> None:
        """InProgress until the job is released or aborted."""
        waits = [asyncio.create_task(event.wait()) for event in (self.abort, self.released)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self.abort.is_set():
            raise Aborted

    def summary(self) -> dict[str, Any]:
        """What the answer of a create holds."""
        found: dict[str, Any] = {
            "id": self.id,
            "operation": self.operation,
            "object": self.object,
            "createdById": self.actor.user_id,
            "createdDate": self.created,
            "systemModstamp": self.changed,
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.version.removeprefix("v")),
        }
        if self.kind == "ingest":
            found["contentUrl"] = f"services/data/{self.version}/jobs/ingest/{self.id}/batches"
        if self.external_id:
            found["externalIdFieldName"] = self.external_id
        return {
            **found,
            "lineEnding": self.line_ending,
            "columnDelimiter": self.column_delimiter,
        }

    def info(self) -> dict[str, Any]:
        """The whole description, as polling returns it."""
        found = {
            **self.summary(),
            "jobType": "V2Ingest" if self.kind == "ingest" else "V2Query",
            "numberRecordsProcessed": self.processed,
            "retries": 0,
            "totalProcessingTime": self._busy_ms,
        }
        if self.kind == "ingest":
            found |= {
                "numberRecordsFailed": self.failed,
                "apiActiveProcessingTime": self._busy_ms,
                "apexProcessingTime": 0,
            }
        else:
            found["isPkChunkingSupported"] = True
        return {**found, "errorMessage": self.error} if self.error else found


def chosen(body: dict[str, Any], name: str, known: dict[str, str], default: str) -> str:
    """A delimiter or line ending by its name in the body of a create."""
    value = body.get(name) or default
    if value not in known:
        raise invalid_job(f"{name} must be one of {', '.join(known)}")
    return str(value)


def invalid_job(message: str) -> ApiError:
    return ApiError.plain("INVALIDJOB", f"InvalidJob : {message}")


def invalid_state(message: str) -> ApiError:
    return ApiError.plain("INVALIDJOBSTATE", message)


def quota_used_up() -> ApiError:
    return ApiError.plain("EXCEEDEDQUOTA", "ExceededQuota : ApiBatchItems Limit exceeded.")
