"""What the parts of a mapping file mean together: checked on the raw file, so that one mistyped key
hides no other mistake. What has the wrong shape is passed over here; the models report it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from integration.mapping import contact_persons, customers
from integration.mapping.countries import CountryBook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.mapping.entities import Entity

_TARGET = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_ENTITIES = (customers.ENTITY, contact_persons.ENTITY)
_ONE_WAY = frozenset({"country", "state", "salesforce_id", "constant"})


def problems_of_the_whole(raw: dict[str, Any]) -> Iterator[str]:
    """Every contradiction, as `table.key: problem; what to do`."""
    yield from _companies(_table(raw, "companies"), _book(raw))
    yield from _states(_table(raw, "states"), _book(raw))
    for entity in _ENTITIES:
        fields = _table(_table(raw, entity.section), "fields")
        yield from _targets(entity, fields)
        for target, entry in fields.items():
            if isinstance(entry, dict) and target not in entity.not_mappable:
                for problem in _entry(entity, target, entry):
                    yield f"{entity.section}.fields.{target}{problem}"


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _book(raw: dict[str, Any]) -> CountryBook:
    ids = _table(_table(raw, "countries"), "ids")
    return CountryBook(ids={key: value for key, value in ids.items() if isinstance(value, str)})


def _companies(companies: dict[str, Any], book: CountryBook) -> Iterator[str]:
    if companies.get("table") and not companies.get("field"):
        yield "companies.table: needs field; name the Account field the table is for"
    seen: dict[str, str] = {}
    for country in _table(companies, "by_country"):
        found = book.id_of(country)
        if found is None:
            yield f"companies.by_country.{country}: not a known country; use an ISO code"
        elif found in seen:
            yield f"companies.by_country.{country}: the same country as {seen[found]}; keep one"
        else:
            seen[found] = country


def _states(states: dict[str, Any], book: CountryBook) -> Iterator[str]:
    for country in states:
        if book.iso_of(country) is None:
            yield f"states.{country}: not a known country; use an ISO code"
    seen: dict[str | None, str] = {}
    for country in states:
        iso = book.iso_of(country)
        if iso and iso in seen:
            yield f"states.{country}: the same country as {seen[iso]}; put both in one table"
        seen.setdefault(iso, country)


def _targets(entity: Entity, fields: dict[str, Any]) -> Iterator[str]:
    built_in = {name.lower(): name for name in entity.built_in | entity.not_mappable}
    seen: dict[str, str] = {}
    for target in fields:
        place = f"{entity.section}.fields.{target}"
        if not _TARGET.fullmatch(target):
            yield f"{place}: not a field name; use the OData name of a {entity.entity_set} field"
        elif target in entity.not_mappable:
            yield f"{place}: is set by the app; remove the table"
        elif built_in.get(target.lower(), target) != target:
            yield f"{place}: duplicate target; write it as {built_in[target.lower()]}"
        elif target.lower() in seen:
            yield f"{place}: duplicate target, the same as {seen[target.lower()]}; keep one"
        seen.setdefault(target.lower(), target)


def _entry(entity: Entity, target: str, entry: dict[str, Any]) -> Iterator[str]:
    if entry.get("remove") is True:
        if target not in entity.built_in:
            yield ".remove: only a built-in field can be removed; delete the table instead"
        elif target in entity.mandatory:
            yield f".remove: F&O needs this field for every {entity.record}; keep it"
        if len(entry) > 1:
            yield ".remove: the other keys have no effect; delete them or remove"
        return
    yield from _completeness(entity, target, entry)
    if entry.get("owner") == "d365":
        yield from _going_back(entity, entry)


def _completeness(entity: Entity, target: str, entry: dict[str, Any]) -> Iterator[str]:
    text = entry.get("transform")
    kind = text.split("(")[0].strip() if isinstance(text, str) else ""
    new = target not in entity.built_in
    if new and kind != "constant" and not entry.get("source"):
        yield f': needs source; name the {entity.source_object} field, or use transform = "constant"'
    if kind == "constant" and entry.get("source"):
        yield ".source: a constant has none; delete it or use another transform"
    for key, needed in (("table", "map"), ("value", "constant"), ("beside", "state")):
        if kind == needed and key not in entry and (new or key != "beside"):
            yield f".{key}: transform {needed} needs it"
        if key in entry and kind != needed and not (key == "beside" and target == entity.state):
            yield f'.{key}: only transform {needed} uses it; delete it or set transform = "{needed}"'
    if kind == "constant" and "default" in entry:
        yield ".default: a constant is never empty; delete it"
    length = entry.get("max_length", entity.lengths.get(target))
    if type(length) is not int or length < 1:
        return
    for key in ("default", "value"):
        if isinstance(entry.get(key), str) and len(entry[key]) > length:
            yield f".{key}: longer than the field's {length} characters; shorten it"
    for key, result in _table(entry, "table").items():
        if isinstance(result, str) and len(result) > length:
            yield f".table.{key}: longer than the field's {length} characters; shorten it"
    cut = (
        re.fullmatch(r"\s*(?:cut|cut_lines|phone|url|state)\(\s*(\d{1,4})\s*\)\s*", text or "")
        if isinstance(text, str)
        else None
    )
    if cut and int(cut.group(1)) > length:
        yield (
            f".transform: cuts to {cut.group(1)}, above the field's {length} characters;"
            " lower it or set max_length"
        )


def _going_back(entity: Entity, entry: dict[str, Any]) -> Iterator[str]:
    source, text = entry.get("source"), entry.get("transform")
    kind = text.split("(")[0].strip() if isinstance(text, str) else "direct"
    if not isinstance(source, str) and not (isinstance(source, list) and len(source) == 1):
        yield f".source: a field F&O owns goes back to one {entity.source_object} field; name exactly one"
    if kind in _ONE_WAY:
        yield f".transform: {kind} cannot go back to Salesforce; use another"
    for key in ("on", "default", "required"):
        if key in entry:
            yield f".{key}: has no effect on a field F&O owns; delete it"
