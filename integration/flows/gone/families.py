"""Customers of accounts that were merged into another: they are that one's, beside its own.

What hangs on such a customer, a contact person or a sales order, stays with it, because F&O moves neither.
So it must not look as if it had been given to somebody else. Asked only where a record's customer is not its
account's; the aliases answer as long as there are any, Salesforce while the merged account is in its bin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from integration.d365.business_keys import CustomerKey, same_text
from integration.d365.filters import eq
from integration.d365.literals import COMPANY
from integration.errors import RecordRejected
from integration.flows.contact_persons import CUSTOMER_PARTY, PersonMatch, party_of
from integration.flows.customers import ENTITY_SET, NUMBER, Customer
from integration.flows.gone.merges import Merges
from integration.flows.reading import rows_matching
from integration.salesforce.ids import is_id, to_18

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.d365.filters import Filter
    from integration.flows.context import FlowContext


@dataclass(frozen=True, slots=True)
class Question:
    """Is the customer whose `column` holds `value` one of this account, by a merge?"""

    account_id: str
    column: str
    value: str
    company: str | None = None


class MergedCustomers:
    def __init__(self, context: FlowContext, fields: Iterable[str] = ()) -> None:
        """`fields` of the customer to read beside its key."""
        settings = context.settings
        self._client = context.d365
        self._aliases = context.aliases
        self._terms = settings.d365.filter_terms
        self._id_field = settings.d365.salesforce_id_field
        self._select = tuple(dict.fromkeys((COMPANY, NUMBER, self._id_field, *fields)))
        number_field = settings.salesforce.customer_number_field
        self._merges = Merges(context.salesforce, "Account", number_field)

    async def find(self, asked: Mapping[str, Question]) -> dict[str, Customer]:
        """The customers for which the answer is yes. One call to F&O, and one to Salesforce where no alias
        tells; none where nothing is asked."""
        found = await self._customers(asked)
        numbers = {key: CustomerKey(each.company, each.number).text for key, each in found.items()}
        known = await self._aliases.find(numbers.values()) if self._aliases and numbers else {}
        answers: dict[str, Customer] = {}
        open_: dict[str, str] = {}
        for key, customer in found.items():
            alias = known.get(numbers[key])
            if alias is not None and alias.account == asked[key].account_id:
                answers[key] = customer
                continue
            owner = str(customer.record.get(self._id_field) or "").strip()
            if is_id(owner) and to_18(owner) != asked[key].account_id:
                open_[key] = to_18(owner)
        if open_:
            survivors = await self._merges.survivors(sorted(set(open_.values())))
            for key, owner in open_.items():
                survivor = survivors.get(owner)
                if survivor is not None and survivor["Id"] == asked[key].account_id:
                    answers[key] = found[key]
        return answers

    async def _customers(self, asked: Mapping[str, Question]) -> dict[str, Customer]:
        """The one customer that each question is about; none where there are several."""
        terms: dict[str, Filter] = {}
        for question in asked.values():
            try:
                term = eq(question.column, question.value)
            except RecordRejected:  # `*` would match others too
                continue
            terms[term.text] = term
        if not terms:
            return {}
        columns = tuple(dict.fromkeys((*self._select, *(each.column for each in asked.values()))))
        rows = await rows_matching(
            self._client, ENTITY_SET, list(terms.values()), columns, per_filter=self._terms
        )
        found: dict[str, Customer] = {}
        for key, question in asked.items():
            mine = {
                (customer.company, customer.number): customer
                for customer in map(Customer.of, rows)
                if same_text(customer.record.get(question.column)) == same_text(question.value)
                and question.company in (None, customer.company)
            }
            if len(mine) == 1:
                [found[key]] = mine.values()
        return found


async def beside_merged(
    merged: MergedCustomers,
    accounts: Mapping[str, str],
    found: Mapping[str, PersonMatch | Exception],
) -> dict[str, PersonMatch | Exception]:
    """A contact person of a customer whose account was merged into the contact's is judged beside that one.
    `accounts`: the contact's account by key."""
    asked: dict[str, Question] = {}
    for key, match in found.items():
        if isinstance(match, PersonMatch) and len(match.by_id) == 1:
            party = match.by_id[0].party
            if party and (match.customer is None or party != party_of(match.customer)):
                asked[key] = Question(accounts[key], CUSTOMER_PARTY, party)
    answers = dict(found)
    for key, customer in (await merged.find(asked)).items():
        match = found[key]
        assert isinstance(match, PersonMatch)
        answers[key] = replace(match, customer=customer)
    return answers
