"""Writes records of one F&O entity set in batches, and creates each of them once.

A create whose key F&O draws from a number sequence has nothing that F&O could check, so it is announced
as an intent first; after an answer that never came, reading decides (design, idea 5). Used by every flow
that creates records with the Salesforce id in a custom field.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.d365.batch import Operation, OperationResult
from integration.d365.errors import RecordExists
from integration.d365.literals import Key
from integration.errors import (
    ContractError,
    CreatePending,
    DeadlineReached,
    IntegrationError,
    OutcomeUnknown,
    RecordBusy,
    RecordRejected,
    Unreachable,
)
from integration.flows.announcing import Announcements
from integration.flows.pace import WritePace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.d365.client import D365Client
    from integration.flows.flow import Record, Write
    from integration.settings import Settings
    from integration.state.intents import CreateIntents


@dataclass(frozen=True, slots=True)
class Target:
    """`number` is the field with the key, `id_field` the one that carries the Salesforce id.

    `announced`: creates are announced under `kind`, because F&O gives the number.
    """

    entity_set: str
    kind: str
    number: str
    id_field: str
    announced: bool


class RecordWriter:
    def __init__(
        self, client: D365Client, intents: CreateIntents, settings: Settings, target: Target
    ) -> None:
        self._client = client
        self._announcements = Announcements(intents, target.kind)
        self._target = target
        self._pace = WritePace(settings.d365.batch_size)
        self._quarantine = settings.app.create_quarantine.total_seconds()

    async def write(
        self, writes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> dict[str, Record | Exception]:
        """What F&O answered per Salesforce id: the new record, {} for an update, or the error."""
        answers: dict[str, Record | Exception] = {}
        keys = list(writes)
        while keys:
            size = self._pace.size
            part, keys = keys[:size], keys[size:]
            answers |= await self._write_part({key: writes[key] for key in part}, buckets)
        return answers

    async def _write_part(
        self, writes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> dict[str, Record | Exception]:
        try:
            self._pace.begin(len(writes))
        except DeadlineReached as error:
            return dict.fromkeys(writes, error)
        operations: dict[str, Operation] = {}
        refused: dict[str, Record | Exception] = {}
        for key, write in writes.items():
            try:
                operations[key] = self._operation(write)
            except RecordRejected as error:  # a value that cannot be sent
                refused[key] = error
        announced = {key: buckets[key] for key in operations if self._is_announced(writes[key])}
        refused |= await self._announcements.announce(announced)
        operations = {key: each for key, each in operations.items() if key not in refused}
        if not operations:
            return refused
        writes = {key: writes[key] for key in operations}
        started = time.monotonic()
        try:
            results = await self._client.batch(list(operations.values()))
        except OutcomeUnknown as error:
            results = [OperationResult(None, error=error)] * len(writes)
        except IntegrationError:
            await self._announcements.settle(announced, writes)  # nothing was executed
            raise
        self._pace.learn(len(writes), time.monotonic() - started)
        answers: dict[str, Record | Exception] = dict(refused)
        finished = []
        for (key, write), result in zip(writes.items(), results, strict=True):
            answers[key] = self._answer(key, write, result)
            if not isinstance(answers[key], CreatePending):
                finished.append(key)
        await self._announcements.settle(announced, finished)
        return answers

    def _operation(self, write: Write) -> Operation:
        entity_set = self._target.entity_set
        if write.operation == "create":
            return Operation("POST", entity_set, body=write.values)
        return Operation("PATCH", entity_set, Key(**write.key), body=write.values, etag=write.etag)

    def _is_announced(self, write: Write) -> bool:
        return write.operation == "create" and self._target.announced

    def _answer(self, key: str, write: Write, result: OperationResult) -> Record | Exception:
        error = result.error
        if error is None:
            return {} if write.operation == "update" else self._created(key, result.body)
        if isinstance(error, RecordExists):
            return RecordBusy(error.description, reason="already-exists", system="d365")
        if isinstance(error, OutcomeUnknown) and result.status is None:
            # No answer: it may still be running inside F&O. A status, even 500, means it is over.
            if self._is_announced(write):
                return CreatePending(error.description, retry_after=self._quarantine, system="d365")
            return Unreachable(error.description, system="d365", context=error.context)
        return error

    def _created(self, key: str, created: Any) -> Record | Exception:
        target = self._target
        if str(created.get(target.id_field, "")).casefold() == key.casefold():
            return dict(created)
        return ContractError(
            f"{target.entity_set}: {created.get(target.number)} was created but does not carry the"
            f" Salesforce id; is {target.id_field} public and writable?",
            system="d365",
        )
