"""What an environment really has: fields, mandatory ones, versions. Small pages instead of `$metadata`,
which is tens of megabytes (F&O contract 2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.d365.errors import Call, RecordMissing
from integration.errors import ContractError, Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.d365.client import D365Client


@dataclass(frozen=True, slots=True)
class PropertyInfo:
    """`mandatory` is the business rule; that a field is not nullable says nothing."""

    name: str
    type: str  # "Edm.String", "Microsoft.Dynamics.DataEntities.NoYes"
    key: bool
    mandatory: bool
    allow_edit: bool
    allow_edit_on_create: bool


@dataclass(frozen=True, slots=True)
class EntityInfo:
    """`name` is singular (`CustomerV3`), `entity_set` is the one of URLs (`CustomersV3`)."""

    name: str
    entity_set: str
    read_only: bool
    properties: Mapping[str, PropertyInfo]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.properties.values() if each.key)


class Metadata:
    """Asked once for each entity and process: it changes only with a deployment in F&O."""

    def __init__(self, client: D365Client) -> None:
        self._client = client
        self._entities: dict[str, EntityInfo] = {}

    async def entity_info(self, entity_name: str) -> EntityInfo:
        """Raises Misconfigured when the environment has no such entity."""
        if entity_name not in self._entities:
            self._entities[entity_name] = await self._read(entity_name)
        return self._entities[entity_name]

    async def application_version(self) -> str:
        """Such as `10.0.41.2`."""
        version = await self._client.action(
            "DataManagementEntities", "GetApplicationVersion", safe_to_repeat=True
        )
        if not isinstance(version, str):
            raise ContractError("F&O sent no version", system="d365")
        return version

    async def _read(self, entity_name: str) -> EntityInfo:
        call = Call("GET metadata/PublicEntities", safe_to_repeat=True, names_record=True)
        url = self._client.urls.metadata("PublicEntities", entity_name)
        try:
            data = await self._client.transport.json("GET", url, call)
        except RecordMissing as error:
            raise Misconfigured(
                f"the F&O environment has no public entity {entity_name}",
                reason="unknown-entity",
                system="d365",
                context=error.context,
            ) from error
        try:
            rows = [_property(row) for row in data["Properties"]]
            return EntityInfo(
                name=data["Name"],
                entity_set=data["EntitySetName"],
                read_only=bool(data.get("IsReadOnly")),
                properties={row.name: row for row in rows},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ContractError(
                f"the metadata of {entity_name} cannot be read", system="d365"
            ) from error


def _property(row: Mapping[str, Any]) -> PropertyInfo:
    return PropertyInfo(
        name=row["Name"],
        type=str(row.get("TypeName", "")),
        key=bool(row.get("IsKey")),
        mandatory=bool(row.get("IsMandatory")),
        allow_edit=bool(row.get("AllowEdit", True)),
        allow_edit_on_create=bool(row.get("AllowEditOnCreate", True)),
    )
