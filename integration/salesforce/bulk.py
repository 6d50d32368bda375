"""The calls of Bulk API 2.0, one method each (Salesforce contract 3).

An ingest job takes one CSV file; a query job gives its rows as CSV pages. What the calls mean for a load
or a query as a whole is said in `bulk_load` and `bulk_query`. Creating a job counts as repeatable: a job
without a file does nothing, and Salesforce forgets it.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from integration.errors import ContractError
from integration.salesforce.answers import json_object
from integration.salesforce.bulk_csv import CsvTable
from integration.salesforce.encoding import api_name, segment, to_json
from integration.salesforce.errors import Effect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from integration.salesforce.client import SalesforceClient
    from integration.salesforce.transport import BodyFactory

Operation = Literal["insert", "update", "upsert"]
JobKind = Literal["ingest", "query"]
Results = Literal["failedResults", "successfulResults", "unprocessedrecords"]

OPEN, COMPLETE, FAILED, ABORTED = "Open", "JobComplete", "Failed", "Aborted"
OVER = frozenset((COMPLETE, FAILED, ABORTED))

LONGEST_POLL = 60.0  # seconds

_CSV = "text/csv"
_NO_LOCATOR = "null"  # literally, on the last page (contract 3.4)


@dataclass(frozen=True, slots=True)
class JobInfo:
    """`processed` counts the failed rows too. JobComplete says nothing about rows: see `failed`."""

    state: str
    processed: int
    failed: int
    message: str


@dataclass(frozen=True, slots=True)
class QueryPage:
    """`locator` is that of the following page, None at the end; `count` the rows that were announced."""

    table: CsvTable
    locator: str | None
    count: int | None


class BulkApi:
    """Raises as `Transport.request`, and ContractError for an answer that makes no sense."""

    def __init__(self, client: SalesforceClient) -> None:
        self._transport = client.transport
        self._paths = client.paths

    async def create_ingest(
        self, object_name: str, operation: Operation, external_id: str | None = None
    ) -> str:
        """The id of a new job that waits for its file."""
        body = {
            "object": api_name(object_name),
            "operation": operation,
            "contentType": "CSV",
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }
        if external_id:
            body["externalIdFieldName"] = api_name(external_id)
        return await self._create(
            "ingest", f"bulk {operation} {object_name}", body, Effect.REPEATABLE
        )

    async def upload(self, job: str, body: BodyFactory) -> None:
        """Sends the file. Salesforce takes one per job: a second is refused here or by `close_ingest`."""
        await self._transport.request(
            "PUT",
            self._paths.bulk("ingest", job, "batches"),
            operation="bulk upload",
            effect=Effect.REPEATABLE,
            content=body,
            headers={"Content-Type": "text/csv; charset=UTF-8"},
        )

    async def close_ingest(self, job: str) -> None:
        """Lets Salesforce begin. Refused where the job is no longer open."""
        await self._set_state("ingest", job, "UploadComplete", "bulk close")

    async def abort(self, job: str, kind: JobKind = "ingest") -> None:
        """Rows already written stay written. Refused where the job is over."""
        await self._set_state(kind, job, ABORTED, "bulk abort")

    async def info(self, job: str, kind: JobKind = "ingest") -> JobInfo:
        operation = "bulk state" if kind == "ingest" else "bulk query state"
        answer = await self._transport.request(
            "GET", self._paths.bulk(kind, job), operation=operation, effect=Effect.READ
        )
        return _info(json_object(answer, operation), operation)

    async def results(self, job: str, kind: Results) -> AsyncGenerator[list[dict[str, str]], None]:
        """The rows of a result file by column, some hundreds at a time, in no order that is known. Close it
        (`contextlib.aclosing`) where it is not read to its end."""
        path = self._paths.bulk("ingest", job, kind)
        async with self._transport.stream(
            path, operation=f"bulk {kind}", media_type=_CSV
        ) as answer:
            table = CsvTable(answer.chunks())
            await table.open()
            async with aclosing(table.batches()) as batches:
                async for rows in batches:
                    yield [dict(zip(table.header, row, strict=True)) for row in rows]

    async def create_query(self, soql: str, *, all_rows: bool = False) -> str:
        """The id of a new query job; `all_rows` includes deleted ones."""
        body = {"operation": "queryAll" if all_rows else "query", "query": soql}
        return await self._create("query", "bulk query", body, Effect.READ)

    @asynccontextmanager
    async def query_page(
        self, job: str, locator: str | None, rows: int
    ) -> AsyncIterator[QueryPage]:
        """A page of at most `rows` rows, the first one without a locator. The same one can be read again."""
        path = f"{self._paths.bulk('query', job, 'results')}?maxRecords={rows}"
        if locator:
            path += f"&locator={segment(locator)}"
        operation = "bulk query page"
        async with self._transport.stream(path, operation=operation, media_type=_CSV) as answer:
            table = CsvTable(answer.chunks())
            await table.open()
            following = answer.headers.get("sforce-locator") or _NO_LOCATOR
            count = answer.headers.get("sforce-numberofrecords", "")
            yield QueryPage(
                table,
                None if following == _NO_LOCATOR else following,
                int(count) if count.isdecimal() else None,
            )

    async def _create(
        self, kind: JobKind, operation: str, body: Mapping[str, Any], effect: Effect
    ) -> str:
        answer = await self._transport.request(
            "POST",
            self._paths.bulk(kind),
            operation=operation,
            effect=effect,
            content=to_json(body),
        )
        job = json_object(answer, operation).get("id")
        if not isinstance(job, str) or not job:
            raise ContractError(f"{operation}: the new job has no id", system="salesforce")
        return job

    async def _set_state(self, kind: JobKind, job: str, state: str, operation: str) -> None:
        await self._transport.request(
            "PATCH",
            self._paths.bulk(kind, job),
            operation=operation,
            effect=Effect.REPEATABLE,
            content=to_json({"state": state}),
        )


def poll_wait(first: float, polls: int) -> float:
    """Seconds before the next look at a job after so many: doubled each time, at most a minute."""
    return float(min(first * 2.0 ** min(polls, 10), LONGEST_POLL))


def _info(body: Mapping[str, Any], operation: str) -> JobInfo:
    state = body.get("state")
    if not isinstance(state, str):
        raise ContractError(f"{operation}: a job without a state", system="salesforce")
    processed, failed = (
        body.get(name) for name in ("numberRecordsProcessed", "numberRecordsFailed")
    )
    return JobInfo(
        state,
        processed if isinstance(processed, int) else 0,
        failed if isinstance(failed, int) else 0,
        " ".join(str(body.get("errorMessage") or "").split()),
    )
