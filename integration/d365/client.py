"""The app's view of F&O: records, rows, actions, services and batches; no HTTP above this line.

Every method raises the errors of `integration.errors` (translated in `errors`), and DeadlineReached
before anything is sent when the batch has too little time left.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from integration.d365.auth import Credential, TokenSource, build_credential, token_scope
from integration.d365.batch import (
    Item,
    Operation,
    OperationResult,
    assign,
    call_failed,
    operations_of,
    results,
    split,
)
from integration.d365.errors import Call, RecordMissing
from integration.d365.multipart import read_batch, write_batch
from integration.d365.odata import Query, Urls
from integration.d365.rows import Record, Rows
from integration.d365.transport import OnCall, Transport, context_of
from integration.d365.values import json_dumps
from integration.errors import ContractError, IntegrationError, OutcomeUnknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

    from integration.d365.filters import Filter
    from integration.d365.literals import Key
    from integration.settings import D365Settings


class D365Client:
    """One per process. `http` is owned by the caller; `close()` gives back the credential."""

    def __init__(
        self,
        settings: D365Settings,
        http: httpx.AsyncClient,
        *,
        credential: Credential | None = None,
        tries: int = 3,
        delay: float = 1.0,
        on_call: OnCall | None = None,
    ) -> None:
        """`tries` of one call inside the deadline; `delay` before the second one, doubled, in seconds.

        A given `credential` stays the caller's to close; without one it is built from the settings.
        """

        def build() -> Credential:
            return credential or build_credential(settings)

        self._settings = settings
        self.tokens = TokenSource(
            build, token_scope(settings.base_url), owns_credential=credential is None
        )
        self.urls = Urls(settings.base_url)
        self.transport = Transport(
            settings, http, self.tokens, tries=tries, delay=delay, on_call=on_call
        )

    async def close(self) -> None:
        await self.tokens.close()

    async def get(
        self, entity_set: str, key: Key, select: Sequence[str] | None = None
    ) -> Record | None:
        """The record, or None. Raises ContractError if another record than the asked one comes back."""
        call = Call(f"GET {entity_set}", safe_to_repeat=True, names_record=True)
        url = self.urls.record(entity_set, key, Query(select=select))
        try:
            record = await self.transport.json("GET", url, call)
        except RecordMissing:
            return None
        if not isinstance(record, dict) or not key.matches(record):
            raise ContractError(f"{call.operation}: not the record asked for", system="d365")
        return record

    def query(
        self,
        entity_set: str,
        *,
        filter: Filter | None = None,
        select: Sequence[str] | None = None,
        expand: Sequence[str] | None = None,
        orderby: Sequence[str] | None = None,
        top: int | None = None,
        count: bool = False,
    ) -> Rows:
        """Rows of all companies, at most `top`, all pages."""
        options = Query(filter, select, expand, orderby, top, count)
        return Rows(
            self.transport, self.urls, entity_set, self.urls.rows(entity_set, options), top=top
        )

    async def create(self, entity_set: str, record: Mapping[str, Any]) -> Record:
        """The record as F&O made it, with its numbers and defaults. Raises RecordExists among others."""
        call = Call(f"POST {entity_set}", safe_to_repeat=False)
        url = self.urls.rows(entity_set)
        created = await self.transport.json("POST", url, call, content=json_dumps(record))
        if not isinstance(created, dict):
            raise OutcomeUnknown(f"{call.operation}: F&O sent no record back", system="d365")
        return created

    async def update(
        self, entity_set: str, key: Key, changes: Mapping[str, Any], etag: str | None = None
    ) -> None:
        """Changes some fields. Raises RecordMissing, EtagConflict among others. Never inserts."""
        call = Call(f"PATCH {entity_set}", safe_to_repeat=False, names_record=True)
        await self.transport.request(
            "PATCH",
            self.urls.record(entity_set, key),
            call,
            content=json_dumps(changes),
            headers=self._if_match(etag),
        )

    async def delete(self, entity_set: str, key: Key, etag: str | None = None) -> None:
        """Raises RecordMissing, EtagConflict among others."""
        call = Call(f"DELETE {entity_set}", safe_to_repeat=False, names_record=True)
        url = self.urls.record(entity_set, key)
        await self.transport.request("DELETE", url, call, headers=self._if_match(etag))

    async def action(
        self,
        entity_set: str,
        name: str,
        body: Mapping[str, Any] | None = None,
        key: Key | None = None,
        *,
        safe_to_repeat: bool = False,
    ) -> Any:
        """What the action returned. Say `safe_to_repeat` for those that change nothing."""
        call = Call(f"POST {entity_set}.{name}", safe_to_repeat, key is not None, is_action=True)
        url = self.urls.action(entity_set, name, key)
        answer = await self.transport.json("POST", url, call, content=json_dumps(body or {}))
        # Microsoft's pages show some values wrapped twice (F&O contract 6.1).
        while isinstance(answer, dict) and "value" in answer:
            answer = answer["value"]
        return answer

    async def service(
        self,
        group: str,
        service: str,
        operation: str,
        body: Mapping[str, Any] | None = None,
        *,
        safe_to_repeat: bool = False,
    ) -> Any:
        """What a custom service returned, not wrapped; members `$id` are bookkeeping (F&O contract 8)."""
        call = Call(f"POST {service}/{operation}", safe_to_repeat, is_action=True)
        url = self.urls.service(group, service, operation)
        content = "" if body is None else json_dumps(body)
        return await self.transport.json("POST", url, call, content=content)

    async def batch(self, items: Sequence[Item]) -> list[OperationResult]:
        """One result for each operation, in order; a changeset's operations share its failure.

        More than D365_BATCH_SIZE operations take several calls. If the first fails as a whole, its error
        is raised (OutcomeUnknown: none of the writes is known). If a later one fails, the results before
        it count, its operations get its error, and the calls after it are not begun.
        """
        done: list[OperationResult] = []
        failure: IntegrationError | None = None
        for chunk in split(items, self._settings.batch_size):
            operations = [operation for item in chunk for operation in operations_of(item)]
            if failure is not None:
                done += [call_failed(each, failure, begun=False) for each in operations]
                continue
            try:
                done += await self._batch_call(chunk, operations)
            except IntegrationError as error:
                if not done:
                    raise
                failure = error
                done += [call_failed(each, error, begun=True) for each in operations]
        return done

    async def _batch_call(
        self, items: Sequence[Item], operations: Sequence[Operation]
    ) -> list[OperationResult]:
        reads_only = all(operation.is_read for operation in operations)
        numbers = itertools.count(1)
        groups = [
            (
                not (isinstance(item, Operation) and item.is_read),
                [
                    operation.request(next(numbers), self.urls, use_etag=self._settings.use_etag)
                    for operation in operations_of(item)
                ],
            )
            for item in items
        ]
        content_type, text = write_batch(groups)
        call = Call("POST $batch", safe_to_repeat=reads_only)
        response = await self.transport.request(
            "POST",
            self.urls.batch(),
            call,
            content=text,
            headers={
                "Content-Type": content_type,
                "Accept": "multipart/mixed",
                "Prefer": "odata.continue-on-error",  # harmless where unknown (F&O contract 3.3)
            },
        )
        context = context_of(response, call)
        answer = read_batch(response.headers.get("content-type", ""), response.content)
        if answer is None:
            kind = Unreachable if reads_only else OutcomeUnknown
            raise kind("the answer to a batch is no batch", system="d365", context=context)
        done: list[OperationResult] = []
        for item, group in zip(items, assign(items, answer), strict=True):
            cap = self._settings.throttle_cap
            done += results(item, len(done) + 1, group, throttle_cap=cap, context=context)
        pairs = zip(operations, done, strict=True)
        return [await self._all_pages(operation, result) for operation, result in pairs]

    async def _all_pages(self, operation: Operation, result: OperationResult) -> OperationResult:
        """A read inside a batch is cut off at a page like any other; the rest is read here."""
        body = result.body
        link = body.get("@odata.nextLink") if operation.is_read and isinstance(body, dict) else None
        if not link:
            return result
        if not isinstance(rows := body.get("value"), list):
            error = ContractError(f"{operation.call().operation}: no list of rows", system="d365")
            return OperationResult(result.status, error=error)
        try:
            rest = Rows(self.transport, self.urls, operation.entity_set, self.urls.next_page(link))
            rows = rows + [row async for row in rest]
        except IntegrationError as failed:
            return OperationResult(result.status, error=failed)
        complete = {name: value for name, value in body.items() if name != "@odata.nextLink"}
        return OperationResult(result.status, complete | {"value": rows}, result.etag)

    def _if_match(self, etag: str | None) -> dict[str, str]:
        return {"If-Match": etag} if etag and self._settings.use_etag else {}
