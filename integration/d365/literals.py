"""How a Python value is written inside an OData URL: filter literals and record keys.

One encoder for all of them, because the rules differ by type and a wrong one is silent: text is quoted
with `'` doubled, numbers and times are bare, enums carry their type (F&O contract 2.2, 2.3). Values for
request bodies and from answers are in `values`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from integration import exact_json
from integration.errors import Misconfigured, RecordRejected

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "Microsoft.Dynamics.DataEntities"
COMPANY = "dataAreaId"


@dataclass(frozen=True, slots=True)
class Enum:
    """A member of an X++ enum. In filters F&O wants the type with it, in bodies only the name."""

    type: str
    member: str

    def __post_init__(self) -> None:
        odata_name(self.type)
        odata_name(self.member)


def yes_no(flag: bool) -> Enum:
    """X++ has no boolean column: switches are the enum `NoYes`."""
    return Enum("NoYes", "Yes" if flag else "No")


Value = str | int | Decimal | bool | date | datetime | UUID | Enum
KeyValue = str | int | Decimal | date | datetime | UUID


def odata_name(name: str) -> str:
    """`name`, if it can be a property, set, action or enum name; names also come from settings and the
    mapping file. Raises Misconfigured otherwise."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise Misconfigured(f"{name!r} is not a name F&O could know", system="d365")
    return name


def decimal_text(value: Decimal) -> str:
    """All digits, never an exponent. Raises RecordRejected for NaN, infinities and absurd sizes."""
    try:
        return exact_json.decimal_text(value)
    except ValueError as error:
        raise RecordRejected(str(error), reason="number", system="d365") from error


def instant(value: date | datetime) -> str:
    """An X++ date is noon UTC on the wire, so that no time zone moves it (F&O contract 2.5)."""
    if not isinstance(value, datetime):
        return f"{value.isoformat()}T12:00:00Z"
    if value.tzinfo is None:
        raise TypeError("a datetime for F&O needs its time zone")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def literal(value: Value) -> str:
    """The literal as it stands in `$filter`, not yet percent-encoded.

    Raises RecordRejected for text with `*`, which F&O would take as a wildcard (F&O contract 2.2).
    """
    if isinstance(value, str):
        if "*" in value:
            raise RecordRejected(
                "F&O reads '*' in a compared text as a wildcard, so this value cannot be looked up",
                reason="wildcard",
                system="d365",
            )
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, date):
        return instant(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return f"{NAMESPACE}.{value.type}'{value.member}'"
    raise TypeError(f"{type(value).__name__} has no OData literal")


class Key:
    """Every key field of one record: `Key(dataAreaId="usmf", CustomerAccount="US-001")`.

    Immutable, hashable, equal whatever the order of the fields and the case of the company.
    """

    __slots__ = ("_parts",)

    def __init__(self, **parts: KeyValue) -> None:
        """Raises RecordRejected: a part has no value (`""` is one), holds `*`, or is no finite number."""
        if not parts:
            raise TypeError("a key has at least one field")
        for name, value in parts.items():
            odata_name(name)
            if value is None:
                raise RecordRejected(f"key field {name} is empty", reason="key", system="d365")
            literal(value)
        if isinstance(company := parts.get(COMPANY), str):
            parts[COMPANY] = company.lower()
        self._parts: dict[str, KeyValue] = parts

    @classmethod
    def of(cls, record: Mapping[str, Any], *names: str) -> Key:
        """The key made of `names` of a record that F&O answered or that is about to be created."""
        parts: dict[str, Any] = {name: record.get(name) for name in names}
        return cls(**parts)

    @property
    def parts(self) -> dict[str, KeyValue]:
        return dict(self._parts)

    def __getitem__(self, name: str) -> KeyValue:
        return self._parts[name]

    def encoded(self) -> str:
        """`dataAreaId='usmf',CustomerAccount='US-001'`, percent-encoded; leading blanks are data."""
        return ",".join(f"{name}={_key_literal(value)}" for name, value in self._parts.items())

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether `record` is the one asked for, as far as it holds key fields.

        F&O compares text without regard to case and trailing blanks, so this does too.
        """
        return all(
            _same(value, record[name]) for name, value in self._parts.items() if name in record
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(frozenset(self._parts.items()))

    def __repr__(self) -> str:
        return f"Key({', '.join(f'{name}={value!r}' for name, value in self._parts.items())})"


def _key_literal(value: KeyValue) -> str:
    text = literal(value)
    # The colon of a time stays, the quotes around a text stay; everything inside is encoded.
    return f"'{quote(text[1:-1], safe='')}'" if isinstance(value, str) else quote(text, safe=":")


def _same(asked: KeyValue, answered: Any) -> bool:
    if isinstance(asked, str):
        return (
            isinstance(answered, str) and asked.rstrip().casefold() == answered.rstrip().casefold()
        )
    if isinstance(asked, datetime):
        return isinstance(answered, str) and datetime.fromisoformat(answered) == asked
    if isinstance(asked, date):
        return isinstance(answered, str) and answered[:10] == asked.isoformat()
    if isinstance(asked, UUID):
        return isinstance(answered, str) and UUID(answered) == asked
    return bool(asked == answered)
