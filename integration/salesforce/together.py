"""Several queries, or several upserts that follow each other, as one call of the daily allowance.

Salesforce runs the parts of a composite call in order, each in a transaction of its own (Salesforce contract
2.6). What does not fit into one, and what failed as a whole, goes the ordinary way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.errors import ContractError, IntegrationError, RecordRejected
from integration.salesforce.collections import RowResult, is_over_limit, row_result, upsert_rows
from integration.salesforce.composite import QUERIES, SubRequest, SubResult, send_composite
from integration.salesforce.query import child_rows

if TYPE_CHECKING:
    from integration.salesforce.paths import Paths
    from integration.salesforce.transport import Transport

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Upsert:
    """`field` is the External ID inside each record."""

    object: str
    field: str
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one upsert that make one part of the call, from `start` on."""

    group: int
    start: int
    records: Sequence[Record]


async def query_together(
    transport: Transport, paths: Paths, queries: Sequence[str]
) -> list[list[dict[str, Any]]]:
    """All rows of each query, in order. Raises the error of the first one that failed."""
    found: list[list[dict[str, Any]]] = []
    for start in range(0, len(queries), QUERIES):
        requests = [
            SubRequest("GET", paths.query(query), f"part{number}")
            for number, query in enumerate(queries[start : start + QUERIES])
        ]
        for result in await send_composite(transport, paths, requests, all_or_none=False):
            if result.error is not None:
                raise result.error
            found.append(await child_rows(transport, result.body))
    return found


async def upsert_together(
    transport: Transport, paths: Paths, upserts: Sequence[Upsert], *, size: int
) -> list[list[RowResult]]:
    """See `SalesforceClient.upsert_together`; `size` rows in one part."""
    parts = [
        _Part(group, start, upsert.records[start : start + size])
        for group, upsert in enumerate(upserts)
        for start in range(0, len(upsert.records), size)
    ]
    answers: list[list[RowResult | None]] = [[None] * len(each.records) for each in upserts]
    if 1 < len(parts) <= QUERIES and all(_keys_differ(each) for each in upserts):
        await _send(transport, paths, upserts, parts, answers)
    results: list[list[RowResult]] = []
    for upsert, answered in zip(upserts, answers, strict=True):
        open_rows = [row for row, done in zip(upsert.records, answered, strict=True) if not done]
        again = iter(
            await upsert_rows(transport, paths, upsert.object, upsert.field, open_rows, size=size)
        )
        results.append([done or next(again) for done in answered])
    return results


async def _send(
    transport: Transport,
    paths: Paths,
    upserts: Sequence[Upsert],
    parts: Sequence[_Part],
    answers: list[list[RowResult | None]],
) -> None:
    """Fills in what is final: rows that met a limit of their whole transaction are left for another try."""
    requests = [
        SubRequest("PATCH", paths.collection_of(each.object, each.field), f"part{number}", body)
        for number, (each, body) in enumerate(
            (upserts[part.group], _body(upserts[part.group].object, part)) for part in parts
        )
    ]
    try:
        results = await send_composite(transport, paths, requests, all_or_none=False)
    except (RecordRejected, TypeError, ValueError):
        return  # one record that cannot be sent spoils the call; alone it spoils itself only
    except IntegrationError as error:
        for part in parts:
            for place in range(part.start, part.start + len(part.records)):
                answers[part.group][place] = RowResult(None, error=error)
        return
    complete = True  # a row may have failed because an earlier part has to go again
    for part, result in zip(parts, results, strict=True):
        rows = _rows(part, result, f"upsert {upserts[part.group].object}")
        for place, row in enumerate(rows, start=part.start):
            if row.error is None or (complete and not is_over_limit(row)):
                answers[part.group][place] = row
        complete = complete and all(answers[part.group][part.start :][: len(part.records)])


def _body(name: str, part: _Part) -> dict[str, Any]:
    records = [{**record, "attributes": {"type": name}} for record in part.records]
    return {"allOrNone": False, "records": records}


def _rows(part: _Part, result: SubResult, operation: str) -> list[RowResult]:
    if result.error is not None or not isinstance(result.body, list):
        return []
    if len(result.body) != len(part.records):
        return []
    try:
        return [row_result(row, operation) for row in result.body]
    except ContractError:
        return []


def _keys_differ(upsert: Upsert) -> bool:
    keys = Counter(str(record.get(upsert.field) or "") for record in upsert.records)
    return not keys[""] and all(times == 1 for times in keys.values())
