"""What a value is on the wire of the two systems: empty, text of a length, a number, a day.

F&O stores no null: the empty text is "", the empty date 1900-01-01, the empty number 0 (F&O contract
2.5). Its text columns count UTF-16 code units, and trailing blanks are not kept.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal

Value = str | int | bool | Decimal | None
Comparison = Literal["exact", "ignore-case", "number", "date"]

EMPTY_DATE = "1900-01-01T12:00:00Z"

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LINE_BREAK = re.compile(r"\r\n|\r")
_SURROGATE = re.compile("[\ud800-\udfff]")


class TransformError(ValueError):
    """A value cannot be carried over. `problem` says what it is, `remedy` what somebody should do.

    Neither holds the value, which may be personal data; the one exception is a country's name.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


def is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def text_of(value: object) -> str:
    """Text without what neither system can keep: controls, half characters, trailing blanks."""
    if not isinstance(value, str):
        raise TransformError(
            f"is {kind_of(value)}, not text",
            "use a transform that fits, such as decimal(2) or no_yes",
        )
    lines = _LINE_BREAK.sub("\n", value)
    return _SURROGATE.sub("\ufffd", _CONTROLS.sub("", lines)).rstrip()


def one_line(value: object) -> str:
    return text_of(value).replace("\n", " ").rstrip()


def kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "a checkbox"
    if isinstance(value, (int, float, Decimal)):
        return "a number"
    kinds = ((str, "text"), (dict, "an object"), (list, "a list"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "an unknown kind")


def length_of(text: str) -> int:
    """Length as F&O counts it: UTF-16 code units, so an emoji is 2."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut_to(text: str, length: int) -> str:
    """The longest beginning that fits, no character halved, no trailing blank."""
    units = length_of(text)
    if units <= length:
        return text
    if units == len(text):  # each character is one
        return text[:length].rstrip()
    used = 0
    for index, character in enumerate(text):
        used += 2 if character > "\uffff" else 1
        if used > length:
            return text[:index].rstrip()
    return text


def number_of(value: object) -> Decimal:
    """The number exactly as it stood on the wire.

    A float is read through its shortest decimal form, which is what the JSON said; nothing is
    calculated with floats.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str, float, Decimal)):
        raise TransformError(f"is {kind_of(value)}, not a number", "map a number field")
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise TransformError("is not a number", "correct the record or map a number field")
    return number


def day_of(value: object) -> str:
    """YYYY-MM-DD of a date, or of a date-time in UTC. No time-zone shift (F&O contract 2.5)."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        if len(text) == 10:
            return date.fromisoformat(text).isoformat()
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date().isoformat()
    except (ValueError, OverflowError):
        raise TransformError("is not a date", "map a date field, or correct the record") from None


def same(current: object, new: object, comparison: Comparison) -> bool:
    """Whether writing `new` over `current` would change nothing.

    Text: None and "" are one, trailing blanks and the kind of line break do not count. A date without
    value is 1900-01-01. Total: what cannot be compared is different.
    """
    try:
        if comparison == "number":
            return _number_or_none(current) == _number_or_none(new)
        if comparison == "date":
            return _day_or_none(current) == _day_or_none(new)
        return _text_key(current, comparison) == _text_key(new, comparison)
    except (TransformError, InvalidOperation):  # a signalling NaN refuses even to be compared
        return False


def _number_or_none(value: object) -> Decimal | None:
    return None if is_empty(value) else number_of(value)


def _day_or_none(value: object) -> str | None:
    day = None if is_empty(value) else day_of(value)
    return None if day == EMPTY_DATE[:10] else day


def _text_key(value: object, comparison: Comparison) -> object:
    if is_empty(value):
        return ""
    if not isinstance(value, str):
        return value
    text = text_of(value)
    return text.casefold() if comparison == "ignore-case" else text


def canonical(value: object, comparison: Comparison) -> str:
    """One text for all values that `same` takes for one another. Raises TransformError, where `same` says
    that the value differs from everything."""
    if comparison == "number":
        number = _number_or_none(value)
        return "" if number is None else _digits(number)
    if comparison == "date":
        return _day_or_none(value) or ""
    key = _text_key(value, comparison)
    if isinstance(key, str):
        return key
    if isinstance(key, (bool, int, float, Decimal)):
        return f"\0{_digits(number_of(int(key) if isinstance(key, bool) else key))}"
    return f"\0{key!r}"


def _digits(number: Decimal) -> str:
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
