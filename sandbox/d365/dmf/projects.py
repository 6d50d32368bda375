"""Data projects: what an export writes, and up to where its last run saw the changes (F&O contract 6.7).

A project comes from an imported package, from `POST /sandbox/packages/projects`, or from its name alone: a
name that holds an entity's label or set (`Prices Sales price agreements`) exports all fields of that entity,
and only what changed since its last run where it ends in `changes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.d365.dmf.entities import entity_named_in
from sandbox.d365.dmf.manifest import Manifest, ManifestEntity, MappedColumn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.d365.dmf.entities import PackageEntity

CHANGES = "changes"
DEFAULT_FORMAT = "CSV-Unicode"


@dataclass
class Project:
    """`positions`: (entity set, company) → position of the last change that was exported."""

    manifest: Manifest
    changed_only: bool = False
    positions: dict[tuple[str, str], int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.manifest.project,
            "entities": [entity.label for entity in self.manifest.entities],
            "changed_only": self.changed_only,
        }


class Projects:
    def __init__(self, entities: Mapping[str, PackageEntity]) -> None:
        self._entities = entities
        self._projects: dict[str, Project] = {}

    def clear(self) -> None:
        self._projects.clear()

    def to_json(self) -> list[dict[str, Any]]:
        return [project.to_json() for project in self._projects.values()]

    def import_definition(self, name: str, manifest: Manifest, *, overwrite: bool) -> Manifest:
        """The definition an import follows: that of its package, or the one the project had before."""
        known = self._projects.get(name.lower())
        if known is not None and not overwrite:
            return known.manifest
        definition = Manifest(name, manifest.entities)
        if known is not None:
            known.manifest = definition
        else:
            self._projects[name.lower()] = Project(definition)
        return definition

    def define(
        self,
        name: str,
        label: str,
        *,
        fields: Sequence[str] = (),
        source_format: str = DEFAULT_FORMAT,
        changed_only: bool = False,
    ) -> Project:
        """Without `fields` all of the entity's; raises ValueError for unknown names."""
        entity = self._entities.get(label.lower())
        if not name or entity is None:
            raise ValueError(f"a project needs a name and an entity, not {label!r}")
        names = [each.upper() for each in fields] or list(entity.fields)
        unknown = [each for each in names if each not in entity.fields]
        if unknown:
            raise ValueError(f"{entity.label} has no field {unknown}")
        columns = tuple(MappedColumn(each, each, auto_generated=False) for each in names)
        file = f"{entity.label}.csv"
        manifest = Manifest(name, (ManifestEntity(entity.label, file, source_format, columns),))
        project = self._projects[name.lower()] = Project(manifest, changed_only)
        return project

    def find(self, name: str) -> Project | None:
        """A known project, or one whose name tells its entity."""
        known = self._projects.get(name.lower())
        if known is not None:
            return known
        entity = entity_named_in(self._entities, name)
        if entity is None:
            return None
        return self.define(name, entity.label, changed_only=name.lower().endswith(CHANGES))
