"""The entity model: which sets exist, their properties, keys, references. Data in `model/*.toml`.

A property's *kind* is `string`, `decimal`, `int32`, `int64`, `date` (X++ date, noon UTC), `datetime`,
`guid`, `boolean` or the name of an enum. Defaults are what F&O returns for a field nobody filled
(F&O contract 2.5 and Appendix A-C).
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import TYPE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent / "model"
COMPANY = "dataAreaId"
DEFAULT_LENGTH = 255
CUSTOM_FIELD_LENGTH = 18

_EDM = {
    "string": "Edm.String",
    "decimal": "Edm.Decimal",
    "int32": "Edm.Int32",
    "int64": "Edm.Int64",
    "date": "Edm.DateTimeOffset",
    "datetime": "Edm.DateTimeOffset",
    "guid": "Edm.Guid",
    "boolean": "Edm.Boolean",
}
_EMPTY: dict[str, Any] = {
    "string": "",
    "decimal": 0,
    "int32": 0,
    "int64": 0,
    "date": "1900-01-01T12:00:00Z",
    "datetime": "1900-01-01T00:00:00Z",
    "guid": "00000000-0000-0000-0000-000000000000",
    "boolean": False,
}


@dataclass(frozen=True)
class Enum:
    """`open`: only recorded members are known, others are accepted."""

    name: str
    members: tuple[str, ...]
    open: bool


@dataclass(frozen=True)
class Property:
    name: str
    kind: str
    default: Any
    length: int = DEFAULT_LENGTH
    label: str = ""
    is_key: bool = False
    mandatory: bool = False
    editable: bool = True
    editable_on_create: bool = True

    @property
    def is_enum(self) -> bool:
        return self.kind not in _EDM

    @property
    def edm(self) -> str:
        return _EDM.get(self.kind) or TYPE_PREFIX + self.kind


@dataclass(frozen=True)
class Reference:
    """`field` must hold the key of a row in `target_set` (in the same company, where it has one)."""

    field: str
    target_set: str
    target_field: str


@dataclass(frozen=True)
class Navigation:
    name: str
    target_set: str
    many: bool
    on: tuple[str, ...]  # properties of the same name on both sides


@dataclass(frozen=True)
class NumberSequence:
    """A number sequence per company; `manual`: whether clients may bring their own numbers."""

    field: str
    manual: bool


@dataclass(frozen=True, eq=False)
class Entity:
    set_name: str
    type_name: str
    aot_name: str
    table: str
    label: str
    key: tuple[str, ...]
    properties: Mapping[str, Property]
    storage: str  # the set whose rows this entity shows
    read_only: bool = False
    indexes: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    navigations: Mapping[str, Navigation] = field(default_factory=dict)
    sequence: NumberSequence | None = None

    @cached_property
    def defaults(self) -> dict[str, Any]:
        return {p.name: p.default for p in self.properties.values()}

    @cached_property
    def reference_of(self) -> dict[str, Reference]:
        return {reference.field: reference for reference in self.references}

    @cached_property
    def mandatory(self) -> tuple[Property, ...]:
        return tuple(p for p in self.properties.values() if p.mandatory and p.kind == "string")

    @property
    def per_company(self) -> bool:
        return self.key[0] == COMPANY

    @property
    def table_label(self) -> str:
        return f"{self.label} ({self.table})"


@dataclass(frozen=True)
class Model:
    entities: Mapping[str, Entity]
    enums: Mapping[str, Enum]

    def by_type(self, type_name: str) -> Entity | None:
        return next((e for e in self.entities.values() if e.type_name == type_name), None)


def load_model(custom_fields: Mapping[str, Sequence[str]]) -> Model:
    """The model with extra string(18) properties per set, as a tenant's extensions would add them."""
    enums = _enums()
    entities: dict[str, Entity] = {}
    for set_name, raw in _definitions().items():
        extra = custom_fields.get(raw.get("view_of", set_name), ())
        if "view_of" in raw:
            entities[set_name] = _view(set_name, raw, entities[raw["view_of"]])
        else:
            entities[set_name] = _entity(set_name, raw, enums, extra)
    unknown = set(custom_fields) - set(entities)
    if unknown:
        raise ValueError(f"custom fields for unknown entity sets: {sorted(unknown)}")
    return Model(entities, enums)


@cache
def _definitions() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        if path.name != "enums.toml":
            found.update(tomllib.loads(path.read_text(encoding="utf-8")))
    return found


def _enums() -> dict[str, Enum]:
    raw = tomllib.loads((FOLDER / "enums.toml").read_text(encoding="utf-8"))
    return {
        name: Enum(name, tuple(members.split()), group == "open")
        for group, enums in raw.items()
        for name, members in enums.items()
    }


def _entity(
    set_name: str, raw: dict[str, Any], enums: Mapping[str, Enum], custom_fields: Sequence[str]
) -> Entity:
    properties: dict[str, Property] = {}
    names = [
        (kind, token.partition("="))
        for kind, tokens in raw["properties"].items()
        for token in tokens.split()
    ]
    for kind, (name, has_default, default) in names:
        properties[name] = Property(
            name,
            kind,
            _default(kind, default, enums) if has_default else _empty(kind, enums),
            raw.get("lengths", {}).get(name, DEFAULT_LENGTH),
            raw.get("labels", {}).get(name, _spaced(name)),
            is_key=name in raw["key"],
            mandatory=name in raw.get("mandatory", ()) or name in raw["key"],
            editable=not any(
                name in raw.get(group, ()) for group in ("create_only", "computed", "key")
            ),
            editable_on_create=name not in raw.get("computed", ()),
        )
    for name in custom_fields:
        properties[name] = Property(name, "string", "", CUSTOM_FIELD_LENGTH, _spaced(name))
    sequence = raw.get("sequence")
    ordered = {name: properties[name] for name in (*raw["key"], *properties)}
    return Entity(
        set_name,
        raw["type"],
        raw["aot"],
        raw["table"],
        raw["label"],
        tuple(raw["key"]),
        ordered,
        storage=set_name,
        read_only=raw.get("read_only", False),
        indexes=(*raw.get("indexes", ()), *custom_fields),
        references=tuple(
            Reference(name, *target.split("."))
            for name, target in raw.get("references", {}).items()
        ),
        navigations={
            name: Navigation(name, nav["set"], nav.get("many", False), tuple(nav["on"]))
            for name, nav in raw.get("navigation", {}).items()
        },
        sequence=NumberSequence(sequence["field"], sequence["manual"]) if sequence else None,
    )


def _view(set_name: str, raw: dict[str, Any], base: Entity) -> Entity:
    hidden = set(raw.get("without", ()))
    return replace(
        base,
        set_name=set_name,
        type_name=raw["type"],
        aot_name=raw["aot"],
        properties={n: p for n, p in base.properties.items() if n not in hidden},
    )


def _empty(kind: str, enums: Mapping[str, Enum]) -> Any:
    if kind in _EMPTY:
        return _EMPTY[kind]
    members = enums[kind].members
    return members[0] if members else None


def _default(kind: str, text: str, enums: Mapping[str, Enum]) -> Any:
    if kind in ("int32", "int64"):
        return int(text)
    if kind == "decimal":
        return float(text) if "." in text else int(text)
    if kind not in _EDM and text not in enums[kind].members:
        raise ValueError(f"{text} is no member of enum {kind}")
    return text


def _spaced(name: str) -> str:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)
    return " ".join([words[0], *(word.lower() for word in words[1:])]) if words else name
