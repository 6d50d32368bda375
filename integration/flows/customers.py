"""Customers in F&O as the target of accounts: finds them by what identifies them, writes them in batches.

An account's customer is the one that carries the account's 18-character id in the custom field, looked up
across all companies; failing that, the one whose number the account names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.d365.filters import Filter, eq
from integration.d365.values import etag_of
from integration.errors import RecordRejected
from integration.flows.creating import RecordWriter, Target
from integration.flows.reading import key_of, rows_matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from integration.d365.client import D365Client
    from integration.flows.flow import Record, Write
    from integration.settings import Settings
    from integration.state.intents import CreateIntents

ENTITY_SET = "CustomersV3"
NUMBER = "CustomerAccount"
COMPANY = "dataAreaId"


@dataclass(frozen=True, slots=True)
class Customer:
    company: str
    number: str
    record: Record

    @classmethod
    def of(cls, row: Record) -> Customer:
        return cls(*key_of(row, ENTITY_SET, NUMBER), row)

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
        self.id_field = settings.d365.salesforce_id_field
        self._terms = settings.d365.filter_terms
        self._sequence = settings.app.customer_numbering == "sequence"
        self._select = tuple(dict.fromkeys((COMPANY, NUMBER, self.id_field, *fields)))
        target = Target(ENTITY_SET, "customers", NUMBER, self.id_field, announced=self._sequence)
        self._writer = RecordWriter(client, intents, settings, target)

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
        return await self._writer.write(writes, buckets)
