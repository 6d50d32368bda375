"""Finds the rows a read asks for, in its order, without looking at more of a table than it must.

Three ways, the first that fits: the rows an index names (`eq` terms), a walk along the sorted values of an
index (`$orderby` and ranges), all rows. Rows come lazily, so a page of a big table costs a page.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import TYPE_PREFIX, bad_query
from sandbox.d365.filters import node_count, parse_filter
from sandbox.d365.model import COMPANY
from sandbox.d365.predicates import candidates, compile_filter
from sandbox.d365.ranges import bounds
from sandbox.d365.values import normal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sandbox.d365.environment import Environment
    from sandbox.d365.filters import Node
    from sandbox.d365.model import Entity
    from sandbox.d365.store import Row, Table

Order = list[tuple[str, bool]]  # property and whether it descends
# So many rows found through `eq` terms are sorted rather than looked for along an order
_FEW = 5_000


def matching(
    environment: Environment, entity: Entity, options: dict[str, str], company: str | None
) -> Iterator[Row]:
    """Rows of one company or (None) all; without `$orderby` in an order that is stable, no more.

    Raises `ODataError` for a wrong option at once and for an arithmetic mistake at the row it meets.
    """
    table = environment.store.table(entity)
    order = _ordering(entity, options.get("$orderby", ""))
    node = _filter(options.get("$filter"), environment.settings.filter_node_limit)
    predicate = compile_filter(entity, node) if node is not None else None
    if company is not None and entity.per_company:
        predicate = _in_company(company, predicate)
    keys = candidates(table, node) if node is not None else None
    rows: Iterable[Row] | None = None
    if keys is None or (order and len(keys) > _FEW):
        walked = _walk(table, entity, order, node)
        if walked is not None:
            return _checked(walked, predicate)
    rows = table.rows.values() if keys is None else [table.rows[key] for key in keys]
    if not order:
        return _checked(rows, predicate)
    return iter(_sorted(entity, order, _checked(rows, predicate)))


def known_property(entity: Entity, name: str) -> None:
    """Raises `ODataError` 400 for a name the entity does not have."""
    if name not in entity.properties:
        raise bad_query(
            f"Could not find a property named '{name}' on type '{TYPE_PREFIX}{entity.type_name}'."
        )


def _filter(text: str | None, limit: int) -> Node | None:
    if text is None:
        return None
    node = parse_filter(text)
    if limit and node_count(node) > limit:
        raise bad_query(
            f"The node count limit of '{limit}' has been exceeded. To increase the limit, set the"
            " 'MaxNodeCount' property on EnableQueryAttribute or ODataValidationSettings."
        )
    return node


def _in_company(company: str, predicate: Callable[[Row], bool] | None) -> Callable[[Row], bool]:
    def check(row: Row) -> bool:
        return normal(row.values.get(COMPANY)) == company and (predicate is None or predicate(row))

    return check


def _checked(rows: Iterable[Row], predicate: Callable[[Row], bool] | None) -> Iterator[Row]:
    if predicate is None:
        yield from rows
        return
    try:
        for row in rows:
            if predicate(row):
                yield row
    except ArithmeticError as error:
        raise bad_query(f"The filter cannot be calculated: {error}.") from error


def _walk(table: Table, entity: Entity, order: Order, node: Node | None) -> Iterator[Row] | None:
    """Rows along a sorted index that has the wanted order or, without one, the range of the filter."""
    if order:
        by_company = order[0][0] == COMPANY and len(order) > 1
        leading = order[: 1 + by_company]
        if any(descending for _, descending in leading):
            return None
        return _along(table, entity, leading[-1][0], by_company, order[1 + by_company :], node)
    if node is None:
        return None
    for name in table.indexes:
        if bounds(node, name, by_company=False) != ((), None):
            found = _along(table, entity, name, False, [], node)
            if found is not None:
                return found
    return None


def _along(
    table: Table, entity: Entity, name: str, by_company: bool, rest: Order, node: Node | None
) -> Iterator[Row] | None:
    ordered = table.ordered(name, by_company=by_company)
    if ordered is None:
        return None
    low, high = bounds(node, name, by_company=by_company)

    def rows() -> Iterator[Row]:
        stored = table.rows
        for _, keys in ordered.walk(low, high):
            if len(keys) > 1 and rest:
                yield from _sorted(entity, rest, [stored[key] for key in keys])
            else:
                for key in keys:
                    yield stored[key]

    return rows()


def _ordering(entity: Entity, text: str) -> Order:
    order = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, direction = item.partition(" ")
        direction = direction.strip().lower()
        if direction not in ("", "asc", "desc"):
            raise bad_query(f"Syntax error in '$orderby={text}'.")
        known_property(entity, name)
        order.append((name, direction == "desc"))
    return order


def _sorted(entity: Entity, order: Order, rows: Iterable[Row]) -> list[Row]:
    found = list(rows)
    for name, descending in reversed(order):
        found.sort(key=partial(_sort_key, name, entity.defaults[name]), reverse=descending)
    return found


def _sort_key(name: str, default: Any, row: Row) -> tuple[bool, Any]:
    value = row.values.get(name, default)
    return (value is not None, value.lower() if isinstance(value, str) else value)
