"""Merges records and brings deleted ones back, as people do in Salesforce (Salesforce contract 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.salesforce import clock, ids
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.salesforce.changes import Actor
    from sandbox.salesforce.org import Org
    from sandbox.salesforce.schema import ObjectType

_MOST = 2  # records merged into the master at once
_NOT_MOVED = {"CreatedById", "LastModifiedById", "OwnerId", "MasterRecordId", "ParentId"}


def merge(
    org: Org,
    actor: Actor,
    obj: ObjectType,
    master_id: str,
    merged_ids: Sequence[str],
    fields: Mapping[str, Any],
) -> list[str]:
    """The master keeps its values but for `fields`; what hangs on the merged records moves to it.

    The merged ones lie in the recycle bin and name the master. Returns all ids, the master's first.
    """
    if not 1 <= len(merged_ids) <= _MOST:
        raise ApiError.plain("INVALID_NUMBER_OF_RECORDS", "merge one or two records", 400)
    master = org.existing(obj, master_id)
    moved = []
    for merged_id in merged_ids:
        row = org.existing(obj, merged_id)
        for child, field in org.schema.children(obj):
            if field.name in _NOT_MOVED:
                continue
            for child_id in list(org.store.tables[child.name].ids_with(field, row["Id"])):
                org.update_values(
                    actor,
                    child,
                    org.store.tables[child.name].rows[child_id],
                    {field.name: master["Id"]},
                )
        gone = {
            **row,
            "IsDeleted": True,
            "MasterRecordId": master["Id"],
            "SystemModstamp": clock.now(),
        }
        org.store.put(obj.name, gone)
        org._after(actor, obj, row, None, "DELETE")
        moved.append(str(row["Id"]))
    org.update(actor, obj, master["Id"], fields)
    return [str(master["Id"]), *moved]


def undelete(org: Org, actor: Actor, obj: ObjectType, record_id: str) -> str:
    """Raises ApiError where it is not in the recycle bin."""
    full = ids.normalise(record_id) or record_id
    row = org.store.tables[obj.name].bin.get(full)
    if row is None:
        raise ApiError.of("UNDELETE_FAILED", "Entity is not in the recycle bin")
    back = {name: value for name, value in row.items() if name != "MasterRecordId"}
    back |= {"IsDeleted": False, "SystemModstamp": clock.now()}
    org.store.put(obj.name, back)
    org._after(actor, obj, row, back, "UNDELETE")
    return full
