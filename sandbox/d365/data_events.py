"""Data events: what happens to a customer is told as Dataverse does for virtual tables (contract 7.5).

They start with the commit, so a rolled-back changeset tells nothing. Writes of the application itself are
left out unless `own_changes` asks for them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.d365.business_events import (
    business_event,
    execution_context,
    moment_text,
    properties_of,
)
from sandbox.d365.values import normal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment
    from sandbox.d365.event_delivery import EventDelivery
    from sandbox.d365.model import Entity, Enum
    from sandbox.d365.store import Change, Row

SETS = ("CustomersV3",)
FIRST_OPTION = 200_000_000  # Dataverse numbers the members of a mirrored enum from here
_EMPTY_TIMES = ("1900-01-01T12:00:00Z", "1900-01-01T00:00:00Z")


class DataEvents:
    """`own_client`: the application whose writes are its own, not somebody else's."""

    def __init__(self, environment: Environment, delivery: EventDelivery, own_client: str) -> None:
        self._environment = environment
        self._delivery = delivery
        self._own_client = own_client

    def committed(self, changes: list[Change]) -> None:
        settings = self._delivery.settings
        if not settings.data_events:
            return
        if self._environment.actor == self._own_client and not settings.own_changes:
            return
        before: dict[tuple[str, tuple[str, ...]], Row | None] = {}
        for table, key, old in changes:
            if table.entity.set_name in SETS:
                before.setdefault((table.entity.set_name, key), old)
        for (set_name, key), old in before.items():
            table = self._environment.store.tables[set_name]
            new = table.rows.get(key)
            if old is not None or new is not None:
                self._tell(table.entity, old, new)

    def _tell(self, entity: Entity, old: Row | None, new: Row | None) -> None:
        row = new or old
        assert row is not None
        verb = "Deleted" if new is None else "Created" if old is None else "Updated"
        message = f"OnExternal{verb}"
        table = virtual_table(entity)
        record = record_guid(row)
        image = _image(table, record, attributes(entity, self._environment.model.enums, row, old))
        target = image if new else {"Id": record, "LogicalName": table, "Name": None}
        context = execution_context(message, table, record, [{"key": "Target", "value": target}])
        if new is None:
            context["PreEntityImages"] = [{"key": "PreImage", "value": image}]
        company = str(row.values.get("dataAreaId", ""))
        event_id = f"{entity.aot_name}{message}"  # UNVERIFIED
        envelope = business_event(self._environment, event_id, company, {})
        self._delivery.emit_context({**context, **envelope}, properties_of(envelope))


def virtual_table(entity: Entity) -> str:
    return f"mserp_{entity.aot_name.lower()}"


def record_guid(row: Row) -> str:
    """A virtual row's id holds the record id."""
    text = f"{0x1A73:08x}{0:08x}{row.record_id:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def attributes(
    entity: Entity, enums: Mapping[str, Enum], row: Row, old: Row | None
) -> list[dict[str, Any]]:
    """Keys, what differs from the defaults and what changed; empty times are left out."""
    before = old.values if old else {}
    shown = []
    for prop in entity.properties.values():
        value = row.values.get(prop.name, prop.default)
        same = normal(value) == normal(before.get(prop.name, prop.default))
        if prop.name not in entity.key and prop.name not in row.values and same:
            continue
        if prop.kind in ("date", "datetime"):
            told = None if value in _EMPTY_TIMES else moment_text(value)
        elif prop.is_enum and value is not None:
            members = enums[prop.kind].members
            told = {"Value": FIRST_OPTION + (members.index(value) if value in members else 0)}
        else:
            told = value
        if told is not None:
            shown.append({"key": f"mserp_{prop.name.lower()}", "value": told})
    return shown


def _image(table: str, record: str, shown: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "__type": "Entity:http://schemas.microsoft.com/xrm/2011/Contracts",
        "Attributes": shown,
        "EntityState": None,
        "FormattedValues": [],
        "Id": record,
        "KeyAttributes": [],
        "LogicalName": table,
        "RelatedEntities": [],
        "RowVersion": None,
    }
