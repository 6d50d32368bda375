"""Runs a query job: filter and order once, then every row into the snapshot that the pages are cut from.

Refused are aggregates, groups, subqueries, OFFSET, functions and compound fields (Salesforce contract
3.4). A field of a parent is a column of its own, `Account.Name`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.bulk.jobs import Aborted, Job, JobFailed
from sandbox.salesforce.bulk.snapshot import Snapshot
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.soql_fields import Scope
from sandbox.salesforce.soql_filter import compile_condition
from sandbox.salesforce.soql_run import run as run_query
from sandbox.salesforce.soql_syntax import parse
from sandbox.salesforce.soql_tree import FieldItem, Func, Query

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.salesforce.bulk.service import Bulk
    from sandbox.salesforce.org import Org
    from sandbox.salesforce.schema import Field
    from sandbox.salesforce.store import Row

SLICE = 1000


@dataclass(frozen=True)
class Column:
    name: str
    field: Field
    get: Callable[[Row], Any]
    of_parent: bool


def plan(org: Org, text: str) -> tuple[str, list[Column]]:
    """The object and the columns; raises ApiError for what a query job cannot do or does not know."""
    query = parse(text)
    obj = org.schema.typed(query.source.text)
    if any(isinstance(item, Query) for item in query.items):
        raise _not_enabled(
            "Aggregate Relationships not supported in Bulk V2 Query with CSV content type"
        )
    if query.group or query.offset or any(isinstance(item, Func) for item in query.items):
        raise _not_enabled("Aggregates, functions, GROUP BY and OFFSET not supported in Bulk Query")
    scope = Scope(org, obj, text, query.alias)
    columns = [_column(scope, item) for item in query.items if isinstance(item, FieldItem)]
    names = [column.name for column in columns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ApiError.plain("INVALID_FIELD", f"duplicate field selected: {twice}")
    if query.where is not None:
        compile_condition(scope, query.where, lambda _: set())
    for sort in query.order:
        scope.operand(sort.operand)
    return obj.name, columns


async def run(bulk: Bulk, job: Job) -> None:
    try:
        await job.pause(bulk.rules.start_seconds)
        job.enter("InProgress")
        if fault := bulk.faults.take("fail", job):
            raise JobFailed(fault.message)
        if bulk.faults.take("stuck", job):
            await job.stick()
        job.snapshot = await _snapshot(bulk, job)
        await job.pause(bulk.rules.finish_seconds)
    except JobFailed as failure:
        job.enter("Failed", str(failure))
    except Aborted:
        job.enter("Aborted")
    else:
        job.enter("JobComplete")


async def _snapshot(bulk: Bulk, job: Job) -> Snapshot:
    org, pace = bulk.api.org, bulk.rules.rows_per_second
    try:
        _, columns = plan(org, job.query)
        rows = run_query(org, job.query, "", deleted=job.operation == "queryAll").rows
    except ApiError as error:
        reason = "; ".join(f"{p.code}: {p.message}" for p in error.problems)
        raise JobFailed(f"InvalidBatch : Failed to process query: {reason}") from error
    # A stored row never changes, but the store's idea of a parent does while rows are written below.
    parents = {
        place: list(map(column.get, rows))
        for place, column in enumerate(columns)
        if column.of_parent
    }
    names = [column.field.name for column in columns]
    formats = [
        (place, made)
        for place, column in enumerate(columns)
        if (made := _FORMATS.get(column.field.type)) is not None
    ]
    snapshot = Snapshot(job.folder / "results", [column.name for column in columns], job)
    with snapshot.writing():
        for start in range(0, len(rows), SLICE):
            cells = [[row.get(name) for name in names] for row in rows[start : start + SLICE]]
            for place, found in parents.items():
                for line, value in zip(cells, found[start : start + SLICE], strict=True):
                    line[place] = value
            for place, made in formats:
                for line in cells:
                    if line[place] is not None:
                        line[place] = made(line[place])
            snapshot.add(cells)
            job.processed += len(cells)
            await job.pause(len(cells) / pace if pace else 0)
    return snapshot


def _column(scope: Scope, item: FieldItem) -> Column:
    lookups, _, field = scope.steps(item.path)
    if field.type == "address":
        raise ApiError.plain(
            "FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query"
        )
    name = ".".join([*(lookup.relationship or "" for lookup in lookups), field.name])
    return Column(name, field, scope.operand(item.path).get, bool(lookups))


def _not_enabled(message: str) -> ApiError:
    return ApiError.plain("FEATURENOTENABLED", f"FeatureNotEnabled : {message}")


_FORMATS: dict[str, Callable[[Any], str]] = {
    "boolean": lambda value: "true" if value else "false",
    "datetime": lambda value: value.replace("+0000", "Z"),
}
