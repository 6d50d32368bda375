"""The built-in lines of a table with what the tenant's mapping file changes, adds or removes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from integration.errors import ConfigurationError
from integration.mapping import transforms
from integration.mapping.registry import Books, Options, build, resized
from integration.mapping.tables import FieldRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.mapping.customisation import FieldEntry
    from integration.mapping.entities import Entity


def tenant_rules(
    entity: Entity,
    rules: Iterable[FieldRule],
    entries: Mapping[str, FieldEntry],
    books: Books,
    *,
    id_field: tuple[str, str],
) -> tuple[FieldRule, ...]:
    """`id_field`: the custom field with the Salesforce id, and the setting that names it.

    Raises ConfigurationError if the mapping file maps that field.
    """
    name, setting = id_field
    clash = [target for target in entries if target.lower() == name.lower()]
    if clash:
        raise ConfigurationError(
            [
                f"mapping file: {entity.section}.fields.{target}: duplicate target, it holds the"
                f" Salesforce id ({setting}); remove the table"
                for target in clash
            ]
        )
    built_in = {rule.target: rule for rule in rules}
    kept = [
        _changed(rule, entries[target], books) if target in entries else rule
        for target, rule in built_in.items()
        if not (target in entries and entries[target].remove)
    ]
    added = [
        _changed(_new_rule(entity, target), entry, books)
        for target, entry in entries.items()
        if target not in built_in.keys() | entity.built_in and not entry.remove
    ]
    return (*kept, *added)


def _new_rule(entity: Entity, target: str) -> FieldRule:
    return FieldRule((), target, transforms.direct(), max_length=entity.lengths.get(target))


def _changed(rule: FieldRule, entry: FieldEntry, books: Books) -> FieldRule:
    """The rule with the keys the mapping file gives; all others stay."""
    options = Options(entry.table or {}, entry.value, books)
    transform = rule.transform
    if entry.transform:
        transform = build(entry.transform, options)
    elif entry.source and not transform.uses_source:
        transform = transforms.default(transform.empty, transforms.direct())
    if entry.max_length:
        transform = resized(transform, entry.max_length, options)
    if entry.default is not None:
        transform = transforms.default(entry.default, transform)
    source: str | tuple[str, ...] = rule.source if entry.source is None else entry.source
    if not transform.uses_source:
        source = ()
    return replace(
        rule,
        source=source,
        transform=transform,
        owner=entry.owner or rule.owner,
        on=entry.on or rule.on,
        max_length=entry.max_length or rule.max_length,
        compare=entry.compare or rule.compare,
        required=rule.required if entry.required is None else entry.required,
        beside=entry.beside or rule.beside,
        note=rule.note if entry.note is None else entry.note,
    )
