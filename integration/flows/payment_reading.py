"""Reads customer transactions from F&O, customer after customer, and adds them up as they come.

Open transactions, those settled since a day, and the payments since another are one query, ordered by
company and customer: so a customer's rows come together, and only one page is in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from integration.d365.batch import Operation
from integration.d365.business_keys import CustomerKey, InvoiceKey, same_text
from integration.d365.filters import Filter, any_of, chunk_any_of, eq, ge, gt, le, lt
from integration.d365.literals import COMPANY, Enum
from integration.d365.odata import Query
from integration.errors import ContractError, RecordRejected
from integration.flows.reading import rows_matching
from integration.mapping.payments import COLUMNS, INVOICE_KINDS, PAYMENT, Balance, has_amounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from integration.d365.client import D365Client
    from integration.flows.flow import Record
    from integration.mapping.companies import CompanyRule

TRANSACTIONS = "CustTransBiEntities"
ACCOUNT, INVOICE = "AccountNum", "Invoice"
_ORDER = (COMPANY, ACCOUNT, "SourceKey")
_NEVER = date(1900, 1, 1)  # noon: rows that say midnight are before it
_MOST_COMPANIES = 5  # more would not fit into one filter; then the rows of others are read in vain


@dataclass(frozen=True, slots=True)
class Window:
    """`settled_from`, `paid_from`: the first days whose settlements and payments are read as well."""

    today: date
    settled_from: date
    paid_from: date


@dataclass(slots=True)
class CustomerBalance:
    """`trouble` where a row of the customer cannot be understood; its amounts are not to be used.

    `account`: the customer whose account shows the amounts, where that is another one.
    """

    key: CustomerKey
    balance: Balance
    trouble: ContractError | None = None
    account: CustomerKey | None = None


@dataclass(frozen=True, slots=True)
class BalancePage:
    """Whole customers in F&O's order; `more` says that the range goes on after the last of them."""

    customers: list[CustomerBalance]
    more: bool
    rows: int


class CustomerTransactions:
    def __init__(
        self, client: D365Client, companies: CompanyRule, *, terms: int, page: int
    ) -> None:
        """`terms` comparisons in one filter, about `page` rows in one read."""
        self._client = client
        self._companies = companies
        self._terms = terms
        self._page = page

    async def page(
        self, after: CustomerKey | None, until: CustomerKey | None, window: Window
    ) -> BalancePage:
        """Customers after one key, up to and including another. One call, unless a customer alone has
        more rows than a page. Raises RecordRejected where no customer of it can bound a filter."""
        range_ = self._range(after, until, window)
        rows = await self._read(range_, self._page)
        customers, more = self._added(rows, window), len(rows) >= self._page
        if not more:
            return BalancePage(customers, False, len(rows))
        while len(customers) > 1:  # the last may go on, and a `*` cannot be named in a filter
            customers.pop()
            if "*" not in customers[-1].key.number:
                return BalancePage(customers, True, len(rows))
        whole = customers[0].key
        if "*" in whole.number:
            raise RecordRejected(
                "a customer with * in its number fills a page; F&O cannot be asked for what follows it",
                reason="wildcard",
                system="d365",
            )
        only = eq(COMPANY, whole.company) & eq(ACCOUNT, whole.number) & _relevant(window)
        rows = await self._read(only, None)
        more = until is None or identity(whole) != identity(until)
        return BalancePage(self._added(rows, window), more, len(rows))

    async def balances(
        self, keys: Iterable[CustomerKey], window: Window
    ) -> dict[tuple[str, str], CustomerBalance]:
        """By company and number as F&O compares them; customers without such transactions are absent.

        Raises RecordRejected for a number with `*`."""
        numbers: dict[str, list[str]] = {}
        for key in keys:
            numbers.setdefault(key.company, []).append(key.number)
        filters = [
            each
            for company, named in numbers.items()
            for each in self._chunks(named, eq(COMPANY, company) & _relevant(window))
        ]
        reads = [
            Operation("GET", TRANSACTIONS, query=Query(filter=each, select=COLUMNS))
            for each in filters
        ]
        rows: list[Record] = []
        for result in await self._client.batch(reads) if reads else ():
            if result.error is not None:
                raise result.error
            rows += result.body["value"]
        return {identity(each.key): each for each in self._added(_unique(rows), window)}

    def _chunks(self, numbers: Iterable[str], also: Filter) -> Iterator[Filter]:
        most = max(1, self._terms - also.comparisons)
        return chunk_any_of(ACCOUNT, numbers, also=also, most=most)

    async def invoices(
        self, keys: Iterable[InvoiceKey], *, closed_only: bool = False
    ) -> dict[str, list[Record]]:
        """Key's text, casefolded → transactions. `closed_only` leaves out those with something open.

        Absent: what F&O does not know, cannot be asked for (`*`), or sent without amounts.
        """
        named = [key for key in keys if "*" not in key.number]
        terms = [eq(COMPANY, key.company) & eq(INVOICE, key.number) for key in named]
        if closed_only:
            terms = [term & gt("Closed", _NEVER) for term in terms]
        rows = await rows_matching(
            self._client, TRANSACTIONS, terms, COLUMNS, per_filter=self._terms
        )
        found: dict[str, list[Record]] = {}
        for row in _unique(rows):
            if row.get("TransType") in INVOICE_KINDS and row.get("Voucher"):
                found.setdefault(_invoice_key(row).casefold(), []).append(row)
        return {key: rows for key, rows in found.items() if all(map(has_amounts, rows))}

    async def _read(self, filter: Filter, top: int | None) -> list[Record]:
        rows = self._client.query(
            TRANSACTIONS, filter=filter, select=COLUMNS, orderby=_ORDER, top=top
        )
        return [row async for row in rows]

    def _range(
        self, after: CustomerKey | None, until: CustomerKey | None, window: Window
    ) -> Filter:
        where = _relevant(window)
        companies, rule = self._companies.companies, self._companies
        any_company = rule.decided_by is not None and not rule.table
        if not any_company and len(companies) <= _MOST_COMPANIES:
            where = any_of(COMPANY, companies) & where
        if after:
            where &= gt(COMPANY, after.company) | (
                eq(COMPANY, after.company) & gt(ACCOUNT, after.number)
            )
        if until:
            where &= lt(COMPANY, until.company) | (
                eq(COMPANY, until.company) & le(ACCOUNT, until.number)
            )
        return where

    def _added(self, rows: Sequence[Record], window: Window) -> list[CustomerBalance]:
        customers: dict[tuple[str, str], CustomerBalance] = {}
        for row in rows:
            key = CustomerKey(_text(row, COMPANY).lower(), _text(row, ACCOUNT))
            if not self._companies.serves(key.company):
                continue
            customer = customers.get(identity(key))
            if customer is None:
                customer = CustomerBalance(key, Balance(window.today, window.paid_from))
                customers[identity(key)] = customer
            try:
                customer.balance.add(row)
            except (ValueError, KeyError) as error:
                customer.trouble = ContractError(
                    f"a transaction of customer {key.number} cannot be read: {error}", system="d365"
                )
        return list(customers.values())


def identity(key: CustomerKey) -> tuple[str, str]:
    """What F&O compares."""
    return key.company.lower(), same_text(key.number)


def _relevant(window: Window) -> Filter:
    settled = ge("LastSettleDate", window.settled_from) | ge("Closed", window.settled_from)
    paid = eq("TransType", Enum("LedgerTransType", PAYMENT)) & ge("TransDate", window.paid_from)
    return le("Closed", _NEVER) | settled | paid


def _invoice_key(row: Record) -> str:
    kind: Any = INVOICE_KINDS[row["TransType"]]
    return InvoiceKey(_text(row, COMPANY), kind, _text(row, INVOICE), row["Voucher"]).text


def _unique(rows: Iterable[Record]) -> list[Record]:
    """A row may come once per filter."""
    return list({(row.get(COMPANY), row.get("SourceKey")): row for row in rows}.values())


def _text(row: Record, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise ContractError(f"a transaction has no {column}", system="d365")
    return value
