"""GET of one row and of many: company scope, query options, paging (F&O contract 2.2-2.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from sandbox.d365.errors import TYPE_PREFIX, bad_query
from sandbox.d365.matching import known_property, matching
from sandbox.d365.store import Row, Table
from sandbox.d365.urls import is_cross_company, number_option
from sandbox.d365.values import normal

if TYPE_CHECKING:
    from sandbox.d365.environment import Environment
    from sandbox.d365.model import Entity, Navigation

Json = dict[str, Any]
Project = Callable[[Row], Json]

_EXPAND_ITEM = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*(?:,|\Z)")


def rows_of(
    environment: Environment, entity: Entity, options: dict[str, str], company: str | None
) -> list[Row]:
    """All matching rows in `$orderby` order; `company` None means all companies."""
    return list(matching(environment, entity, options, company))


def read_many(
    environment: Environment,
    entity: Entity,
    options: dict[str, str],
    *,
    company: str,
    base_url: str,
    page_limit: int | None = None,
) -> Json:
    """The answer to a collection read, with `@odata.count` and `@odata.nextLink` where they apply."""
    project = projection(environment, entity, options)
    scope = None if is_cross_company(options) else company
    rows: Iterable[Row] = matching(environment, entity, options, scope)
    skip, top = number_option(options, "$skip") or 0, number_option(options, "$top")
    page_size = min(environment.settings.page_size, page_limit or environment.settings.page_size)
    answer: Json = {"@odata.context": context(base_url, entity, options)}
    if options.get("$count", "").lower() == "true":
        rows = list(rows)
        answer["@odata.count"] = len(rows)
    wanted = page_size + 1 if top is None else min(top, page_size + 1)
    selected = list(islice(rows, skip, skip + wanted))
    answer["value"] = [project(row) for row in selected[:page_size]]
    if len(selected) > page_size:
        following = {**options, "$skip": str(skip + page_size)}
        if top is not None:
            following["$top"] = str(top - page_size)
        query = urlencode(following, quote_via=quote, safe="$,'()")
        answer["@odata.nextLink"] = f"{base_url}/data/{entity.set_name}?{query}"
    return answer


def context(base_url: str, entity: Entity, options: dict[str, str], *, single: bool = False) -> str:
    select = options.get("$select", "")
    columns = f"({select})" if select and select != "*" else ""
    return f"{base_url}/data/$metadata#{entity.set_name}{columns}{'/$entity' if single else ''}"


def projection(environment: Environment, entity: Entity, options: dict[str, str]) -> Project:
    """A function that writes a row as the JSON object the options ask for."""
    names = _selected(entity, options.get("$select", ""))
    expansions = [
        (navigation, projection(environment, target, inner), environment.store.table(target))
        for navigation, target, inner in _expansions(environment, entity, options)
    ]
    defaults = entity.defaults
    columns = None if names is None else [(name, defaults[name]) for name in names]
    has_hidden = len(defaults) < len(environment.store.table(entity).entity.defaults)

    def project(row: Row) -> Json:
        values = row.values
        answer: Json = {"@odata.etag": row.etag}
        if columns is not None:
            for name, default in columns:
                answer[name] = values.get(name, default)
        elif has_hidden:
            for name, default in defaults.items():
                answer[name] = values.get(name, default)
        else:
            answer.update(defaults)
            answer.update(values)
        for navigation, write, table in expansions:
            found = [write(other) for other in related(entity, navigation, row, table)]
            answer[navigation.name] = found if navigation.many else next(iter(found), None)
        return answer

    return project


def related(entity: Entity, navigation: Navigation, row: Row, table: Table) -> list[Row]:
    """Rows a navigation property leads to."""
    wanted = {n: normal(row.values.get(n, entity.defaults[n])) for n in navigation.on}
    other = table.entity.defaults
    indexed = next((name for name in wanted if name in table.indexes), None)
    rows: Sequence[Row] = (
        table.find(indexed, wanted[indexed]) if indexed else list(table.rows.values())
    )
    return [
        candidate
        for candidate in rows
        if all(normal(candidate.values.get(n, other[n])) == text for n, text in wanted.items())
    ]


def _selected(entity: Entity, text: str) -> list[str] | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or "*" in names:
        return None
    for name in names:
        if name not in entity.navigations:
            known_property(entity, name)
    return [name for name in names if name in entity.properties]


def _expansions(
    environment: Environment, entity: Entity, options: dict[str, str]
) -> list[tuple[Navigation, Entity, dict[str, str]]]:
    """First level only; inside the parentheses only `$select` (contract 2.2)."""
    text, position, found = options.get("$expand", ""), 0, []
    while position < len(text):
        match = _EXPAND_ITEM.match(text, position)
        if match is None:
            raise bad_query(
                f"'$expand={text}' is not supported: only the first level can be expanded."
            )
        navigation = entity.navigations.get(match[1])
        if navigation is None:
            raise bad_query(
                f"Could not find a property named '{match[1]}' on type"
                f" '{TYPE_PREFIX}{entity.type_name}'."
            )
        inner = {}
        for option in filter(None, (match[2] or "").split(";")):
            name, _, value = option.strip().partition("=")
            if name != "$select":
                raise bad_query(f"The option '{name}' is not supported inside $expand.")
            inner[name] = value
        found.append((navigation, environment.model.entities[navigation.target_set], inner))
        position = match.end()
    return found
