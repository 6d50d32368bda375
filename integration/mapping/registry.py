"""Transforms by the name the mapping file uses: `cut(60)`, `decimal(2, half_even)`, `country`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from integration.mapping import codes, transforms
from integration.mapping.countries import CountryBook
from integration.mapping.states import StateBook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from integration.mapping.transform import Transform
    from integration.mapping.values import Value

_CALL = re.compile(r"\s*([a-z_]+)\s*(?:\(\s*(.*?)\s*\))?\s*")
_ROUNDING_NAMES = ("half_up", "half_even", "down")


@dataclass(frozen=True)
class Books:
    """What a tenant's own country and state ids add to the transforms."""

    countries: CountryBook = field(default_factory=CountryBook)
    states: StateBook = field(default_factory=StateBook)


@dataclass(frozen=True)
class Options:
    """What the mapping file gives beside the transform's name."""

    table: Mapping[str, Value] = field(default_factory=dict)
    value: Value = None
    books: Books = field(default_factory=Books)


@dataclass(frozen=True)
class TransformKind:
    """`shortest` and `longest` count the arguments. `resizable`: its one argument is a length."""

    build: Callable[[list[str], Options], Transform]
    describes: Callable[..., Transform]
    signature: str
    shortest: int = 0
    longest: int = 0
    resizable: bool = False

    @property
    def summary(self) -> str:
        return (self.describes.__doc__ or "").strip()


def _length(arguments: list[str], otherwise: int = 1) -> int:
    return _whole(arguments[0], 1, 4000) if arguments else otherwise


def _whole(text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or not least <= int(text) <= most:
        raise ValueError(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)


def _decimal(arguments: list[str]) -> Transform:
    if arguments[1:] and arguments[1] not in _ROUNDING_NAMES:
        raise ValueError(f"{arguments[1]!r} is not one of {', '.join(_ROUNDING_NAMES)}")
    return transforms.decimal_(_whole(arguments[0], 0, 12), *arguments[1:])


KINDS: dict[str, TransformKind] = {
    "direct": TransformKind(lambda _, __: transforms.direct(), transforms.direct, "direct"),
    "cut": TransformKind(
        lambda a, _: transforms.cut(_length(a)), transforms.cut, "cut(length)", 1, 1, True
    ),
    "cut_lines": TransformKind(
        lambda a, _: transforms.cut_lines(_length(a)),
        transforms.cut_lines, "cut_lines(length)", 1, 1, True,
    ),
    "upper": TransformKind(lambda _, __: transforms.upper(), transforms.upper, "upper"),
    "country": TransformKind(
        lambda _, o: codes.country(o.books.countries), codes.country, "country"
    ),
    "state": TransformKind(
        lambda a, o: codes.state(_length(a, 10), o.books.states, o.books.countries),
        codes.state, "state", 0, 1, True,
    ),
    "currency": TransformKind(lambda _, __: codes.currency(), codes.currency, "currency"),
    "phone": TransformKind(
        lambda a, _: transforms.phone(_length(a, 255)), transforms.phone, "phone", 0, 1, True
    ),
    "url": TransformKind(
        lambda a, _: transforms.url(_length(a, 255)), transforms.url, "url", 0, 1, True
    ),
    "decimal": TransformKind(
        lambda a, _: _decimal(a), transforms.decimal_, "decimal(places, rounding)", 1, 2
    ),
    "number": TransformKind(lambda _, __: transforms.number(), transforms.number, "number"),
    "no_yes": TransformKind(lambda _, __: transforms.no_yes(), transforms.no_yes, "no_yes"),
    "date": TransformKind(lambda _, __: transforms.date(), transforms.date, "date"),
    "map": TransformKind(
        lambda _, o: transforms.mapped(o.table), transforms.mapped, "map"
    ),
    "constant": TransformKind(
        lambda _, o: transforms.constant(o.value), transforms.constant, "constant"
    ),
    "salesforce_id": TransformKind(
        lambda _, __: codes.salesforce_id(), codes.salesforce_id, "salesforce_id"
    ),
}  # fmt: skip


def build(call: str, options: Options | None = None) -> Transform:
    """The transform of a name such as `cut(60)`. Raises ValueError that says what would be right."""
    match = _CALL.fullmatch(call)
    kind = KINDS.get(match.group(1)) if match else None
    if match is None or kind is None:
        raise ValueError(f"unknown transform {call!r}; use one of {', '.join(sorted(KINDS))}")
    arguments = [part.strip() for part in (match.group(2) or "").split(",") if part.strip()]
    if not kind.shortest <= len(arguments) <= kind.longest:
        raise ValueError(f"{call!r} has {len(arguments)} argument(s); write {kind.signature}")
    return kind.build(arguments, options or Options())


def resized(transform: Transform, length: int, options: Options) -> Transform:
    """The same transform cutting to another length; unchanged if it does not cut."""
    kind = KINDS.get(transform.kind)
    return kind.build([str(length)], options) if kind and kind.resizable else transform
