"""Customer transactions: what an invoice leaves open and what a payment settles (F&O contract 5.8).

Invoices are positive, credit notes and payments negative. Open = AmountCur - SettleAmountCur; a
transaction is closed, with the day in `Closed`, once nothing is open.
"""

from __future__ import annotations

import calendar
import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.d365.money import converted, exact, number
from sandbox.d365.seed import upsert

if TYPE_CHECKING:
    from decimal import Decimal

    from sandbox.d365.environment import Environment
    from sandbox.d365.store import Row

TRANSACTIONS = "CustTransBiEntities"


@dataclass(frozen=True)
class Transaction:
    """`kind` is a member of LedgerTransType: Sales, Cust (free text invoice), Payment."""

    company: str
    account: str
    kind: str
    voucher: str
    amount: Decimal
    currency: str
    day: datetime.date
    due: datetime.date | None = None
    invoice: str = ""
    terms: str = ""
    text: str = ""


def noon(day: datetime.date) -> str:
    """An X++ date as F&O writes it."""
    return f"{day.isoformat()}T12:00:00Z"


def day_of(given: Any) -> datetime.date:
    """`2026-07-30`, or today for nothing."""
    if not given:
        return datetime.datetime.now(datetime.UTC).date()
    return datetime.date.fromisoformat(str(given)[:10])


def due_date(
    environment: Environment, company: str, terms: str, day: datetime.date
) -> datetime.date:
    """Months first, then days, from the terms of payment; unknown terms are due at once."""
    row = environment.store.get("PaymentTerms", company, terms) if terms else None
    if row is None:
        return day
    months = day.month - 1 + int(row.values.get("NumberOfMonths", 0))
    year, month = day.year + months // 12, months % 12 + 1
    last = calendar.monthrange(year, month)[1]
    start = day.replace(year=year, month=month, day=min(day.day, last))
    return start + datetime.timedelta(days=int(row.values.get("NumberOfDays", 0)))


def write_transaction(environment: Environment, given: Transaction) -> int:
    """Adds the row and returns its SourceKey."""
    key = environment.store.new_record_id()
    accounting = environment.companies[given.company].currency
    values = {
        "dataAreaId": given.company,
        "SourceKey": key,
        "AccountNum": given.account,
        "OrderAccount": given.account,
        "Invoice": given.invoice,
        "Voucher": given.voucher,
        "TransType": given.kind,
        "TransDate": noon(given.day),
        "DocumentDate": noon(given.day),
        "CurrencyCode": given.currency,
        "AmountCur": number(given.amount),
        "AmountMST": number(converted(given.amount, given.currency, accounting)),
        "PaymTermId": given.terms,
        "Txt": given.text,
    }
    if given.due is not None:
        values["DueDate"] = noon(given.due)
    upsert(environment, TRANSACTIONS, values)
    return key


def open_amount(row: Row) -> Decimal:
    return exact(row.values.get("AmountCur", 0)) - exact(row.values.get("SettleAmountCur", 0))


def invoice_transaction(environment: Environment, company: str, account: str, invoice: str) -> Row:
    """Raises ValueError when the customer has no such invoice."""
    for row in environment.store.tables[TRANSACTIONS].find("Invoice", invoice):
        owner = (row.values.get("dataAreaId"), str(row.values.get("AccountNum")).lower())
        if owner == (company, account.lower()) and row.values.get("TransType") != "Payment":
            return row
    raise ValueError(f"customer {account} of {company} has no invoice {invoice}")


def settle(environment: Environment, invoice_key: int, payment_key: int, company: str) -> Decimal:
    """Settles as much as both leave open; returns the amount in the invoice's currency.

    Raises ValueError when they do not offset each other.
    """
    store = environment.store
    invoice = store.get(TRANSACTIONS, company, invoice_key)
    payment = store.get(TRANSACTIONS, company, payment_key)
    assert invoice is not None
    assert payment is not None
    owed, paid = open_amount(invoice), open_amount(payment)
    if owed * paid >= 0:
        raise ValueError("nothing to settle: the invoice is closed or the sign is wrong")
    own, other = invoice.values["CurrencyCode"], payment.values["CurrencyCode"]
    reach = -converted(paid, other, own)
    applied = min(owed, reach, key=abs)
    # the whole payment unless it is more than the invoice; rounding must not use more than there is
    used = paid if applied == reach else min(paid, -converted(owed, own, other), key=abs)
    _apply(environment, invoice, applied, payment.values["TransDate"], payment)
    _apply(environment, payment, used, payment.values["TransDate"], invoice)
    return applied


def _apply(environment: Environment, row: Row, amount: Decimal, day: str, other: Row) -> None:
    """`other`: the transaction it was settled with."""
    table = environment.store.tables[TRANSACTIONS]
    company = row.values["dataAreaId"]
    settled = exact(row.values.get("SettleAmountCur", 0)) + amount
    accounting = environment.companies[company].currency
    values = {
        **row.values,
        "SettleAmountCur": number(settled),
        "SettleAmountMST": number(converted(settled, row.values["CurrencyCode"], accounting)),
        "LastSettleDate": day,
        "LastSettleVoucher": other.values["Voucher"],
        "LastSettleAccountNum": other.values["AccountNum"],
        "LastSettleCompany": company,
    }
    if settled == exact(row.values["AmountCur"]):
        values["Closed"] = day
    environment.store.update(table, table.key_of(values), values)
