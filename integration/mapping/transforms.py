"""Transforms of text, numbers, checkboxes, dates and tables: the third column of a mapping table."""

from __future__ import annotations

import decimal
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from integration.mapping.transform import Transform
from integration.mapping.values import (
    EMPTY_DATE,
    TransformError,
    Value,
    cut_to,
    day_of,
    is_empty,
    kind_of,
    number_of,
    one_line,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROUNDINGS = {
    "half_up": decimal.ROUND_HALF_UP,
    "half_even": decimal.ROUND_HALF_EVEN,
    "down": decimal.ROUND_DOWN,
}
_DIGITS = decimal.Context(prec=38)  # Salesforce numbers have 18 digits at most


def direct() -> Transform:
    """The text as it is, line breaks kept, without trailing blanks."""
    return Transform("direct", lambda value, _: text_of(value))


def cut(length: int) -> Transform:
    """One line of text, cut to so many characters."""
    return Transform(
        "cut", lambda value, _: cut_to(one_line(value), length), (length,), length=length
    )


def cut_lines(length: int) -> Transform:
    """Text of several lines, each without trailing blanks, all together cut to so many characters."""

    def lines(value: object, _: object) -> str:
        kept = "\n".join(line.rstrip() for line in text_of(value).split("\n"))
        return cut_to(kept, length)

    return Transform("cut_lines", lines, (length,), length=length)


def upper() -> Transform:
    """One line of text in capitals."""
    return Transform("upper", lambda value, _: one_line(value).upper(), compare="ignore-case")


def phone(length: int = 255) -> Transform:
    """A phone number as typed, runs of blanks made one, cut."""

    def number(value: object, _: object) -> str:
        return cut_to(" ".join(one_line(value).split()), length)

    return Transform("phone", number, (length,), length=length)


def url(length: int = 255) -> Transform:
    """A web address as typed, cut."""
    return Transform(
        "url", lambda value, _: cut_to(one_line(value).strip(), length), (length,), length=length
    )


def decimal_(places: int, rounding: str = "half_up") -> Transform:
    """An exact number rounded to so many places; rounding half_up (default), half_even or down."""
    step, mode = Decimal(1).scaleb(-places), _ROUNDINGS[rounding]

    def rounded(value: object, _: object = None) -> Decimal:
        try:
            result = number_of(value).quantize(step, rounding=mode, context=_DIGITS)
        except decimal.InvalidOperation:
            raise TransformError("has too many digits", "correct the record") from None
        return result if result else abs(result)  # no minus zero on the wire

    arguments: tuple[str | int, ...] = (places,)
    if rounding != "half_up":
        arguments = (places, rounding)
    return Transform("decimal", rounded, arguments, compare="number", empty=Decimal(0))


def number() -> Transform:
    """An exact number, every digit as it is."""

    def exact(value: object, _: object = None) -> Decimal:
        result = number_of(value)
        return result if result else Decimal(0)

    return Transform("number", exact, compare="number", empty=Decimal(0))


def no_yes() -> Transform:
    """A checkbox as F&O's NoYes; back again as a checkbox."""

    def answer(value: object, _: object) -> str:
        if not isinstance(value, bool):
            raise TransformError(f"is {kind_of(value)}, not a checkbox", "map a checkbox field")
        return "Yes" if value else "No"

    def checkbox(value: object) -> bool:
        if value not in ("Yes", "No", None, ""):
            raise TransformError("is neither Yes nor No", "map a NoYes field")
        return value == "Yes"

    return Transform("no_yes", answer, empty="No", reverse=checkbox)


def date() -> Transform:
    """A date as noon UTC, which F&O reads as that day everywhere; back again as YYYY-MM-DD."""

    def day(value: object) -> str | None:
        result = None if is_empty(value) else day_of(value)
        return None if result == EMPTY_DATE[:10] else result

    return Transform(
        "date",
        lambda value, _: f"{day_of(value)}T12:00:00Z",
        compare="date",
        empty=EMPTY_DATE,
        reverse=day,
    )


def mapped(table: Mapping[str, Value], fallback: Value = None) -> Transform:
    """A value looked up in a table (text without regard to case), or the table's fallback."""
    known = {key.strip().casefold(): result for key, result in table.items()}

    def looked_up(value: object, _: object) -> Value:
        key = str(value).lower() if isinstance(value, bool) else one_line(value)
        found = known.get(key.strip().casefold(), fallback)
        if found is None:
            raise TransformError(
                "is not in the table of this field", "add it to the mapping file's table"
            )
        return found

    empty = "" if fallback is None else fallback
    return Transform("map", looked_up, empty=empty, fills=fallback is not None)


def constant(value: Value) -> Transform:
    """Always the same value, whatever the record holds."""
    return Transform(
        "constant",
        lambda _, __: value,
        (_shown(value),),
        compare="number" if isinstance(value, (int, Decimal)) else "exact",
        empty=value,
        uses_source=False,
    )


def default(value: Value, transform: Transform) -> Transform:
    """Another transform, and this value where it leaves the field empty."""

    def filled(source: object, beside: object) -> Value:
        result = transform.forward(source, beside)
        return value if is_empty(result) else result

    return replace(
        transform,
        kind=f"{transform.name}, default",
        arguments=(_shown(value),),
        function=filled,
        empty=value,
        fills=True,
    )


def _shown(value: Value) -> str:
    return '""' if value == "" else str(value)
