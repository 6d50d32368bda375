"""The position of a Bulk load: what it holds at the start, after each Salesforce job, and at the end.

JSON, so that a load can go on in another process. No I/O; `bulk_load` moves it from phase to phase.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.salesforce.bulk import ABORTED, COMPLETE, FAILED, OVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.salesforce.bulk import JobInfo, Operation, Results

Position = dict[str, Any]

DEADLINE = "deadline"
_CANCELLED = "cancelled"  # as a description
REFUSED: Results = "failedResults"
NOT_REACHED: Results = "unprocessedrecords"
WRITTEN: Results = "successfulResults"

# The file itself is at fault: the same rows would fail again.
_LASTING = re.compile(r"\b(InvalidBatch|ClientInputError|InvalidEntity|InvalidJob)\b")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`processed` are the rows that Salesforce tried, `failed` those of them that it refused. `failures`
    names the spool with a JSON line (see `bulk_failures`) per failed and per unprocessed row.

    `unknown`: Salesforce did not say of every row what became of it, so the caller reads them back.
    `created` is None for an upsert that was not asked to count. `state` is JobComplete, Failed, Aborted
    or `deadline`; `description` says why it is not JobComplete.
    """

    processed: int
    failed: int
    unprocessed: int
    failures: str
    created: int | None
    state: str
    description: str
    unknown: bool


def first_position(
    rows: str,
    *,
    object_name: str,
    columns: Sequence[str],
    operation: Operation,
    external_id: str | None,
    key: str,
    name: str,
    count_created: bool,
    limit: int,
) -> Position:
    """See `BulkLoad.begin`; `limit` is the most bytes of a file. Raises ValueError."""
    needed = {"update": "Id", "upsert": external_id}.get(operation, key)
    if not needed or needed not in columns or key not in columns:
        raise ValueError(f"a Bulk {operation} needs its key among the columns")
    if len({column.lower() for column in columns}) != len(columns):
        raise ValueError("a column comes twice")
    failures = f"{name}/failures"
    if failures.startswith(f"{rows}/"):
        raise ValueError("failures cannot lie inside the spool of rows")
    return {
        "phase": "create",
        "rows": rows,
        "object": object_name,
        "columns": list(columns),
        "operation": operation,
        "external_id": external_id if operation == "upsert" else None,
        "key": key,
        "failures": failures,
        "count_created": count_created and operation == "upsert",
        "limit": limit,
        "first": 0,
        "refused": 0,
        "part": 0,
        "processed": 0,
        "failed": 0,
        "unprocessed": 0,
        "created": 0,
        "state": COMPLETE,
        "description": "",
        "unknown": False,
    }


def after_job(position: Position, info: JobInfo) -> Position:
    """With the counts of a job that ended, or that will not end, and what is to be read of it."""
    wanted = [REFUSED] if info.failed else []
    if position["count_created"] and info.processed > info.failed:
        wanted.append(WRITTEN)
    position = position | {
        "phase": "collect",
        "processed": position["processed"] + info.processed,
        "failed": position["failed"] + info.failed,
        "expected": info.failed,
        "skip": 0,
    }
    if info.state == COMPLETE:
        return position | {"wanted": wanted, "first": position["end"]}
    has_ended = info.state in OVER
    is_stopped = position["aborting"] and info.state != FAILED
    cancelled = is_stopped and position.get("cancel", False)
    stopped = _CANCELLED if cancelled else "not done in time"
    why = info.message or (stopped if is_stopped else f"the job is {info.state}")
    # Of a job that tried no row every row comes back, also where Salesforce lists none of them.
    is_begun = info.processed > 0 or not has_ended
    return position | {
        "state": (ABORTED if cancelled else DEADLINE) if is_stopped else info.state,
        "description": why,
        "transient": is_stopped or (info.state == FAILED and not _LASTING.search(why)),
        "wanted": [*wanted, NOT_REACHED] if is_begun and has_ended else [],
        "first": position["end"] if is_begun else position["first"],
        "unknown": position["unknown"] or is_begun or info.state == ABORTED,
    }


def left_out(position: Position) -> Position:
    """What is not sent yet comes back, because the load was cancelled."""
    why = {"state": ABORTED, "description": _CANCELLED, "transient": True}
    return position | {"phase": "give-back", **why}


def result_of(position: Position) -> LoadResult:
    processed, failed = position["processed"], position["failed"]
    counted = position["created"] if position["count_created"] else None
    by_operation = {"insert": processed - failed, "update": 0}
    return LoadResult(
        processed,
        failed,
        position["unprocessed"],
        position["failures"],
        by_operation.get(position["operation"], counted),
        position["state"],
        position["description"],
        position["unknown"],
    )
