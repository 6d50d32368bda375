"""Describe answers with the full key list of recorded ones (Salesforce contract 2.5)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.schema import NUMBER_TYPES, Field, ObjectType, Schema

if TYPE_CHECKING:
    from sandbox.salesforce.api import Api

_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
}
_READ_ONLY = ("Organization", "OpportunityStage")


def add_routes(api: Api) -> None:
    api.route("GET sobjects", all_objects)
    api.route("GET sobjects/{object}", one_object)
    api.route("GET sobjects/{object}/describe", describe)


def all_objects(api: Api, call: Call) -> Answer:
    found = [_head(o, call.base) for o in api.org.schema.objects.values()]
    return Answer(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": found})


def one_object(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[1])
    rows = list(api.org.store.tables[obj.name].rows.values())[-10:]
    recent = [
        {
            "attributes": {"type": obj.name, "url": f"{call.base}/sobjects/{obj.name}/{row['Id']}"},
            "Id": row["Id"],
            "Name": row.get("Name"),
        }
        for row in reversed(rows)
    ]
    return Answer(200, {"objectDescribe": _head(obj, call.base), "recentItems": recent})


def describe(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[1])
    since = datetime.fromisoformat(api.org.schema_since).astimezone(UTC)
    if asked := call.headers.get("if-modified-since"):
        try:
            unchanged = parsedate_to_datetime(asked) >= since
        except ValueError:
            unchanged = False
        if unchanged:
            return Answer(304)
    headers = {"last-modified": format_datetime(since, usegmt=True)}
    return Answer(200, full(api.org.schema, obj, call.base), headers)


def full(schema: Schema, obj: ObjectType, base: str) -> dict[str, Any]:
    head = _head(obj, base)
    more = {
        "actionOverrides": [],
        "childRelationships": [
            {
                "cascadeDelete": field.cascade,
                "childSObject": child.name,
                "deprecatedAndHidden": False,
                "field": field.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": field.children,
                "restrictedDelete": False,
            }
            for child, field in schema.children(obj)
        ],
        "compactLayoutable": True,
        "fields": [_field(obj, field) for field in obj.fields.values()],
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": [
            {
                "active": True,
                "available": True,
                "defaultRecordTypeMapping": True,
                "developerName": "Master",
                "master": True,
                "name": "Master",
                "recordTypeId": "012000000000000AAA",
                "urls": {
                    "layout": f"{base}/sobjects/{obj.name}/describe/layouts/012000000000000AAA"
                },
            }
        ],
        "searchLayoutable": True,
        "supportedScopes": [{"label": f"All {obj.plural}", "name": "everything"}],
    }
    return dict(sorted({**head, **more}.items()))


def _head(obj: ObjectType, base: str) -> dict[str, Any]:
    writable = obj.name not in _READ_ONLY
    url = f"{base}/sobjects/{obj.name}"
    return {
        "activateable": False,
        "createable": writable,
        "custom": obj.custom,
        "customSetting": False,
        "deletable": writable and obj.name != "User",
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": False,
        "isSubtype": False,
        "keyPrefix": obj.prefix,
        "label": obj.label,
        "labelPlural": obj.plural,
        "layoutable": True,
        "mergeable": obj.name in ("Account", "Contact"),
        "mruEnabled": True,
        "name": obj.name,
        "queryable": True,
        "replicateable": True,
        "retrieveable": True,
        "searchable": True,
        "triggerable": writable,
        "undeletable": writable,
        "updateable": writable,
        "urls": {
            "describe": f"{url}/describe",
            "rowTemplate": url + "/{ID}",
            "sobject": url,
        },
    }


def _field(obj: ObjectType, field: Field) -> dict[str, Any]:
    kind = field.type
    text = field.is_text or kind in ("id", "reference")
    number = kind in NUMBER_TYPES and kind != "int"
    defaulted = field.default is not None or field.name == "OwnerId"
    reference = kind == "reference"
    return {
        "aggregatable": field.filterable and kind != "boolean",
        "aiPredictionField": False,
        "autoNumber": False,
        "byteLength": field.length * (3 if field.is_text else 1),
        "calculated": False,
        "calculatedFormula": None,
        "cascadeDelete": False,
        "caseSensitive": field.cased,
        "compoundFieldName": field.compound,
        "controllerName": None,
        "createable": field.createable,
        "custom": field.custom,
        "defaultValue": field.default,
        "defaultValueFormula": None,
        "defaultedOnCreate": defaulted,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": field.precision if kind == "int" else 0,
        "displayLocationInDecimal": False,
        "encrypted": False,
        "externalId": field.external,
        "extraTypeInfo": "plaintextarea" if kind == "textarea" else None,
        "filterable": field.filterable,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": False,
        "groupable": (field.filterable and kind not in ("datetime", *NUMBER_TYPES))
        or kind == "int",
        "highScaleNumber": False,
        "htmlFormatted": False,
        "idLookup": field.id_lookup,
        "inlineHelpText": None,
        "label": field.label,
        "length": field.length,
        "mask": None,
        "maskType": None,
        "name": field.name,
        "nameField": field.name == "Name",
        "namePointing": False,
        "nillable": not field.required and kind not in ("boolean", "id") and not _system(field),
        "permissionable": field.createable and not field.required,
        "picklistValues": [
            {
                "active": True,
                "defaultValue": value == field.default,
                "label": value,
                "validFor": None,
                "value": value,
            }
            for value in field.values
        ],
        "polymorphicForeignKey": False,
        "precision": field.precision if number else 0,
        "queryByDistance": kind == "address",
        "referenceTargetField": None,
        "referenceTo": [field.to] if reference else [],
        "relationshipName": field.relationship,
        "relationshipOrder": None,
        "restrictedDelete": False,
        "restrictedPicklist": field.restricted,
        "scale": field.scale,
        "searchPrefilterable": reference,
        "soapType": _SOAP.get(kind, "xsd:string" if text else f"xsd:{kind}"),
        "sortable": field.filterable,
        "type": kind,
        "unique": field.unique,
        "updateable": field.updateable,
        "writeRequiresMasterRead": False,
    }


def _system(field: Field) -> bool:
    return field.name in (
        "CreatedDate",
        "CreatedById",
        "LastModifiedDate",
        "LastModifiedById",
        "SystemModstamp",
        "OwnerId",
    )
