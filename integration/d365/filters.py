"""`$filter` expressions. F&O knows `eq ne gt ge lt le and or`, but neither `in` nor `has` (F&O contract 2.2).

(eq("dataAreaId", "usmf") & any_of("CustomerAccount", accounts)).encoded
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from integration.d365.literals import Enum, Value, literal, odata_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

URL_LIMIT = 8_000  # longer ones are refused by web servers and gateways on the way
URL_RESERVE = 2_000  # host, set name, $select and $orderby
VALUES_LIMIT = 100  # the length of a chain a server accepts is not published


@dataclass(frozen=True, slots=True)
class Filter:
    """`comparisons` counts those inside `text`, because a server accepts only so many."""

    text: str
    comparisons: int = 1

    def __and__(self, other: Filter) -> Filter:
        return Filter(f"({self.text} and {other.text})", self.comparisons + other.comparisons)

    def __or__(self, other: Filter) -> Filter:
        return Filter(f"({self.text} or {other.text})", self.comparisons + other.comparisons)

    def __str__(self) -> str:
        return self.text

    @property
    def encoded(self) -> str:
        """Percent-encoded for a query string; `'`, `,`, `(`, `)` stay readable."""
        return encode_option(self.text)


def encode_option(text: str) -> str:
    return quote(text, safe="'(),:$=")


def eq(field: str, value: Value) -> Filter:
    return _compare(field, "eq", value)


def ne(field: str, value: Value) -> Filter:
    return _compare(field, "ne", value)


def gt(field: str, value: Value) -> Filter:
    return _compare(field, "gt", value)


def ge(field: str, value: Value) -> Filter:
    return _compare(field, "ge", value)


def lt(field: str, value: Value) -> Filter:
    return _compare(field, "lt", value)


def le(field: str, value: Value) -> Filter:
    return _compare(field, "le", value)


def any_of(field: str, values: Iterable[Value]) -> Filter:
    """`(F eq a or F eq b)`. Raises ValueError for no values: that would select everything or nothing."""
    return _chain([eq(field, value) for value in values])


def chunk_any_of(
    field: str,
    values: Iterable[Value],
    *,
    also: Filter | None = None,
    reserve: int = URL_RESERVE,
    most: int = VALUES_LIMIT,
) -> Iterator[Filter]:
    """`any_of` in as many filters as needed to keep each URL below URL_LIMIT characters.

    `also` is added to each with `and`; `reserve` are the characters of the rest of the URL. Each value
    appears once. Nothing is yielded for no values.
    """
    room = URL_LIMIT - reserve - (len(encode_option(f"({also} and ())")) if also else 2)
    terms: list[Filter] = []
    used = 0
    for value in dict.fromkeys(values):
        term = eq(field, value)
        length = len(encode_option(f"{term} or "))
        if terms and (used + length > room or len(terms) >= most):
            yield _with(_chain(terms), also)
            terms, used = [], 0
        terms.append(term)
        used += length
    if terms:
        yield _with(_chain(terms), also)


def _compare(field: str, operator: str, value: Value) -> Filter:
    for part in field.split("/"):  # a navigation path
        odata_name(part)
    if isinstance(value, Enum) and operator not in ("eq", "ne"):
        raise TypeError("F&O compares enums only with eq and ne")
    return Filter(f"{field} {operator} {literal(value)}")


def _chain(terms: list[Filter]) -> Filter:
    if not terms:
        raise ValueError("any_of needs at least one value")
    if len(terms) == 1:
        return terms[0]
    text = f"({' or '.join(term.text for term in terms)})"
    return Filter(text, sum(term.comparisons for term in terms))


def _with(terms: Filter, also: Filter | None) -> Filter:
    return also & terms if also else terms
