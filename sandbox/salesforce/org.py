"""The org: insert, update, delete and upsert of single rows with everything that may refuse them.

Each of them is atomic: an `ApiError` leaves nothing behind. Several can be undone together with
`mark` and `rollback` (allOrNone). `commit` ends a request and tells the listeners what changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.salesforce import addresses, clock, ids, object_rules, org_rules, seeds, values
from sandbox.salesforce.changes import Actor, Change, ChangeType
from sandbox.salesforce.errors import (
    ApiError,
    SeveralMatches,
    should_not_be_specified,
    unknown_external_id,
)
from sandbox.salesforce.schema import Field, ObjectType, Schema
from sandbox.salesforce.store import Row, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.salesforce.schema_changes import Changes


class Org:
    def __init__(self, org_id: str, *, state_country: bool = False) -> None:
        self.id = org_id
        self.listeners: list[Callable[[list[Change]], None]] = []
        self._state_country = state_country
        self.schema_changes: Changes = {}
        self.ids = ids.IdFactory()
        self.reset()

    def reset(self) -> None:
        """Back to the first rows: users, price books, stages; all rules are gone.

        The first rows have the same ids every time, so that sessions stay good; no other id returns.
        """
        self.schema_changes = {}
        self.schema = Schema(state_country=self._state_country)
        self.schema_since = clock.now()
        self.store = Store(self.schema.objects.values())
        used, self.ids = self.ids, ids.IdFactory()
        self.validation_rules: list[org_rules.ValidationRule] = []
        self.duplicate_rules: list[org_rules.DuplicateRule] = []
        self._changes: list[Change] = []
        self.users = seeds.plant(self)
        self.ids.continue_after(used)

    def set_state_country(self, on: bool) -> None:
        """Switches the State and Country picklists; rows keep what they hold."""
        self._state_country = on
        self.set_schema_changes(self.schema_changes)

    def set_schema_changes(self, changes: Changes) -> None:
        """Raises ValueError, and then nothing is changed."""
        self.schema = Schema(state_country=self._state_country, changes=changes)
        self.schema_changes = changes
        self.schema_since = clock.now()
        for name, table in self.store.tables.items():
            table.obj = self.schema.objects[name]

    # --- transactions -----------------------------------------------------------------------------

    def mark(self) -> tuple[int, int]:
        return self.store.mark(), len(self._changes)

    def rollback(self, mark: tuple[int, int]) -> None:
        self.store.rollback(mark[0])
        del self._changes[mark[1] :]

    def commit(self, *, announce: bool = True) -> None:
        self.store.commit()
        changes, self._changes = self._changes, []
        if changes and announce:
            for listener in self.listeners:
                listener(changes)

    def _atomic(self) -> _Atomic:
        return _Atomic(self)

    # --- rows -------------------------------------------------------------------------------------

    def insert(self, actor: Actor, obj: ObjectType, body: Mapping[str, Any]) -> str:
        return self.insert_values(actor, obj, values.clean(self.store, obj, body, creating=True))

    def update(self, actor: Actor, obj: ObjectType, record_id: str, body: Mapping[str, Any]) -> str:
        """`record_id` is 15 or 18 characters; returns the 18-character id."""
        row = self.existing(obj, record_id)
        sent = values.clean(self.store, obj, body, creating=False)
        return self.update_values(actor, obj, row, sent)

    def delete(self, actor: Actor, obj: ObjectType, record_id: str) -> str:
        row = self.existing(obj, record_id)
        with self._atomic():
            self._delete(actor, obj, row)
        return str(row["Id"])

    def upsert(
        self,
        actor: Actor,
        obj: ObjectType,
        field: Field,
        key: Any,
        body: Mapping[str, Any],
        *,
        update_only: bool = False,
    ) -> tuple[str, bool]:
        """Returns the id and whether the row is new. The key must not be in `body`.

        Raises SeveralMatches when the key belongs to more than one row.
        """
        if any(name.lower() == field.name.lower() for name in body):
            raise should_not_be_specified(field.name)
        key = values.key_text(field, key)
        found = self.store.tables[obj.name].ids_with(field, key)
        if len(found) > 1:
            raise SeveralMatches(obj.name, field.name, found)
        if found:
            return self.update(actor, obj, found[0], body), False
        if field.name == "Id":
            self.existing(obj, key)
        if update_only:
            raise ApiError.plain("NOT_FOUND", "The requested resource does not exist", 404)
        sent = values.clean(self.store, obj, {**body, field.name: key}, creating=True)
        return self.insert_values(actor, obj, sent), True

    def existing(self, obj: ObjectType, record_id: str) -> Row:
        """The live row of an id that a write names."""
        full = ids.normalise(record_id)
        if full is None or full[:3] != obj.prefix:
            raise ApiError.of(
                "MALFORMED_ID", f"{obj.label} ID: id value of incorrect type: {record_id}", "Id"
            )
        table = self.store.tables[obj.name]
        if full in table.bin:
            raise ApiError.of("ENTITY_IS_DELETED", "entity is deleted", status=404)
        if full not in table.rows:
            raise ApiError.of(
                "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", status=404
            )
        return table.rows[full]

    def upsert_field(self, obj: ObjectType, name: str) -> Field:
        field = obj.find(name)
        if field is None or not field.upsert_key:
            raise unknown_external_id(name)
        return field

    def insert_values(self, actor: Actor, obj: ObjectType, sent: dict[str, Any]) -> str:
        """`sent` is what `values.clean` makes of a body; returns the new id."""
        given = {name: value for name, value in sent.items() if value is not None}
        row: Row = {"Id": self.ids.new(obj.prefix), **obj.defaults, **given}
        row |= {"CreatedDate": clock.now(), "CreatedById": actor.user_id}
        if "OwnerId" in obj.fields:
            row.setdefault("OwnerId", actor.user_id)
        with self._atomic():
            self._save(actor, obj, None, row, set(sent))
        return str(row["Id"])

    def update_values(self, actor: Actor, obj: ObjectType, row: Row, sent: dict[str, Any]) -> str:
        """The same for the stored `row`."""
        with self._atomic():
            self._save(actor, obj, row, {**row, **sent}, set(sent))
        return str(row["Id"])

    # --- inside a transaction ---------------------------------------------------------------------

    def _save(
        self, actor: Actor, obj: ObjectType, old: Row | None, row: Row, sent: set[str]
    ) -> None:
        org_rules.check_required(obj, row, object_rules.waived(row))
        if self.schema.state_country:
            addresses.align_codes(obj, old, row, sent)
        if before := object_rules.BEFORE.get(obj.name):
            before(self.store, old, row, sent)
        table = self.store.tables[obj.name]
        org_rules.check_unique(table, row, sent)
        org_rules.check_validation(self.validation_rules, obj, row)
        org_rules.check_duplicates(self.duplicate_rules, table, row, allow_save=actor.allow_save)
        moment = clock.now()
        row |= {
            "LastModifiedDate": moment,
            "LastModifiedById": actor.user_id,
            "SystemModstamp": moment,
        }
        stored = {name: value for name, value in row.items() if value is not None}
        self.store.put(obj.name, stored)
        self._after(actor, obj, old, stored, "CREATE" if old is None else "UPDATE")

    def _delete(self, actor: Actor, obj: ObjectType, row: Row) -> None:
        for child, field in self.schema.children(obj):
            if field.name in ("CreatedById", "LastModifiedById", "OwnerId"):
                continue
            table = self.store.tables[child.name]
            for child_id in table.ids_with(field, row["Id"]):
                if child_id not in table.rows:
                    continue  # went with another parent just now
                if field.cascade:
                    self._delete(actor, child, table.rows[child_id])
                elif field.required or field.name == "PricebookEntryId":
                    raise ApiError.of(
                        "DELETE_FAILED",
                        f"Your attempt to delete {row['Id']} could not be completed because it is "
                        f"associated with the following {child.plural}: {child_id}",
                    )
                else:
                    kept = {k: v for k, v in table.rows[child_id].items() if k != field.name}
                    self.store.put(child.name, kept)
        gone = {**row, "IsDeleted": True, "SystemModstamp": clock.now()}
        self.store.put(obj.name, gone)
        self._after(actor, obj, row, None, "DELETE")

    def _after(
        self, actor: Actor, obj: ObjectType, old: Row | None, new: Row | None, kind: ChangeType
    ) -> None:
        row = new or old
        assert row is not None
        changed: tuple[str, ...] = ()
        if kind == "UPDATE" and old is not None and new is not None:
            changed = tuple(dict.fromkeys(name for name, _ in old.items() ^ new.items()))
        self._changes.append(
            Change(obj.name, row["Id"], kind, actor.user_id, row, actor.client, changed)
        )
        if after := object_rules.AFTER.get(obj.name):
            after(self.store, old, new, _RuleWriter(self, actor))


class _Atomic:
    """Undoes on an error what was written inside; a plain class, as it runs once for every row."""

    __slots__ = ("_mark", "_org")

    def __init__(self, org: Org) -> None:
        self._org, self._mark = org, org.mark()

    def __enter__(self) -> None: ...

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self._org.rollback(self._mark)


class _RuleWriter:
    """Writes of a rule run as the user whose write set it off."""

    def __init__(self, org: Org, actor: Actor) -> None:
        self._org, self._actor = org, actor

    def change(self, object_name: str, record_id: str, values: dict[str, Any]) -> None:
        org = self._org
        row = org.store.tables[object_name].rows[record_id]
        obj = org.schema.objects[object_name]
        org._save(self._actor, obj, row, {**row, **values}, set(values))

    def remove(self, object_name: str, record_id: str) -> None:
        org = self._org
        row = org.store.tables[object_name].rows[record_id]
        org._delete(self._actor, org.schema.objects[object_name], row)
