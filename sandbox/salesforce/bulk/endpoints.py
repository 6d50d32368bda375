"""`/jobs/ingest` and `/jobs/query`: what both have, and query jobs (Salesforce contracts 3.1 and 3.4).

Result paths are matched without regard to case, as clients differ in them; `Accept` is not looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.responses import Response

from sandbox.salesforce.api import Stream, json_response, read_json
from sandbox.salesforce.bulk import query
from sandbox.salesforce.bulk.answers import created, csv_response, file_format
from sandbox.salesforce.bulk.ingest_endpoints import IngestEndpoints
from sandbox.salesforce.bulk.jobs import Job, invalid_job, invalid_state, quota_used_up
from sandbox.salesforce.bulk.snapshot import locator, row_of
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request

    from sandbox.salesforce.bulk.service import Bulk
    from sandbox.salesforce.call import Call

LISTED = 1000
Endpoint = Callable[["Call", "Request"], Awaitable[Response]]


class Endpoints:
    def __init__(self, bulk: Bulk) -> None:
        self.bulk, self.api = bulk, bulk.api
        table: dict[str, Endpoint] = {
            **IngestEndpoints(bulk).table(),
            "POST jobs/query": self.create_query,
            "GET jobs/query/{id}/results": self.query_results,
        }
        for kind in ("ingest", "query"):
            table |= {
                f"GET jobs/{kind}": self.listed,
                f"GET jobs/{kind}/{{id}}": self.info,
                f"PATCH jobs/{kind}/{{id}}": self.set_state,
                f"DELETE jobs/{kind}/{{id}}": self.delete,
            }
        for pattern, endpoint in table.items():
            self.api.route(pattern, Stream(endpoint))

    # --- both kinds -------------------------------------------------------------------------------

    async def info(self, call: Call, _: Request) -> Response:
        return json_response(self._job(call).info())

    async def listed(self, call: Call, _: Request) -> Response:
        found = [job for job in self.bulk.jobs.values() if job.kind == call.segments[1].lower()]
        start = row_of(call.query.get("queryLocator", "")) or 0
        following = None
        if start + LISTED < len(found):
            where = locator(start + LISTED)
            following = f"{call.base}/jobs/{call.segments[1]}?queryLocator={where}"
        return json_response(
            {
                "done": following is None,
                "records": [job.info() for job in found[start : start + LISTED]],
                "nextRecordsUrl": following,
            }
        )

    async def set_state(self, call: Call, request: Request) -> Response:
        call.body = await read_json(call, request)
        job, state = self._job(call), call.json_object().get("state")
        if state == "Aborted":
            if job.over:
                word = "Completed" if job.state == "JobComplete" else job.state
                raise invalid_state(f"Aborting already {word} Job not allowed")
            await self.bulk.abort(job)
        elif state == "UploadComplete" and job.kind == "ingest":
            if job.state != "Open":
                raise invalid_state(f"Closing already {job.state} Job not allowed")
            if job.upload is None:
                raise invalid_state(f"No data was uploaded for job: <{job.id}>")
            self.bulk.start(job)
        else:
            raise invalid_state(f"The state of a job cannot be set to {state}")
        return json_response(job.info())

    async def delete(self, call: Call, _: Request) -> Response:
        job = self._job(call)
        if not job.over:
            raise invalid_state(f"Deleting {job.state} Job not allowed")
        self.bulk.remove(job)
        return Response(status_code=204)

    def _job(self, call: Call) -> Job:
        return self.bulk.find(call.segments[1].lower(), call.segments[2])

    # --- query ------------------------------------------------------------------------------------

    async def create_query(self, call: Call, request: Request) -> Response:
        call.body = await read_json(call, request)
        body = call.json_object()
        operation, text = body.get("operation"), body.get("query")
        if operation not in ("query", "queryAll") or not isinstance(text, str):
            raise invalid_job("A query job needs a query and the operation query or queryAll")
        object_name, _ = query.plan(self.api.org, text)
        if self.api.query_jobs.used >= self.api.query_jobs.max:
            raise quota_used_up()
        self.api.query_jobs.used += 1
        job = self.bulk.create(
            call, "query", operation=operation, object=object_name, query=text, **file_format(body)
        )
        self.bulk.start(job)
        return created(self.bulk, job)

    async def query_results(self, call: Call, _: Request) -> Response:
        job = self._job(call)
        if job.version != call.version.lower():
            raise ApiError.plain(
                "INVALIDVERSION",
                f"InvalidVersion : The job was created with API version {job.version}",
                409,
            )
        if job.state != "JobComplete" or job.snapshot is None:
            raise invalid_state(f"Results of {job.state} Job are not available")
        given, most = call.query.get("locator"), call.query.get("maxRecords")
        start = row_of(given) if given else 0
        if start is None or start > job.snapshot.rows:
            raise ApiError.plain("INVALID_QUERY_LOCATOR", "invalid query locator")
        if most is not None and not (most.isdecimal() and int(most) > 0):
            raise ApiError.plain(
                "INVALID_INPUT", f"maxRecords must be a number above 0, not {most}"
            )
        rows = int(most) if most else self.bulk.rules.page_rows
        end = min(start + rows, job.snapshot.rows)
        headers = {
            "sforce-locator": locator(end) if end < job.snapshot.rows else "null",
            "sforce-numberofrecords": str(end - start),
        }
        return csv_response(job.snapshot.page(start, rows), headers)
