"""ORDER BY, OFFSET and LIMIT."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.salesforce.soql_filter import Operands
    from sandbox.salesforce.soql_tree import Query, Sort


def slice_rows(query: Query, rows: list[Any]) -> list[Any]:
    end = None if query.limit is None else query.offset + query.limit
    return rows[query.offset : end]


def sort_rows(names: Operands, order: list[Sort], rows: list[Any]) -> list[Any]:
    """Nulls come first unless the query says NULLS LAST, whatever the direction.

    Text sorts without regard to case, ids with it: `WHERE Id > 'last' ORDER BY Id` must page on.
    """
    for sort in reversed(order):
        operand = names.operand(sort.operand)
        folds = not operand.cased and operand.type not in ("id", "reference")
        keyed = [(operand.get(row), row) for row in rows]
        empty = [row for value, row in keyed if value is None]
        filled = [
            (value.lower() if folds and isinstance(value, str) else value, row)
            for value, row in keyed
            if value is not None
        ]
        filled.sort(key=itemgetter(0), reverse=sort.descending)
        found = [row for _, row in filled]
        rows = found + empty if sort.nulls_last else empty + found
    return rows
