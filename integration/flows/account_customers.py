"""The customers of accounts, for flows whose records hang on them (contacts, orders).

A missing customer is made by the account flow itself, on the same engine and in the bucket that the
caller holds: the account is the root of its contacts and orders, so nobody else handles it meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.filters import eq
from integration.d365.literals import COMPANY
from integration.errors import (
    IntegrationError,
    RecordBusy,
    RecordNeedsReview,
    RecordRejected,
)
from integration.flows.customers import ENTITY_SET, NUMBER, Customer
from integration.flows.engine import CUSTOMER_ENSURED, converge
from integration.flows.outcomes import Failed, Moved, Outcome, Skipped
from integration.flows.reading import rows_matching

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from integration.flows.accounts import AccountFlow
    from integration.flows.context import FlowContext


class AccountCustomers:
    def __init__(
        self, context: FlowContext, accounts: AccountFlow, fields: Collection[str] = ()
    ) -> None:
        """`fields` of the customer to read beside its key."""
        self._client = context.d365
        self._accounts = accounts
        self._holds = context.holds
        self._accounts_on = context.settings.app.flow_accounts == "on"
        self._id_field = context.settings.d365.salesforce_id_field
        self._terms = context.settings.d365.filter_terms
        self._select = tuple(dict.fromkeys((COMPANY, NUMBER, self._id_field, *fields)))

    async def find(self, accounts: Collection[str]) -> dict[str, Customer | RecordNeedsReview]:
        """Customer by account id, in whatever company; accounts without one are absent. One call."""
        terms = [eq(self._id_field, account) for account in dict.fromkeys(accounts)]
        rows = await rows_matching(
            self._client, ENTITY_SET, terms, self._select, per_filter=self._terms
        )
        by_account: dict[str, list[Customer]] = {}
        for customer in map(Customer.of, rows):
            owner = str(customer.record.get(self._id_field, "")).casefold()
            by_account.setdefault(owner, []).append(customer)
        found: dict[str, Customer | RecordNeedsReview] = {}
        for account in accounts:
            customers = by_account.get(account.casefold(), [])
            if len(customers) == 1:
                found[account] = customers[0]
            elif customers:
                found[account] = _several(account, customers)
        return found

    async def ensure(self, buckets: Mapping[str, str]) -> dict[str, Skipped | Exception]:
        """Has the account flow make the customers of these accounts; `buckets` are those held.

        Answers per account why its record cannot be written now. Where the customer was made that is a
        RecordBusy with which the engine reads everything again at once.
        """
        if not self._accounts_on:
            waits = "its account has no customer, and FLOW_ACCOUNTS is not on"
            return {
                account: RecordBusy(f"{waits}: {account}", reason="account-flow-off")
                for account in buckets
            }
        held: Mapping[str, Exception] = {}
        if self._holds is not None:  # a load may be creating the customer just now
            held = await self._holds.held(self._accounts.name, buckets)
        free = {account: bucket for account, bucket in buckets.items() if account not in held}
        outcomes = await converge(self._accounts, free)
        return {
            **held,
            **{account: _answer(account, outcome) for account, outcome in outcomes.items()},
        }


def _several(account: str, customers: list[Customer]) -> RecordNeedsReview:
    numbers = ", ".join(f"{customer.number} in {customer.company}" for customer in customers)
    return RecordNeedsReview(
        f"customers {numbers} all carry the id of account {account}",
        reason="several-customers",
        system="d365",
    )


def _answer(account: str, outcome: Outcome) -> Skipped | Exception:
    """What the end of the account means for a record that hangs on it."""
    match outcome:
        case Skipped(reason):
            return Skipped(reason, f"account {account}")
        case Moved():
            text = f"account {account} was merged into another"
            return RecordBusy(text, reason="account-moved", system="salesforce")
        case Failed(RecordRejected() | RecordNeedsReview() as error):
            return _blocked(account, error)
        case Failed(error):
            return error
    return RecordBusy(
        f"account {account} got its customer just now", reason=CUSTOMER_ENSURED, system="d365"
    )


def _blocked(account: str, error: IntegrationError) -> IntegrationError:
    kind = RecordNeedsReview if isinstance(error, RecordNeedsReview) else RecordRejected
    return kind(
        f"account {account} has no customer: {error.description}",
        reason=f"account-{error.reason}",
        system=error.system,
        context=error.context,
    )
