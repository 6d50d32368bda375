"""Splits what follows `/data/` into entity set, key and the rest, and parses query options.

Paths arrive percent-encoded, so that an encoded slash inside a key stays in its segment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

from sandbox.d365.errors import bad_query

if TYPE_CHECKING:
    from sandbox.d365.model import Entity, Property
    from sandbox.d365.store import Row

_SEGMENT = re.compile(r"([A-Za-z_]\w*)(?:\((.*)\))?", re.DOTALL)
_KEY_PART = re.compile(
    r"\s*(?:([A-Za-z_]\w*)\s*=\s*)?('(?:[^']|'')*'|[^',\s]+)\s*(,|\Z)", re.DOTALL
)
_KNOWN_OPTIONS = {"$filter", "$select", "$orderby", "$top", "$skip", "$count", "$expand", "$format"}


@dataclass(frozen=True)
class Address:
    """`CustomersV3(dataAreaId='usmf',…)/Rest`; `key` is the raw text inside the parentheses."""

    set_name: str
    key: str | None
    rest: tuple[str, ...]


def parse_address(path: str) -> Address | None:
    """None when the path has no readable form."""
    first, *rest = [unquote(segment) for segment in path.strip("/").split("/")]
    match = _SEGMENT.fullmatch(first)
    if match is None:
        return None
    return Address(match[1], match[2], tuple(rest))


def parse_key(entity: Entity, text: str) -> tuple[Any, ...] | None:
    """Key values in the entity's order; None unless every part is named once and well formed.

    All key fields are required, in any order; a single key may stand without its name (contract 2.3).
    """
    given: dict[str, Any] = {}
    position = 0
    while position < len(text) or not given:
        match = _KEY_PART.match(text, position)
        if match is None or (match[3] == "," and match.end() == len(text)):
            return None
        name = match[1] or (entity.key[0] if len(entity.key) == 1 else "")
        if name in given or name not in entity.key:
            return None
        value = _key_value(entity.properties[name], match[2])
        if value is None:
            return None
        given[name] = value
        position = match.end()
    return tuple(given[name] for name in entity.key) if len(given) == len(entity.key) else None


def _key_value(prop: Property, token: str) -> Any:
    if prop.kind == "string":
        return token[1:-1].replace("''", "'") if token.startswith("'") else None
    if token.startswith("'"):
        return None
    if prop.kind in ("int32", "int64"):
        return int(token) if re.fullmatch(r"-?\d+", token) else None
    return token


def key_text(entity: Entity, row: Row) -> str:
    """The canonical `(name='value',…)` of a row, percent-encoded."""
    parts = []
    for name in entity.key:
        value = row.values.get(name, entity.defaults[name])
        if isinstance(value, str) and entity.properties[name].kind == "string":
            text = "'" + value.replace("'", "''") + "'"
        else:
            text = str(value)
        parts.append(f"{name}={quote(text, safe=chr(39) + ':')}")
    return f"({','.join(parts)})"


def parse_options(query: str) -> dict[str, str]:
    """Query options; unknown `$` options are refused, custom ones such as cross-company pass."""
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name.startswith("$") and name not in _KNOWN_OPTIONS:
            raise bad_query(f"The query parameter '{name}' is not supported.")
        if name in options:
            raise bad_query(f"Query option '{name}' was specified more than once.")
        options[name] = value
    return options


def is_cross_company(options: dict[str, str]) -> bool:
    return options.get("cross-company", "").lower() == "true"


def number_option(options: dict[str, str], name: str) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise bad_query(f"Invalid value '{text}' for {name} query option found.")
    return int(text)
