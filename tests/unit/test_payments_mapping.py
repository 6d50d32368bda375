"""The sums of a customer and the status of an invoice: exact, total, and without surprises."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.mapping.payments import (
    ACCOUNT_AMOUNTS,
    FIELDS,
    LAST_PAYMENT,
    OPEN_TOTAL,
    OVERDUE,
    PAID,
    Balance,
    differences,
    invoice_values,
    payments_markdown,
    rounded,
)
from integration.mapping.values import TransformError

TODAY = date(2026, 8, 20)
FROM = date(2026, 7, 1)
MONEY = st.decimals("-9999999", "9999999", places=2)
DAYS = st.dates(date(2024, 1, 1), date(2027, 12, 31))


def row(amount: Any = 0, settled: Any = 0, **fields: Any) -> dict[str, Any]:
    return {
        "dataAreaId": "usmf", "SourceKey": 1, "AccountNum": "C1", "Invoice": "I1", "Voucher": "V1",
        "TransType": "Sales", "TransDate": "2026-08-01T12:00:00Z",
        "DueDate": "2026-09-01T12:00:00Z", "Closed": "1900-01-01T12:00:00Z",
        "AmountCur": amount, "AmountMST": amount, "SettleAmountCur": settled,
        "SettleAmountMST": settled, **fields,
    }  # fmt: skip


def values_of(*rows: dict[str, Any]) -> dict[str, Any]:
    balance = Balance(TODAY, FROM)
    for each in rows:
        balance.add(each)
    return balance.account_values(None)


@given(
    st.lists(st.tuples(MONEY, MONEY, DAYS, st.sampled_from(["Sales", "Cust", "Payment", "None"])))
)
def test_sums_are_exact_whatever_the_order_and_number_of_the_rows(
    items: list[tuple[Decimal, Decimal, date, str]],
) -> None:
    rows = [
        row(amount, settled, DueDate=f"{due}T12:00:00Z", TransType=kind)
        for amount, settled, due, kind in items
    ]
    values = values_of(*rows)
    assert values == values_of(*reversed(rows))
    assert values[OPEN_TOTAL] == sum((a - s for a, s, _, __ in items), Decimal(0))
    late = [a - s for a, s, due, _ in items if a > s and due < TODAY]
    assert values[OVERDUE] == sum(late, Decimal(0))
    paid = [-a for a, _, __, kind in items if kind == "Payment"]
    assert values[PAID] == sum(paid, Decimal(0))
    assert all(isinstance(values[name], Decimal) for name in ACCOUNT_AMOUNTS)
    assert differences(values, {n: str(v) for n, v in values.items()}) == {}


@given(MONEY, MONEY, DAYS)
def test_every_invoice_has_one_status_and_its_open_amount(
    amount: Decimal, settled: Decimal, due: date
) -> None:
    values = invoice_values([row(amount, settled, DueDate=f"{due}T12:00:00Z")], TODAY)
    left = amount - settled
    assert values["Open_Amount__c"] == left
    if not left:
        wanted = "Paid"
    elif due < TODAY and left > 0:
        wanted = "Overdue"
    else:
        wanted = "Partly Paid" if settled else "Open"
    assert values["Status__c"] == wanted


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({"TransType": "Payment"}, "2026-08-01"),
        ({"TransType": "Payment", "TransDate": "2026-06-30T12:00:00Z"}, None),
        ({"TransType": "Payment", "AmountMST": 5}, None),  # a refund
        ({"TransType": "Sales"}, None),  # a credit note
    ],
)
def test_the_last_payment_is_money_that_came_in_lately(
    fields: dict[str, Any], last: str | None
) -> None:
    assert values_of(row(-5, **fields)).get(LAST_PAYMENT) == last


def test_due_today_is_not_overdue_and_an_empty_date_never() -> None:
    assert values_of(row(5, DueDate=f"{TODAY}T12:00:00Z"))[OVERDUE] == 0
    assert values_of(row(5, DueDate=f"{TODAY - timedelta(days=1)}T12:00:00Z"))[OVERDUE] == 5
    assert values_of(row(5, DueDate="1900-01-01T12:00:00Z"))[OVERDUE] == 0


def test_a_closed_transaction_owes_nothing_even_where_exchange_rates_left_a_rest() -> None:
    closed = row(5, 5, AmountMST=Decimal("5.10"), Closed="2026-08-01T12:00:00Z")
    assert values_of(closed)[OPEN_TOTAL] == 0


def test_amounts_are_rounded_half_up_to_cents() -> None:
    assert [str(rounded(Decimal(x))) for x in ("0.005", "-0.005", "1.0049")] == [
        "0.01", "-0.01", "1.00",
    ]  # fmt: skip


@pytest.mark.parametrize("amount", [None, "x", True, [], {}])
def test_an_amount_that_is_no_number_is_told_not_guessed(amount: Any) -> None:
    with pytest.raises(TransformError):
        values_of(row(amount))


def test_parts_of_one_invoice_are_one_status() -> None:
    parts = [row(60, 60), row(40, 0, SourceKey=2, DueDate="2026-08-01T12:00:00Z")]
    assert invoice_values(parts, TODAY) == {"Open_Amount__c": 40, "Status__c": "Overdue"}


def test_the_documentation_names_every_field() -> None:
    page = payments_markdown()
    for line in FIELDS:
        assert f"`{line.object}.{line.name}`" in page
