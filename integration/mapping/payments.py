"""Customer transactions → what is open, overdue and paid on Account and Invoice__c (F&O contract 5.8).

Open = amount - settled amount. The totals of an account are sums of `AmountMST`, the accounting currency of
the company, because a customer may owe in several currencies; an invoice is in its own currency. F&O owns
every field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from integration.mapping.invoices import OPEN, STATUS, Receivable
from integration.mapping.values import Comparison, number_of, same

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from integration.mapping.values import Value

Transaction = dict[str, Any]  # a row of CustTransBiEntities

PAYMENT = "Payment"  # of LedgerTransType
INVOICE_KINDS = {"Sales": "sales", "Cust": "freetext"}  # LedgerTransType → kind in D365_Key__c
COLUMNS = (
    "dataAreaId", "SourceKey", "AccountNum", "Invoice", "Voucher", "TransType", "TransDate",
    "DueDate", "Closed", "AmountCur", "AmountMST", "SettleAmountCur", "SettleAmountMST",
)  # fmt: skip

OPEN_TOTAL = "D365_Open_Amount__c"
OVERDUE = "D365_Overdue_Amount__c"
PAID = "D365_Paid_Amount__c"
LAST_PAYMENT = "D365_Last_Payment_Date__c"
CURRENCY = "D365_Amount_Currency__c"
ACCOUNT_AMOUNTS = (OPEN_TOTAL, OVERDUE, PAID)
UNPAID = ("Open", "Partly Paid", "Overdue")  # values of Status__c

_COMPARISONS: dict[str, Comparison] = {
    OPEN_TOTAL: "number", OVERDUE: "number", PAID: "number", LAST_PAYMENT: "date", OPEN: "number",
}  # fmt: skip
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class PaymentField:
    """One line of the documentation: where a field's value comes from."""

    object: str
    name: str
    source: str
    note: str = ""


FIELDS = (
    PaymentField("Account", OPEN_TOTAL, "sum of AmountMST - SettleAmountMST",
                 "of all open transactions; payments and credit notes count negative"),
    PaymentField("Account", OVERDUE, "the same",
                 "of the open ones above zero whose DueDate is before today (UTC)"),
    PaymentField("Account", PAID, "- sum of AmountMST",
                 "of the payments of the last PAYMENTS_PAID_DAYS days; refunds count negative"),
    PaymentField("Account", LAST_PAYMENT, "latest TransDate",
                 "of the same payments; without one the field is left as it is"),
    PaymentField("Account", CURRENCY, "PAYMENTS_CURRENCIES",
                 "accounting currency of the company; only where the setting names it"),
    PaymentField("Invoice__c", OPEN, "AmountCur - SettleAmountCur", "in the invoice's currency"),
    PaymentField("Invoice__c", STATUS, "open amount and DueDate",
                 "Paid: nothing open; Overdue: open and due before today; Partly Paid; Open"),
)  # fmt: skip


@dataclass(slots=True)
class Balance:
    """The sums of one customer while its transactions stream by. `paid_from`: first day that counts."""

    today: date
    paid_from: date
    open: Decimal = Decimal(0)
    overdue: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    last_payment: str | None = None
    invoices: dict[tuple[str, str, str], list[Transaction]] = field(default_factory=dict)

    def add(self, row: Transaction) -> None:
        """Raises ValueError or KeyError for a row that is none."""
        amount = number_of(row["AmountMST"])
        due, day, kind = _day(row["DueDate"]), _day(row["TransDate"]), str(row["TransType"])
        if _day(row["Closed"]) is None:
            left = amount - number_of(row["SettleAmountMST"])
            self.open += left
            if left > 0 and due and due < self.today.isoformat():
                self.overdue += left
        if kind == PAYMENT and day and day >= self.paid_from.isoformat():
            self.paid -= amount
            if amount < 0:
                self.last_payment = max(day, self.last_payment or day)
        if kind in INVOICE_KINDS and row["Invoice"] and row["Voucher"]:
            if not has_amounts(row):
                raise ValueError("an invoice without an amount in its currency")
            key = (INVOICE_KINDS[kind], str(row["Invoice"]), str(row["Voucher"]))
            self.invoices.setdefault(key, []).append(row)

    def include(self, other: Balance) -> None:
        """Adds the sums of another customer of the same account and company; its invoices stay its own."""
        self.open += other.open
        self.overdue += other.overdue
        self.paid += other.paid
        days = [day for day in (self.last_payment, other.last_payment) if day]
        self.last_payment = max(days, default=None)

    def account_values(self, currency: str | None) -> dict[str, Value]:
        values: dict[str, Value] = {
            OPEN_TOTAL: rounded(self.open),
            OVERDUE: rounded(self.overdue),
            PAID: rounded(self.paid),
        }
        if self.last_payment:
            values[LAST_PAYMENT] = self.last_payment
        if currency:
            values[CURRENCY] = currency
        return values


def has_amounts(row: Transaction) -> bool:
    """Of an invoice, in its own currency."""
    try:
        for column in ("AmountCur", "SettleAmountCur"):
            number_of(row[column])
    except (ValueError, KeyError):
        return False
    return True


def invoice_values(rows: Iterable[Transaction], today: date) -> dict[str, Value]:
    """Of the transactions of one invoice, at least one."""
    receivable = Receivable.of(list(rows))
    if receivable is None:
        raise ValueError("an invoice without a transaction has no status")
    return {OPEN: rounded(receivable.open_amount), STATUS: receivable.status(today)}


def rounded(amount: Decimal) -> Decimal:
    """To cents, half up, as the fields hold them."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


def differences(wanted: Mapping[str, Value], current: Mapping[str, Any]) -> dict[str, Value]:
    """The fields to write over `current`."""
    return {
        name: value
        for name, value in wanted.items()
        if not same(current.get(name), value, _COMPARISONS.get(name, "exact"))
    }


def payments_markdown() -> str:
    """The fields for people, one line each."""
    lines = [f"| `{f.object}.{f.name}` | {f.source} | {f.note} |\n" for f in FIELDS]
    head = "| Field | From | Note |\n| --- | --- | --- |\n"
    return "## CustTransBiEntities → Account, Invoice\\_\\_c\n\n" + head + "".join(lines)


def _day(value: object) -> str | None:
    """The day of an X++ date, None for the empty one (F&O contract 2.5)."""
    if not isinstance(value, str) or not value or value.startswith("1900-01-01"):
        return None
    return value[:10]
