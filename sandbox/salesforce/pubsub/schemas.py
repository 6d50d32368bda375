"""Avro schemas of change events, and events in them (Salesforce contracts 5.1, 6.5)."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fastavro

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sandbox.salesforce.schema import Field, ObjectType

KINDS = (
    "CREATE", "UPDATE", "DELETE", "UNDELETE",
    "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW", "SNAPSHOT",
)  # fmt: skip
_TEXTS = {"type": "array", "items": "string"}
_HEADER = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": _TEXTS},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": KINDS}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": _TEXTS},
        {"name": "diffFields", "type": _TEXTS},
        {"name": "changedFields", "type": _TEXTS},
    ],
}
_PERSON_NAME = ("Salutation", "FirstName", "LastName")
_AVRO = {
    "boolean": "boolean",
    "currency": "double",
    "double": "double",
    "percent": "double",
    "int": "int",
}
_PYTHON = {"boolean": bool, "double": float, "int": int, "string": str}
_LEFT_OUT = {"Id", "IsDeleted", "SystemModstamp"}


@dataclass(frozen=True)
class EventSchema:
    """`id` is a stable hash, as a topic's schema id changes only with its fields. Compound fields are
    nested: `parents` maps a field to (its record, the name inside)."""

    id: str
    text: str
    parsed: Any
    names: tuple[str, ...]
    parents: Mapping[str, tuple[str, str]]
    inner: Mapping[str, tuple[str, ...]]
    types: Mapping[str, Callable[[Any], Any]]

    def encode(self, header: Mapping[str, Any], row: Mapping[str, Any] | None) -> bytes:
        """The payload; `row` is None for a delete and a gap, whose fields are all empty."""
        record: dict[str, Any] = {"ChangeEventHeader": dict(header)}
        for name in self.names[1:]:
            if name in self.inner:
                parts = dict.fromkeys(self.inner[name])
                for field, (parent, part) in self.parents.items():
                    if parent == name and row is not None:
                        parts[part] = row.get(field)
                record[name] = parts if any(parts.values()) else None
            else:
                value = row.get(name) if row is not None else None
                record[name] = None if value is None else self.types[name](value)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self.parsed, record)
        return out.getvalue()

    def bitmaps(self, fields: Collection[str]) -> list[str]:
        """The fields as bitmaps over the positions of the record and of its nested ones."""
        top, nested = 0, dict[int, int]()
        for field in fields:
            parent, part = self.parents.get(field, (field, ""))
            if parent not in self.names:
                continue
            position = self.names.index(parent)
            if part:
                bit = 1 << self.inner[parent].index(part)
                nested[position] = nested.get(position, 0) | bit
            else:
                top |= 1 << position
        found = [f"0x{top:X}"] if top else []
        return [*found, *(f"{at}-0x{mask:02X}" for at, mask in sorted(nested.items()))]


def event_schema(obj: ObjectType) -> EventSchema:
    compounds: dict[str, list[str]] = {}
    parents: dict[str, tuple[str, str]] = {}
    fields: dict[str, Any] = {}
    for field in obj.fields.values():
        if field.name in _LEFT_OUT:
            continue
        if field.type == "address":
            prefix = field.name.removesuffix("Address")
            parts = [
                name.removeprefix(prefix)
                for name in obj.fields
                if name.startswith(prefix) and name != field.name and name != prefix
            ]
            parents |= {f"{prefix}{part}": (field.name, part) for part in parts}
            compounds[field.name] = parts
        elif field.name == "Name" and set(_PERSON_NAME) <= set(obj.fields):
            parents |= {part: ("Name", part) for part in _PERSON_NAME}
            compounds["Name"] = list(_PERSON_NAME)
        else:
            fields[field.name] = _avro_type(field)
    record = {
        "type": "record",
        "name": f"{obj.name.removesuffix('__c') + '__' if obj.name.endswith('__c') else obj.name}"
        "ChangeEvent",
        "namespace": "com.sforce.eventbus",
        "fields": [
            {"name": "ChangeEventHeader", "type": _HEADER},
            *(
                {"name": name, "type": _nested(name, compounds[name])}
                if name in compounds
                else {"name": name, "type": ["null", kind]}
                for name, kind in ({**dict.fromkeys(compounds), **fields}).items()
                if name not in parents
            ),
        ],
    }
    text = json.dumps(record, separators=(",", ":"))
    return EventSchema(
        id=hashlib.sha256(text.encode()).hexdigest()[:22],
        text=text,
        parsed=fastavro.parse_schema(json.loads(text)),
        names=tuple(field["name"] for field in record["fields"]),  # type: ignore[index,union-attr]
        parents=parents,
        inner={name: tuple(parts) for name, parts in compounds.items()},
        types={name: _PYTHON[kind] for name, kind in fields.items()},
    )


def _nested(name: str, parts: list[str]) -> list[Any]:
    fields = [{"name": part, "type": ["null", "string"]} for part in parts]
    return ["null", "string", {"type": "record", "name": f"{name}Parts", "fields": fields}]


def _avro_type(field: Field) -> str:
    return _AVRO.get(field.type, "string")
