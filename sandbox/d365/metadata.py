"""`/metadata/*` (JSON) and `/data/$metadata` (CSDL): what a client can learn about the model.

`IsMandatory` here is the business rule, while `Nullable` in CSDL is false only for keys and value types
(F&O contract 2.1).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import quoteattr

from sandbox.d365.errors import no_route, not_found
from sandbox.d365.filters import parse_filter
from sandbox.d365.model import Entity, Enum, Model, Property
from sandbox.d365.predicates import compile_filter
from sandbox.d365.store import Row

NAMESPACE = "Microsoft.Dynamics.DataEntities"
_BY_NAME = re.compile(r"(\w+)\('([^']+)'\)")
_VALUE_KINDS = ("decimal", "int32", "int64", "date", "datetime", "guid")
_DATA_TYPES = {
    "string": "String",
    "decimal": "Real",
    "int32": "Int32",
    "int64": "Int64",
    "date": "Date",
    "datetime": "UtcDateTime",
    "guid": "Guid",
    "boolean": "Boolean",
}


def read_metadata(
    model: Model, path: str, options: dict[str, str], base_url: str
) -> dict[str, Any]:
    """Serves a path below `/metadata/`; raises `ODataError`."""
    text = unquote(path)
    by_name = _BY_NAME.fullmatch(text)
    set_name = by_name[1] if by_name else text
    sources = {
        "DataEntities": _data_entities,
        "PublicEntities": _public_entities,
        "PublicEnumerations": _public_enumerations,
    }
    if set_name not in sources:
        raise no_route(f"{base_url}/metadata/{path}")
    rows = sources[set_name](model)
    where = f"{base_url}/metadata/$metadata#{set_name}"
    if by_name:
        for row in rows:
            if row["Name"] == by_name[2]:
                return {"@odata.context": f"{where}/$entity", **row}
        raise not_found()
    if "$filter" in options:
        rows = _filtered(set_name, rows, options["$filter"])
    if "$select" in options:
        names = [name.strip() for name in options["$select"].split(",")]
        rows = [{name: row[name] for name in names if name in row} for row in rows]
    return {"@odata.context": where, "value": rows}


def _filtered(set_name: str, rows: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    kinds = {
        name: "boolean" if isinstance(value, bool) else "string"
        for name, value in (rows[0] if rows else {}).items()
        if isinstance(value, bool | str)
    }
    properties = {name: Property(name, kind, "") for name, kind in kinds.items()}
    entity = Entity(set_name, set_name, set_name, "", "", ("Name",), properties, set_name)
    matches = compile_filter(entity, parse_filter(text))
    return [row for row in rows if matches(Row(row, 0, 0))]


def _data_entities(model: Model) -> list[dict[str, Any]]:
    return [
        {
            "Name": entity.aot_name,
            "PublicEntityName": entity.type_name,
            "PublicCollectionName": entity.set_name,
            "LabelId": entity.label,
            "DataServiceEnabled": entity.public,
            "DataManagementEnabled": True,
            "EntityCategory": "Transaction" if entity.sequence else "Reference",
            "IsReadOnly": entity.read_only,
        }
        for entity in model.entities.values()
    ]


def _public_entities(model: Model) -> list[dict[str, Any]]:
    return [
        {
            "Name": entity.type_name,
            "LabelId": entity.label,
            "EntitySetName": entity.set_name,
            "IsReadOnly": entity.read_only,
            "ConfigurationEnabled": True,
            "Properties": [_public_property(prop) for prop in entity.properties.values()],
            "NavigationProperties": [
                {
                    "Name": navigation.name,
                    "RelatedEntity": model.entities[navigation.target_set].type_name,
                    "RelatedRelationName": entity.type_name,
                    "Cardinality": "Multiple" if navigation.many else "Single",
                    "Constraints": [
                        {"Property": name, "ReferencedProperty": name} for name in navigation.on
                    ],
                }
                for navigation in entity.navigations.values()
            ],
            "PropertyGroups": [],
            "Actions": [],
        }
        for entity in model.entities.values()
        if entity.public
    ]


def _public_property(prop: Property) -> dict[str, Any]:
    return {
        "Name": prop.name,
        "TypeName": prop.edm,
        "DataType": _DATA_TYPES.get(prop.kind, "Enum"),
        "LabelId": prop.label,
        "IsKey": prop.is_key,
        "IsMandatory": prop.mandatory,
        "ConfigurationEnabled": True,
        "AllowEdit": prop.editable,
        "AllowEditOnCreate": prop.editable_on_create,
        "IsDimension": False,
        "DimensionRelation": None,
        "IsDynamicDimension": False,
        "DimensionLegalEntityProperty": None,
        "DimensionTypeProperty": None,
    }


def _public_enumerations(model: Model) -> list[dict[str, Any]]:
    return [
        {
            "Name": enum.name,
            "LabelId": enum.name,
            "Members": [
                {"Name": member, "Value": value, "LabelId": member, "ConfigurationEnabled": True}
                for value, member in enumerate(enum.members)
            ],
        }
        for enum in model.enums.values()
    ]


def service_document(model: Model, base_url: str) -> dict[str, Any]:
    return {
        "@odata.context": f"{base_url}/data/$metadata",
        "value": [
            {"name": name, "kind": "EntitySet", "url": name}
            for name, entity in sorted(model.entities.items())
            if entity.public
        ],
    }


def csdl(model: Model) -> str:
    """The schema as XML; property lengths stay out, as in F&O."""
    enums = "".join(_csdl_enum(enum) for enum in model.enums.values())
    types = "".join(_csdl_type(model, entity) for entity in model.entities.values())
    sets = "".join(_csdl_set(each) for each in model.entities.values() if each.public)
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">'
        "<edmx:DataServices>"
        f'<Schema Namespace="{NAMESPACE}" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        f'{enums}{types}<EntityContainer Name="Resources">{sets}</EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    )


def _csdl_enum(enum: Enum) -> str:
    members = "".join(
        f'<Member Name={quoteattr(name)} Value="{value}"/>'
        for value, name in enumerate(enum.members)
    )
    return f"<EnumType Name={quoteattr(enum.name)}>{members}</EnumType>"


def _csdl_type(model: Model, entity: Entity) -> str:
    keys = "".join(f"<PropertyRef Name={quoteattr(name)}/>" for name in entity.key)
    properties = "".join(
        f"<Property Name={quoteattr(prop.name)} Type={quoteattr(prop.edm)}"
        + (' Nullable="false"/>' if prop.is_key or prop.kind in _VALUE_KINDS else "/>")
        for prop in entity.properties.values()
    )
    navigations = ""
    for navigation in entity.navigations.values():
        target = f"{NAMESPACE}.{model.entities[navigation.target_set].type_name}"
        kind = f"Collection({target})" if navigation.many else target
        navigations += (
            f"<NavigationProperty Name={quoteattr(navigation.name)} Type={quoteattr(kind)}/>"
        )
    return (
        f"<EntityType Name={quoteattr(entity.type_name)}><Key>{keys}</Key>{properties}{navigations}"
        "</EntityType>"
    )


def _csdl_set(entity: Entity) -> str:
    bindings = "".join(
        f'<NavigationPropertyBinding Path="{n.name}" Target="{n.target_set}"/>'
        for n in entity.navigations.values()
    )
    kind = quoteattr(f"{NAMESPACE}.{entity.type_name}")
    return f"<EntitySet Name={quoteattr(entity.set_name)} EntityType={kind}>{bindings}</EntitySet>"
