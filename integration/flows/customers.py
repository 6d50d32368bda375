"""Customers in F&O as the target of accounts: finds them by what identifies them, writes them in batches.

An account's customer is the one that carries the account's 18-character id in the custom field, looked up
across all companies; failing that, the one whose number the account names. A create whose key F&O draws
from a number sequence is announced as an intent first (design, idea 5).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.d365.batch import Operation, OperationResult
from integration.d365.errors import RecordExists
from integration.d365.filters import Filter, eq
from integration.d365.literals import Key
from integration.d365.values import etag_of
from integration.deadline import call_timeout
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
from integration.flows.reading import rows_matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from integration.d365.client import D365Client
    from integration.flows.flow import Record, Write
    from integration.settings import Settings
    from integration.state.intents import CreateIntents

ENTITY_SET = "CustomersV3"
NUMBER = "CustomerAccount"
COMPANY = "dataAreaId"
_INTENTS = "customers"
_LONGEST_CALL = 30.0  # seconds a $batch may be predicted to take (design, idea 3)


@dataclass(frozen=True, slots=True)
class Customer:
    company: str
    number: str
    record: Record

    @classmethod
    def of(cls, row: Record) -> Customer:
        number, company = row.get(NUMBER), row.get(COMPANY)
        if not isinstance(number, str) or not isinstance(company, str):
            raise ContractError(f"{ENTITY_SET}: a row without its key", system="d365")
        return cls(company.lower(), number, row)

    @property
    def key(self) -> Record:
        return {COMPANY: self.company, NUMBER: self.number}

    @property
    def etag(self) -> str | None:
        return etag_of(self.record)


@dataclass(frozen=True, slots=True)
class Sought:
    """The customer number that an account names, and the company where that number counts."""

    number: str | None
    company: str


@dataclass(frozen=True, slots=True)
class Match:
    """What F&O holds for one account: customers with its id in any company, and the one it names."""

    by_id: tuple[Customer, ...]
    by_number: Customer | None


class Customers:
    def __init__(
        self, client: D365Client, intents: CreateIntents, settings: Settings, fields: Iterable[str]
    ) -> None:
        """`fields` are those to compare."""
        self._client = client
        self._intents = intents
        self.id_field = settings.d365.salesforce_id_field
        self._batch_size = settings.d365.batch_size
        self._terms = settings.d365.filter_terms
        self._quarantine = settings.app.create_quarantine.total_seconds()
        self._sequence = settings.app.customer_numbering == "sequence"
        self._select = tuple(dict.fromkeys((COMPANY, NUMBER, self.id_field, *fields)))
        self._seconds_per_write = 0.1

    async def find(self, sought: Mapping[str, Sought]) -> dict[str, Match | Exception]:
        """Customers per account id."""
        answers: dict[str, Match | Exception] = {}
        terms: dict[str, Filter] = {}
        for key, want in sought.items():
            named = self._named(key, want)
            try:
                mine = [eq(self.id_field, key), *([eq(NUMBER, named)] if named else [])]
            except RecordRejected as error:  # a number with `*` would match other customers
                answers[key] = error
                continue
            terms |= {term.text: term for term in mine}
        rows = [Customer.of(row) for row in await self._rows(list(terms.values()))]
        by_id: dict[str, list[Customer]] = {}
        by_number: dict[tuple[str, str], Customer] = {}
        for row in rows:
            # F&O compares without regard to case; an 18-character id survives that (contract 5).
            by_id.setdefault(str(row.record.get(self.id_field, "")).casefold(), []).append(row)
            by_number[row.company, row.number.casefold()] = row
        for key, want in sought.items():
            if key not in answers:
                named = self._named(key, want) or ""
                answers[key] = Match(
                    tuple(by_id.get(key.casefold(), ())),
                    by_number.get((want.company, named.casefold())),
                )
        return answers

    def _named(self, key: str, want: Sought) -> str | None:
        """Without a number sequence the account's id is the customer's number."""
        return want.number or (None if self._sequence else key)

    async def _rows(self, terms: Sequence[Filter]) -> list[Record]:
        """A customer that fits two terms comes once."""
        found = await rows_matching(
            self._client, ENTITY_SET, terms, self._select, per_filter=self._terms
        )
        unique = {(str(row.get(COMPANY)).lower(), row.get(NUMBER)): row for row in found}
        return list(unique.values())

    async def write(
        self, writes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> dict[str, Record | Exception]:
        """What F&O answered per account id: the new customer, {} for an update, or the error."""
        answers: dict[str, Record | Exception] = {}
        keys = list(writes)
        while keys:
            size = max(1, min(self._batch_size, int(_LONGEST_CALL / self._seconds_per_write)))
            part, keys = keys[:size], keys[size:]
            answers |= await self._write_part({key: writes[key] for key in part}, buckets)
        return answers

    async def _write_part(
        self, writes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> dict[str, Record | Exception]:
        try:
            call_timeout(_LONGEST_CALL, needed=len(writes) * self._seconds_per_write)
        except DeadlineReached as error:
            return dict.fromkeys(writes, error)
        operations: dict[str, Operation] = {}
        refused: dict[str, Record | Exception] = {}
        for key, write in writes.items():
            try:
                operations[key] = _operation(write)
            except RecordRejected as error:  # a value that cannot be sent
                refused[key] = error
        announced = {
            key: buckets[key]
            for key in operations
            if writes[key].operation == "create" and self._sequence
        }
        refused |= await self._announce(announced)
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
            await self._settle_intents(announced, writes)  # nothing was executed
            raise
        spent = (time.monotonic() - started) / len(writes)
        self._seconds_per_write = max(0.01, (self._seconds_per_write + spent) / 2)
        answers: dict[str, Record | Exception] = dict(refused)
        finished = []
        for (key, write), result in zip(writes.items(), results, strict=True):
            answers[key] = self._answer(key, write, result)
            if not isinstance(answers[key], CreatePending):
                finished.append(key)
        await self._settle_intents(announced, finished)
        return answers

    def _answer(self, key: str, write: Write, result: OperationResult) -> Record | Exception:
        error = result.error
        if error is None:
            if write.operation == "update":
                return {}
            created: Any = result.body
            if str(created.get(self.id_field, "")).casefold() != key.casefold():
                return ContractError(
                    f"{ENTITY_SET}: customer {created.get(NUMBER)} was created but does not carry the"
                    f" account's id; is {self.id_field} public and writable?",
                    system="d365",
                )
            return dict(created)
        if isinstance(error, RecordExists):
            return RecordBusy(error.description, reason="already-exists", system="d365")
        if isinstance(error, OutcomeUnknown) and result.status is None:
            # No answer: it may still be running inside F&O. A status, even 500, means it is over.
            if write.operation == "create" and self._sequence:
                return CreatePending(error.description, retry_after=self._quarantine, system="d365")
            return Unreachable(error.description, system="d365", context=error.context)
        return error

    async def _announce(self, buckets: Mapping[str, str]) -> dict[str, Record | Exception]:
        """Saves the intents; returns the keys that must wait, or whose intent could not be saved."""
        refused: dict[str, Record | Exception] = {}
        for bucket, keys in _by_bucket(buckets).items():
            try:
                refused |= (await self._intents.reserve(_INTENTS, bucket, keys)).pending
            except IntegrationError as error:
                refused |= dict.fromkeys(keys, error)
        return refused

    async def _settle_intents(self, buckets: Mapping[str, str], done: Iterable[str]) -> None:
        """Forgets finished creates. If that fails the quarantine ends them; a read finds the customer."""
        finished = {key: buckets[key] for key in done if key in buckets}
        for bucket, keys in _by_bucket(finished).items():
            try:
                await self._intents.release(_INTENTS, bucket, keys)
            except IntegrationError:
                return


def _operation(write: Write) -> Operation:
    if write.operation == "create":
        return Operation("POST", ENTITY_SET, body=write.values)
    return Operation("PATCH", ENTITY_SET, Key(**write.key), body=write.values, etag=write.etag)


def _by_bucket(buckets: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key, bucket in buckets.items():
        grouped.setdefault(bucket, []).append(key)
    return grouped
