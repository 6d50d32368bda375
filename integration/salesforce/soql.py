"""SOQL text from values, with one encoder for literals (Salesforce contract 2.4)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from integration.salesforce.encoding import api_name, field_path, instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Value = str | bool | int | float | Decimal | date | datetime | None
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_ESCAPES = str.maketrans(
    {
        "\\": "\\\\",
        "'": "\\'",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\b": "\\b",
        "\f": "\\f",
    }
)
_DIRECTIONS = {
    "ASC",
    "DESC",
    "ASC NULLS FIRST",
    "ASC NULLS LAST",
    "DESC NULLS FIRST",
    "DESC NULLS LAST",
}


def literal(value: Value) -> str:
    """A value as SOQL writes it: `'O\\'Neil'`, `2025-01-31`, `2025-01-31T10:00:00Z`, `true`, `null`.

    Raises ValueError for what has no literal: NaN, a datetime without zone, half a surrogate pair.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            value.encode()  # UnicodeEncodeError is a ValueError
            return f"'{value.translate(_ESCAPES)}'"
        case datetime():
            return instant(value)
        case date():
            return value.isoformat()
        case int() | float() | Decimal():
            number = Decimal(str(value))
            if not number.is_finite():
                raise ValueError("SOQL has no literal for a number that is not finite")
            return format(number, "f")


def condition(field: str, operator: Operator, value: Value) -> str:
    """`Field = 'value'`."""
    if operator not in ("=", "!=", "<", "<=", ">", ">="):
        raise ValueError(f"not a SOQL operator: {operator!r}")
    return f"{field_path(field)} {operator} {literal(value)}"


def in_list(field: str, values: Iterable[Value]) -> str:
    """`Field IN ('a','b')`. Raises ValueError when empty, which SOQL cannot say."""
    literals = ",".join(literal(value) for value in values)
    if not literals:
        raise ValueError(f"{field} IN () matches nothing and is not SOQL; ask nothing instead")
    return f"{field_path(field)} IN ({literals})"


def select(
    object_name: str,
    fields: Sequence[str],
    *,
    children: Sequence[str] = (),
    where: str | Sequence[str] = (),
    order_by: Sequence[str] = (),
    limit: int | None = None,
) -> str:
    """A SELECT. `where` parts (from `condition` and `in_list`) are joined by AND; `order_by` items are
    `Field` or `Field DESC`; `children` are whole SELECTs from child relationships, read with each row.
    Raises ValueError for anything that is not a name."""
    if not fields:
        raise ValueError("a SELECT needs a field")
    parts = [where] if isinstance(where, str) else list(where)
    parts = [part for part in parts if part]
    columns = [*map(field_path, fields), *(f"({child})" for child in children)]
    words = ["SELECT", ",".join(columns)]
    words += ["FROM", api_name(object_name)]
    if parts:
        words += ["WHERE", parts[0] if len(parts) == 1 else " AND ".join(f"({p})" for p in parts)]
    if order_by:
        words += ["ORDER BY", ",".join(_ordering(item) for item in order_by)]
    if limit is not None:
        words += ["LIMIT", format(limit, "d")]
    return " ".join(words)


def _ordering(item: str) -> str:
    field, _, direction = item.strip().partition(" ")
    if direction and direction.upper() not in _DIRECTIONS:
        raise ValueError(f"not an ORDER BY direction: {direction!r}")
    return f"{field_path(field)} {direction}".rstrip()
