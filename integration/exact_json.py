"""JSON text whose numbers are exact: a Decimal is written digit by digit, a float is refused.

The standard library writes a Decimal only by way of a float, which loses cents of large amounts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

# Beyond this a Decimal is a mistake, and 1E+999999 would be a megabyte of text.
_LARGEST_EXPONENT = 40


def write_json(value: Any, scalar: Callable[[Any], str | None]) -> str:
    """`scalar` gives the JSON text of what JSON itself does not know (dates, ids), None if it cannot.

    Raises TypeError for anything else, floats included: they would already have lost what this preserves.
    """
    if value is None or isinstance(value, str | bool | int):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        members = (f"{_name(name)}:{write_json(item, scalar)}" for name, item in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(write_json(item, scalar) for item in value) + "]"
    text = scalar(value)
    if text is None:
        raise TypeError(f"{type(value).__name__} has no exact JSON form")
    return text


def decimal_text(value: Decimal) -> str:
    """All digits, never an exponent. Raises ValueError for NaN, infinities and absurd sizes."""
    if not value.is_finite() or abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError("a number is not finite or too large")
    return format(value, "f")


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError("a JSON member has a text as its name")
    return json.dumps(name, ensure_ascii=False)
