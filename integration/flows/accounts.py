"""Flow 1, Salesforce → F&O: an account becomes, and stays, a customer.

Failure policy: retry 3×, then dead letter (spec 1). What a person must decide goes to review: several
customers for one account, a customer in another company than the rule says, a number that belongs to
somebody else, or a customer that is gone. An account that took in another one with a customer has that
customer; deleted and merged accounts themselves are in `gone`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.d365.literals import COMPANY
from integration.errors import RecordNeedsReview, SystemName
from integration.flows.customers import NUMBER, Customer, Customers, Match, Sought
from integration.flows.flow import Flow, Write
from integration.flows.gone.adopting import AdoptedCustomers
from integration.flows.gone.holders import watched_of_customers
from integration.flows.gone.merges import HISTORY, Merges, is_untouched
from integration.flows.numbers import company_and_number, qualified
from integration.flows.outcomes import Moved, Skipped
from integration.flows.sources import available_fields, read_records, write_number_back
from integration.mapping.accounts import AccountMapping, MappedAccount, account_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.flows.context import FlowContext
    from integration.flows.flow import Record

OBJECT = "Account"


@dataclass(frozen=True, slots=True)
class ApprovedMatch(Match):
    """With what a person approved for the account: the number of its customer, or that it gets one."""

    approved: str | None = None
    may_create: bool = False


@dataclass(frozen=True, slots=True)
class WantedCustomer:
    """An account in F&O's terms, and which customer it names itself.

    `untouched` since it was created, so that nothing can have been merged into it.
    """

    account_id: str
    account: MappedAccount
    sought: Sought
    untouched: bool = False

    @property
    def company(self) -> str:
        return self.account.company


class AccountFlow(Flow[WantedCustomer, Match]):
    name = "accounts"
    systems: tuple[SystemName, ...] = ("salesforce", "d365")

    def __init__(self, context: FlowContext) -> None:
        settings = context.settings
        self.policy = context.policy(self.name)
        self._salesforce = context.salesforce
        self._creation = settings.app.customer_creation
        self._matches = context.matches
        self._numbering = settings.app.customer_numbering
        self._number_field = settings.salesforce.customer_number_field
        self._mapping: AccountMapping = account_mapping(
            context.customisation,
            default_company=settings.d365.company,
            salesforce_id_field=settings.d365.salesforce_id_field,
            customer_number_field=self._number_field,
        )
        self._one_company = self._mapping.companies.is_single_company
        fields = (*self._mapping.table.target_fields(), *watched_of_customers(context))
        self._customers = Customers(context.d365, context.intents, settings, fields)
        merges = Merges(context.salesforce, OBJECT, self._number_field)
        self._adopted = AdoptedCustomers(merges, self._customers)

    async def read(self, keys: list[str]) -> Mapping[str, Record | Skipped | Moved | Exception]:
        return await read_records(self._salesforce, OBJECT, keys, await self._source_fields())

    async def read_live(self, keys: list[str]) -> Mapping[str, Record | Skipped]:
        return await self._salesforce.retrieve(OBJECT, keys, await self._source_fields())

    async def _source_fields(self) -> tuple[str, ...]:
        available = await available_fields(self._salesforce, OBJECT)
        history = (name for name in HISTORY if name in available)
        needed = ("Id", self._number_field, *history, *self._mapping.source_fields(available))
        return tuple(dict.fromkeys(needed))

    def root_of(self, record: Record) -> str:
        return str(record["Id"])

    def wanted(self, record: Record) -> WantedCustomer | Skipped:
        if reason := self._mapping.skip_reason(record):
            return Skipped(reason)
        account = self._mapping.map(record)
        sought = self._sought(record.get(self._number_field), account.company)
        return WantedCustomer(str(record["Id"]), account, sought, is_untouched(record))

    def _sought(self, named: str | None, company: str) -> Sought:
        if not named:
            return Sought(None, company)
        own, number = company_and_number(named)
        return Sought(number, own or company)

    async def find(
        self, wanted: Mapping[str, WantedCustomer]
    ) -> Mapping[str, Match | Exception | None]:
        sought = {key: want.sought for key, want in wanted.items()}
        unnamed = [key for key, want in wanted.items() if want.sought.number is None]
        if not unnamed or self._matches is None:
            found = await self._customers.find(sought)
            return await self._adopt(wanted, sought, found)
        book = await self._matches.approved()
        links = {key: link for key in unnamed if (link := book.links.get(key))}
        sought |= {key: Sought(link.number, link.company) for key, link in links.items()}
        approved: dict[str, Match | Exception] = {
            key: ApprovedMatch(
                match.by_id,
                match.by_number,
                links[key].number if key in links else None,
                key in book.create,
            )
            if isinstance(match, Match)
            else match
            for key, match in (await self._customers.find(sought)).items()
        }
        return await self._adopt(wanted, sought, approved)

    async def _adopt(
        self,
        wanted: Mapping[str, WantedCustomer],
        sought: Mapping[str, Sought],
        found: Mapping[str, Match | Exception],
    ) -> dict[str, Match | Exception]:
        """With the customers of accounts that were merged into those that would get a new one."""

        def may_be_new(key: str, match: Match) -> bool:
            unnamed = sought[key].number is None
            return unnamed and self._may_create(match) and not wanted[key].untouched

        return await self._adopted.add(found, sought, may_be_new)

    def _may_create(self, match: Match | None) -> bool:
        approved = isinstance(match, ApprovedMatch) and match.may_create
        return self._creation == "on" or (self._creation == "after-match" and approved)

    def compare(self, wanted: WantedCustomer, current: Match | None) -> Write | Skipped | None:
        customer = self._match(wanted, current)
        if customer is None:
            return self._creation_of(wanted, current)
        differences = tuple(self._mapping.table.differences(wanted.account.mapped, customer.record))
        if not differences:
            return None
        values = {change.field: change.new for change in differences}
        return Write("update", values, customer.key, customer.etag, differences)

    def _match(self, wanted: WantedCustomer, current: Match | None) -> Customer | None:
        """The one customer of the account, None where there is none. Never guesses."""
        if current is None:
            return None
        if len(current.by_id) > 1:
            numbers = ", ".join(f"{c.number} in {c.company}" for c in current.by_id)
            raise _review(
                "several-customers", f"customers {numbers} all carry the id of this account"
            )
        if current.by_id:
            customer = current.by_id[0]
        elif named := self._match_by_number(wanted, current):
            customer = named
        else:
            return None
        if customer.company != wanted.company:
            raise _review(
                "other-company",
                f"customer {customer.number} is in {customer.company}, the rule says"
                f" {wanted.company}; move the customer or change the account or the rule",
            )
        return customer

    def _match_by_number(self, wanted: WantedCustomer, current: Match) -> Customer | None:
        customer = current.by_number
        if customer is None:
            if isinstance(current, ApprovedMatch) and current.approved:
                raise _review(
                    "approved-customer-gone",
                    f"customer {current.approved}, approved for the account, does not exist any more;"
                    " run `python -m integration match accounts` again",
                )
            if wanted.sought.number is None:
                return None
            raise _review(
                "customer-gone",
                f"the account names customer {wanted.sought.number}, which does not exist in"
                f" {wanted.sought.company}; clear {self._number_field} to have a new one created",
            )
        if owner := customer.record.get(self._customers.id_field):
            raise _review(
                "number-of-other-account",
                f"customer {customer.number} in {customer.company} belongs to account {owner}",
            )
        return customer

    def _creation_of(self, wanted: WantedCustomer, current: Match | None) -> Write | Skipped:
        if not self._may_create(current):
            off = "customer-creation-off" if self._creation == "off" else "customer-awaits-match"
            return Skipped(off)
        if error := wanted.account.creation_rejection():
            raise error
        values = {COMPANY: wanted.company, **wanted.account.mapped.for_creation()}
        if self._numbering == "salesforce-id":
            values[NUMBER] = wanted.account_id
        return Write("create", values)

    async def write(
        self, changes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Exception]:
        return await self._customers.write(changes, buckets)

    def back(self, record: Record, written: Record | None, current: Match | None) -> Record:
        """The customer number, where the account does not hold it yet."""
        customer = Customer.of(written) if written else _only(current)
        if customer is None:
            return {}
        number = qualified(customer.company, customer.number, one_company=self._one_company)
        return {} if record.get(self._number_field) == number else {self._number_field: number}

    async def write_back(self, fields: Mapping[str, Record]) -> Mapping[str, Exception]:
        return await write_number_back(self._salesforce, OBJECT, fields, number="customer number")


def _only(current: Match | None) -> Customer | None:
    """The match that `compare` accepted."""
    if current is None:
        return None
    return current.by_id[0] if current.by_id else current.by_number


def _review(reason: str, description: str) -> RecordNeedsReview:
    return RecordNeedsReview(description, reason=reason, system="d365")
