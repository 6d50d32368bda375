"""Contact persons in F&O as the target of contacts: finds them, and tells two of the same person apart.

A contact's person is the one that carries the contact's 18-character id in the custom field, looked up
across all companies; failing that, the one whose number the contact names. Only for a contact that names
none are persons of the same customer looked up that seem to be the same human being.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.d365.filters import eq
from integration.d365.literals import COMPANY
from integration.d365.values import etag_of
from integration.errors import ContractError, IntegrationError, RecordBusy, RecordRejected
from integration.flows.contact_duplicates import COMPARED, PARTY, alike_filter, are_alike
from integration.flows.creating import RecordWriter, Target
from integration.flows.outcomes import Skipped
from integration.flows.reading import key_of, rows_matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.d365.filters import Filter
    from integration.flows.context import FlowContext
    from integration.flows.customers import Customer
    from integration.flows.flow import Record, Write

ENTITY_SET = "ContactPersons"
NUMBER = "ContactPersonId"
CUSTOMER_PARTY = "PartyNumber"  # of CustomersV3
DUPLICATE = "duplicate-contact"


@dataclass(frozen=True, slots=True)
class Person:
    company: str
    number: str
    record: Record

    @classmethod
    def of(cls, row: Record) -> Person:
        return cls(*key_of(row, ENTITY_SET, NUMBER), row)

    def __str__(self) -> str:
        return f"contact person {self.number} in {self.company}"

    @property
    def key(self) -> Record:
        return {COMPANY: self.company, NUMBER: self.number}

    @property
    def etag(self) -> str | None:
        return etag_of(self.record)

    @property
    def party(self) -> str:
        return str(self.record.get(PARTY) or "")

    def is_named_in(self, text: str) -> bool:
        return bool(re.search(rf"(?<![\w-]){re.escape(self.number)}(?![\w-])", text))


@dataclass(frozen=True, slots=True)
class SoughtPerson:
    """`number` as the contact names it, `company` where that number counts; `values` as mapped."""

    customer: Customer | None
    number: str | None
    company: str | None
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PersonMatch:
    """What F&O holds for one contact. `same` is another record of what seems to be the same person."""

    customer: Customer | None
    by_id: tuple[Person, ...] = ()
    by_number: Person | None = None
    same: Person | None = None


class ContactPersons:
    def __init__(self, context: FlowContext, fields: Iterable[str]) -> None:
        """`fields` are those to compare."""
        settings = context.settings
        self._client = context.d365
        self.id_field = settings.d365.salesforce_contact_id_field
        self._terms = settings.d365.filter_terms
        self._select = tuple(dict.fromkeys((COMPANY, NUMBER, self.id_field, *COMPARED, *fields)))
        target = Target(ENTITY_SET, "contacts", NUMBER, self.id_field, announced=True)
        self._writer = RecordWriter(context.d365, context.intents, settings, target)

    async def find(self, sought: Mapping[str, SoughtPerson]) -> dict[str, PersonMatch | Exception]:
        """Contact persons per contact id. One call."""
        answers: dict[str, PersonMatch | Exception] = {}
        terms: dict[str, Filter] = {}
        for key, want in sought.items():
            try:
                mine = [eq(self.id_field, key)]
                if want.number:
                    mine.append(eq(NUMBER, want.number))
                elif want.customer:
                    mine.append(alike_filter(party_of(want.customer), want.values))
            except (RecordRejected, ContractError) as error:  # a number with `*` matches others
                answers[key] = error
                continue
            terms |= {term.text: term for term in mine}
        persons = await self._read(terms.values())
        for key, want in sought.items():
            if key not in answers:
                answers[key] = self._match(key, want, persons)
        return answers

    def _match(self, key: str, want: SoughtPerson, persons: list[Person]) -> PersonMatch:
        by_id = [person for person in persons if self.carries(person, key)]
        company = want.company or (want.customer.company if want.customer else None)
        named = [
            person
            for person in persons
            if want.number
            and person.number.casefold() == want.number.casefold()
            and company in (None, person.company)
        ]
        same = None
        if want.customer is not None and not by_id and not want.number:
            party = party_of(want.customer)
            alike = (p for p in persons if p.party == party and are_alike(p.record, want.values))
            same = min(alike, key=lambda person: person.number, default=None)
        return PersonMatch(want.customer, tuple(by_id), named[0] if len(named) == 1 else None, same)

    def carries(self, person: Person, contact: str) -> bool:
        """F&O compares without regard to case; an 18-character id survives that (F&O contract 5)."""
        return str(person.record.get(self.id_field) or "").casefold() == contact.casefold()

    async def _read(self, terms: Iterable[Filter]) -> list[Person]:
        """A person that fits two terms comes once."""
        rows = await rows_matching(
            self._client, ENTITY_SET, list(terms), self._select, per_filter=self._terms
        )
        persons = map(Person.of, rows)
        return list({(person.company, person.number): person for person in persons}.values())

    async def write(
        self, writes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> dict[str, Record | Skipped | Exception]:
        """What F&O answered per contact id: the new person, {} for an update, or the error.

        Skipped where F&O refused to create the person because another is the same to it.
        """
        answers: dict[str, Record | Skipped | Exception] = {}
        answers |= await self._writer.write(writes, buckets)
        refused = {
            key: error.description
            for key, error in answers.items()
            if isinstance(error, RecordBusy) and error.reason == "already-exists"
        }
        creates = {}
        for key, text in refused.items():
            if writes[key].operation == "update":
                answers[key] = RecordRejected(text, reason=DUPLICATE, system="d365")
            else:
                creates[key] = text
        if creates:
            answers |= await self._others(creates, writes)
        return answers

    async def _others(
        self, refused: Mapping[str, str], writes: Mapping[str, Write]
    ) -> dict[str, Skipped]:
        """Names whom F&O means by its refusals. A contact's own person is left for the next reading."""
        parties = {key: str(writes[key].values[PARTY]) for key in refused}
        try:
            persons = await self._read(eq(PARTY, party) for party in set(parties.values()))
        except (
            IntegrationError
        ):  # the others of the batch have their answers; these are tried again
            return {}
        ends = {}
        for key, text in refused.items():
            found = [person for person in persons if person.party == parties[key]]
            if not any(self.carries(person, key) for person in found):
                named = ", ".join(str(person) for person in found if person.is_named_in(text))
                ends[key] = Skipped(DUPLICATE, named or "F&O does not tell which")
        return ends


def party_of(customer: Customer) -> str:
    """Raises ContractError: without its party a customer can have no contact person."""
    party = customer.record.get(CUSTOMER_PARTY)
    if not isinstance(party, str) or not party:
        text = f"customer {customer.number} in {customer.company} was read without its party"
        raise ContractError(text, system="d365")
    return party
