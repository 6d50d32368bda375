"""ORDER BY, OFFSET and LIMIT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.salesforce.soql_filter import Operands
    from sandbox.salesforce.soql_tree import Query, Sort


def slice_rows(query: Query, rows: list[Any]) -> list[Any]:
    end = None if query.limit is None else query.offset + query.limit
    return rows[query.offset : end]


def sort_rows(names: Operands, order: list[Sort], rows: list[Any]) -> list[Any]:
    """Nulls come first unless the query says NULLS LAST, whatever the direction."""
    for sort in reversed(order):
        get = names.operand(sort.operand).get
        empty = [row for row in rows if get(row) is None]
        filled = [row for row in rows if get(row) is not None]
        filled.sort(key=lambda row, get=get: _order_key(get(row)), reverse=sort.descending)
        rows = filled + empty if sort.nulls_last else empty + filled
    return rows


def _order_key(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
