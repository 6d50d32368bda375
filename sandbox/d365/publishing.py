"""What OData shows of the model: entities that are not public, read-only ones, columns that are missing.

`{"WarehousesOnHandV2": {"public": false}, "ContactPersons.SalesforceContactId": {"hidden": true},
"CustomersV3.SalesDistrict": {"mandatory": true}}`, as after a forgotten extension or another version. F&O's
own rules and packages go on with the whole model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.d365.model import Entity, Model

Changes = dict[str, dict[str, Any]]
_OF_SETS = {"public", "read_only"}
_OF_COLUMNS = {"hidden", "mandatory", "editable", "editable_on_create"}


def published(model: Model, changes: Changes) -> Model:
    """Raises ValueError for a name that is none."""
    entities = dict(model.entities)
    for name, change in changes.items():
        set_name, _, column = name.partition(".")
        entity = entities.get(set_name)
        if entity is None or (column and column not in entity.properties):
            raise ValueError(f"there is no {name}")
        if unknown := set(change) - (_OF_COLUMNS if column else _OF_SETS):
            raise ValueError(f"{name} has no {', '.join(sorted(unknown))}")
        entities[set_name] = (
            _column(entity, column, change) if column else replace(entity, **change)
        )
    return replace(model, entities=entities)


def _column(entity: Entity, name: str, change: dict[str, Any]) -> Entity:
    properties = dict(entity.properties)
    if change.get("hidden"):
        del properties[name]
    else:
        values = {key: value for key, value in change.items() if key != "hidden"}
        properties[name] = replace(properties[name], **values)
    return replace(entity, properties=properties)
