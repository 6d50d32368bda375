"""Writes the rows of an ingest job, one transaction per 200 of them, and says what became of each.

The rules are those of `Org`; here is only what Bulk adds: where the key stands, and the text of a row's
error, `CODE:message:fields --` (Salesforce contract 3.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.salesforce import values
from sandbox.salesforce.bulk.jobs import JobFailed
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.salesforce.bulk.columns import Header
    from sandbox.salesforce.bulk.jobs import Job
    from sandbox.salesforce.org import Org
    from sandbox.salesforce.schema import ObjectType

TRANSACTION_ROWS = 200
Write = Callable[[list[str]], tuple[str, str]]
"""The cells of a row → its id and whether it is new, "true" or "false"."""


@dataclass
class Outcome:
    """Rows of the result files: sf__Id, sf__Created or sf__Error, and the cells."""

    good: list[Sequence[str]] = field(default_factory=list)
    bad: list[Sequence[str]] = field(default_factory=list)


class RowWriter:
    """Raises JobFailed when the columns do not suit the operation."""

    def __init__(self, org: Org, job: Job, obj: ObjectType, header: Header) -> None:
        self._org, self._actor, self._obj, self._header = org, job.actor, obj, header
        self._table = org.store.tables[obj.name]
        self._key = obj.find(job.external_id or "Id") if job.operation == "upsert" else None
        self._key_index = header.id
        if self._key is not None and self._key.name != "Id":
            column = header.of(self._key)
            if column is None:
                raise JobFailed(f"InvalidBatch : Field name not found : {self._key.name}")
            self._key_index = column.index
        self._creating = header.values(creating=True)
        self._updating = header.values(creating=False, without=self._key)
        self._write = self._writer(job.operation)

    def write(self, rows: list[list[str]], first: int, locked: set[int]) -> Outcome:
        """At most TRANSACTION_ROWS rows; `first` is the number of the first one in the file."""
        outcome = Outcome()
        often = self._keys_given_twice(rows)
        for number, cells in enumerate(rows, first):
            try:
                if number in locked:
                    raise self._locked(cells)
                if often and self._comparable(cells) in often:
                    key = cells[self._key_index]
                    raise ApiError.of("DUPLICATE_VALUE", f"Duplicate external id specified: {key}")
                record_id, created = self._write(cells)
            except ApiError as error:
                outcome.bad.append((self._known(cells), error_text(error), *cells))
            else:
                outcome.good.append((record_id, created, *cells))
        self._org.commit()
        return outcome

    # --- operations -------------------------------------------------------------------------------

    def _writer(self, operation: str) -> Write:
        if operation == "insert":
            return self._insert
        if operation == "update":
            return self._update
        if operation == "delete":
            if self._header.columns:
                unwanted = self._header.names[self._header.columns[0].index]
                raise JobFailed(
                    "InvalidBatch : The 'delete' batch must contain only ids, "
                    f"but has the column {unwanted}"
                )
            return self._delete
        return self._upsert_by_id if self._key_index == self._header.id else self._upsert

    def _insert(self, cells: list[str]) -> tuple[str, str]:
        self._refuse_id(cells, "insert")
        return self._org.insert_values(self._actor, self._obj, self._creating(cells)), "true"

    def _update(self, cells: list[str]) -> tuple[str, str]:
        record_id = self._id(cells)
        if not record_id:
            raise ApiError.of("MISSING_ARGUMENT", "Id not specified in an update call")
        row = self._table.rows.get(record_id) or self._org.existing(self._obj, record_id)
        sent = self._updating(cells)
        return self._org.update_values(self._actor, self._obj, row, sent), "false"

    def _delete(self, cells: list[str]) -> tuple[str, str]:
        record_id = self._id(cells)
        if not record_id:
            raise ApiError.of("MISSING_ARGUMENT", "Id not specified in a delete call")
        return self._org.delete(self._actor, self._obj, record_id), "false"

    def _upsert_by_id(self, cells: list[str]) -> tuple[str, str]:
        return self._update(cells) if self._id(cells) else self._insert(cells)

    def _upsert(self, cells: list[str]) -> tuple[str, str]:
        assert self._key is not None
        self._refuse_id(cells, "upsert by external id")
        text = cells[self._key_index].strip()
        if not text:
            name = self._key.name
            raise ApiError.of("MISSING_ARGUMENT", f"{name} not specified", name)
        found = self._table.ids_with(self._key, text)
        if not found:
            return self._org.insert_values(self._actor, self._obj, self._creating(cells)), "true"
        if len(found) > 1:
            raise ApiError.of(
                "DUPLICATE_EXTERNAL_ID",
                f"{self._key.name}: more than one record found for external id field: "
                f"[{', '.join(found)}]",
            )
        row, sent = self._table.rows[found[0]], self._updating(cells)
        return self._org.update_values(self._actor, self._obj, row, sent), "false"

    # --- keys -------------------------------------------------------------------------------------

    def _id(self, cells: list[str]) -> str:
        text = cells[self._header.id].strip() if self._header.id >= 0 else ""
        return "" if text == "#N/A" else text

    def _refuse_id(self, cells: list[str], what: str) -> None:
        if self._header.id >= 0 and self._id(cells):
            raise ApiError.of(
                "INVALID_FIELD_FOR_INSERT_UPDATE", f"cannot specify Id in an {what} call", "Id"
            )

    def _comparable(self, cells: list[str]) -> str:
        assert self._key is not None
        text = str(values.key_text(self._key, cells[self._key_index]))
        return text if self._key.cased or self._key.name == "Id" else text.lower()

    def _keys_given_twice(self, rows: list[list[str]]) -> set[str]:
        """Keys that stand in one transaction more than once: none of these rows is written."""
        if self._key is None or self._key_index < 0:
            return set()
        keys = [key for cells in rows if (key := self._comparable(cells))]
        if len(set(keys)) == len(keys):
            return set()
        return {key for key, count in Counter(keys).items() if count > 1}

    def _known(self, cells: list[str]) -> str:
        """The id of the record that a refused row is about, where there is one."""
        if self._key is not None and self._key.name != "Id":
            found = self._table.ids_with(self._key, cells[self._key_index].strip())
            return found[0] if len(found) == 1 else ""
        full = values.key_text(self._obj.fields["Id"], self._id(cells))
        return full if full in self._table.rows else ""

    def _locked(self, cells: list[str]) -> ApiError:
        text = "unable to obtain exclusive access to this record or 1 records"
        known = self._known(cells)
        return ApiError.of("UNABLE_TO_LOCK_ROW", f"{text}: {known}" if known else text)


def error_text(error: ApiError) -> str:
    """`CODE:message:Field --`, one after the other when several rules refuse the row."""
    return "".join(
        f"{p.code}:{p.message}:{''.join(name + ' ' for name in p.fields or ())}--"
        for p in error.problems
    )
