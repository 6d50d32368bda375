"""The columns of an ingest job: resolved once, so that a row is a few calls of prepared converters.

Names are field names or `Relationship.ExternalIdField`, in any case. An empty cell is left alone, `#N/A`
clears the field; values are otherwise read by the converters of the REST API (Salesforce contract 3.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import values
from sandbox.salesforce.bulk.jobs import JobFailed
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from sandbox.salesforce.schema import Field, ObjectType
    from sandbox.salesforce.store import Store

CLEAR = "#N/A"
Convert = Callable[[str], Any]
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_XSD = {"currency": "double", "percent": "double", "datetime": "dateTime"}


@dataclass(frozen=True)
class Column:
    index: int
    field: Field
    convert: Convert
    """A cell that is not empty → the value the field stores; raises ApiError."""


@dataclass(frozen=True)
class Header:
    """`id` is the place of the Id column, -1 where there is none."""

    names: list[str]
    columns: list[Column]
    id: int

    def values(
        self, *, creating: bool, without: Field | None = None
    ) -> Callable[[list[str]], dict[str, Any]]:
        """What turns a row's cells into everything the row writes, as `values.clean` does."""
        columns = [c for c in self.columns if without is None or c.field is not without]
        free = [c for c in columns if (c.field.createable if creating else c.field.updateable)]
        given = [(c.index, c.field.name, c.convert) for c in free]
        fixed = [(c.index, c.field.name) for c in columns if c not in free]

        def read(cells: list[str]) -> dict[str, Any]:
            found = {}
            for index, name, convert in given:
                text = cells[index]
                if text:
                    found[name] = convert(text)
            if fixed and (refused := [name for index, name in fixed if cells[index]]):
                raise values.not_writable(refused, creating=creating)
            return found

        return read

    def of(self, field: Field) -> Column | None:
        return next((c for c in self.columns if c.field is field), None)


def read_header(store: Store, obj: ObjectType, names: list[str]) -> Header:
    """Raises JobFailed for a name that is no column of the object."""
    columns, seen, at = [], set(), -1
    for index, name in enumerate(names):
        relationship, dot, key = name.partition(".")
        lookup = obj.relationships.get(relationship.lower()) if dot else None
        field = lookup if dot else obj.find(name)
        if field is None:
            raise _unknown(name)
        if field.name in seen:
            raise JobFailed(f"InvalidBatch : Duplicate field name found : {name}")
        seen.add(field.name)
        if lookup is not None:
            convert = _by_parent_key(store, lookup, key, name, index)
        elif field.name == "Id":
            at = index
            continue
        else:
            convert = _converter(store, field, index)
        columns.append(Column(index, field, convert))
    return Header(names, columns, at)


def _unknown(name: str) -> JobFailed:
    return JobFailed(f"InvalidBatch : Field name not found : {name}")


def _by_parent_key(store: Store, lookup: Field, key: str, name: str, index: int) -> Convert:
    target = store.tables[lookup.to or ""]
    key_field = target.obj.find(key)
    if key_field is None or not key_field.upsert_key:
        raise _unknown(name)

    def convert(text: str) -> str | None:
        if text == CLEAR:
            return None
        found = target.ids_with(key_field, values.key_text(key_field, text))
        if len(found) == 1:
            return found[0]
        return values.by_external_id(store, lookup, {key_field.name: text})  # says what is wrong

    return convert


def _converter(store: Store, field: Field, index: int) -> Convert:
    def plain(text: str) -> Any:
        try:
            return values.convert(store, field, None if text == CLEAR else text)
        except ApiError as error:
            if error.problems[0].code != "JSON_PARSER_ERROR":
                raise
            raise _wrong_type(field, index, text) from error

    if field.type in ("double", "currency", "percent"):
        return _number(field, plain)
    if field.type == "boolean":
        return _boolean(field, index)
    if field.type == "reference":
        rows = store.tables[field.to or ""].rows
        return lambda text: text if text in rows else plain(text)
    return plain


def _number(field: Field, plain: Convert) -> Convert:
    # Most numbers are within the field's digits: rounding would not change them.
    whole, scale = field.precision - field.scale, field.scale
    fits = re.compile(
        rf"-?\d{{1,{whole}}}(?:\.\d{{1,{scale}}})?" if scale else rf"-?\d{{1,{whole}}}"
    )
    test = fits.fullmatch

    def convert(text: str) -> Any:
        return float(text) if test(text) and text.isascii() else plain(text)

    return convert


def _boolean(field: Field, index: int) -> Convert:
    def convert(text: str) -> bool:
        found = _BOOLEANS.get(text.lower())
        if found is None and text != CLEAR:
            raise _wrong_type(field, index, text)
        return bool(found)

    return convert


def _wrong_type(field: Field, index: int, text: str) -> ApiError:
    kind = _XSD.get(field.type, field.type)
    return ApiError.of(
        "INVALID_FIELD",
        f"Failed to deserialize field at col {index}. Due to, '{text}' is not a valid value for the "
        f"type xsd:{kind}",
        field.name,
    )
