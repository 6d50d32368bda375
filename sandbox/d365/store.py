"""Rows in memory with indexes and rollback.

A customer has some 300 properties, nearly all at their defaults, so a row holds the differences only.
Rows are never changed in place: an update stores a new row, which makes undoing a changeset a matter
of putting the old one back.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import random
from typing import TYPE_CHECKING, Any

from sandbox.d365.model import COMPANY, Entity, Model
from sandbox.d365.values import normal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
    """The rows of one entity set by key, plus an index per key part and indexed property."""

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self.rows: dict[Key, Row] = {}
        indexed = dict.fromkeys((*entity.key, *entity.indexes))
        indexed.pop(COMPANY, None)
        self.indexes: dict[str, dict[str, dict[Key, None]]] = {name: {} for name in indexed}

    def key_of(self, values: Mapping[str, Any]) -> Key:
        defaults = self.entity.defaults
        return tuple(normal(values.get(name, defaults[name])) for name in self.entity.key)

    def find(self, field: str, value: Any) -> list[Row]:
        """Rows whose indexed property equals the value, in all companies."""
        return [self.rows[key] for key in self.indexes[field].get(normal(value), ())]

    def _index(self, key: Key, old: Row | None, new: Row | None) -> None:
        defaults = self.entity.defaults
        for name, index in self.indexes.items():
            before = normal(old.values.get(name, defaults[name])) if old else None
            after = normal(new.values.get(name, defaults[name])) if new else None
            if before == after:
                continue
            if before is not None:
                del index[before][key]
                if not index[before]:
                    del index[before]
            if after is not None:
                index.setdefault(after, {})[key] = None

    def replace(self, key: Key, new: Row | None) -> Row | None:
        """Stores, changes or (None) removes the row of a key; returns what was there."""
        old = self.rows.get(key)
        self._index(key, old, new)
        if new is None:
            del self.rows[key]
        else:
            self.rows[key] = new
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
        """Undoes every write inside when the block raises; an inner one joins the outer one."""
        if self._undo is not None:
            yield
            return
        changes = self._undo = []
        try:
            yield
        except BaseException:
            for table, key, row in reversed(changes):
                table.replace(key, row)
            raise
        finally:
            self._undo = None
        if changes and self._committed is not None:
            self._committed(changes)

    def _put(self, table: Table, key: Key, row: Row | None) -> None:
        old = table.replace(key, row)
        if self._undo is not None:
            self._undo.append((table, key, old))
