"""Route templates of HTTP triggers, as ASP.NET routing understands them.

`items/{item_number}`, `files/{*path}`, `page/{number:int?}`. Literals match in any case; the most
specific template wins; a route that is known for other methods only is a 404 (host issue 10098).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from .worker import Function

_PARAMETER = re.compile(r"\{(\*{0,2})(\w+)((?::[^}?=]+)*)(?:=([^}]*))?(\?)?\}")
_SLASH = re.compile(r"(%2[fF])")
_CONSTRAINTS = {
    "int": r"[+-]?\d+",
    "long": r"[+-]?\d+",
    "decimal": r"[+-]?\d+(?:\.\d+)?",
    "double": r"[+-]?\d+(?:\.\d+)?",
    "float": r"[+-]?\d+(?:\.\d+)?",
    "bool": r"(?:true|false)",
    "alpha": r"[a-z]+",
    "guid": r"\{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\}?",
}


class RouteError(ValueError):
    """A route template uses something the local host does not know."""


@dataclass(frozen=True)
class Route:
    """One HTTP function: its pattern, methods (empty = all), auth level and default values."""

    function: Function
    template: str
    pattern: re.Pattern[str]
    methods: frozenset[str]
    auth_level: str
    defaults: dict[str, str]
    rank: tuple[int, ...]

    def match(self, method: str, raw_path: str) -> dict[str, str] | None:
        """Route parameters for a percent-encoded path, or None when the route does not apply."""
        if self.methods and method not in self.methods:
            return None
        found = self.pattern.fullmatch(raw_path.strip("/"))
        if found is None:
            return None
        given = {k: _decode(v) for k, v in found.groupdict().items() if v}
        return {**self.defaults, **given}


def _decode(value: str) -> str:
    """Percent-decodes a parameter but leaves %2F, as ASP.NET does."""
    return "".join(part if part.lower() == "%2f" else unquote(part) for part in _SLASH.split(value))


def build_routes(functions: list[Function], prefix: str) -> list[Route]:
    """The routes of all HTTP functions, most specific first. Raises RouteError."""
    routes = [
        _route(f, f.trigger, prefix) for f in functions if f.trigger_type.lower() == "httptrigger"
    ]
    return sorted(routes, key=lambda route: route.rank)


def _route(function: Function, trigger: dict[str, Any], prefix: str) -> Route:
    template = str(trigger.get("route") or function.name).strip("/")
    full = f"{prefix}/{template}".strip("/")
    pattern = ""
    rank: list[int] = []
    defaults: dict[str, str] = {}
    for segment in full.split("/"):
        text, weight, optional = _segment(segment, defaults)
        separator = "/" if pattern else ""
        pattern += f"(?:{separator}{text})?" if optional else f"{separator}{text}"
        rank.append(weight)
    methods = frozenset(str(m).upper() for m in trigger.get("methods") or ())
    level = str(trigger.get("authLevel") or "FUNCTION").lower()
    compiled = re.compile(pattern, re.IGNORECASE)
    return Route(function, full, compiled, methods, level, defaults, tuple(rank))


def _segment(segment: str, defaults: dict[str, str]) -> tuple[str, int, bool]:
    """Pattern of one segment, its rank (literal 0 … catch-all 4) and whether it may be absent."""
    pattern, position, weight, optional = "", 0, 0, False
    for match in _PARAMETER.finditer(segment):
        stars, name, constraints, default, question = match.groups()
        pattern += re.escape(segment[position : match.start()])
        value = ".+" if stars else "[^/]+"
        for constraint in filter(None, constraints.split(":")):
            if constraint not in _CONSTRAINTS:
                raise RouteError(f"route constraint ':{constraint}' is not known to the local host")
            value = _CONSTRAINTS[constraint]
        if default is not None:
            defaults[name] = default
        optional = optional or bool(question or stars or default is not None)
        weight = max(weight, 4 if stars else 2 if constraints else 3)
        pattern += f"(?P<{name}>{value})"
        position = match.end()
    rest = segment[position:]
    if "{" in rest or "}" in rest:
        raise RouteError(f"route segment '{segment}' cannot be read")
    if pattern and (rest or not segment.startswith("{")):
        weight = 1
    return pattern + re.escape(rest), weight, optional
