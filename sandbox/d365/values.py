"""JSON values in and out of property kinds (F&O contract 2.5)."""

from __future__ import annotations

import datetime
import re
import uuid
from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import bad_literal, invocation_failed

if TYPE_CHECKING:
    from sandbox.d365.model import Enum, Property

_INTEGER_BITS = {"int32": 31, "int64": 63}
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def from_json(prop: Property, value: Any, enums: dict[str, Enum] | Any) -> Any:
    """The stored form of a JSON value; raises `ODataError` when its type does not fit."""
    if value is None:
        return _from_null(prop)
    kind = prop.kind
    if kind == "string":
        if not isinstance(value, str):
            raise bad_literal(value, prop.edm)
        return value
    if kind == "decimal":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise bad_literal(value, prop.edm)
        return value
    if kind in _INTEGER_BITS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad_literal(value, prop.edm)
        if not -(2 ** _INTEGER_BITS[kind]) <= value < 2 ** _INTEGER_BITS[kind]:
            raise bad_literal(value, prop.edm)
        return value
    if kind in ("date", "datetime"):
        if not isinstance(value, str):
            raise bad_literal(value, prop.edm)
        return moment(prop, value)
    if kind == "guid":
        try:
            return str(uuid.UUID(value))
        except (ValueError, AttributeError, TypeError) as error:
            raise bad_literal(value, prop.edm) from error
    if kind == "boolean":
        if not isinstance(value, bool):
            raise bad_literal(value, prop.edm)
        return value
    enum: Enum = enums[kind]
    if not isinstance(value, str) or not (
        value in enum.members or (enum.open and _IDENTIFIER.fullmatch(value))
    ):
        raise bad_literal(value, prop.edm)
    return value


def moment(prop: Property, text: str) -> str:
    """`2026-07-30` or an ISO time as UTC text; an X++ date always sits at noon."""
    try:
        value = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise bad_literal(text, prop.edm) from error
    if prop.kind == "date":
        return f"{value.date().isoformat()}T12:00:00Z"
    if value.tzinfo is not None:
        value = value.astimezone(datetime.UTC)
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def normal(value: Any) -> str:
    """How F&O's database compares: text without regard to case."""
    return value.lower() if isinstance(value, str) else str(value)


def _from_null(prop: Property) -> Any:
    if prop.kind == "string":
        return ""
    if prop.default is None:
        return None
    raise invocation_failed(
        f"A null value was found for the property named '{prop.name}', which has the expected type"
        f" '{prop.edm}[Nullable=False]'. The expected type '{prop.edm}[Nullable=False]' does not"
        " allow null values."
    )
