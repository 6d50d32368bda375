"""The Salesforce client: everything the app asks of an organisation, in the app's words and errors.

All methods raise the errors of `errors.answer_error` and `errors.lost_answer`, DeadlineReached when the
batch has too little time left, and ValueError for an object, field or id that cannot be one. Records
travel as plain dicts; ids come back with 18 characters.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.errors import ContractError, RecordRejected
from integration.salesforce.answers import json_object, written_id
from integration.salesforce.auth import TokenSource
from integration.salesforce.collections import (
    RowResult,
    update_rows,
    upsert_rows,
    without_id,
)
from integration.salesforce.composite import SubRequest, SubResult, send_composite
from integration.salesforce.describes import Describes
from integration.salesforce.encoding import to_json
from integration.salesforce.errors import Effect
from integration.salesforce.ids import is_id, to_18
from integration.salesforce.paths import Paths
from integration.salesforce.query import child_rows, query_rows
from integration.salesforce.repeats import CallRetries
from integration.salesforce.together import Upsert, query_together, upsert_together
from integration.salesforce.transport import Answer, OnBudget, OnCall, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    import httpx

    from integration.salesforce.budget import ApiBudget
    from integration.settings import SalesforceSettings

RETRIEVE_SIZE = 2000  # ids in one collections read

_GONE = 404


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """`id` has 18 characters."""

    id: str
    created: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the app is at Salesforce; changes made by `user_id` are its own echo."""

    org_id: str
    user_id: str
    username: str


class SalesforceClient:
    """One per process. `http` belongs to the caller, who closes it; it must not have a base URL."""

    def __init__(
        self,
        settings: SalesforceSettings,
        http: httpx.AsyncClient,
        *,
        retries: CallRetries | None = None,
        on_call: OnCall | None = None,
        on_budget: OnBudget | None = None,
        clock: Callable[[], float] = time.time,
        retrieve_size: int = RETRIEVE_SIZE,
    ) -> None:
        self.paths = Paths(settings.api_version)
        self.tokens = TokenSource(settings, http, on_call=on_call, clock=clock)
        self.transport = Transport(
            settings,
            http,
            self.tokens,
            retries=retries or CallRetries(),
            on_call=on_call,
            on_budget=on_budget,
        )
        self._size = settings.collection_size
        self._retrieve_size = retrieve_size
        self._describes = Describes(self.transport, self.paths, clock=clock)

    @property
    def budget(self) -> ApiBudget | None:
        """As of the last answer; None before the first."""
        return self.transport.budget

    # Reads

    def query(self, soql: str, *, include_deleted: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Rows as they come, in pages of up to 2,000, each with its `attributes`."""
        return query_rows(self.transport, self.paths, soql, include_deleted=include_deleted)

    async def query_together(self, queries: Sequence[str]) -> list[list[dict[str, Any]]]:
        """The rows of several queries, up to five in one call."""
        return await query_together(self.transport, self.paths, queries)

    async def query_all_rows(
        self, soql: str, *, include_deleted: bool = False
    ) -> list[dict[str, Any]]:
        return [row async for row in self.query(soql, include_deleted=include_deleted)]

    async def children(self, row: Mapping[str, Any], relationship: str) -> list[dict[str, Any]]:
        """The rows of a sub-query of `row`, which came from `query`; further pages are read."""
        return await child_rows(self.transport, row.get(relationship))

    async def get(
        self, object_name: str, record_id: str, fields: Iterable[str]
    ) -> dict[str, Any] | None:
        """The record, or None where it does not exist or is in the recycle bin."""
        path = self.paths.row(object_name, record_id, tuple(fields))
        try:
            answer = await self._ask("GET", path, f"get {object_name}", Effect.READ)
        except RecordRejected as error:
            if error.context.status == _GONE:
                return None
            raise
        return json_object(answer, f"get {object_name}")

    async def retrieve(
        self, object_name: str, ids: Iterable[str], fields: Iterable[str]
    ) -> dict[str, dict[str, Any]]:
        """Records by 18-character id. What does not exist, is deleted, or is no id is absent."""
        wanted = list(dict.fromkeys(to_18(one) for one in ids if is_id(one)))
        columns = list(dict.fromkeys(["Id", *fields]))
        operation = f"retrieve {object_name}"
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(wanted), self._retrieve_size):
            answer = await self._ask(
                "POST",
                self.paths.collection_of(object_name),
                operation,
                Effect.READ,
                {"ids": wanted[start : start + self._retrieve_size], "fields": columns},
            )
            if not isinstance(answer.body, list):
                raise ContractError(f"{operation}: the answer is no list", system="salesforce")
            rows = [row for row in answer.body if row is not None]
            if not all(isinstance(row, dict) and is_id(row.get("Id")) for row in rows):
                raise ContractError(f"{operation}: a row without its id", system="salesforce")
            found |= {to_18(row["Id"]): row for row in rows}
        return found

    async def describe(self, object_name: str) -> dict[str, Any]:
        return await self._describes.get(object_name)

    async def limits(self) -> dict[str, Any]:
        """Needs the right View Setup; `budget` needs none."""
        answer = await self._ask("GET", self.paths.limits, "limits", Effect.READ)
        return json_object(answer, "limits")

    async def identity(self) -> Identity:
        answer = await self._ask("GET", "/services/oauth2/userinfo", "identity", Effect.READ)
        body = json_object(answer, "identity")
        try:
            org_id, user_id = to_18(body["organization_id"]), to_18(body["user_id"])
            return Identity(org_id, user_id, str(body.get("preferred_username", "")))
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError("identity: no ids in the answer", system="salesforce") from error

    # Writes

    async def create(self, object_name: str, record: Mapping[str, Any]) -> str:
        """The new id. Not repeatable: OutcomeUnknown where no answer came."""
        operation = f"create {object_name}"
        path = self.paths.rows(object_name)
        answer = await self._ask("POST", path, operation, Effect.ONCE, record)
        return written_id(answer, operation, Effect.ONCE)

    async def update(self, object_name: str, record_id: str, record: Mapping[str, Any]) -> None:
        path = self.paths.row(object_name, record_id)
        body = without_id(record)  # an Id in the body is refused
        await self._ask("PATCH", path, f"update {object_name}", Effect.REPEATABLE, body)

    async def upsert(
        self, object_name: str, external_id_field: str, value: str, record: Mapping[str, Any]
    ) -> UpsertResult:
        """Creates or updates by external id. Raises AmbiguousKey where several records hold it."""
        operation = f"upsert {object_name}"
        if not value:
            text = f"{operation}: the record has no usable {external_id_field}; not sent"
            raise RecordRejected(text, reason="empty-key", system="salesforce")
        path = self.paths.row_by_key(object_name, external_id_field, value)
        # Salesforce refuses the whole record when its key is in the body too (contract 2.2).
        key = external_id_field.lower()
        body = {name: field for name, field in record.items() if name.lower() != key}
        answer = await self._ask("PATCH", path, operation, Effect.REPEATABLE, body)
        return UpsertResult(
            written_id(answer, operation, Effect.REPEATABLE), created=answer.status == 201
        )

    async def delete(self, object_name: str, record_id: str) -> bool:
        """False where it was gone already."""
        path = self.paths.row(object_name, record_id)
        try:
            await self._ask("DELETE", path, f"delete {object_name}", Effect.REPEATABLE)
        except RecordRejected as error:
            if error.context.status == _GONE:
                return False
            raise
        return True

    async def update_many(
        self, object_name: str, records: Sequence[Mapping[str, Any]]
    ) -> list[RowResult]:
        """Updates by each record's `Id`. One result per record, in order, whatever happens: trouble of
        the whole system, too, is the `error` of the rows it concerns."""
        return await update_rows(self.transport, self.paths, object_name, records, size=self._size)

    async def upsert_many(
        self, object_name: str, external_id_field: str, records: Sequence[Mapping[str, Any]]
    ) -> list[RowResult]:
        """Upserts by the key inside each record; results as `update_many`. A key that is empty or
        comes twice is refused unsent."""
        return await upsert_rows(
            self.transport, self.paths, object_name, external_id_field, records, size=self._size
        )

    async def upsert_together(self, upserts: Sequence[Upsert]) -> list[list[RowResult]]:
        """Upserts that follow each other, such as parents and their children, in one call where they fit.
        Results as `upsert_many`, per upsert."""
        return await upsert_together(self.transport, self.paths, upserts, size=self._size)

    async def composite(
        self, subrequests: Sequence[SubRequest], all_or_none: bool = False
    ) -> list[SubResult]:
        """Up to 25 subrequests, at most 5 of them queries or collections, as one call."""
        return await send_composite(
            self.transport, self.paths, subrequests, all_or_none=all_or_none
        )

    async def _ask(
        self,
        method: str,
        path: str,
        operation: str,
        effect: Effect,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        content = None if body is None else to_json(body)
        return await self.transport.request(
            method, path, operation=operation, effect=effect, content=content
        )
