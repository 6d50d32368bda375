"""Which account a customer belongs to that exists in F&O only: found by rule, never guessed.

An account that names the customer's number is it. Otherwise one whose fields equal the customer's by the
pairs of the mapping file (`[customers] match`); it must not have a customer already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.d365.business_keys import same_text
from integration.d365.filters import eq
from integration.d365.literals import COMPANY
from integration.errors import RecordNeedsReview
from integration.flows.customers import ENTITY_SET, NUMBER, Customer
from integration.flows.reading import rows_matching
from integration.salesforce.soql import in_list, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from integration.d365.client import D365Client
    from integration.flows.flow import Record
    from integration.salesforce.client import SalesforceClient

ACCOUNT = "Account"
_VALUES = 200  # per query and field


@dataclass(frozen=True, slots=True)
class Candidates:
    """`named` is the account that names the number; `similar` those that match by rule; `taken` the
    numbers of the customers that carry the id of one of them, by account id."""

    named: Record | None
    similar: tuple[Record, ...]
    taken: Mapping[str, tuple[str, ...]]


class AccountLinks:
    def __init__(
        self,
        salesforce: SalesforceClient,
        d365: D365Client,
        *,
        number_field: str,
        id_field: str,
        match: Mapping[str, str],
        terms: int,
    ) -> None:
        """`match`: Account field → CustomersV3 field; `terms` the most comparisons of one filter."""
        self._salesforce = salesforce
        self._d365 = d365
        self._number_field = number_field
        self._id_field = id_field
        self._match = match
        self._terms = terms

    async def find(
        self, customers: Mapping[str, tuple[str, Record]], fields: Iterable[str]
    ) -> dict[str, Candidates]:
        """Per key of (number as Salesforce holds it, customer): one call to each system."""
        if not customers:
            return {}
        accounts = await self._accounts(customers, tuple(fields))
        found = {
            key: (
                next((a for a in accounts if _equal(a.get(self._number_field), number)), None),
                tuple(a for a in accounts if self._is_similar(a, customer)),
            )
            for key, (number, customer) in customers.items()
        }
        ids = {
            str(account["Id"])
            for named, similar in found.values()
            for account in ((named,) if named else similar)
        }
        taken = await self.holders(sorted(ids))
        claims: dict[str, list[str]] = {}
        for key, (named, similar) in found.items():
            for account in (named,) if named else similar:
                claims.setdefault(str(account["Id"]), []).append(customers[key][0])
        for account_id, numbers in claims.items():
            if len(numbers) > 1:  # two customers of one batch, and neither has the better claim
                taken[account_id] = (*taken.get(account_id, ()), *numbers)
        return {key: Candidates(named, similar, taken) for key, (named, similar) in found.items()}

    async def holders(self, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The customers, as `number in company`, that carry these account ids."""
        if not ids:
            return {}
        columns = (COMPANY, NUMBER, self._id_field)
        terms = [eq(self._id_field, each) for each in ids]
        rows = await rows_matching(self._d365, ENTITY_SET, terms, columns, per_filter=self._terms)
        by_id = {each.casefold(): each for each in ids}
        found: dict[str, dict[str, None]] = {}
        for row in rows:
            customer = Customer.of(row)
            account = by_id.get(str(row.get(self._id_field)).casefold())
            if account is not None:
                found.setdefault(account, {})[f"{customer.number} in {customer.company}"] = None
        return {account: tuple(numbers) for account, numbers in found.items()}

    def choose(self, number: str, candidates: Candidates) -> Record | None:
        """The one account, None where there is none. Raises RecordNeedsReview."""
        account = candidates.named
        if account is None and len(candidates.similar) > 1:
            ids = ", ".join(str(each["Id"]) for each in candidates.similar[:10])
            raise _review("several-accounts", f"accounts {ids} all match this customer")
        if account is None and candidates.similar:
            account = candidates.similar[0]
            if other := account.get(self._number_field):
                raise _review(
                    "account-of-other-customer",
                    f"account {account['Id']} matches, but names customer {other}, not {number}",
                )
        if account is not None and (taken := candidates.taken.get(str(account["Id"]))):
            raise _review(
                "account-of-other-customer",
                f"account {account['Id']} matches, but is linked to customer {', '.join(taken)}",
            )
        return account

    async def _accounts(
        self, customers: Mapping[str, tuple[str, Record]], fields: tuple[str, ...]
    ) -> list[Record]:
        wanted: dict[str, dict[str, None]] = {self._number_field: {}}
        for number, customer in customers.values():
            wanted[self._number_field][number] = None
            for field, column in self._match.items():
                if same_text(customer.get(column)).strip():
                    wanted.setdefault(field, {})[str(customer[column]).strip()] = None
        columns = tuple(dict.fromkeys(("Id", self._number_field, *self._match, *fields)))
        found: dict[str, Record] = {}
        most = max(len(values) for values in wanted.values())
        for start in range(0, most, _VALUES):
            parts = [
                in_list(field, part)
                for field, values in wanted.items()
                if (part := list(values)[start : start + _VALUES])
            ]
            query = select(ACCOUNT, columns, where=" OR ".join(parts))
            async for row in self._salesforce.query(query):
                found[str(row["Id"])] = row
        return list(found.values())

    def _is_similar(self, account: Record, customer: Record) -> bool:
        return any(
            _equal(account.get(field), customer.get(column))
            for field, column in self._match.items()
        )


def _equal(one: object, other: object) -> bool:
    return bool(same_text(one).strip()) and same_text(one).strip() == same_text(other).strip()


def _review(reason: str, description: str) -> RecordNeedsReview:
    return RecordNeedsReview(description, reason=reason, system="salesforce")
