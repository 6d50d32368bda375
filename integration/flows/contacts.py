"""Flow 2, Salesforce → F&O: a contact becomes, and stays, a contact person of its account's customer.

Failure policy: retry 3×, then dead letter; a duplicate is skipped with the number of the person found
(spec 1). A missing customer is made first, by the account flow in the same bucket. What a person must
decide goes to review, above all a contact that moved to another account: F&O does not let a contact
person change its customer. Where the accounts were merged the person stays with its customer, and a contact
that took in another one has that one's person. Deleted and merged contacts themselves are in `gone`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from integration.d365.literals import COMPANY
from integration.errors import RecordNeedsReview
from integration.flows.account_customers import AccountCustomers
from integration.flows.contact_duplicates import PARTY, doubles_within
from integration.flows.contact_persons import (
    CUSTOMER_PARTY,
    DUPLICATE,
    ContactPersons,
    Person,
    PersonMatch,
    SoughtPerson,
    party_of,
)
from integration.flows.flow import Flow, Write
from integration.flows.gone.adopting import AdoptedPersons
from integration.flows.gone.families import MergedCustomers, beside_merged
from integration.flows.gone.holders import watched_of_persons
from integration.flows.gone.merges import HISTORY, Merges, is_untouched
from integration.flows.numbers import company_and_number, qualified
from integration.flows.outcomes import Moved, Skipped
from integration.flows.sources import available_fields, read_records, write_number_back
from integration.mapping.contacts import ContactMapping, contact_mapping
from integration.mapping.tables import rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.errors import SystemName
    from integration.flows.accounts import AccountFlow
    from integration.flows.context import FlowContext
    from integration.flows.flow import Record
    from integration.mapping.tables import Mapped

_Read = TypeVar("_Read")
OBJECT = "Contact"
ACCOUNT = "AccountId"


@dataclass(frozen=True, slots=True)
class WantedPerson:
    """A contact in F&O's terms, its account, and which contact person it names itself.

    `untouched` since it was created, so that nothing can have been merged into it.
    """

    contact_id: str
    account_id: str
    mapped: Mapped
    number: str | None
    company: str | None
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class WithoutCustomer(Write):
    """A contact person that waits for the customer of this account."""

    account_id: str = ""


class ContactFlow(Flow[WantedPerson, PersonMatch]):
    name = "contacts"
    systems: tuple[SystemName, ...] = ("salesforce", "d365")

    def __init__(self, context: FlowContext, accounts: AccountFlow) -> None:
        settings = context.settings
        self.policy = context.policy(self.name)
        self._salesforce = context.salesforce
        self._number_field = settings.salesforce.contact_number_field
        self._mapping: ContactMapping = contact_mapping(
            context.customisation,
            contact_id_field=settings.d365.salesforce_contact_id_field,
            contact_number_field=self._number_field,
        )
        companies = context.customisation.company_rule(settings.d365.company)
        self._one_company = companies.is_single_company
        self._customers = AccountCustomers(context, accounts, (CUSTOMER_PARTY,))
        fields = (*self._mapping.table.target_fields(), *watched_of_persons(context))
        self._persons = ContactPersons(context, fields)
        merges = Merges(context.salesforce, OBJECT, self._number_field)
        self._adopted = AdoptedPersons(merges, self._persons)
        self._merged = MergedCustomers(context, (CUSTOMER_PARTY,))

    async def read(self, keys: list[str]) -> Mapping[str, Record | Skipped | Moved | Exception]:
        found = await read_records(self._salesforce, OBJECT, keys, await self._source_fields())
        return {key: _with_account(record) for key, record in found.items()}

    async def read_live(self, keys: list[str]) -> Mapping[str, Record | Skipped]:
        found = await self._salesforce.retrieve(OBJECT, keys, await self._source_fields())
        return {key: _with_account(record) for key, record in found.items()}

    async def _source_fields(self) -> tuple[str, ...]:
        available = await available_fields(self._salesforce, OBJECT)
        history = (name for name in HISTORY if name in available)
        mapped = self._mapping.source_fields(available)
        return tuple(dict.fromkeys(("Id", ACCOUNT, self._number_field, *history, *mapped)))

    def root_of(self, record: Record) -> str:
        return str(record[ACCOUNT])

    def wanted(self, record: Record) -> WantedPerson | Skipped:
        if reason := self._mapping.skip_reason(record):
            return Skipped(reason)
        named = record.get(self._number_field)
        company, number = company_and_number(named) if named else (None, None)
        mapped = self._mapping.map(record)
        account, untouched = str(record[ACCOUNT]), is_untouched(record)
        return WantedPerson(str(record["Id"]), account, mapped, number, company, untouched)

    async def find(
        self, wanted: Mapping[str, WantedPerson]
    ) -> Mapping[str, PersonMatch | Exception | None]:
        customers = await self._customers.find({want.account_id for want in wanted.values()})
        answers: dict[str, PersonMatch | Exception | None] = {}
        sought: dict[str, SoughtPerson] = {}
        for key, want in wanted.items():
            customer = customers.get(want.account_id)
            if isinstance(customer, Exception):
                answers[key] = customer
            else:
                values = want.mapped.values
                sought[key] = SoughtPerson(customer, want.number, want.company, values)

        def may_be_new(key: str, match: PersonMatch) -> bool:
            unnamed = wanted[key].number is None and not wanted[key].untouched
            return unnamed and match.customer is not None

        found = await self._adopted.add(await self._persons.find(sought), may_be_new)
        accounts = {key: want.account_id for key, want in wanted.items()}
        answers.update(await beside_merged(self._merged, accounts, found))
        return answers

    def compare(self, wanted: WantedPerson, current: PersonMatch | None) -> Write | Skipped | None:
        match = current or PersonMatch(None)
        values = wanted.mapped.for_creation()
        if match.customer is None and not match.by_id:
            return WithoutCustomer("create", values, account_id=wanted.account_id)
        person = self._match(wanted, match)
        if person is not None:
            differences = tuple(self._mapping.table.differences(wanted.mapped, person.record))
            if not differences:
                return None
            changed = {change.field: change.new for change in differences}
            return Write("update", changed, person.key, person.etag, differences)
        if match.same is not None:
            return Skipped(DUPLICATE, str(match.same))
        assert match.customer is not None
        customer = {COMPANY: match.customer.company, PARTY: party_of(match.customer)}
        return Write("create", {**customer, **values})

    def _match(self, wanted: WantedPerson, current: PersonMatch) -> Person | None:
        """The one contact person of the contact, None where there is none. Never guesses."""
        if len(current.by_id) > 1:
            numbers = ", ".join(f"{person.number} in {person.company}" for person in current.by_id)
            raise _review(
                "several-contact-persons",
                f"contact persons {numbers} all carry the id of this contact",
            )
        person = current.by_id[0] if current.by_id else current.by_number
        if person is None:
            if wanted.number is None:
                return None
            raise _review(
                "contact-person-gone",
                f"the contact names contact person {wanted.number}, which does not exist there;"
                f" clear {self._number_field} to have a new one created",
            )
        owner = person.record.get(self._persons.id_field)
        if owner and not current.by_id:
            raise _review("number-of-other-contact", f"{person} belongs to contact {owner}")
        customer = current.customer
        if customer is None or person.party != party_of(customer):
            now = f"customer {customer.number} in {customer.company}" if customer else "no customer"
            raise _review(
                "moved-to-other-customer",
                f"{person} belongs to the customer with party {person.party}, but account"
                f" {wanted.account_id} of the contact has {now}; F&O does not move contact persons:"
                f" put the contact back, or clear {self._persons.id_field} there and"
                f" {self._number_field} here to have a new one created",
            )
        return person

    async def write(
        self, changes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Skipped | Exception]:
        answers: dict[str, Record | Skipped | Exception] = {}
        waiting = {
            key: change.account_id
            for key, change in changes.items()
            if isinstance(change, WithoutCustomer)
        }
        if waiting:
            held = {account: buckets[key] for key, account in waiting.items()}
            ensured = await self._customers.ensure(held)
            answers = {key: ensured[account] for key, account in waiting.items()}
        answers |= doubles_within(changes)
        ready = {key: change for key, change in changes.items() if key not in answers}
        if ready:
            answers |= await self._persons.write(ready, buckets)
        return answers

    def back(self, record: Record, written: Record | None, current: PersonMatch | None) -> Record:
        """The contact person's number, and what else F&O owns, where the contact holds something else."""
        person = Person.of(written) if written else _only(current)
        if person is None:
            return {}
        table = self._mapping.table
        owned = table.apply_back(person.record)
        if owned.problems:
            raise rejection(owned.problems)
        owned.values[self._number_field] = qualified(
            person.company, person.number, one_company=self._one_company
        )
        return {change.field: change.new for change in table.differences(owned, record)}

    async def write_back(self, fields: Mapping[str, Record]) -> Mapping[str, Exception]:
        return await write_number_back(
            self._salesforce, OBJECT, fields, number="contact person's number"
        )


def _with_account(read: _Read) -> _Read | Skipped:
    return Skipped("no-account") if isinstance(read, dict) and not read.get(ACCOUNT) else read


def _only(current: PersonMatch | None) -> Person | None:
    """The match that `compare` accepted."""
    if current is None:
        return None
    return current.by_id[0] if current.by_id else current.by_number


def _review(reason: str, description: str) -> RecordNeedsReview:
    return RecordNeedsReview(description, reason=reason, system="d365")
