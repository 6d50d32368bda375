"""Many rows in few calls (Salesforce contract 2.7), each row with its own result.

Not atomic on purpose: one bad record must not hold up 199 good ones. What fails as a whole is cut in
half, so that a record that spoils its call, or a trigger that cannot bear so many rows, is isolated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.errors import ContractError, IntegrationError, RecordError, RecordRejected
from integration.salesforce.encoding import to_json
from integration.salesforce.errors import APEX_LIMIT, Effect, row_error
from integration.salesforce.ids import is_id, to_18

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.salesforce.paths import Paths
    from integration.salesforce.transport import Transport

Record = Mapping[str, Any]

# Enough to isolate two bad rows of 200; a call that fails for every row must not cost 400 calls.
MOST_SPLITS = 16


@dataclass(frozen=True, slots=True)
class RowResult:
    """Of one record. `id` has 18 characters and is None where nothing was written."""

    id: str | None
    created: bool = False
    error: IntegrationError | None = None


async def update_rows(
    transport: Transport, paths: Paths, object_name: str, records: Sequence[Record], *, size: int
) -> list[RowResult]:
    """Updates by `Id`; see `SalesforceClient.update_many`."""
    run = _Run(transport, paths.collection, f"update {object_name}", size)
    keyed = [(_record_id(record), record) for record in records]
    rows = run.admitted([key for key, _ in keyed], "missing-id", "Id")
    await run.send(
        run.encoded(
            (place, {"attributes": {"type": object_name}, "id": key, **without_id(record)})
            for place, (key, record) in enumerate(keyed)
            if place in rows
        )
    )
    return run.in_order(len(records))


async def upsert_rows(
    transport: Transport,
    paths: Paths,
    object_name: str,
    field: str,
    records: Sequence[Record],
    *,
    size: int,
) -> list[RowResult]:
    """Upserts by the external id in `field`; see `SalesforceClient.upsert_many`."""
    path = paths.collection_of(object_name, field)
    run = _Run(transport, path, f"upsert {object_name}", size)
    keys = ["" if record.get(field) is None else str(record[field]) for record in records]
    rows = run.admitted(keys, "empty-key", field)
    await run.send(
        run.encoded(
            (place, {**record, "attributes": {"type": object_name}})
            for place, record in enumerate(records)
            if place in rows
        )
    )
    return run.in_order(len(records))


def without_id(record: Record) -> dict[str, Any]:
    """The fields alone: Salesforce refuses an `Id` among them."""
    return {name: value for name, value in record.items() if name not in ("Id", "id", "attributes")}


@dataclass(frozen=True, slots=True)
class _Row:
    place: int
    body: bytes


class _Run:
    """One update or upsert of any number of records."""

    def __init__(self, transport: Transport, path: str, operation: str, size: int) -> None:
        self._transport = transport
        self._path = path
        self._operation = operation
        self._size = size
        self._splits = 0
        self._results: dict[int, RowResult] = {}

    def admitted(self, keys: Sequence[str], reason_if_empty: str, field: str) -> set[int]:
        """The places that may be sent. Salesforce refuses both rows of a key that comes twice in a
        call; across calls the later would silently win, so both are refused here."""
        times = Counter(keys)
        for place, key in enumerate(keys):
            if not key:
                self._refuse(place, reason_if_empty, f"the record has no usable {field}")
            elif times[key] > 1:
                text = f"{field} {key!r} occurs {times[key]} times in one request"
                self._refuse(place, "duplicate-key", text)
        return set(range(len(keys))) - self._results.keys()

    def encoded(self, bodies: Iterator[tuple[int, Record]]) -> list[_Row]:
        """Rows as JSON, once each; a value without a JSON form refuses its own row only."""
        rows = []
        for place, body in bodies:
            try:
                rows.append(_Row(place, to_json(body)))
            except (TypeError, ValueError) as error:
                self._refuse(place, "unencodable", str(error))
        return rows

    def in_order(self, count: int) -> list[RowResult]:
        return [self._results[place] for place in range(count)]

    async def send(self, rows: Sequence[_Row]) -> None:
        for start in range(0, len(rows), self._size):
            self._splits = 0
            try:
                await self._chunk(rows[start : start + self._size])
            except IntegrationError as error:
                # The rows already written keep their results, so the rest learns of it in its own.
                for row in rows[start:]:
                    self._results.setdefault(row.place, RowResult(None, error=error))
                return

    async def _chunk(self, rows: Sequence[_Row]) -> None:
        again: set[int] = set()
        try:
            results = await self._call(rows)
            again = {
                row.place
                for row, result in zip(rows, results, strict=True)
                if is_over_limit(result)
            }
        except RecordError as error:
            results = [RowResult(None, error=error)] * len(rows)
            if isinstance(error, RecordRejected) or error.reason == APEX_LIMIT:
                again = {row.place for row in rows}
        if len(rows) < 2 or self._splits >= MOST_SPLITS:
            again = set()
        self._results |= {
            row.place: result
            for row, result in zip(rows, results, strict=True)
            if row.place not in again
        }
        if again:
            self._splits += 1
            left = [row for row in rows if row.place in again]
            for part in (left[: len(left) // 2], left[len(left) // 2 :]):
                if part:
                    await self._chunk(part)

    async def _call(self, rows: Sequence[_Row]) -> list[RowResult]:
        content = b",".join(row.body for row in rows)
        answer = await self._transport.request(
            "PATCH",
            self._path,
            operation=self._operation,
            effect=Effect.REPEATABLE,
            content=b'{"allOrNone":false,"records":[' + content + b"]}",
        )
        if not isinstance(answer.body, list) or len(answer.body) != len(rows):
            text = f"{self._operation}: the answer does not hold one result per record"
            raise ContractError(text, system="salesforce")
        return [row_result(row, self._operation) for row in answer.body]

    def _refuse(self, place: int, reason: str, text: str) -> None:
        description = f"{self._operation}: {text}; not sent"
        error = RecordRejected(description, reason=reason, system="salesforce")
        self._results[place] = RowResult(None, error=error)


def row_result(row: Any, operation: str) -> RowResult:
    """One entry of a Collections answer. Raises ContractError."""
    if not isinstance(row, dict):
        raise ContractError(f"{operation}: a result that is no object", system="salesforce")
    if row.get("success") is True and is_id(row.get("id")):
        return RowResult(to_18(row["id"]), bool(row.get("created")))
    return RowResult(None, error=row_error(row.get("errors"), operation=operation))


def is_over_limit(result: RowResult) -> bool:
    """The transaction met a governor limit of Apex; with fewer rows it may not."""
    return result.error is not None and result.error.reason == APEX_LIMIT


def _record_id(record: Record) -> str:
    value = record.get("Id", record.get("id"))
    return to_18(value) if isinstance(value, str) and is_id(value) else ""
