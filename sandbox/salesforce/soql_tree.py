"""The tree a SOQL text is parsed into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class FieldPath:
    """`Account.Owner.Name` and where it stands in the text."""

    text: str
    position: int

    @property
    def parts(self) -> list[str]:
        return self.text.split(".")


@dataclass(frozen=True)
class Value:
    kind: Literal["string", "number", "boolean", "null", "date", "datetime", "relative"]
    value: Any


@dataclass(frozen=True)
class FieldItem:
    path: FieldPath
    alias: str | None


@dataclass(frozen=True)
class Func:
    name: str
    argument: FieldPath | None
    alias: str | None
    position: int


@dataclass(frozen=True)
class Compare:
    operand: FieldPath | Func
    operator: str
    """`=`, `!=`, `<`, `<=`, `>`, `>=`, `like`."""
    value: Value


@dataclass(frozen=True)
class Member:
    operand: FieldPath | Func
    negated: bool
    values: list[Value]


@dataclass(frozen=True)
class SemiJoin:
    operand: FieldPath | Func
    negated: bool
    query: Query


@dataclass(frozen=True)
class Both:
    conditions: list[Condition]
    any: bool
    """True for OR, False for AND."""


@dataclass(frozen=True)
class Negation:
    condition: Condition


Condition = Compare | Member | SemiJoin | Both | Negation


@dataclass(frozen=True)
class Sort:
    operand: FieldPath | Func
    descending: bool
    nulls_last: bool


@dataclass(frozen=True)
class Query:
    items: list[FieldItem | Func | Query]
    source: FieldPath
    alias: str | None
    where: Condition | None
    group: list[FieldPath]
    having: Condition | None
    order: list[Sort]
    limit: int | None
    offset: int
