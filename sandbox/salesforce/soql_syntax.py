"""Parses SOQL text into a small tree. Names are not looked up here.

Raises ApiError MALFORMED_QUERY with the place, in the form real answers have.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedEOF, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

from sandbox.salesforce import clock
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.soql_tree import (
    Both,
    Compare,
    Condition,
    FieldItem,
    FieldPath,
    Func,
    Member,
    Negation,
    Query,
    SemiJoin,
    Sort,
    Value,
)

LONGEST_QUERY = 100_000
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_ONE_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)


def parse(text: str) -> Query:
    if len(text) > LONGEST_QUERY:
        raise malformed("SOQL statements cannot be longer than 100000 characters.")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as exc:
        raise _unexpected(text, exc) from exc
    except VisitError as exc:
        if isinstance(exc.orig_exc, ApiError):
            raise exc.orig_exc from exc
        raise
    assert isinstance(tree, Query)
    return tree


def malformed(message: str) -> ApiError:
    return ApiError.plain("MALFORMED_QUERY", message)


def at(text: str, position: int, message: str) -> str:
    """The message under a pointer into the query, as real answers show it."""
    shown = text[max(0, position - 40) : position + 40].replace("\n", " ")
    column = min(position, 40)
    row = text.count("\n", 0, position) + 1
    in_row = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"\n{shown}\n{' ' * column}^\nERROR at Row:{row}:Column:{in_row}\n{message}"


def unescape(raw: str, *, keep_wildcards: bool = False) -> str:
    def one(match: re.Match[str]) -> str:
        char = match.group(1)
        if char in "_%":
            return match.group(0) if keep_wildcards else str(char)
        if char.lower() not in _ESCAPES:
            raise malformed(
                f"Invalid string literal '{raw}'. Illegal character sequence '\\{char}' in string "
                "literal."
            )
        return _ESCAPES[char.lower()]

    return re.sub(r"\\(.)", one, raw, flags=re.DOTALL) if "\\" in raw else raw


def _unexpected(text: str, exc: UnexpectedInput) -> ApiError:
    if isinstance(exc, UnexpectedEOF) or (
        isinstance(exc, UnexpectedToken) and exc.token.type == "$END"
    ):
        return malformed("unexpected token: '<EOF>'")
    position = exc.pos_in_stream or 0
    found = re.match(r"\w+|.", text[position:], re.DOTALL)
    return malformed(at(text, position, f"unexpected token: '{found.group() if found else ''}'"))


def _path(token: Token) -> FieldPath:
    return FieldPath(str(token), token.start_pos or 0)


class _Builder(Transformer[Token, Any]):
    def start(self, children: list[Query]) -> Query:
        return children[0]

    def query(self, children: list[Any]) -> Query:
        items, source, alias, _, where, group, having, order, limit, offset, _ = children
        return Query(
            items=items,
            source=_path(source),
            alias=alias,
            where=where,
            group=group or [],
            having=having,
            order=order or [],
            limit=limit,
            offset=offset or 0,
        )

    def items(self, children: list[Any]) -> list[Any]:
        return children

    def field(self, children: list[Any]) -> FieldItem:
        return FieldItem(_path(children[0]), children[1])

    def func(self, children: list[Any]) -> Func:
        name, argument, alias = children
        return Func(name.upper(), _path(argument) if argument else None, alias, name.start_pos or 0)

    def subquery(self, children: list[Query]) -> Query:
        return children[0]

    def alias(self, children: list[Any]) -> str:
        return str(children[-1])

    def scope(self, _: list[Any]) -> None:
        return None

    def where(self, children: list[Condition]) -> Condition:
        return children[0]

    having = where

    def group(self, children: list[Any]) -> list[FieldPath]:
        return [_path(token) for token in children]

    def order(self, children: list[Any]) -> list[Sort]:
        return children

    def sort(self, children: list[Any]) -> Sort:
        operand, direction, nulls = children
        return Sort(
            operand,
            descending=str(direction or "").lower() == "desc",
            nulls_last=str(nulls or "").lower() == "last",
        )

    def limit(self, children: list[Any]) -> int:
        return _whole(children[0])

    offset = limit

    def conjunction(self, children: list[Any]) -> Both:
        return Both(children, any=False)

    def disjunction(self, children: list[Any]) -> Both:
        return Both(children, any=True)

    def negation(self, children: list[Any]) -> Negation:
        return Negation(children[0])

    def operand_path(self, children: list[Any]) -> FieldPath:
        return _path(children[0])

    def operand_func(self, children: list[Any]) -> Func:
        return self.func([*children, None])

    def comparison(self, children: list[Any]) -> Compare:
        operand, operator, token = children
        sign = operator.lower().replace("<>", "!=")
        value = _literal(token, keep_wildcards=sign == "like")
        return Compare(operand, sign, value)

    def membership(self, children: list[Any]) -> Member:
        operand, negated, _, found = children
        return Member(operand, negated is not None, found)

    def semi_join(self, children: list[Any]) -> SemiJoin:
        operand, negated, _, query = children
        return SemiJoin(operand, negated is not None, query)

    def membership_of_values(self, children: list[Any]) -> Condition:
        raise malformed("INCLUDES and EXCLUDES need a multi-select picklist field")

    def string_list(self, children: list[Any]) -> list[Value]:
        return [Value("string", unescape(raw)) for raw in _ONE_STRING.findall(children[0])]

    def literal_list(self, children: list[Any]) -> list[Value]:
        return [_literal(token) for token in children]

    def literal(self, children: list[Token]) -> Token:
        return children[0]


def _whole(token: Token) -> int:
    if not token.isdigit():
        raise malformed(f"unexpected token: '{token}'")
    return int(token)


def _literal(token: Token, *, keep_wildcards: bool = False) -> Value:
    text = str(token)
    if token.type == "STRING":
        return Value("string", unescape(text[1:-1], keep_wildcards=keep_wildcards))
    if token.type == "NUMBER":
        return Value("number", float(text))
    if token.type in ("DATE", "DATETIME"):
        upper = text.upper()
        found = clock.parse_date(text) if token.type == "DATE" else clock.parse_datetime(upper)
        if found is None:
            raise malformed(f"line 1:{token.column} invalid date '{text}'")
        return Value("date" if token.type == "DATE" else "datetime", found)
    word = text.upper()
    if word in ("TRUE", "FALSE"):
        return Value("boolean", word == "TRUE")
    if word == "NULL":
        return Value("null", None)
    return Value("relative", word)


@cache
def _parser() -> Lark:
    grammar = (Path(__file__).parent / "soql.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", transformer=_Builder(), maybe_placeholders=True)
