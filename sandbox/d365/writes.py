"""POST, PATCH and DELETE in the order X++ runs them (F&O contract 2.7).

Create: set fields, validateField, defaultRow, validateWrite, write. Update: the same on the stored
row. Delete: restricted-delete check, delete. What only some entities do lives in `rules`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import (
    bad_request,
    field_refused,
    nothing_to_update,
    stale_etag,
    unknown_property,
    update_conflict,
    write_failed,
)
from sandbox.d365.model import COMPANY, Entity
from sandbox.d365.rules import RULES, Rules, Write
from sandbox.d365.values import from_json, normal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment
    from sandbox.d365.store import Key, Row

_NO_RULES = Rules()


def create(
    environment: Environment, entity: Entity, body: Mapping[str, Any], default_company: str
) -> Row:
    """Inserts a row and returns it; raises `ODataError`."""
    given = _fields(environment, entity, body)
    company = default_company
    if entity.per_company:
        company = (given.get(COMPANY) or default_company).lower()
        if company not in environment.companies:
            reason = f"Warning: Company '{company}' does not exist."
            raise write_failed(entity.aot_name, [reason])
        given[COMPANY] = company
    write = Write(environment, entity, company, dict(given), given=given)
    rules = RULES.get(entity.storage, _NO_RULES)
    for name in given:
        _validate_field(write, name)
    _number(write)
    rules.default_row(write)
    _validate_write(write, rules)
    table = environment.store.table(entity)
    key = table.key_of(write.values)
    if key in table.rows:
        raise _already_exists(write, entity.key[-1])
    _check_unique_indexes(write, None)
    row = environment.store.insert(table, write.stored())
    rules.after_write(write)
    return table.rows.get(key, row)


def update(
    environment: Environment,
    entity: Entity,
    key: Key | None,
    body: Mapping[str, Any],
    if_match: str | None,
) -> Row:
    """Changes the given fields of a row; `key` None means it is missing or in another company."""
    given = _fields(environment, entity, body)
    table = environment.store.table(entity)
    old = table.rows.get(key) if key else None
    if key is None or old is None:
        raise nothing_to_update()
    if entity.read_only:
        raise bad_request(f"The entity '{entity.set_name}' is read-only.")
    _check_version(environment, old, if_match)
    if environment.pending_conflicts.get(entity.set_name, 0) > 0:
        environment.pending_conflicts[entity.set_name] -= 1
        raise update_conflict(entity.aot_name, entity.table_label)
    company = old.values.get(COMPANY, environment.default_company)
    write = Write(environment, entity, company, {**old.values}, given=given, old=old)
    rules = RULES.get(entity.storage, _NO_RULES)
    for name, value in given.items():
        if normal(value) == normal(write.get(name)) and not entity.properties[name].editable:
            continue
        write.values[name] = value
        _validate_field(write, name)
    rules.default_row(write)
    _validate_write(write, rules)
    _check_unique_indexes(write, key)
    environment.store.update(table, key, write.stored())
    rules.after_write(write)
    return table.rows[key]


def delete(environment: Environment, entity: Entity, key: Key | None, if_match: str | None) -> None:
    table = environment.store.table(entity)
    old = table.rows.get(key) if key else None
    if key is None or old is None:
        raise nothing_to_update()
    if entity.read_only:
        raise bad_request(f"The entity '{entity.set_name}' is read-only.")
    _check_version(environment, old, if_match)
    company = old.values.get(COMPANY, environment.default_company)
    write = Write(environment, entity, company, dict(old.values), given={}, old=old)
    rules = RULES.get(entity.storage, _NO_RULES)
    rules.before_delete(write)
    environment.store.delete(table, key)
    rules.after_delete(write)


def _fields(environment: Environment, entity: Entity, body: Mapping[str, Any]) -> dict[str, Any]:
    """Property values of a body in stored form; annotations such as `@odata.type` are skipped."""
    given = {}
    for name, value in body.items():
        if "@" in name:
            continue
        if name in entity.navigations:
            raise bad_request(f"Deep insert is not supported: '{name}' is a navigation property.")
        prop = entity.properties.get(name)
        if prop is None:
            raise unknown_property(entity.type_name, name)
        given[name] = from_json(prop, value, environment.model.enums)
    if entity.read_only:
        raise bad_request(f"The entity '{entity.set_name}' is read-only.")
    return given


def _validate_field(write: Write, name: str) -> None:
    entity, value = write.entity, write.values[name]
    prop = entity.properties[name]
    if write.old is None:
        allowed = prop.editable_on_create or normal(value) == normal(prop.default)
    else:
        allowed = prop.editable
    if not allowed:
        raise field_refused(entity.aot_name, name, f"Field '{prop.label}' does not allow editing.")
    if prop.kind != "string" or not value:
        return
    if len(value) > prop.length:
        reason = f"The value in field '{prop.label}' is longer than {prop.length} characters."
        raise field_refused(entity.aot_name, name, reason)
    reference = entity.reference_of.get(name)
    if reference is None:
        return
    target = write.environment.store.tables[reference.target_set]
    key = (write.company, value) if target.entity.per_company else (value,)
    if write.environment.store.get(reference.target_set, *key) is None:
        reason = (
            f"The value '{value}' in field '{prop.label}' is not found in the related table"
            f" '{target.entity.label}'."
        )
        raise field_refused(entity.aot_name, name, reason)


def _number(write: Write) -> None:
    """Gives a new row its number, or checks that the client may bring one."""
    sequence = write.entity.sequence
    if sequence is None:
        return
    if not write.get(sequence.field):
        write.set(sequence.field, write.environment.next_number(write.entity, write.company))
    elif not write.environment.manual_numbers_allowed(write.entity, write.company):
        label = write.entity.properties[sequence.field].label
        reason = f"The number sequence of '{label}' does not allow manual numbers."
        raise field_refused(write.entity.aot_name, sequence.field, reason)


def _validate_write(write: Write, rules: Rules) -> None:
    entity = write.entity
    missing = [
        f"Warning: Field '{prop.label}' must be filled in."
        for prop in entity.mandatory
        if not write.get(prop.name)
    ]
    missing += [f"Warning: {reason}" for reason in rules.validate_write(write)]
    if missing:
        failed = f"Warning: validateWrite failed on data source '{entity.table} ({entity.table})'"
        raise write_failed(entity.aot_name, [*missing, failed])


def _check_unique_indexes(write: Write, own_key: Key | None) -> None:
    store, entity = write.environment.store, write.entity
    table = store.table(entity)
    for index in write.environment.settings.unique_indexes:
        set_name, _, name = index.partition(".")
        value = write.get(name) if set_name == entity.storage else None
        if not value:
            continue
        for row in table.find(name, value):
            if row.values.get(COMPANY) == write.company and table.key_of(row.values) != own_key:
                raise _already_exists(write, name)


def _already_exists(write: Write, name: str) -> Exception:
    entity = write.entity
    reason = (
        f"Error: Cannot create a record in {entity.table_label}. {entity.properties[name].label}:"
        f" {write.get(name)}. The record already exists."
    )
    status = write.environment.settings.duplicate_status
    return write_failed(entity.aot_name, [reason], status)


def _check_version(environment: Environment, row: Row, if_match: str | None) -> None:
    if if_match in (None, "*") or not environment.settings.if_match_enforced:
        return
    if row.etag not in [tag.strip() for tag in if_match.split(",")]:
        raise stale_etag()
