"""The entity model: which sets exist, their properties, keys, references. Data in `model/*.toml`.

A property's *kind* is `string`, `decimal`, `int32`, `int64`, `date` (X++ date, noon UTC), `datetime`,
`guid`, `boolean` or the name of an enum. Defaults are what F&O returns for a field nobody filled
(F&O contract 2.5 and Appendix A-C).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import TYPE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPANY = "dataAreaId"
DEFAULT_LENGTH = 255

EDM_TYPES = {
    "string": "Edm.String",
    "decimal": "Edm.Decimal",
    "int32": "Edm.Int32",
    "int64": "Edm.Int64",
    "date": "Edm.DateTimeOffset",
    "datetime": "Edm.DateTimeOffset",
    "guid": "Edm.Guid",
    "boolean": "Edm.Boolean",
}
EMPTY_VALUES: dict[str, Any] = {
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
        return self.kind not in EDM_TYPES

    @property
    def edm(self) -> str:
        return EDM_TYPES.get(self.kind) or TYPE_PREFIX + self.kind


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
    public: bool = True
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
