"""Turns a `$filter` tree into a predicate over rows, and finds the indexes that narrow the search.

An `or` chain of hundreds of `eq` terms over one property becomes one set lookup, so that reading many
records by key costs no more than a few comparisons per row (clients look customers up 200 at a time).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import TYPE_PREFIX, bad_query
from sandbox.d365.model import Entity, Property
from sandbox.d365.store import Key, Row, Table
from sandbox.d365.values import moment, normal

if TYPE_CHECKING:
    from sandbox.d365.filters import Node

Predicate = Callable[[Row], bool]
Value = Callable[[Row], Any]
Typed = tuple[str, Value]

_COMPARE = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_ARITHMETIC = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "divby": operator.truediv,
    "mod": operator.mod,
}
_ANY_TIME = Property("", "datetime", None)
_NUMBERS = {"Edm.Int32", "Edm.Int64", "Edm.Decimal"}
_INTEGERS = ("int32", "int64")
_FUNCTIONS: dict[str, tuple[int, str, Callable[..., Any]]] = {
    "contains": (2, "Edm.Boolean", lambda text, part: part in text),
    "startswith": (2, "Edm.Boolean", str.startswith),
    "endswith": (2, "Edm.Boolean", str.endswith),
    "tolower": (1, "Edm.String", str.lower),
    "toupper": (1, "Edm.String", str.lower),  # comparisons ignore case anyway
    "trim": (1, "Edm.String", str.strip),
    "length": (1, "Edm.Decimal", len),
}


def compile_filter(entity: Entity, node: Node) -> Predicate:
    """Raises `ODataError` 400 for unknown properties and types that do not fit."""
    match node:
        case ("all", parts):
            checks = [compile_filter(entity, part) for part in parts]
            return lambda row: all(check(row) for check in checks)
        case ("any", parts):
            return _any_of(entity, parts)
        case ("not", part):
            check = compile_filter(entity, part)
            return lambda row: not check(row)
        case ("cmp", name, left, right):
            return _comparison(entity, name, left, right)
    edm, value = _value(entity, node)
    if edm != "Edm.Boolean":
        raise bad_query("The $filter expression must evaluate to a single boolean value.")
    return value


def candidates(table: Table, node: Node) -> list[Key] | None:
    """Keys that can match according to the indexes; None means every row must be looked at."""
    wanted = _lookups(table, node)
    if wanted is None:
        return None
    keys: dict[Key, None] = {}
    for field, value in wanted:
        keys.update(table.indexes[field].get(value, {}))
    return list(keys)


def _lookups(table: Table, node: Node) -> list[tuple[str, str]] | None:
    match node:
        case ("cmp", "eq", ("prop", name), ("lit", "Edm.String", value)):
            if name in table.indexes and "*" not in value:
                return [(name, normal(value))]
        case ("cmp", "eq", ("prop", name), ("lit", "Edm.Decimal", int(value))):
            if name in table.indexes and table.entity.properties[name].kind in _INTEGERS:
                return [(name, normal(value))]
        case ("any", parts):
            found = [_lookups(table, part) for part in parts]
            if all(lookups is not None for lookups in found):
                return [lookup for lookups in found for lookup in lookups or ()]
        case ("all", parts):
            narrowing = [_lookups(table, part) for part in parts]
            usable = [lookups for lookups in narrowing if lookups is not None]
            return min(usable, key=len) if usable else None
    return None


def _any_of(entity: Entity, parts: list[Node]) -> Predicate:
    groups: dict[str, set[str]] = {}
    checks: list[Predicate] = []
    for part in parts:
        match part:
            case ("cmp", "eq", ("prop", name), ("lit", "Edm.String", value)) if "*" not in value:
                if name not in groups:
                    compile_filter(entity, part)  # refuses unknown names and other types
                groups.setdefault(name, set()).add(normal(value))
            case _:
                checks.append(compile_filter(entity, part))
    for name, wanted in groups.items():
        checks.append(_one_of(entity, name, wanted))
    if len(checks) == 1:
        return checks[0]
    return lambda row: any(check(row) for check in checks)


def _one_of(entity: Entity, name: str, wanted: set[str]) -> Predicate:
    default = entity.defaults[name]
    return lambda row: row.values.get(name, default).lower() in wanted


def _comparison(entity: Entity, name: str, left: Node, right: Node) -> Predicate:
    (left_type, left_value), (right_type, right_value) = (
        _value(entity, left),
        _value(entity, right),
    )
    if not _comparable(left_type, right_type):
        raise bad_query(
            "A binary operator with incompatible types was detected. Found operand types"
            f" '{left_type}' and '{right_type}' for operator kind '{name}'."
        )
    if (left_type.startswith(TYPE_PREFIX) or "null" in (left_type, right_type)) and name not in (
        "eq",
        "ne",
    ):
        raise bad_query(f"The operator '{name}' is not supported for enums.")
    if left_type == right_type == "Edm.String" and name in ("eq", "ne"):
        pattern = _wildcard(right)
        if pattern is not None:
            wanted = name == "eq"
            return lambda row: bool(pattern.fullmatch(left_value(row))) is wanted
    compare = _COMPARE[name]
    return lambda row: compare(left_value(row), right_value(row))


def _comparable(left: str, right: str) -> bool:
    return left == right or "null" in (left, right) or {left, right} <= _NUMBERS


def _wildcard(node: Node) -> re.Pattern[str] | None:
    if node[0] != "lit" or "*" not in node[2]:
        return None
    return re.compile(".*".join(re.escape(part) for part in node[2].lower().split("*")), re.DOTALL)


def _value(entity: Entity, node: Node) -> Typed:
    """Type and getter of an operand; text arrives in lower case."""
    match node:
        case ("prop", name):
            return _property(entity, name)
        case ("lit", "Edm.String", value):
            lowered = value.lower()
            return "Edm.String", lambda row: lowered
        case ("lit", "Edm.DateTimeOffset", value):
            # A literal compares as a time: an X++ date is its noon (contract 2.5)
            text = moment(_ANY_TIME, value)
            return "Edm.DateTimeOffset", lambda row: text
        case ("lit", edm, value):
            return edm, lambda row: value
        case ("negative", part):
            edm, value = _value(entity, part)
            return _number(edm), lambda row: -value(row)
        case ("arith", name, left, right):
            left_type, left_value = _value(entity, left)
            right_type, right_value = _value(entity, right)
            calculate = _ARITHMETIC[name]
            _number(left_type)
            _number(right_type)
            return "Edm.Decimal", lambda row: calculate(left_value(row), right_value(row))
        case ("call", name, arguments):
            return _call(entity, name, arguments)
    predicate = compile_filter(entity, node)
    return "Edm.Boolean", predicate


def _property(entity: Entity, name: str) -> Typed:
    prop = entity.properties.get(name)
    if prop is None:
        raise bad_query(
            f"Could not find a property named '{name}' on type '{TYPE_PREFIX}{entity.type_name}'."
        )
    default = prop.default
    if prop.kind == "string":
        return "Edm.String", lambda row: row.values.get(name, default).lower()
    return prop.edm, lambda row: row.values.get(name, default)


def _call(entity: Entity, name: str, arguments: list[Node]) -> Typed:
    if name not in _FUNCTIONS:
        raise bad_query(f"An unknown function with name '{name}' was found.")
    count, result, function = _FUNCTIONS[name]
    typed = [_value(entity, argument) for argument in arguments]
    if [edm for edm, _ in typed] != ["Edm.String"] * count:
        raise bad_query(f"No function signature for the function '{name}' matches the arguments.")
    values = [value for _, value in typed]
    return result, lambda row: function(*(value(row) for value in values))


def _number(edm: str) -> str:
    if edm not in _NUMBERS:
        raise bad_query(f"Arithmetic needs numbers, not '{edm}'.")
    return edm
