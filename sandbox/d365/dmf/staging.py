"""From the cells of a data file to the values of staging fields (F&O contract 6.4).

What a staging table cannot hold stops here, before any rule of the target is asked.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox.d365.dmf.executions import Crash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.d365.dmf.entities import PackageEntity
    from sandbox.d365.dmf.manifest import MappedColumn
    from sandbox.d365.model import Enum, Property

Parser = Callable[[str], Any]

_BITS = {"int32": 31, "int64": 63}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
_INTEGER = re.compile(r"[+-]?\d+")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_YEARS = range(1900, 2155)  # what an X++ date can hold
# Beside ISO: the data sources' language is en-us
_TIMES = ("%m/%d/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p")


class Unstaged(Exception):
    """A row does not fit into staging; `field` may be empty."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Staging:
    """Turns rows of one file into values by property name.

    Raises Crash for a mapping that the entity or the file's first row does not fit: the engine ends
    before staging then.
    """

    def __init__(
        self,
        entity: PackageEntity,
        header: Sequence[str],
        columns: Sequence[MappedColumn],
        enums: Mapping[str, Enum],
    ) -> None:
        places = {name: place for place, name in enumerate(header)}
        self._width = len(header)
        self._plan: list[tuple[int, str, Parser]] = []
        self.auto_generated: set[str] = set()  # property names
        fields = entity.fields
        for column in columns:
            if column.field == "DATAAREAID":
                continue  # the run has its company (F&O contract 6.1)
            prop = fields.get(column.field)
            if prop is None:
                raise Crash(f"{entity.label} has no staging field {column.field}")
            if column.auto_generated:
                self.auto_generated.add(prop.name)
            if column.header in places:
                self._plan.append((places[column.header], prop.name, parser(prop, enums)))
            elif not column.auto_generated:
                raise Crash(f"0xC0010009: column {column.header} is mapped but not in the file")

    def stage(self, cells: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Values of the filled cells, and the names of the empty ones; raises Unstaged."""
        if len(cells) != self._width:
            raise Unstaged("", f"The row has {len(cells)} columns instead of {self._width}.")
        values: dict[str, Any] = {}
        empty: list[str] = []
        for place, name, parse in self._plan:
            cell = cells[place]
            if cell:
                values[name] = parse(cell)
            else:
                empty.append(name)
        return values, empty


def parser(prop: Property, enums: Mapping[str, Enum]) -> Parser:
    """A function from a filled cell to the stored value; it raises Unstaged."""
    if prop.kind == "string":
        return _text(prop)
    if prop.kind == "decimal":
        return _pattern(prop, _NUMBER, _decimal)
    if prop.kind in _BITS:
        limit = 2 ** _BITS[prop.kind]
        return _pattern(prop, _INTEGER, lambda cell: _bounded(prop, int(cell), limit))
    if prop.kind in ("date", "datetime"):
        return lambda cell: _time(prop, cell)
    if prop.kind == "boolean":
        return _member(prop, {"true": True, "1": True, "yes": True, "false": False, "0": False})
    if prop.kind == "guid":
        return _pattern(
            prop, re.compile(r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?"), str
        )
    return _enum(prop, enums[prop.kind])


def _text(prop: Property) -> Parser:
    length = prop.length

    def parse(cell: str) -> str:
        if len(cell) > length:
            reason = f"is longer than {length} characters and would be truncated."
            raise Unstaged(prop.name.upper(), f"The value in field '{prop.label}' {reason}")
        return cell

    return parse


def _pattern(prop: Property, pattern: re.Pattern[str], convert: Parser) -> Parser:
    def parse(cell: str) -> Any:
        if not pattern.fullmatch(cell):
            raise _unreadable(prop, cell)
        return convert(cell)

    return parse


def _decimal(cell: str) -> int | float:
    return float(cell) if "." in cell else int(cell)


def _bounded(prop: Property, value: int, limit: int) -> int:
    if not -limit <= value < limit:
        raise _unreadable(prop, str(value))
    return value


def _time(prop: Property, cell: str) -> str:
    value = _moment(cell)
    if value is None or value.year not in _YEARS:
        raise _unreadable(prop, cell)
    if prop.kind == "date":
        return f"{value.date().isoformat()}T12:00:00Z"
    if value.tzinfo is not None:
        value = value.astimezone(datetime.UTC)
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(cell: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(cell)
    except ValueError:
        pass
    for form in _TIMES:
        try:
            return datetime.datetime.strptime(cell, form).replace(tzinfo=datetime.UTC)
        except ValueError:
            continue
    return None


def _enum(prop: Property, enum: Enum) -> Parser:
    """By name or label (F&O contract 6.4), whatever the case."""
    known = {member.lower(): member for member in enum.members}
    known |= {_label(member).lower(): member for member in enum.members}
    parse = _member(prop, known)
    if not enum.open:
        return parse
    return lambda cell: (
        known.get(cell.lower()) or (cell if _IDENTIFIER.fullmatch(cell) else parse(cell))
    )


def _member(prop: Property, known: Mapping[str, Any]) -> Parser:
    def parse(cell: str) -> Any:
        try:
            return known[cell.lower()]
        except KeyError:
            raise _unreadable(prop, cell) from None

    return parse


def _label(member: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", member)


def _unreadable(prop: Property, cell: str) -> Unstaged:
    reason = f"The value '{cell[:60]}' in field '{prop.label}' cannot be converted to {prop.kind}."
    return Unstaged(prop.name.upper(), reason)
