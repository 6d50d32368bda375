"""Reads the entity model from `model/*.toml` and adds a tenant's extension fields."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.d365.model import (
    DEFAULT_LENGTH,
    EDM_TYPES,
    EMPTY_VALUES,
    Entity,
    Enum,
    Model,
    Navigation,
    NumberSequence,
    Property,
    Reference,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent / "model"
CUSTOM_FIELD_LENGTH = 18  # a Salesforce id


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
    if kind in EMPTY_VALUES:
        return EMPTY_VALUES[kind]
    members = enums[kind].members
    return members[0] if members else None


def _default(kind: str, text: str, enums: Mapping[str, Enum]) -> Any:
    if kind in ("int32", "int64"):
        return int(text)
    if kind == "decimal":
        return float(text) if "." in text else int(text)
    if kind not in EDM_TYPES and text not in enums[kind].members:
        raise ValueError(f"{text} is no member of enum {kind}")
    return text


def _spaced(name: str) -> str:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)
    return " ".join([words[0], *(word.lower() for word in words[1:])]) if words else name
