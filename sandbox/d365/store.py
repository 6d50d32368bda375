"""Rows in memory with indexes and rollback.

A customer has some 300 properties, nearly all at their defaults, so a row holds the differences only.
Rows are never changed in place: an update stores a new row, which makes undoing a changeset a matter
of putting the old one back.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import itertools
import random
from typing import TYPE_CHECKING, Any

from sandbox.d365.model import COMPANY, Entity, Model
from sandbox.d365.ordered import Ordered
from sandbox.d365.values import normal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Key = tuple[str, ...]
FIRST_RECORD_ID = 5637144576  # where F&O starts numbering records
JOINED_SOURCES = 6  # data sources of an entity view beyond the main table, in the etag


class Row:
    """`values` holds what differs from the entity's defaults; `version` changes with every update."""

    __slots__ = ("record_id", "values", "version")

    def __init__(self, values: dict[str, Any], record_id: int, version: int) -> None:
        self.values = values
        self.record_id = record_id
        self.version = version

    @property
    def etag(self) -> str:
        """F&O contract 2.6: version and record id of each data source of the view."""
        text = f"'{self.version},{self.record_id}{';0,0' * JOINED_SOURCES}'"
        return f'W/"{base64.b64encode(text.encode()).decode()}"'


class Table:
    """The rows of one entity set by key, plus an index per key part and indexed property.

    `changes`: once `track` was called, the position of each key's last change, oldest first.
    """

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self.rows: dict[Key, Row] = {}
        indexed = dict.fromkeys((*entity.key, *entity.indexes))
        indexed.pop(COMPANY, None)
        self.indexes: dict[str, dict[str, dict[Key, None]]] = {name: {} for name in indexed}
        self._key_parts = {name: part for part, name in enumerate(entity.key)}
        self.changes: dict[Key, int] | None = None
        self.position = 0
        self._ordered: dict[tuple[str, bool], Ordered] = {}

    def track(self) -> None:
        """Notes changes from now on; costs nothing before."""
        if self.changes is None:
            self.changes = {}

    def changed_since(self, position: int) -> list[Key]:
        """Keys written or removed after that position of a tracked table."""
        found: list[Key] = []
        changes = self.changes or {}
        for key in reversed(changes):
            if changes[key] <= position:
                break
            found.append(key)
        return found[::-1]

    def ordered(self, name: str, *, by_company: bool = False) -> Ordered | None:
        """The sorted values of an indexed text property; None where there is no such index."""
        prop = self.entity.properties.get(name)
        if name not in self.indexes or prop is None or prop.kind != "string":
            return None
        if by_company and not self.entity.per_company:
            return None
        if (name, by_company) not in self._ordered:
            self._ordered[name, by_company] = Ordered(self.indexes[name], by_company=by_company)
        return self._ordered[name, by_company]

    def key_of(self, values: Mapping[str, Any]) -> Key:
        defaults = self.entity.defaults
        return tuple([normal(values.get(name, defaults[name])) for name in self.entity.key])

    def find(self, field: str, value: Any) -> list[Row]:
        """Rows whose indexed property equals the value, in all companies."""
        return [self.rows[key] for key in self.indexes[field].get(normal(value), ())]

    def _index(self, key: Key, old: Row | None, new: Row | None) -> None:
        defaults = self.entity.defaults
        before: str | None
        after: str | None
        for name, index in self.indexes.items():
            part = self._key_parts.get(name)
            if part is not None:
                before, after = key[part] if old else None, key[part] if new else None
            else:
                default = defaults[name]
                before = normal(old.values.get(name, default)) if old else None
                after = normal(new.values.get(name, default)) if new else None
            if before == after:
                continue
            if before is not None:
                del index[before][key]
                if not index[before]:
                    del index[before]
            if after is not None:
                index.setdefault(after, {})[key] = None
            if self._ordered:
                for by_company in (False, True):
                    if (name, by_company) in self._ordered:
                        self._ordered[name, by_company].touched(before, after)

    def replace(self, key: Key, new: Row | None) -> Row | None:
        """Stores, changes or (None) removes the row of a key; returns what was there."""
        old = self.rows.get(key)
        self._index(key, old, new)
        if new is None:
            del self.rows[key]
        else:
            self.rows[key] = new
        if self.changes is not None:
            self.position += 1
            self.changes.pop(key, None)
            self.changes[key] = self.position
        return old


# table, key and what was there before
Change = tuple[Table, Key, Row | None]


class Store:
    """All tables of one environment, its record ids and number sequences."""

    def __init__(
        self,
        model: Model,
        seed: int = 0,
        committed: Callable[[list[Change]], None] | None = None,
    ) -> None:
        """`committed` is called after each outermost transaction that wrote something."""
        self._committed = committed
        self.tables = {
            entity.storage: Table(entity)
            for entity in model.entities.values()
            if entity.storage == entity.set_name
        }
        self._record_ids = itertools.count(FIRST_RECORD_ID)
        self._numbers: dict[tuple[str, str], int] = {}
        self._random = random.Random(seed)
        self._undo: list[Change] | None = None

    def table(self, entity: Entity) -> Table:
        return self.tables[entity.storage]

    def get(self, set_name: str, *key: Any) -> Row | None:
        return self.tables[set_name].rows.get(tuple(normal(part) for part in key))

    def insert(self, table: Table, values: dict[str, Any]) -> Row:
        row = Row(values, next(self._record_ids), 1)
        self._put(table, table.key_of(values), row)
        return row

    def fill(self, table: Table, rows: Iterable[dict[str, Any]]) -> int:
        """Inserts many rows, or changes those whose key exists; outside transactions, without events.

        Returns how many are new."""
        before = len(table.rows)
        collecting = gc.isenabled()
        gc.disable()  # a million new rows and no cycle: the collector would double the time
        try:
            for values in rows:
                key = table.key_of(values)
                if key in table.rows:
                    self.update(table, key, values)
                else:
                    table.replace(key, Row(values, next(self._record_ids), 1))
        finally:
            if collecting:
                gc.enable()
        return len(table.rows) - before

    def update(self, table: Table, key: Key, values: dict[str, Any]) -> Row:
        old = table.rows[key]
        version = old.version
        while version == old.version:
            version = self._random.randrange(1, 2**31)
        row = Row(values, old.record_id, version)
        self._put(table, key, row)
        return row

    def delete(self, table: Table, key: Key) -> None:
        self._put(table, key, None)

    def next_number(self, scope: str, name: str) -> int:
        """Continues a number sequence. As in F&O a rolled-back write leaves a gap."""
        number = self._numbers.get((scope, name), 0) + 1
        self._numbers[scope, name] = number
        return number

    def new_record_id(self) -> int:
        return next(self._record_ids)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Undoes every write inside when the block raises; an inner one is a savepoint of the outer."""
        changes = self._undo
        outermost = changes is None
        if changes is None:
            changes = self._undo = []
        start = len(changes)
        try:
            yield
        except BaseException:
            for table, key, row in reversed(changes[start:]):
                table.replace(key, row)
            del changes[start:]
            raise
        finally:
            if outermost:
                self._undo = None
        if outermost and changes and self._committed is not None:
            self._committed(changes)

    def _put(self, table: Table, key: Key, row: Row | None) -> None:
        old = table.replace(key, row)
        if self._undo is not None:
            self._undo.append((table, key, old))
