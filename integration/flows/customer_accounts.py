"""Flow 1 backwards, F&O → Salesforce: what F&O owns of a customer comes to its account.

A customer carries its account's id. One that carries none exists in F&O only: it is ignored, linked to the
account that matches by rule, or gets a new account (CUSTOMERS_WITHOUT_ACCOUNT); never by guess and never
twice. After a merge it belongs to the account that survived, unless that has one of its own. Failure
policy: retry 3×, then dead letter. Hints are keyed `company|number`; their root is the account's id, so that
both directions of an account meet in one bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.d365.business_keys import CustomerKey, same_text
from integration.d365.filters import Filter, eq
from integration.d365.literals import COMPANY
from integration.errors import ContractError, RecordNeedsReview, RecordRejected, SystemName
from integration.flows.account_links import ACCOUNT, AccountLinks, Candidates
from integration.flows.account_writing import AccountWriter
from integration.flows.customers import ENTITY_SET, NUMBER, Customer
from integration.flows.flow import Flow, Write
from integration.flows.gone.merges import Merges
from integration.flows.numbers import qualified
from integration.flows.outcomes import Skipped
from integration.flows.reading import rows_matching
from integration.flows.sources import available_fields
from integration.mapping.accounts import account_mapping
from integration.mapping.customer_accounts import CustomerAccountMapping, customer_account_table
from integration.salesforce.ids import is_id, to_18

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.flows.context import FlowContext
    from integration.flows.flow import Record
    from integration.flows.outcomes import Moved
    from integration.mapping.tables import Mapped

_KEY, _AVAILABLE = "key", "available"


@dataclass(frozen=True, slots=True)
class WantedAccount:
    """`account_id` is None for a customer that exists in F&O only; `number` as Salesforce holds it."""

    customer: Customer
    account_id: str | None
    number: str
    owned: Mapped
    available: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """The linked account (None: it is gone) and who else carries its id, or the candidates. `merged`: the
    customer's own account was merged into it."""

    account: Record | None = None
    holders: tuple[str, ...] = ()
    candidates: Candidates | None = None
    merged: bool = False


class CustomerFlow(Flow[WantedAccount, Found]):
    name = "customers"
    systems: tuple[SystemName, ...] = ("d365", "salesforce")

    def __init__(self, context: FlowContext) -> None:
        settings = context.settings
        self.policy = context.policy(self.name)
        self._salesforce = context.salesforce
        self._d365 = context.d365
        self._terms = settings.d365.filter_terms
        self._id_field = settings.d365.salesforce_id_field
        self._number_field = settings.salesforce.customer_number_field
        self._unlinked = settings.app.customers_without_account
        accounts = account_mapping(
            context.customisation,
            default_company=settings.d365.company,
            salesforce_id_field=self._id_field,
            customer_number_field=self._number_field,
        )
        self._mapping = CustomerAccountMapping(
            accounts, customer_account_table(accounts.table), self._number_field
        )
        self._companies = accounts.companies
        match = context.customisation.customers.match
        self._links = AccountLinks(
            context.salesforce,
            context.d365,
            number_field=self._number_field,
            id_field=self._id_field,
            match=match,
            terms=self._terms,
        )
        self._merges = Merges(context.salesforce, ACCOUNT, self._number_field)
        self._writer = AccountWriter(context, self._number_field, self._id_field)
        names = (COMPANY, NUMBER, self._id_field, *self._mapping.customer_fields(), *match.values())
        self._select = tuple(dict.fromkeys(names))

    async def read(self, keys: list[str]) -> Mapping[str, Record | Skipped | Moved | Exception]:
        answers: dict[str, Record | Skipped | Moved | Exception] = {}
        wanted: dict[str, CustomerKey] = {}
        terms: dict[str, Filter] = {}
        for key in keys:
            try:
                parsed = CustomerKey.parse(key)
                if not self._companies.serves(parsed.company):
                    answers[key] = Skipped("company-not-served", parsed.company)
                    continue
                term = eq(NUMBER, parsed.number)
            except (ContractError, RecordRejected) as error:
                answers[key] = error
                continue
            wanted[key], terms[term.text] = parsed, term
        if not wanted:
            return answers
        available = await available_fields(self._salesforce, ACCOUNT)
        rows = await rows_matching(
            self._d365, ENTITY_SET, list(terms.values()), self._select, per_filter=self._terms
        )
        by_key = {(same_text(row[COMPANY]), same_text(row[NUMBER])): row for row in rows}
        for key, parsed in wanted.items():
            row = by_key.get((same_text(parsed.company), same_text(parsed.number)))
            if row is not None:  # a key left out is skipped as "not-found"
                answers[key] = {**row, _KEY: parsed.text, _AVAILABLE: available}
        return answers

    def root_of(self, record: Record) -> str:
        return self._account_id(record) or str(record[_KEY])

    def _account_id(self, record: Record) -> str | None:
        """What the custom field holds, even where that is no id: such a customer is not F&O only."""
        held = record.get(self._id_field)
        if not isinstance(held, str) or not held.strip():
            return None
        return to_18(held.strip()) if is_id(held.strip()) else held.strip()

    def wanted(self, record: Record) -> WantedAccount | Skipped:
        customer, account_id = Customer.of(record), self._account_id(record)
        if account_id is None and self._unlinked == "ignore":
            return Skipped("customer-only-in-d365")
        if account_id is not None and not is_id(account_id):
            raise RecordRejected(
                f"{self._id_field} of customer {customer.number} holds no Salesforce id",
                reason="no-salesforce-id",
                system="d365",
            )
        one = self._companies.is_single_company
        number = qualified(customer.company, customer.number, one_company=one)
        available: frozenset[str] = record[_AVAILABLE]
        owned = self._mapping.owned(record, number, available)
        return WantedAccount(customer, account_id, number, owned, available)

    async def find(
        self, wanted: Mapping[str, WantedAccount]
    ) -> Mapping[str, Found | Exception | None]:
        fields = tuple(dict.fromkeys(name for w in wanted.values() for name in w.owned.values))
        found: dict[str, Found | Exception | None] = dict(await self._linked(wanted, fields))
        alone = {
            key: (each.number, each.customer.record)
            for key, each in wanted.items()
            if each.account_id is None
        }
        for key, candidates in (await self._links.find(alone, fields)).items():
            found[key] = Found(candidates=candidates)
        return found

    async def _linked(
        self, wanted: Mapping[str, WantedAccount], fields: tuple[str, ...]
    ) -> dict[str, Found]:
        """Who else carries the id is asked only where something hints at a second customer."""
        ids = {key: each.account_id for key, each in wanted.items() if each.account_id}
        if not ids:
            return {}
        accounts = await self._salesforce.retrieve(ACCOUNT, ids.values(), fields)
        missing = sorted(set(ids.values()) - accounts.keys())
        survivors = await self._merges.survivors(missing, fields) if missing else {}
        several = [each for each in ids.values() if list(ids.values()).count(each) > 1]
        doubtful = {
            account_id
            for key, account_id in ids.items()
            if account_id in several
            or self._names_other(accounts.get(account_id), wanted[key].number)
        }
        doubtful |= {str(each["Id"]) for each in survivors.values()}
        holders = await self._links.holders(sorted(doubtful))
        found: dict[str, Found] = {}
        for key, own in ids.items():
            account, merged = accounts.get(own) or survivors.get(own), own in survivors
            holding = str(account["Id"]) if account else own
            found[key] = Found(account, holders.get(holding, ()), merged=merged)
        return found

    def _names_other(self, account: Record | None, number: str) -> bool:
        held = account.get(self._number_field) if account else None
        return bool(held) and same_text(held) != same_text(number)

    def compare(self, wanted: WantedAccount, current: Found | None) -> Write | Skipped | None:
        if current is None:
            return Skipped("account-gone")
        if current.candidates is not None:
            return self._first_time(wanted, current.candidates)
        if current.account is None:
            return Skipped("account-gone", wanted.account_id or "")
        if current.merged:
            if current.holders or self._names_other(current.account, wanted.number):
                return Skipped("account-merged", f"account {current.account['Id']}")
            return self._update(wanted, current.account, link=False)
        if len(current.holders) > 1:
            raise RecordNeedsReview(
                f"customers {', '.join(current.holders)} all carry the id of account"
                f" {wanted.account_id}",
                reason="several-customers",
                system="d365",
            )
        return self._update(wanted, current.account, link=False)

    def _first_time(self, wanted: WantedAccount, candidates: Candidates) -> Write | Skipped | None:
        account = self._links.choose(wanted.number, candidates)
        if account is not None:
            return self._update(wanted, account, link=True)
        if self._unlinked == "link":
            return Skipped("no-account-matches")
        values = self._mapping.new_account(wanted.customer.record, wanted.available)
        filled = {name: value for name, value in wanted.owned.values.items() if value is not None}
        return Write("create", {**values, **filled}, wanted.customer.key, wanted.customer.etag)

    def _update(self, wanted: WantedAccount, account: Record, *, link: bool) -> Write | None:
        """A link is a difference in F&O: the customer lacks the account's id."""
        differences = tuple(self._mapping.table.differences(wanted.owned, account))
        if not differences and not link:
            return None
        values = {change.field: change.new for change in differences}
        key = {"Id": str(account["Id"])}
        if not link:
            return Write("update", values, key, differences=differences)
        key |= wanted.customer.key
        return Write("update", values, key, wanted.customer.etag, differences)

    async def write(
        self, changes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Skipped | Exception]:
        return await self._writer.write(changes, buckets)

    def back(self, record: Record, written: Record | None, current: Found | None) -> Record:
        """Nothing: the account's id is written to the customer together with the account."""
        return {}

    async def write_back(self, fields: Mapping[str, Record]) -> Mapping[str, Exception]:
        return {}
