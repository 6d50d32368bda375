"""What the endpoints of ingest and query jobs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from sandbox.salesforce.api import json_response
from sandbox.salesforce.bulk.jobs import DELIMITERS, LINE_ENDINGS, Job, chosen
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sandbox.salesforce.bulk.service import Bulk


def created(bulk: Bulk, job: Job) -> Response:
    if fault := bulk.faults.take("lost-create", job):
        raise ApiError.plain("SERVER_UNAVAILABLE", "Server unavailable", fault.status)
    return json_response(job.summary() if job.kind == "ingest" else job.info())


def file_format(body: dict[str, Any]) -> dict[str, str]:
    """How the files of a job are written, as its create says."""
    return {
        "line_ending": chosen(body, "lineEnding", LINE_ENDINGS, "LF"),
        "column_delimiter": chosen(body, "columnDelimiter", DELIMITERS, "COMMA"),
    }


def csv_response(pieces: Iterator[bytes], headers: dict[str, str] | None = None) -> Response:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    given = {**(headers or {}), "content-type": "text/csv; charset=UTF-8"}
    return StreamingResponse(body(), headers=given)
