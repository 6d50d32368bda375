"""Bulk API 2.0 at the transport, as small as its contract allows, and a load or query driven against it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from integration.salesforce.bulk_csv import encode_rows
from integration.salesforce.bulk_load import BulkLoad, LoadResult
from integration.settings.volume import VolumeSettings
from integration.state.spool import Spool
from tests.unit.test_jobs_support import Crash, JobBlobs
from tests.unit.test_salesforce_org import FakeOrg, Reply, fault

ROOT = "/services/data/v62.0/jobs"
COLUMNS = ["D365_Key__c", "UnitPrice", "Note__c"]
Interruption = Callable[[httpx.Request], Reply | None]


@dataclass
class Job:
    body: dict[str, Any]
    state: str = "Open"
    uploads: list[bytes] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)  # the states that the next looks see
    processed: int = 0
    failed: int = 0
    message: str = ""

    @property
    def rows(self) -> list[list[str]]:
        return list(csv.reader(io.StringIO(self.uploads[-1].decode(), newline="")))[1:]


class FakeBulk:
    """`refuse` holds the errors by key. `looks` are the states a job goes through, `reached` the rows that
    it tries (None: all). Interruptions are asked first, in turn; one that answers None lets the call pass."""

    def __init__(self, org: FakeOrg) -> None:
        self.jobs: dict[str, Job] = {}
        self.refuse: dict[str, str] = {}
        self.looks = ["InProgress", "JobComplete"]
        self.reached: int | None = None
        self.message = ""
        self.pages: list[tuple[str, str]] = []  # CSV and the locator of the next page
        self.interruptions: list[tuple[str, Interruption]] = []
        self.requests: list[httpx.Request] = []
        self.crash_before = self.crash_after = 0  # the number of the call at which the process dies
        self.files: dict[str, str] = {}  # result files that differ from what the job did
        org.replies = [self.answer]

    def interrupt(self, method_and_end: str, *replies: Reply | Interruption) -> None:
        """The next calls of this method whose path ends so; a reply in place of an answer."""
        for reply in replies:
            given = reply if callable(reply) else lambda _, reply=reply: reply
            self.interruptions.append((method_and_end, given))

    def asked(self, method: str, end: str = "") -> int:
        return sum(
            r.method == method and r.url.path.endswith(end) and ROOT in r.url.path
            for r in self.requests
        )

    def answer(self, request: httpx.Request) -> Reply:
        self.requests.append(request)
        if len(self.requests) in (self.crash_before, self.crash_after):
            if len(self.requests) == self.crash_after:
                self.serve(request)
            raise Crash
        for number, (wanted, reply) in enumerate(self.interruptions):
            method, _, end = wanted.partition(" ")
            if request.method == method and request.url.path.endswith(end):
                del self.interruptions[number]
                replaced = reply(request)
                return self.serve(request) if replaced is None else replaced
        return self.serve(request)

    def serve(self, request: httpx.Request) -> Reply:
        kind, _, rest = request.url.path.removeprefix(ROOT + "/").partition("/")
        name, _, part = rest.partition("/")
        if not name:
            return self.create(kind, json.loads(request.content))
        job = self.jobs[name]
        if part == "batches":
            return self.upload(job, request)
        if kind == "query" and part == "results":
            return self.page(request)
        if part:
            return self.result(job, part)
        if request.method == "PATCH":
            return self.change(name, job, json.loads(request.content)["state"])
        if request.method == "GET" and job.looks and job.state not in ("Open", "Aborted"):
            job.state = job.looks.pop(0)
        return 200, self.told(name, job)

    def create(self, kind: str, body: dict[str, Any]) -> Reply:
        name = f"750Aa{len(self.jobs):010d}AAA"
        state = "Open" if kind == "ingest" else "UploadComplete"
        self.jobs[name] = Job(body, state, looks=list(self.looks))
        if kind == "query":
            self.jobs[name].message = self.message
        return 200, {"id": name, "state": state}

    def upload(self, job: Job, request: httpx.Request) -> Reply:
        assert request.headers["content-type"] == "text/csv; charset=UTF-8"
        if job.state != "Open" or job.uploads:
            return 400, fault("INVALIDJOB", "Found multiple contents for job")
        job.uploads.append(request.content)
        return 201, None

    def change(self, name: str, job: Job, state: str) -> Reply:
        if state == "Aborted" and job.state in ("JobComplete", "Failed", "Aborted"):
            return 400, fault("INVALIDJOBSTATE", "the job is over")
        if state == "UploadComplete":
            if job.state != "Open":
                return 400, fault("INVALIDJOBSTATE", f"the job is {job.state}")
            tried = job.rows[: self.reached]
            job.processed = len(tried)
            job.failed = sum(row[0] in self.refuse for row in tried)
            job.message = self.message
        job.state = state
        return 200, self.told(name, job)

    def told(self, name: str, job: Job) -> dict[str, Any]:
        told = {
            "id": name,
            "state": job.state,
            "numberRecordsProcessed": job.processed,
            "numberRecordsFailed": job.failed,
        }
        return told | ({"errorMessage": job.message} if job.message else {})

    def result(self, job: Job, part: str) -> Reply:
        if part in self.files:
            return csv_answer(self.files[part])
        header = job.uploads[-1].decode().partition("\n")[0].split(",")
        tried, rest = job.rows[: job.processed], job.rows[job.processed :]
        rows: list[list[str]]
        if part == "failedResults":
            header = ["sf__Id", "sf__Error", *header]
            rows = [["", self.refuse[row[0]], *row] for row in tried if row[0] in self.refuse]
        elif part == "successfulResults":
            header = ["sf__Id", "sf__Created", *header]
            rows = [
                ["01uAa0000000001IAA", "true" if row[0].startswith("new") else "false", *row]
                for row in tried
                if row[0] not in self.refuse
            ]
        else:
            rows = rest
        return csv_answer(quoted([header, *reversed(rows)]))

    def page(self, request: httpx.Request) -> Reply:
        asked = request.url.params.get("locator", "")
        known = ["", *(locator for _, locator in self.pages)]
        text, locator = self.pages[known.index(asked)]
        count = max(0, len(list(csv.reader(io.StringIO(text, newline="")))) - 1)
        return csv_answer(text, {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(count)})


def quoted(rows: list[list[str]]) -> str:
    """Salesforce quotes every cell."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return out.getvalue()


def csv_answer(text: str, headers: dict[str, str] | None = None) -> httpx.Response:
    given = {"Content-Type": "text/csv; charset=UTF-8", **(headers or {})}
    return httpx.Response(200, content=text.encode(), headers=given)


def volume(**changes: Any) -> VolumeSettings:
    return VolumeSettings(**changes)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A spool of rows, Salesforce, and a load that goes on from JSON each time."""

    def __init__(self, org: FakeOrg, *, tries: int = 3, **settings: Any) -> None:
        self.org = org
        self.bulk = FakeBulk(org)
        self.blobs = JobBlobs()
        self.clock = Clock()
        self.client = org.client(tries=tries)
        self.load = BulkLoad(self.client, self.blobs, volume(**settings), clock=self.clock)
        self.positions: list[dict[str, Any]] = []
        self.delays: list[float] = []

    async def rows(self, *parts: list[tuple[str | None, ...]]) -> None:
        spool = Spool(self.blobs, "load/rows")
        for number, rows in enumerate(parts):
            await spool.put(number, encode_rows(rows))

    def begin(self, **changes: Any) -> dict[str, Any]:
        given = {
            "object": "PricebookEntry",
            "columns": COLUMNS,
            "operation": "upsert",
            "external_id": "D365_Key__c",
            "key": "D365_Key__c",
            "name": "load",
        }
        return self.load.begin("load/rows", **(given | changes))

    async def run(self, position: dict[str, Any], *, most: int = 60) -> LoadResult:
        for _ in range(most):
            stored = json.dumps(position)
            self.positions.append(json.loads(stored))
            advance = await self.load.advance(json.loads(stored))
            if advance.result is not None:
                return advance.result
            position = advance.position
            self.delays.append(advance.delay)
            self.clock.now += advance.delay
        raise AssertionError("the load does not end")

    async def failures(self) -> list[dict[str, Any]]:
        found = []
        async for part in Spool(self.blobs, "load/failures").stream():
            found += [json.loads(line) for line in part.splitlines()]
        return found


def some_rows(first: int, count: int) -> list[tuple[str | None, ...]]:
    return [(f"K{number}", "12.50", None) for number in range(first, first + count)]


GOOD = {"processed": 3, "failed": 0, "unprocessed": 0, "state": "JobComplete", "unknown": False}


def seen(result: LoadResult, *names: str) -> dict[str, Any]:
    """These fields of a result, or those of GOOD."""
    return {name: getattr(result, name) for name in names or GOOD}
