"""What a `$filter` says about where in an order its rows lie: a lower and an upper bound.

Bounds only narrow a walk; the whole filter is still asked for every row. A bound is a prefix of
(company, value) or (value,) in lower case; the empty tuple means no bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.d365.model import COMPANY
from sandbox.d365.values import normal

if TYPE_CHECKING:
    from sandbox.d365.filters import Node

Bound = tuple[str, ...]
_LAST = "\U0010ffff"


def bounds(node: Node | None, name: str, *, by_company: bool) -> tuple[Bound, Bound | None]:
    """The least and, where there is one, the greatest entry of an order that can match."""
    if node is None:
        return (), None
    return _low(node, name, by_company), _high(node, name, by_company) or None


def _terms(node: Node, name: str) -> tuple[str, str] | None:
    """(operator, value) of a comparison of the property with a text that is no wildcard."""
    match node:
        case ("cmp", operator, ("prop", found), ("lit", "Edm.String", value)):
            if found == name and operator != "ne" and "*" not in value:
                return operator, normal(value)
    return None


def _low(node: Node, name: str, by_company: bool) -> Bound:
    term = _terms(node, COMPANY if by_company else name)
    if term is not None:
        operator, value = term
        if operator in ("lt", "le"):
            return ()
        return (value, _LAST) if by_company and operator == "gt" else (value,)
    match node:
        case ("all", parts):
            return max(
                [_low(part, name, by_company) for part in parts]
                + [_inside(parts, name, by_company, "g")]
            )
        case ("any", parts):
            return min(_low(part, name, by_company) for part in parts)
    return ()


def _high(node: Node, name: str, by_company: bool) -> Bound:
    """() means none; a bound includes everything that begins with it."""
    term = _terms(node, COMPANY if by_company else name)
    if term is not None:
        operator, value = term
        return () if operator in ("gt", "ge") else (value,)
    match node:
        case ("all", parts):
            found = [_high(part, name, by_company) for part in parts]
            found.append(_inside(parts, name, by_company, "l"))
            return min((bound for bound in found if bound), key=_reach, default=())
        case ("any", parts):
            found = [_high(part, name, by_company) for part in parts]
            return max(found, key=_reach) if all(found) else ()
    return ()


def _reach(bound: Bound) -> Bound:
    """Upper bounds compare by the last entry they include."""
    return (*bound, _LAST)


def _inside(parts: list[Node], name: str, by_company: bool, side: str) -> Bound:
    """`dataAreaId eq 'usmf' and CustomerAccount gt 'x'`: both parts of the order are bound."""
    if not by_company:
        return ()
    companies = [term[1] for part in parts if (term := _terms(part, COMPANY)) and term[0] == "eq"]
    values = [
        term[1]
        for part in parts
        if (term := _terms(part, name)) and (term[0] == "eq" or term[0].startswith(side))
    ]
    if len(companies) != 1 or not values:
        return ()
    return (companies[0], max(values) if side == "g" else min(values))
