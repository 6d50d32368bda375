"""Rows in memory: one table per object, indexes over keys and lookups, undo for allOrNone.

A stored row is never changed in place: a write puts a new dict. So a query page rendered later still
shows the row as the query saw it, and undoing a write is putting the old dict back. Null fields are
left out of a row. Deleted rows lie in the table's bin, outside the indexes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox.salesforce.schema import Field, ObjectType

Row = dict[str, Any]


class Table:
    def __init__(self, obj: ObjectType) -> None:
        self.obj = obj
        self.rows: dict[str, Row] = {}
        self.bin: dict[str, Row] = {}
        self._indexed = [f for f in obj.fields.values() if f.indexed and f.name != "Id"]
        self._index: dict[str, dict[Any, dict[str, None]]] = {f.name: {} for f in self._indexed}

    def has_index(self, field_name: str) -> bool:
        return field_name in self._index

    def ids_with(self, field: Field, value: Any) -> list[str]:
        """Ids of live rows whose indexed field has this value; text ignores case unless `cased`."""
        if field.name == "Id":
            return [value] if value in self.rows else []
        return list(self._index[field.name].get(_key(field, value), ()))

    def any(self, record_id: str) -> Row | None:
        """The row, live or in the bin."""
        return self.rows.get(record_id) or self.bin.get(record_id)

    def everything(self) -> Iterator[Row]:
        yield from self.rows.values()
        yield from self.bin.values()

    def set(self, record_id: str, row: Row | None) -> Row | None:
        """Puts or (None) removes a row and returns what was there."""
        old = self.rows.pop(record_id, None) if row is None else self.rows.get(record_id)
        if old is not None:
            self._unindex(record_id, old, row)
        else:
            old = self.bin.pop(record_id, None)
        if row is None:
            return old
        if row["IsDeleted"]:
            self.rows.pop(record_id, None)
            self.bin[record_id] = row
        else:
            self.rows[record_id] = row
            for field in self._indexed:
                value = row.get(field.name)
                if value is not None:
                    ids = self._index[field.name].setdefault(_key(field, value), {})
                    ids[record_id] = None
        return old

    def _unindex(self, record_id: str, old: Row, new: Row | None) -> None:
        gone = new is None or new["IsDeleted"]
        for field in self._indexed:
            value = old.get(field.name)
            if value is None or not (gone or (new or {}).get(field.name) != value):
                continue
            index = self._index[field.name]
            key = _key(field, value)
            ids = index[key]
            del ids[record_id]
            if not ids:
                del index[key]


class Store:
    def __init__(self, objects: Iterable[ObjectType]) -> None:
        self.tables = {obj.name: Table(obj) for obj in objects}
        self._journal: list[tuple[Table, str, Row | None]] = []

    def put(self, object_name: str, row: Row) -> None:
        table = self.tables[object_name]
        self._journal.append((table, row["Id"], table.set(row["Id"], row)))

    def mark(self) -> int:
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        while len(self._journal) > mark:
            table, record_id, old = self._journal.pop()
            table.set(record_id, old)

    def commit(self) -> None:
        self._journal.clear()

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for name, table in self.tables.items():
            found[name] = len(table.rows)
        return found


def _key(field: Field, value: Any) -> Any:
    if field.type == "reference" or field.cased or not isinstance(value, str):
        return value
    return value.lower()
