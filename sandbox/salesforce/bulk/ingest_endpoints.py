"""What only ingest jobs have: create, upload, result files (Salesforce contracts 3.1, 3.2 and 3.5)."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from sandbox.salesforce.api import read_json
from sandbox.salesforce.bulk import ingest
from sandbox.salesforce.bulk.answers import created, csv_response, file_format
from sandbox.salesforce.bulk.jobs import Job, invalid_job, invalid_state, quota_used_up
from sandbox.salesforce.bulk.multipart import parts
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request

    from sandbox.salesforce.bulk.endpoints import Endpoint
    from sandbox.salesforce.bulk.service import Bulk
    from sandbox.salesforce.call import Call

LARGEST_FILE = 100 * 1024 * 1024
"""Raw bytes; in base64 that is just below the documented 150 MB."""
LONGEST_INLINE = 100_000
OPERATIONS = ("insert", "update", "upsert", "delete")


class IngestEndpoints:
    def __init__(self, bulk: Bulk) -> None:
        self.bulk, self.api = bulk, bulk.api

    def table(self) -> dict[str, Endpoint]:
        results = (ingest.SUCCESSFUL, ingest.FAILED, ingest.UNPROCESSED)
        return {
            "POST jobs/ingest": self.create_ingest,
            "PUT jobs/ingest/{id}/batches": self.upload,
            **{f"GET jobs/ingest/{{id}}/{name}": self.ingest_results for name in results},
        }

    async def create_ingest(self, call: Call, request: Request) -> Response:
        content = None
        if call.headers.get("content-type", "").lower().startswith("multipart/"):
            found = parts(call.headers["content-type"], await request.body())
            content = found.get("content")
            if content is None or "job" not in found:
                raise invalid_job("A multipart request needs the parts job and content")
            if len(content.decode("utf-8", "replace")) > LONGEST_INLINE:
                raise invalid_job(f"The content part is limited to {LONGEST_INLINE} characters")
            try:
                call.body = json.loads(found["job"])
            except ValueError as exc:
                raise ApiError.plain("JSON_PARSER_ERROR", f"The job part: {exc}") from exc
        else:
            call.body = await read_json(call, request)
        job = self._ingest_job(call, call.json_object())
        if content is not None:
            job.upload = job.folder / "upload"
            job.upload.write_bytes(content)
            self.bulk.start(job)
        return created(self.bulk, job)

    def _ingest_job(self, call: Call, body: dict[str, Any]) -> Job:
        operation = body.get("operation")
        if operation == "hardDelete":
            raise ApiError.plain(
                "FEATURENOTENABLED",
                "FeatureNotEnabled : hardDelete operation requires special user profile permission",
            )
        if operation not in OPERATIONS:
            raise invalid_job(f"operation must be one of {', '.join(OPERATIONS)}")
        if body.get("contentType", "CSV") != "CSV":
            raise invalid_job("contentType must be CSV")
        obj = self.api.org.schema.find(str(body.get("object")))
        if obj is None:
            raise ApiError.plain(
                "INVALIDENTITY",
                f"InvalidEntity : Entity '{body.get('object')}' is not supported by the Bulk API.",
            )
        external_id = None
        if operation == "upsert":
            name = body.get("externalIdFieldName")
            if not name:
                raise invalid_job(
                    f"External ID was blank for {obj.name}. "
                    "An External ID must be specified for upsert."
                )
            field = obj.find(str(name))
            if field is None or not field.upsert_key:
                raise invalid_job(
                    f"Field name provided, {name} does not match an External ID, Salesforce Id, "
                    f"or indexed field for {obj.name}"
                )
            external_id = field.name
        if self.api.batches.used >= self.api.batches.max:
            raise quota_used_up()
        return self.bulk.create(
            call,
            "ingest",
            operation=operation,
            object=obj.name,
            external_id=external_id,
            **file_format(body),
        )

    async def upload(self, call: Call, request: Request) -> Response:
        job = self.bulk.find("ingest", call.segments[2])
        if job.state != "Open":
            raise invalid_state(f"Uploading to {job.state} Job not allowed")
        if job.upload is not None or job.uploading:
            raise invalid_state(
                f"Found multiple contents for job: <{job.id}>, please 'Close' / 'Abort' / 'Delete' "
                "the current Job then create a new Job and make sure you only do 'PUT' once on a "
                "given Job."
            )
        if "csv" not in call.headers.get("content-type", "").lower():
            raise ApiError.plain("UNSUPPORTED_MEDIA_TYPE", "Content type is not text/csv", 415)
        packed = call.headers.get("content-encoding", "").lower() == "gzip"
        unzip = zlib.decompressobj(wbits=31) if packed else None
        path, size = job.folder / "upload", 0
        job.uploading = True
        try:
            with path.open("wb") as file:
                async for data in request.stream():
                    plain = unzip.decompress(data) if unzip else data
                    size += len(plain)
                    if size <= LARGEST_FILE:
                        file.write(plain)
        except zlib.error as exc:
            raise ApiError.plain("CLIENTINPUTERROR", f"The body is not gzip: {exc}") from exc
        finally:
            job.uploading = False
        if size > LARGEST_FILE:
            path.unlink(missing_ok=True)
            raise ApiError.plain(
                "EXCEEDED_MAX_SIZE_REQUEST",
                f"Failed to read request. Exceeded max size limit of {LARGEST_FILE}",
                413,
            )
        if job.state == "Open":
            job.upload = path
        return Response(status_code=201)

    async def ingest_results(self, call: Call, _: Request) -> Response:
        job = self.bulk.find("ingest", call.segments[2])
        if not job.over:
            raise invalid_state(f"Results of {job.state} Job are not available")
        file = job.results.get(call.segments[3].lower())
        return csv_response(file.read() if file else iter(()))
