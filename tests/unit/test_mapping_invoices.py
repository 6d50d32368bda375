"""Mapping of invoices: total, exact, within Salesforce's lengths, and settled after one round."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.mapping.invoices import (
    DUE,
    INVOICE,
    LINE,
    Receivable,
    free_text_header,
    free_text_line,
    mapped_for,
    sales_header,
    sales_line,
)
from sandbox.salesforce.schema import Schema
from tests.unit.receivables_support import TODAY

if TYPE_CHECKING:
    from integration.mapping.tables import MappingTable

TABLES = (sales_header(), sales_line(), free_text_header(), free_text_line())
DATES = ("1900-01-01T12:00:00Z", "2026-07-30T12:00:00Z", "1900-01-01T00:00:00Z", "")


@cache
def schema() -> Schema:
    return Schema()


def names(table: MappingTable) -> list[str]:
    return [rule.sources[0] for rule in table.rules]


@st.composite
def rows(draw: st.DrawFn, table: MappingTable) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for rule in table.rules:
        kind = rule.transform.kind
        if kind == "decimal":
            row[rule.target] = draw(st.decimals(-(10**9), 10**9, places=4))
        elif kind == "date":
            row[rule.target] = draw(st.sampled_from(DATES))
        elif kind == "currency":
            row[rule.target] = draw(st.sampled_from(["USD", "eur", ""]))
        else:
            row[rule.target] = draw(st.text(max_size=300))
    return row


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.target_entity)
def test_every_field_exists_in_salesforce(table: MappingTable) -> None:
    fields = schema().objects[table.source_object].fields
    assert set(names(table)) <= set(fields)
    assert table.source_object in (INVOICE, LINE)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.target_entity)
def test_what_is_mapped_fits_and_settles(table: MappingTable) -> None:
    fields = schema().objects[table.source_object].fields

    @given(rows(table))
    def check(row: dict[str, Any]) -> None:
        mapped = mapped_for(table, row, fields)
        assert mapped.problems == []
        for name, value in mapped.values.items():
            assert not isinstance(value, float)
            if isinstance(value, str):
                assert len(value) <= (fields[name].length or 300)
                assert value == value.strip()
            if isinstance(value, Decimal):
                assert value == round(value, fields[name].scale)
        assert table.differences(mapped, dict(mapped.values)) == []

    check()


def test_amounts_are_exact() -> None:
    row = {"TotalInvoiceAmount": Decimal("12345678901234.56"), "TotalTaxAmount": Decimal("0.005")}
    values = mapped_for(sales_header(), row, ()).values
    assert values["Amount__c"] == Decimal("12345678901234.56")
    assert values["Tax_Amount__c"] == Decimal("0.01")


def test_an_org_with_one_currency_gets_none() -> None:
    row = {"CurrencyCode": "USD", "InvoiceNumber": "1"}
    assert "CurrencyIsoCode" not in mapped_for(sales_header(), row, ("Name",)).values
    assert mapped_for(sales_header(), row, ("CurrencyIsoCode",)).values["CurrencyIsoCode"] == "USD"


def test_an_empty_date_is_null() -> None:
    values = mapped_for(sales_header(), {DUE: "1900-01-01T12:00:00Z"}, ()).values
    assert values == {"Due_Date__c": None}


def part(amount: str, settled: str, due: str) -> dict[str, Any]:
    return {
        "AmountCur": Decimal(amount),
        "SettleAmountCur": Decimal(settled),
        "DueDate": f"{due}T12:00:00Z",
        "Voucher": "V",
    }


def test_transactions_of_an_invoice_count_together() -> None:
    parts = [part("100.10", "100.10", "2026-07-01"), part("100.10", "0.05", "2026-09-01")]
    receivable = Receivable.of(parts)
    assert receivable is not None
    assert (receivable.amount, receivable.open_amount) == (Decimal("200.20"), Decimal("100.05"))
    assert receivable.due == "2026-09-01T12:00:00Z"
    assert receivable.status(TODAY) == "Partly Paid"
    assert Receivable.of([]) is None


@pytest.mark.parametrize(
    ("amount", "settled", "due", "status"),
    [
        ("10", "0", "2026-08-20", "Open"), ("10", "0", "2026-08-19", "Overdue"),
        ("10", "1", "2026-08-19", "Overdue"), ("10", "1", "2026-08-20", "Partly Paid"),
        ("10", "10", "2026-08-19", "Paid"), ("-10", "0", "2026-08-19", "Open"),
        ("-10", "-1", "2026-08-19", "Partly Paid"), ("0", "0", "2026-08-19", "Paid"),
        ("10", "0", "1900-01-01", "Open"),
    ],
)  # fmt: skip
def test_the_status(amount: str, settled: str, due: str, status: str) -> None:
    receivable = Receivable.of([part(amount, settled, due)])
    assert receivable is not None
    assert receivable.status(TODAY) == status


def test_an_invoice_without_transaction_is_open() -> None:
    assert Receivable.unknown(Decimal("5.5")).start(TODAY) == {
        "Open_Amount__c": Decimal("5.5"),
        "Status__c": "Open",
    }
