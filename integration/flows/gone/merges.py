"""Who was merged into whom, as Salesforce tells it while the merged record lies in its recycle bin.

A merge moves what hung on the merged record to the one that survives, but leaves that one's own number empty
or as it was. So before a new F&O record is made for a record, those merged into it are looked up: one of
them may have one already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.flows.gone.reading import MASTER, STAMP, read_departed
from integration.salesforce.soql import condition, in_list, select

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from integration.flows.flow import Record
    from integration.salesforce.client import SalesforceClient

_CREATED = "CreatedDate"
HISTORY = (_CREATED, STAMP)
_CHAIN = 8


@dataclass(frozen=True, slots=True)
class Loser:
    """A merged record and the F&O number that it named, as Salesforce holds it."""

    id: str
    number: str | None


def is_untouched(record: Mapping[str, object]) -> bool:
    """Nothing happened to it since it was created, so nothing was merged into it either.

    A merge is an update of the record that survives. Where the times were not read the answer is no.
    """
    created, changed = (record.get(name) for name in HISTORY)
    return bool(created) and created == changed


class Merges:
    def __init__(self, salesforce: SalesforceClient, object_name: str, number_field: str) -> None:
        self._salesforce = salesforce
        self._object = object_name
        self._number_field = number_field

    async def losers(self, survivors: Collection[str]) -> dict[str, tuple[Loser, ...]]:
        """Records merged into these, and into those in turn. One call where there are none."""
        found: dict[str, list[Loser]] = {}
        origin = {each: each for each in survivors}
        seen = set(origin)
        for _ in range(_CHAIN):
            if not origin:
                break
            columns = ("Id", MASTER, self._number_field)
            query = select(self._object, columns, where=in_list(MASTER, origin))
            following: dict[str, str] = {}
            async for row in self._salesforce.query(query, include_deleted=True):
                key, survivor = str(row["Id"]), origin.get(str(row.get(MASTER)))
                if survivor is None or key in seen:
                    continue
                seen.add(key)
                following[key] = survivor
                number = row.get(self._number_field)
                found.setdefault(survivor, []).append(Loser(key, str(number) if number else None))
            origin = following
        return {survivor: tuple(losers) for survivor, losers in found.items()}

    async def all_survivors(self) -> frozenset[str]:
        """Ids of all records that others were merged into, as far as Salesforce remembers. One call."""
        query = select(self._object, ("Id", MASTER), where=condition(MASTER, "!=", None))
        rows = self._salesforce.query(query, include_deleted=True)
        return frozenset([str(row[MASTER]) async for row in rows])

    async def survivors(
        self, keys: Collection[str], fields: Collection[str] = ()
    ) -> dict[str, Record]:
        """The live records that these were merged into; those that were not are left out."""
        departed = await read_departed(self._salesforce, self._object, keys, fields)
        return {key: each.master for key, each in departed.items() if each.master is not None}
