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
_Index = dict[Any, str | dict[str, None]]
"""Value to the one id that has it, or to all that have it."""


class Table:
    def __init__(self, obj: ObjectType) -> None:
        self.obj = obj
        self.rows: dict[str, Row] = {}
        self.bin: dict[str, Row] = {}
        indexed = [f for f in obj.fields.values() if f.indexed and f.name != "Id"]
        self._index: dict[str, _Index] = {f.name: {} for f in indexed}
        self._indexes = [(f.name, _folds(f), self._index[f.name]) for f in indexed]

    def has_index(self, field_name: str) -> bool:
        return field_name in self._index

    def ids_with(self, field: Field, value: Any) -> list[str]:
        """Ids of live rows whose indexed field has this value; text ignores case unless `cased`."""
        if field.name == "Id":
            return [value] if value in self.rows else []
        if isinstance(value, str) and _folds(field):
            value = value.lower()
        found = self._index[field.name].get(value)
        if found is None:
            return []
        return [found] if isinstance(found, str) else list(found)

    def any(self, record_id: str) -> Row | None:
        """The row, live or in the bin."""
        return self.rows.get(record_id) or self.bin.get(record_id)

    def everything(self) -> Iterator[Row]:
        yield from self.rows.values()
        yield from self.bin.values()

    def set(self, record_id: str, row: Row | None) -> Row | None:
        """Puts or (None) removes a row and returns what was there."""
        before = self.rows.get(record_id)
        after = None if row is None or row["IsDeleted"] else row
        if before is not None or after is not None:
            self._reindex(record_id, before or {}, after or {})
        old = before if before is not None else self.bin.pop(record_id, None)
        if after is not None:
            self.rows[record_id] = after
        elif before is not None:
            del self.rows[record_id]
        if row is not None and after is None:
            self.bin[record_id] = row
        return old

    def _reindex(self, record_id: str, before: Row, after: Row) -> None:
        for name, folds, index in self._indexes:
            old, new = before.get(name), after.get(name)
            if old == new:
                continue
            if old is not None:
                _remove(index, old.lower() if folds and isinstance(old, str) else old, record_id)
            if new is not None:
                _add(index, new.lower() if folds and isinstance(new, str) else new, record_id)


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


def _folds(field: Field) -> bool:
    """Whether text of this field is found without regard to case."""
    return field.type != "reference" and not field.cased


def _add(index: _Index, key: Any, record_id: str) -> None:
    found = index.get(key)
    if found is None:
        index[key] = record_id
    elif isinstance(found, dict):
        found[record_id] = None
    else:
        index[key] = {found: None, record_id: None}


def _remove(index: _Index, key: Any, record_id: str) -> None:
    found = index[key]
    if isinstance(found, dict):
        del found[record_id]
        if found:
            return
    del index[key]
