"""Reads records that Salesforce does not show any more: what they held, and into whom they were merged.

`queryAll` is the positive evidence (Salesforce contract 2.4): a record that it does not show is not gone, it
is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.salesforce.ids import is_id
from integration.salesforce.soql import in_list, select

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from integration.flows.flow import Record
    from integration.salesforce.client import SalesforceClient

GONE, MASTER, STAMP = "IsDeleted", "MasterRecordId", "SystemModstamp"
_CHAIN = 8  # a master may itself have been merged since


@dataclass(frozen=True, slots=True)
class Departed:
    """`master` is the live record that it was merged into, None where it was deleted."""

    key: str
    record: Record
    master: Record | None

    @property
    def stamp(self) -> str:
        """Tells one deletion of a record from the next."""
        return str(self.record.get(STAMP) or "")


async def read_departed(
    salesforce: SalesforceClient, object_name: str, keys: Iterable[str], fields: Collection[str]
) -> dict[str, Departed]:
    """Those of the keys that were deleted or merged, with their last field values.

    One call, one more per step of a chain of masters. A record is left out that is not gone, or was merged
    into one that this user does not see.
    """
    columns = tuple(dict.fromkeys(("Id", GONE, MASTER, STAMP, *fields)))
    rows = await _rows(salesforce, object_name, keys, columns)
    gone = {key: row for key, row in rows.items() if row.get(GONE)}
    known = dict(rows)
    for _ in range(_CHAIN):
        ends = {_end(row, known) for row in gone.values()}
        missing = [end for end in ends if end not in known]
        if not missing:
            break
        found = await _rows(salesforce, object_name, missing, columns)
        if not found:
            break
        known |= found
    departed: dict[str, Departed] = {}
    for key, row in gone.items():
        end = known.get(_end(row, known))
        if end is None:
            continue
        master = None if end.get(GONE) else end
        departed[key] = Departed(key, row, master)
    return departed


def _end(row: Record, known: Mapping[str, Record]) -> str:
    """The last id of the chain that is known; the row's own where it was not merged."""
    end, seen = str(row["Id"]), set[str]()
    while end in known and end not in seen:
        seen.add(end)
        master = known[end].get(MASTER) if known[end].get(GONE) else None
        if not master:
            break
        end = str(master)
    return end


async def _rows(
    salesforce: SalesforceClient, object_name: str, keys: Iterable[str], columns: tuple[str, ...]
) -> dict[str, Record]:
    ids = [key for key in keys if is_id(key)]
    if not ids:
        return {}
    query = select(object_name, columns, where=in_list("Id", ids))
    return {str(row["Id"]): row async for row in salesforce.query(query, include_deleted=True)}
