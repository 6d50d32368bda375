"""Mistakes of an administrator, switched on: fields that are hidden, missing, or made otherwise.

`{"Contact.Department": {"hidden": true}, "Product2.D365_Item_Number__c": {"external": false}}`. They hold for
everybody, as if the field had no permission set at all; rows keep what they hold.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.salesforce.schema import Field, ObjectType

Changes = dict[str, dict[str, Any]]
HIDDEN = "hidden"


def changed(objects: Mapping[str, ObjectType], changes: Changes) -> dict[str, ObjectType]:
    """The objects with their changes. Raises ValueError for a name that is none."""
    result = dict(objects)
    for name, change in changes.items():
        object_name, _, field_name = name.partition(".")
        obj = result.get(object_name)
        if obj is None or field_name not in obj.fields:
            raise ValueError(f"there is no field {name}")
        kept = dict(obj.fields)
        if change.get(HIDDEN):
            del kept[field_name]
        else:
            kept[field_name] = _field(kept[field_name], change)
        result[object_name] = replace(obj, fields=kept, _lower={})
    return result


def _field(field: Field, change: Mapping[str, Any]) -> Field:
    known = {each.name for each in fields(field)}
    if unknown := set(change) - known - {HIDDEN}:
        raise ValueError(f"a field has no {', '.join(sorted(unknown))}")
    values = {name: value for name, value in change.items() if name != HIDDEN}
    if values.get("external") is False:
        values.setdefault("id_lookup", False)  # an External ID is a key because it is one
    return replace(field, **values)
