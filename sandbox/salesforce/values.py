"""Turns the JSON of a write into stored values, or says why it cannot be stored.

Order of the checks: unknown field, not writable, wrong JSON type, too long, bad picklist value, bad
reference (Salesforce contracts 2.1, 2.2 and 2.11). Lookups may be given by an external id of the
parent: `"Account": {"D365_Customer_Number__c": "C-1"}`.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import clock, ids
from sandbox.salesforce.errors import (
    ApiError,
    no_such_column,
    should_not_be_specified,
    wrong_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.salesforce.schema import Field, ObjectType
    from sandbox.salesforce.store import Store, Table

_EMAIL = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+\.[^\s@,;<>.]+")


def clean(
    store: Store, obj: ObjectType, body: Mapping[str, Any], *, creating: bool
) -> dict[str, Any]:
    """Field name → stored value (None for null) of everything the body writes."""
    result: dict[str, Any] = {}
    refused: list[str] = []
    for name, value in body.items():
        if name == "attributes":
            continue
        if name.lower() == "id":
            raise should_not_be_specified("Id")
        lookup = obj.relationships.get(name.lower())
        field = lookup or obj.find(name)
        if field is None:
            raise no_such_column(name, obj.name)
        if not (field.createable if creating else field.updateable):
            refused.append(field.name)
        elif lookup is not None:
            result[field.name] = by_external_id(store, lookup, value)
        else:
            result[field.name] = convert(store, field, value)
    if refused:
        raise not_writable(refused, creating=creating)
    return result


def not_writable(names: list[str], *, creating: bool) -> ApiError:
    return ApiError.of(
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        f"Unable to {'create' if creating else 'update'} fields: {', '.join(names)}. Please check "
        "the security settings of this field and verify that it is read/write for your profile or "
        "permission set.",
        *names,
    )


def key_text(field: Field, value: Any) -> Any:
    """An upsert key as its field stores it; text is trimmed, numbers are numbers."""
    if field.name == "Id" or field.type == "reference":
        return ids.normalise(value) or value
    return value.strip() if isinstance(value, str) else str(value)


def convert(store: Store, field: Field, value: Any) -> Any:
    """A JSON value or the text of a CSV cell as the field stores it; None clears the field."""
    if value is None or (value == "" and field.type != "boolean"):
        return False if field.type == "boolean" else None
    if field.is_text:
        return _text(field, value)
    if field.type in ("double", "currency", "percent", "int"):
        return _number(field, value)
    if field.type == "reference":
        return _reference(store, field, value)
    return _OTHERS[field.type](value)


def _text(field: Field, value: Any) -> str | None:
    if isinstance(value, (dict, list, bool)):
        raise wrong_json("string", value)
    text = str(value).strip()
    if len(text) > field.length:
        raise ApiError.of(
            "STRING_TOO_LONG",
            f"{field.label}: data value too large: {text} (max length={field.length})",
            field.name,
        )
    if field.restricted and text not in field.values:
        raise ApiError.of(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            f"{field.label}: bad value for restricted picklist field: {text}",
            field.name,
        )
    if field.type == "email" and text and not _EMAIL.fullmatch(text):
        raise ApiError.of(
            "INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", field.name
        )
    return text or None


def _number(field: Field, value: Any) -> float | int:
    if isinstance(value, (bool, dict, list)):
        raise wrong_json(field.type, value)
    try:
        number = Decimal(str(value))
    except InvalidOperation as exc:
        raise wrong_json(field.type, value) from exc
    if not number.is_finite() or abs(number) >= Decimal(10) ** (field.precision - field.scale):
        raise ApiError.of(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{field.label}: value outside of valid range on numeric field: {value}",
            field.name,
        )
    if field.type == "int":
        if number != number.to_integral_value():
            raise wrong_json("int", value)
        return int(number)
    return float(number.quantize(Decimal(1).scaleb(-field.scale), rounding=ROUND_HALF_UP))


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise wrong_json("boolean", value)


def _moment(kind: str, parse: Callable[[str], str | None]) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        found = parse(value) if isinstance(value, str) else None
        if found is None:
            raise wrong_json(kind, value)
        return found

    return convert


_OTHERS: dict[str, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "date": _moment("date", clock.parse_date),
    "datetime": _moment("datetime", clock.parse_datetime),
}


def _reference(store: Store, field: Field, value: Any) -> str:
    record_id = ids.normalise(value)
    target = _target(store, field)
    if record_id is None or record_id[:3] != target.obj.prefix:
        raise ApiError.of(
            "MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", field.name
        )
    if record_id in target.bin:
        raise ApiError.of("ENTITY_IS_DELETED", "entity is deleted")
    if record_id not in target.rows:
        raise ApiError.of("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    return record_id


def by_external_id(store: Store, field: Field, value: Any) -> str | None:
    """The parent's id that `{"D365_Customer_Number__c": "C-1"}` stands for."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_json("sobject", value)
    keys = {name: key for name, key in value.items() if name != "attributes"}
    target = _target(store, field)
    if len(keys) != 1:
        raise ApiError.of(
            "INVALID_FIELD", f"Exactly one external id field is needed for {field.relationship}"
        )
    ((name, key),) = keys.items()
    key_field = target.obj.find(name)
    if key_field is None:
        raise no_such_column(name, target.obj.name)
    if not key_field.upsert_key:
        raise ApiError.of("INVALID_FIELD", f"{name} is not an external id of {target.obj.name}")
    found = target.ids_with(key_field, key_text(key_field, key))
    if len(found) != 1:
        reason = "not found" if not found else "matches more than one record"
        raise ApiError.of(
            "INVALID_FIELD",
            f"Foreign key external ID: {key} {reason} for field {key_field.name} in entity "
            f"{target.obj.name}",
        )
    return found[0]


def _target(store: Store, field: Field) -> Table:
    assert field.to is not None
    return store.tables[field.to]
