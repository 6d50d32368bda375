"""What hangs in F&O on a record that is gone: a customer on an account, a contact person on a contact.

A holder belongs to a record if it carries the record's id, or if the record names its number and it carries
no other id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from integration.errors import ConfigurationError
from integration.flows.contact_persons import ContactPersons, SoughtPerson
from integration.flows.customers import Customers, Sought
from integration.flows.numbers import company_and_number
from integration.mapping.accounts import account_table
from integration.mapping.contacts import contact_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from integration.flows.context import FlowContext
    from integration.flows.flow import Record, Write
    from integration.flows.outcomes import Skipped
    from integration.mapping.companies import CompanyRule
    from integration.mapping.tables import MappingTable

ON_HOLD, FREE = "OnHoldStatus", "No"
_INACTIVE = "IsInactive"


class Holder(Protocol):
    """A row of F&O; `customers.Customer` and `contact_persons.Person` are such."""

    @property
    def company(self) -> str: ...
    @property
    def number(self) -> str: ...
    @property
    def record(self) -> Record: ...
    @property
    def key(self) -> Record: ...
    @property
    def etag(self) -> str | None: ...


Holders = dict[str, tuple[Holder, ...] | Exception]


class HolderSet(Protocol):
    """What the wrapper of a flow needs to know of its target.

    `marks`: field → what a deletion sets there; `watched` are all fields that one may have set. `root_field`
    of a record is the business key that decides the bucket.
    """

    object: str
    noun: str
    holder: str
    root_field: str
    id_field: str
    policy: str
    marks: Mapping[str, str]
    watched: tuple[str, ...]

    def fields(self, available: Collection[str]) -> tuple[str, ...]:
        """Of the Salesforce record, to be read of one that is gone."""

    async def find(self, records: Mapping[str, Record]) -> Holders: ...

    async def write(
        self, writes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Skipped | Exception]: ...


class CustomersOfAccounts:
    object, noun, holder, root_field = "Account", "account", "customer", "Id"

    def __init__(self, context: FlowContext) -> None:
        settings = context.settings
        gone = settings.gone
        self.policy: str = gone.accounts
        self.id_field = settings.d365.salesforce_id_field
        self.watched = watched_of_customers(context)
        self._number_field = settings.salesforce.customer_number_field
        self._companies: CompanyRule = context.customisation.company_rule(settings.d365.company)
        marks: dict[str, str] = {ON_HOLD: gone.block} if gone.accounts == "block" else {}
        if gone.accounts in ("mark", "block") and gone.customer_field:
            marks[gone.customer_field] = gone.customer_mark
        table = account_table(context.customisation, self.id_field)
        self.marks: Mapping[str, str] = _free(marks, table, "DELETED_CUSTOMER_FIELD")
        self._customers = Customers(context.d365, context.intents, settings, self.watched)

    def fields(self, available: Collection[str]) -> tuple[str, ...]:
        return (self._number_field, *self._companies.source_fields(available))

    async def find(self, records: Mapping[str, Record]) -> Holders:
        """One call."""
        sought = {key: self._sought(record) for key, record in records.items()}
        found: Holders = {}
        for key, match in (await self._customers.find(sought)).items():
            found[key] = (
                match
                if isinstance(match, Exception)
                else own_rows(match.by_id, match.by_number, self.id_field)
            )
        return found

    def _sought(self, record: Record) -> Sought:
        found = self._companies.find(record)
        rule = found if isinstance(found, str) else self._companies.default or ""
        named = record.get(self._number_field)
        if not named:
            return Sought(None, rule.lower())
        company, number = company_and_number(str(named))
        return Sought(number, company or rule.lower())

    async def write(
        self, writes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Skipped | Exception]:
        return await self._customers.write(writes, buckets)


class PersonsOfContacts:
    object, noun, holder, root_field = "Contact", "contact", "contact person", "AccountId"

    def __init__(self, context: FlowContext) -> None:
        settings = context.settings
        gone = settings.gone
        self.policy: str = gone.contacts
        self.id_field = settings.d365.salesforce_contact_id_field
        self.watched = watched_of_persons(context)
        self._number_field = settings.salesforce.contact_number_field
        marks = (
            {gone.contact_field: "Yes" if gone.contact_field == _INACTIVE else gone.contact_mark}
            if gone.contacts == "mark" and gone.contact_field
            else {}
        )
        table = contact_table(context.customisation, self.id_field, self._number_field)
        self.marks: Mapping[str, str] = _free(marks, table, "DELETED_CONTACT_FIELD")
        self._persons = ContactPersons(context, self.watched)

    def fields(self, available: Collection[str]) -> tuple[str, ...]:
        return (self._number_field, self.root_field)

    async def find(self, records: Mapping[str, Record]) -> Holders:
        """One call."""
        sought = {}
        for key, record in records.items():
            named = record.get(self._number_field)
            company, number = company_and_number(str(named)) if named else (None, None)
            sought[key] = SoughtPerson(None, number, company, {})
        found: Holders = {}
        for key, match in (await self._persons.find(sought)).items():
            found[key] = (
                match
                if isinstance(match, Exception)
                else own_rows(match.by_id, match.by_number, self.id_field)
            )
        return found

    async def write(
        self, writes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Skipped | Exception]:
        return await self._persons.write(writes, buckets)


def watched_of_customers(context: FlowContext) -> tuple[str, ...]:
    """Columns of a customer that a deletion may have set, whatever the policy is by now."""
    field = context.settings.gone.customer_field
    return (ON_HOLD, field) if field else (ON_HOLD,)


def watched_of_persons(context: FlowContext) -> tuple[str, ...]:
    field = context.settings.gone.contact_field
    return (field,) if field else ()


def _free(marks: dict[str, str], table: MappingTable, setting: str) -> dict[str, str]:
    """Raises ConfigurationError where the mapping writes the field too: the two would fight over it."""
    written = {rule.target for rule in table.rules if rule.is_written}
    problems = [
        f"{setting if name != ON_HOLD else 'DELETED_ACCOUNTS'}: the mapping file writes {name}, which a"
        " deletion would mark"
        for name in marks
        if name in written
    ]
    if problems:
        raise ConfigurationError(problems)
    return marks


def own_rows(
    by_id: Iterable[Holder], by_number: Holder | None, id_field: str
) -> tuple[Holder, ...]:
    """Those that carry the id; else the one that is named, if it carries none."""
    mine = list(by_id)
    if not mine and by_number is not None and not by_number.record.get(id_field):
        mine = [by_number]
    return tuple(mine)
