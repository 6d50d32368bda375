"""Reads many F&O rows by what identifies them, in few calls; counts rows on either side.

F&O publishes no limit for the length of a `$filter`, so the terms of each are few (setting
D365_FILTER_TERMS) and several filters travel in one `$batch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.batch import Operation
from integration.d365.filters import Filter
from integration.d365.literals import COMPANY
from integration.d365.odata import Query
from integration.errors import ContractError
from integration.salesforce.encoding import api_name
from integration.salesforce.errors import Effect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from integration.d365.client import D365Client
    from integration.flows.flow import Record
    from integration.salesforce.client import SalesforceClient


def key_of(row: Record, entity_set: str, number: str) -> tuple[str, str]:
    """Company, in small letters, and number of a row of F&O; `number` is the field that holds it."""
    company, found = row.get(COMPANY), row.get(number)
    if not isinstance(company, str) or not isinstance(found, str):
        raise ContractError(f"{entity_set}: a row without its key", system="d365")
    return company.lower(), found


async def rows_matching(
    client: D365Client,
    entity_set: str,
    terms: Sequence[Filter],
    select: Sequence[str],
    *,
    per_filter: int,
) -> list[Record]:
    """The rows for which any of `terms` holds, in one call. A row may come once per filter."""
    found = await rows_of_sets(
        client, {entity_set: terms}, {entity_set: select}, per_filter=per_filter
    )
    return found[entity_set]


async def rows_of_sets(
    client: D365Client,
    terms: Mapping[str, Sequence[Filter]],
    select: Mapping[str, Sequence[str]],
    *,
    per_filter: int,
) -> dict[str, list[Record]]:
    """The same for several entity sets, all in one call: entity set → its rows."""
    queries = [
        (
            entity_set,
            Query(filter=_any(part), select=select[entity_set]),
        )
        for entity_set, each in terms.items()
        for part in _parts(each, per_filter)
    ]
    found: dict[str, list[Record]] = {entity_set: [] for entity_set in terms}
    if len(queries) == 1:
        [(entity_set, query)] = queries
        rows = client.query(entity_set, filter=query.filter, select=query.select)
        found[entity_set] = [row async for row in rows]
    elif queries:
        reads = [Operation("GET", entity_set, query=query) for entity_set, query in queries]
        for read, result in zip(reads, await client.batch(reads), strict=True):
            if result.error is not None:
                raise result.error
            found[read.entity_set] += result.body["value"]
    return found


def _parts(terms: Sequence[Filter], most: int) -> Iterator[list[Filter]]:
    """The terms in groups of at most so many comparisons; one that has more is a group of its own."""
    part: list[Filter] = []
    for term in terms:
        if part and sum(each.comparisons for each in part) + term.comparisons > most:
            yield part
            part = []
        part.append(term)
    if part:
        yield part


def _any(terms: Sequence[Filter]) -> Filter:
    return Filter(" or ".join(term.text for term in terms))


async def count_rows(
    client: D365Client, entity_set: str, *, key: str, filter: Filter | None = None
) -> int:
    """How many rows F&O holds; `key` is any small column. One call."""
    rows = client.query(entity_set, filter=filter, select=(key,), top=1, count=True)
    async for _ in rows:
        pass
    if rows.total is None:
        raise ContractError(f"{entity_set}: F&O counted nothing", system="d365")
    return rows.total


async def count_records(client: SalesforceClient, object_name: str, where: str) -> int:
    """How many records of an object Salesforce holds. One call."""
    soql = f"SELECT COUNT() FROM {api_name(object_name)} WHERE {where}"  # noqa: S608 - checked names
    path = client.paths.query(soql, include_deleted=False)
    answer = await client.transport.request("GET", path, operation="count", effect=Effect.READ)
    total = answer.body.get("totalSize") if isinstance(answer.body, dict) else None
    if not isinstance(total, int):
        raise ContractError("a count without its number", system="salesforce")
    return total
