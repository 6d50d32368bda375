"""Pages of a whole table of F&O, each asked for by the key behind which it begins.

A step may end between any two pages and another process go on, so the place is the last key read, not F&O's
own link, which it may forget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.filters import Filter, eq, gt
from integration.d365.literals import COMPANY
from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.flows.flow import Record
    from integration.flows.loads.parts import Parts

Cursor = dict[str, str]


async def next_page(
    parts: Parts, fields: Sequence[str], filter_: Filter | None, after: Cursor | None
) -> tuple[list[Record], Cursor | None]:
    """The rows, and where to go on; None at the end. A row may come twice."""
    definition, size = parts.definition, parts.settings.volume.d365_page
    number = definition.number
    where = filter_
    if after:
        company, last = after["company"], after["number"]
        behind = gt(COMPANY, company) | (eq(COMPANY, company) & gt(number, last))
        where = where & behind if where else behind
    query = parts.d365.query(
        definition.entity_set, filter=where, select=fields, orderby=(COMPANY, number), top=size
    )
    rows: list[Record] = []
    while (
        page := await query.page()
    ):  # many at a time: a step for each row would cost more than the row
        rows += page
    return rows, _behind(rows, number) if len(rows) >= size else None


def _behind(rows: list[Record], number: str) -> Cursor:
    """The last row that a filter can name: F&O takes `*` for a wildcard (F&O contract 2.2)."""
    for row in reversed(rows):
        if "*" not in str(row[number]):
            return {"company": str(row[COMPANY]), "number": str(row[number])}
    raise ContractError(f"a page of rows that all hold * in {number}", system="d365")
