"""Objects and fields of the org, read from `objects.toml`, with the system fields added.

Lookups by name ignore case, as the API does. With `state_country` the State and Country picklists
feature is on: every compound address gets its code fields (Salesforce contract 7).
"""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from sandbox.salesforce.errors import ApiError, not_found
from sandbox.salesforce.schema_changes import Changes, changed

CURRENCIES = ("EUR", "USD", "GBP", "CHF", "SEK", "DKK", "NOK", "PLN", "CZK", "JPY", "CAD")
CORPORATE_CURRENCY = "EUR"
TEXT_TYPES = frozenset(
    {"string", "textarea", "picklist", "multipicklist", "phone", "url", "email", "combobox"}
)
NUMBER_TYPES = frozenset({"double", "currency", "percent", "int"})


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    label: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    required: bool = False
    createable: bool = True
    updateable: bool = True
    external: bool = False
    unique: bool = False
    cased: bool = False
    id_lookup: bool = False
    restricted: bool = False
    values: tuple[str, ...] = ()
    default: Any = None
    to: str | None = None
    relationship: str | None = None
    children: str | None = None
    cascade: bool = False
    compound: str | None = None

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def is_text(self) -> bool:
        return self.type in TEXT_TYPES

    @property
    def long_text(self) -> bool:
        return self.type == "textarea" and self.length > 255

    @property
    def filterable(self) -> bool:
        return not (self.long_text or self.type == "address")

    @property
    def upsert_key(self) -> bool:
        return self.external or self.id_lookup

    @property
    def indexed(self) -> bool:
        return self.upsert_key or self.unique or self.type == "reference"


@dataclass(frozen=True)
class ObjectType:
    name: str
    prefix: str
    label: str
    plural: str
    fields: dict[str, Field]
    addresses: tuple[str, ...] = ()
    _lower: dict[str, Field] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lower.update({name.lower(): f for name, f in self.fields.items()})

    def find(self, name: str) -> Field | None:
        return self._lower.get(name.lower())

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @cached_property
    def relationships(self) -> dict[str, Field]:
        """Lower-case relationship name of each lookup (`account`, `parent__r`) to its field."""
        return {f.relationship.lower(): f for f in self.fields.values() if f.relationship}

    @cached_property
    def defaults(self) -> dict[str, Any]:
        return {f.name: f.default for f in self.fields.values() if f.default is not None}

    @cached_property
    def required(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields.values() if f.required)

    @cached_property
    def unique(self) -> frozenset[str]:
        return frozenset(f.name for f in self.fields.values() if f.unique)


class Schema:
    def __init__(self, *, state_country: bool = False, changes: Changes | None = None) -> None:
        self.state_country = state_country
        self.objects = changed(_objects(state_country), changes or {})
        self._lower = {name.lower(): o for name, o in self.objects.items()}
        self._prefixes = {o.prefix: o for o in self.objects.values()}

    def find(self, name: str) -> ObjectType | None:
        return self._lower.get(name.lower())

    def get(self, name: str) -> ObjectType:
        """The object of a URL; 404 if there is none."""
        found = self.find(name)
        if found is None:
            raise not_found()
        return found

    def typed(self, name: object) -> ObjectType:
        """The object named by `attributes.type` in a body."""
        found = self.find(name) if isinstance(name, str) else None
        if found is None:
            raise ApiError.plain("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    def of_id(self, record_id: str) -> ObjectType | None:
        return self._prefixes.get(record_id[:3])

    def children(self, parent: ObjectType) -> list[tuple[ObjectType, Field]]:
        """Every lookup of any object that points to `parent`."""
        return [
            (o, f) for o in self.objects.values() for f in o.fields.values() if f.to == parent.name
        ]


def label_of(name: str) -> str:
    """`D365_Order_Number__c` -> `D365 Order Number`, `AccountId` -> `Account ID`."""
    if name.endswith("__c"):
        return name[:-3].replace("_", " ")
    words = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", name)
    return re.sub(r"\bId$", "ID", words)


@cache
def _objects(state_country: bool) -> dict[str, ObjectType]:
    text = (Path(__file__).parent / "objects.toml").read_text(encoding="utf-8")
    return {name: _object(name, spec, state_country) for name, spec in tomllib.loads(text).items()}


def _parse(name: str, spec: str) -> Field:
    head, *flags = shlex.split(spec)
    match = re.fullmatch(r"(\w+)(?:\((\d+)(?:,(\d+))?\))?", head)
    if match is None:
        raise ValueError(f"{name}: {spec}")
    kind, first, second = match.group(1), int(match.group(2) or 0), match.group(3)
    options = dict(flag.split("=", 1) for flag in flags if "=" in flag)
    given = {flag for flag in flags if "=" not in flag}
    number = kind in NUMBER_TYPES
    length = {"reference": 18, "id": 18}.get(kind, 0 if number else first)
    default = options.get("default", False if kind == "boolean" else None)
    return Field(
        name=name,
        type=kind,
        label=options.get("label", label_of(name)),
        length=length,
        precision=first if number else 0,
        scale=int(second or 0) if number else 0,
        required="required" in given,
        createable="readonly" not in given,
        updateable=not given & {"readonly", "createonly"},
        external="external" in given,
        unique="unique" in given,
        cased="cased" in given,
        id_lookup="idlookup" in given or "external" in given,
        restricted="restricted" in given,
        values=tuple(v.replace("_", " ") for v in options.get("values", "").split("|") if v),
        default=default,
        to=options.get("to"),
        relationship=options.get("rel"),
        children=options.get("children"),
        cascade="cascade" in given,
        compound=options.get("compound"),
    )


def _object(name: str, spec: dict[str, Any], state_country: bool) -> ObjectType:
    label = spec.get("label", label_of(name))
    lines = {"Id": f'id idlookup readonly label="{label} ID"', **spec["fields"]}
    for prefix in spec.get("addresses", []):
        lines.update(_address(prefix, state_country))
    if spec.get("owner"):
        lines["OwnerId"] = "reference to=User rel=Owner"
    if currency := spec.get("currency"):
        flag = currency if isinstance(currency, str) else ""
        lines["CurrencyIsoCode"] = (
            f"picklist(3) restricted default={CORPORATE_CURRENCY} {flag} "
            f'values={"|".join(CURRENCIES)} label="Currency ISO Code"'
        )
    lines |= {
        "IsDeleted": 'boolean readonly label="Deleted"',
        "CreatedDate": "datetime readonly",
        "CreatedById": "reference readonly to=User rel=CreatedBy",
        "LastModifiedDate": "datetime readonly",
        "LastModifiedById": "reference readonly to=User rel=LastModifiedBy",
        "SystemModstamp": "datetime readonly",
    }
    return ObjectType(
        name=name,
        prefix=spec["prefix"],
        label=label,
        plural=spec.get("plural", label + "s"),
        fields={field_name: _parse(field_name, line) for field_name, line in lines.items()},
        addresses=tuple(spec.get("addresses", [])),
    )


def _address(prefix: str, state_country: bool) -> dict[str, str]:
    part = f"compound={prefix}Address"
    fields = {
        f"{prefix}Street": f"textarea(255) {part}",
        f"{prefix}City": f"string(40) {part}",
        f"{prefix}State": f"string(80) {part}",
        f"{prefix}PostalCode": f"string(20) {part}",
        f"{prefix}Country": f"string(80) {part}",
    }
    if state_country:
        fields[f"{prefix}StateCode"] = f"picklist(10) {part}"
        fields[f"{prefix}CountryCode"] = f"picklist(10) {part}"
    return fields | {
        f"{prefix}Latitude": f"double(18,15) {part}",
        f"{prefix}Longitude": f"double(18,15) {part}",
        f"{prefix}GeocodeAccuracy": f"picklist(40) {part}",
        f"{prefix}Address": "address readonly",
    }
