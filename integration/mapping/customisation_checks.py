"""What the parts of a mapping file mean together: checked on the raw file, so that one mistyped key
hides no other mistake. What has the wrong shape is passed over here; the models report it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from integration.mapping import customers
from integration.mapping.countries import CountryBook

if TYPE_CHECKING:
    from collections.abc import Iterator

_TARGET = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_ONE_WAY = frozenset({"country", "state", "salesforce_id", "constant"})


def problems_of_the_whole(raw: dict[str, Any]) -> Iterator[str]:
    """Every contradiction, as `table.key: problem; what to do`."""
    yield from _companies(_table(raw, "companies"), _book(raw))
    yield from _states(_table(raw, "states"), _book(raw))
    fields = _table(_table(raw, "accounts"), "fields")
    yield from _targets(fields)
    for target, entry in fields.items():
        if isinstance(entry, dict) and target not in customers.NOT_MAPPABLE:
            for problem in _entry(target, entry):
                yield f"accounts.fields.{target}{problem}"


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


def _targets(fields: dict[str, Any]) -> Iterator[str]:
    built_in = {name.lower(): name for name in customers.BUILT_IN | customers.NOT_MAPPABLE}
    seen: dict[str, str] = {}
    for target in fields:
        place = f"accounts.fields.{target}"
        if not _TARGET.fullmatch(target):
            yield f"{place}: not a field name; use the OData name of a CustomersV3 field"
        elif target in customers.NOT_MAPPABLE:
            yield f"{place}: is set by the app; remove the table"
        elif built_in.get(target.lower(), target) != target:
            yield f"{place}: duplicate target; write it as {built_in[target.lower()]}"
        elif target.lower() in seen:
            yield f"{place}: duplicate target, the same as {seen[target.lower()]}; keep one"
        seen.setdefault(target.lower(), target)


def _entry(target: str, entry: dict[str, Any]) -> Iterator[str]:
    if entry.get("remove") is True:
        if target not in customers.BUILT_IN:
            yield ".remove: only a built-in field can be removed; delete the table instead"
        elif target in customers.MANDATORY:
            yield ".remove: F&O needs this field for every customer; keep it"
        if len(entry) > 1:
            yield ".remove: the other keys have no effect; delete them or remove"
        return
    yield from _completeness(target, entry)
    if entry.get("owner") == "d365":
        yield from _going_back(entry)


def _completeness(target: str, entry: dict[str, Any]) -> Iterator[str]:
    text = entry.get("transform")
    kind = text.split("(")[0].strip() if isinstance(text, str) else ""
    new = target not in customers.BUILT_IN
    if new and kind != "constant" and not entry.get("source"):
        yield ': needs source; name the Account field, or use transform = "constant"'
    if kind == "constant" and entry.get("source"):
        yield ".source: a constant has none; delete it or use another transform"
    for key, needed in (("table", "map"), ("value", "constant"), ("beside", "state")):
        if kind == needed and key not in entry and (new or key != "beside"):
            yield f".{key}: transform {needed} needs it"
        if key in entry and kind != needed and not (key == "beside" and target == "AddressState"):
            yield f'.{key}: only transform {needed} uses it; delete it or set transform = "{needed}"'
    if kind == "constant" and "default" in entry:
        yield ".default: a constant is never empty; delete it"
    length = entry.get("max_length", customers.LENGTHS.get(target))
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


def _going_back(entry: dict[str, Any]) -> Iterator[str]:
    source, text = entry.get("source"), entry.get("transform")
    kind = text.split("(")[0].strip() if isinstance(text, str) else "direct"
    if not isinstance(source, str) and not (isinstance(source, list) and len(source) == 1):
        yield ".source: a field F&O owns goes back to one Account field; name exactly one"
    if kind in _ONE_WAY:
        yield f".transform: {kind} cannot go back to Salesforce; use another"
    for key in ("on", "default", "required"):
        if key in entry:
            yield f".{key}: has no effect on a field F&O owns; delete it"
