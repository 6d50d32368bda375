"""What the mapping must know of an F&O entity that a tenant may map fields of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Entity:
    """`section` is its table in the mapping file, `record` what people call one row, `state` the built-in
    field of transform `state`.

    `mandatory` fields cannot be removed: F&O refuses the record without them, or the app could not find
    it again. `not_mappable` ones are set by the app, by number sequences or by F&O itself. `lengths` are
    those of the standard data types; an environment may have extended them, so `max_length` in the
    mapping file overrides them.
    """

    section: str
    source_object: str
    entity_set: str
    record: str
    keys: tuple[str, ...]
    built_in: frozenset[str]
    mandatory: frozenset[str]
    not_mappable: frozenset[str]
    lengths: Mapping[str, int]
    state: str
