"""Compiles WHERE and HAVING into predicates, and finds rows through an index where it can.

Text compares without regard to case, unless the field is case-sensitive. `!=` and NOT IN are true for
null, the order comparisons are not.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from sandbox.salesforce import ids
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.schema import NUMBER_TYPES
from sandbox.salesforce.soql_dates import day_range
from sandbox.salesforce.soql_syntax import malformed
from sandbox.salesforce.soql_tree import (
    Both,
    Compare,
    Condition,
    FieldPath,
    Func,
    Member,
    Negation,
    Query,
    SemiJoin,
    Value,
)

if TYPE_CHECKING:
    from sandbox.salesforce.soql_fields import Operand, Scope

Predicate = Callable[[Any], bool]
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ID_TYPES = ("id", "reference")


class Operands(Protocol):
    def operand(self, operand: FieldPath | Func) -> Operand: ...


RunSubquery = Callable[[Query], set[Any]]
"""Runs a semi-join's query and returns the values of its one field."""


def compile_condition(names: Operands, condition: Condition, run: RunSubquery) -> Predicate:
    if isinstance(condition, Both):
        parts = [compile_condition(names, part, run) for part in condition.conditions]
        if condition.any:
            return lambda row: any(part(row) for part in parts)
        return lambda row: all(part(row) for part in parts)
    if isinstance(condition, Negation):
        inner = compile_condition(names, condition.condition, run)
        return lambda row: not inner(row)
    found = names.operand(condition.operand)
    if found.field is not None and not found.field.filterable:
        raise ApiError.plain(
            "INVALID_FIELD", f"field '{found.name}' can not be filtered in a query call"
        )
    if isinstance(condition, SemiJoin):
        return _semi_join(found, condition, run)
    if isinstance(condition, Member):
        return _member(found, condition)
    return _compare(found, condition)


def candidates(scope: Scope, condition: Condition | None) -> list[str] | None:
    """Ids among which all matching live rows are, or None when only a scan will find them."""
    if isinstance(condition, Both):
        lists = [candidates(scope, part) for part in condition.conditions]
        if condition.any:
            if any(found is None for found in lists):
                return None
            return list(dict.fromkeys(i for found in lists for i in found or []))
        known = [found for found in lists if found is not None]
        return min(known, key=len) if known else None
    if isinstance(condition, Compare) and condition.operator == "=":
        values = [condition.value]
    elif isinstance(condition, Member) and not condition.negated:
        values = condition.values
    else:
        return None
    found_operand = scope.operand(condition.operand)
    field = found_operand.field
    if not found_operand.direct or field is None or any(v.kind != "string" for v in values):
        return None
    if field.name != "Id" and not scope.table.has_index(field.name):
        return None
    keys = [
        _plain(found_operand, value) if field.type in _ID_TYPES else value.value for value in values
    ]
    return list(dict.fromkeys(i for key in keys for i in scope.table.ids_with(field, key)))


def _compare(found: Operand, condition: Compare) -> Predicate:
    get, sign, value = found.get, condition.operator, condition.value
    if sign == "like":
        return _like(found, value)
    if value.kind == "null":
        if sign == "=":
            return lambda row: get(row) is None
        if sign == "!=":
            return lambda row: get(row) is not None
        raise _bad_operator(found)
    if value.kind == "relative":
        return _in_range(found, sign, value.value)
    wanted = _plain(found, value)
    fold = isinstance(wanted, str) and not found.cased and found.type not in _ID_TYPES
    if fold:
        wanted = wanted.lower()
    if sign in ("=", "!="):
        equal = sign == "="
        if fold:
            return lambda row: ((get(row) or "").lower() == wanted) is equal
        return lambda row: (get(row) == wanted) is equal
    if found.type == "boolean":
        raise _bad_operator(found)
    test = _SIGNS[sign]

    def ordered(row: Any) -> bool:
        given = get(row)
        return given is not None and test(given.lower() if fold else given, wanted)

    return ordered


def _member(found: Operand, condition: Member) -> Predicate:
    fold = not found.cased and found.type not in _ID_TYPES
    wanted = set()
    for value in condition.values:
        plain = None if value.kind == "null" else _plain(found, value)
        wanted.add(plain.lower() if fold and isinstance(plain, str) else plain)
    get, negated = found.get, condition.negated

    def member(row: Any) -> bool:
        given = get(row)
        if fold and isinstance(given, str):
            given = given.lower()
        return (given in wanted) is not negated

    return member


def _semi_join(found: Operand, condition: SemiJoin, run: RunSubquery) -> Predicate:
    if found.type not in _ID_TYPES:
        raise malformed("Only id and reference fields can be used in a semi join")
    wanted, get, negated = run(condition.query), found.get, condition.negated
    return lambda row: (get(row) in wanted) is not negated


def _like(found: Operand, value: Value) -> Predicate:
    if value.kind != "string" or found.type in (*_ID_TYPES, "boolean", *NUMBER_TYPES):
        raise _bad_operator(found)
    pattern = ""
    for part in re.findall(r"\\[_%]|.", value.value, re.DOTALL):
        pattern += {"%": ".*", "_": "."}.get(part) or re.escape(part[-1])
    regex = re.compile(pattern, re.DOTALL | re.IGNORECASE)
    get = found.get
    return lambda row: regex.fullmatch(get(row) or "") is not None


def _in_range(found: Operand, sign: str, word: str) -> Predicate:
    if found.type not in ("date", "datetime"):
        raise _wrong_type(found)
    first, end = (day.isoformat() for day in day_range(word))
    if found.type == "datetime":
        first, end = f"{first}T00:00:00.000+0000", f"{end}T00:00:00.000+0000"
    get = found.get
    tests: dict[str, Callable[[str], bool]] = {
        "=": lambda given: first <= given < end,
        "!=": lambda given: not first <= given < end,
        "<": lambda given: given < first,
        "<=": lambda given: given < end,
        ">": lambda given: given >= end,
        ">=": lambda given: given >= first,
    }
    test = tests[sign]

    def within(row: Any) -> bool:
        given = get(row)
        return sign == "!=" if given is None else test(given)

    return within


def _plain(found: Operand, value: Value) -> Any:
    """The literal as the field stores it, or the error of a literal of the wrong type."""
    kind = found.type
    if kind in _ID_TYPES:
        if value.kind != "string":
            raise _wrong_type(found)
        full = ids.normalise(value.value)
        if full is None:
            raise ApiError.plain(
                "INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {value.value}"
            )
        return full
    needed = "number" if kind in NUMBER_TYPES else kind
    if needed not in ("number", "boolean", "date", "datetime"):
        needed = "string"
    if value.kind != needed:
        raise _wrong_type(found)
    return value.value


def _wrong_type(found: Operand) -> ApiError:
    kind = {"datetime": "dateTime"}.get(found.type, found.type)
    quoted = found.type not in (*NUMBER_TYPES, "boolean", "date", "datetime")
    text = "string and should be enclosed" if quoted else f"{kind} and should not be enclosed"
    return ApiError.plain(
        "INVALID_FIELD",
        f"value of filter criterion for field '{found.name}' must be of type {text} in quotes",
    )


def _bad_operator(found: Operand) -> ApiError:
    return ApiError.plain(
        "INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {found.type} field: {found.name}"
    )
