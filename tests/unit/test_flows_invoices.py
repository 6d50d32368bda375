"""Posted invoice → Invoice__c: what is written, what is not, and what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.errors import ContractError, RecordBusy
from integration.flows.outcomes import Skipped, Synced, WouldChange
from integration.messaging.hints import bucket_of
from tests.unit.flow_support import error_of
from tests.unit.receivables_support import BothSystems, both_systems, invoice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHANGED, UNCHANGED = Synced(changed=True), Synced(changed=False)


@pytest.fixture
async def world() -> AsyncIterator[BothSystems]:
    async with both_systems() as world:
        await world.account("C-1")
        yield world


async def test_a_new_invoice_is_written_with_its_lines_and_again_not(world: BothSystems) -> None:
    key = await world.sales_invoice("CIV-1")
    assert await world.run(key) == {key: CHANGED}
    row = await invoice(world)
    assert row["D365_Key__c"] == "usmf|sales|CIV-1|V-CIV-1"
    assert (row["Amount__c"], row["Open_Amount__c"], row["Status__c"]) == (200.2, 200.2, "Open")
    assert (row["Invoice_Date__c"], row["Due_Date__c"]) == ("2026-08-01", "2026-09-30")
    assert len(await world.rows("Invoice_Line__c")) == 2
    assert world.calls != (0, 0)
    assert await world.run(key) == {key: UNCHANGED}
    assert world.calls == (1, 1)


async def test_the_key_with_the_voucher_is_the_same_invoice_in_the_same_bucket(
    world: BothSystems,
) -> None:
    key = await world.sales_invoice("CIV-1")
    assert await world.run(key, f"{key}|v-civ-1") == {key: CHANGED, f"{key}|v-civ-1": CHANGED}
    assert len(await world.rows("Invoice__c")) == 1
    assert len(await world.rows("Invoice_Line__c")) == 2
    found = await world.invoices.read([f"{key}|V-CIV-1"])
    root = world.invoices.root_of(found[f"{key}|V-CIV-1"])  # type: ignore[arg-type]
    assert bucket_of(root, 16) == bucket_of(key, 16)


async def test_a_number_that_was_used_twice_is_two_invoices(world: BothSystems) -> None:
    await world.sales_invoice("CIV-1", voucher="V-1")
    key = await world.sales_invoice("CIV-1", voucher="V-2", lines=1)
    assert await world.run(key) == {key: CHANGED}
    rows = await world.rows("Invoice__c")
    assert {row["D365_Key__c"][-3:]: row["Amount__c"] for row in rows} == {
        "V-1": 200.2,
        "V-2": 100.1,
    }
    assert len(await world.rows("Invoice_Line__c")) == 3
    assert await world.run(f"{key}|V-2") == {f"{key}|V-2": UNCHANGED}


async def test_only_the_difference_is_written_and_the_status_is_left_to_the_payments(
    world: BothSystems,
) -> None:
    key = await world.sales_invoice("CIV-1")
    await world.run(key)
    row = await invoice(world)
    await world.edit("Invoice__c", row["Id"], Status__c="Paid", Open_Amount__c=0, Amount__c=1)
    assert await world.run(key) == {key: CHANGED}
    row = await invoice(world)
    assert (row["Amount__c"], row["Status__c"], row["Open_Amount__c"]) == (200.2, "Paid", 0)


async def test_a_missing_line_is_added_and_the_others_are_left(world: BothSystems) -> None:
    key = await world.sales_invoice("CIV-1")
    row = {"path": "sobjects/Invoice_Line__c/D365_Key__c/usmf"}
    world.fault("salesforce", match=row, status=400, inner=True, count=1)
    assert isinstance(error_of((await world.run(key))[key]), RecordBusy)
    assert len(await world.rows("Invoice_Line__c")) == 1
    assert await world.run(key) == {key: CHANGED}
    assert len(await world.rows("Invoice_Line__c")) == 2


@pytest.mark.parametrize(
    ("open_amount", "due", "status"),
    [
        (200.2, "2026-08-20", "Open"), (200.2, "2026-08-19", "Overdue"), (50, "2026-08-20", "Partly Paid"),
        (50, "2026-08-19", "Overdue"), (0, "2026-08-19", "Paid"),
    ],
)  # fmt: skip
async def test_the_status_follows_the_transaction(
    world: BothSystems, open_amount: float, due: str, status: str
) -> None:
    await world.run(await world.sales_invoice("CIV-1", open_amount=open_amount, due=due))
    row = await invoice(world)
    assert (row["Open_Amount__c"], row["Status__c"]) == (open_amount, status)


async def test_a_payment_schedule_counts_together_and_the_next_due_date_counts(
    world: BothSystems,
) -> None:
    key = await world.sales_invoice("CIV-1", due="2026-09-10", open_amount=0)
    await world.transaction(
        "CIV-1", 50, Voucher="V-CIV-1", DueDate="2026-12-10T12:00:00Z", CurrencyCode="USD"
    )
    await world.transaction("CIV-1", -99, Voucher="P-1", TransType="Payment")
    await world.run(key)
    row = await invoice(world)
    assert (row["Due_Date__c"], row["Open_Amount__c"]) == ("2026-12-10", 50)
    assert row["Status__c"] == "Partly Paid"


async def test_an_invoice_that_is_not_visible_waits(world: BothSystems) -> None:
    for key in ("usmf|sales|NONE", "usmf|freetext|NONE"):
        error = error_of((await world.run(key))[key])
        assert isinstance(error, RecordBusy)
        assert error.reason == "invoice-not-found"


async def test_numbers_that_cannot_be_asked_for_fail_alone(world: BothSystems) -> None:
    key = await world.sales_invoice("CIV-1")
    outcomes = await world.run(key, "usmf|sales|CIV*", "nonsense")
    assert outcomes[key] == CHANGED
    assert error_of(outcomes["usmf|sales|CIV*"]).reason == "wildcard"
    assert isinstance(error_of(outcomes["nonsense"]), ContractError)


async def test_a_free_text_invoice_takes_total_and_voucher_from_its_transaction(
    world: BothSystems,
) -> None:
    header = {
        "InvoiceIdentifier": 77, "FreeTextNumber": "FTI-1", "IsPosted": "Yes", "CustomerAccount": "C-0",
        "InvoiceAccount": "C-1", "CurrencyCode": "USD", "InvoiceDate": "2026-08-01T12:00:00Z",
    }  # fmt: skip
    line = {"ParentRecId": 77, "LineNumber": 1, "Description": "Freight", "Quantity": 1}
    await world.put("FreeTextInvoiceHeaders", header)
    await world.put(
        "FreeTextInvoiceLines",
        {**line, "TransactionCurrencyAmount": 20, "SalesTaxAmount": 3.8, "UnitPrice": 20},
    )
    key = "usmf|freetext|FTI-1"
    assert error_of((await world.run(key))[key]).reason == "transaction-not-found"
    await world.transaction("FTI-1", 23.8, Voucher="FTV-1", TransType="Cust")
    assert await world.run(key) == {key: CHANGED}
    row = await invoice(world, "FTI-1")
    assert row["D365_Key__c"] == "usmf|freetext|FTI-1|FTV-1"
    assert (row["Amount__c"], row["Tax_Amount__c"]) == (23.8, 3.8)
    assert await world.run(key) == {key: UNCHANGED}


async def test_a_free_text_invoice_that_is_not_posted_is_skipped(world: BothSystems) -> None:
    await world.put("FreeTextInvoiceHeaders", {"InvoiceIdentifier": 78, "FreeTextNumber": "FTI-2"})
    key = "usmf|freetext|FTI-2"
    assert await world.run(key) == {key: Skipped("not-posted")}


async def test_a_dry_run_names_the_fields_and_writes_nothing(world: BothSystems) -> None:
    key = await world.sales_invoice("CIV-1", lines=1)
    outcome = (await world.run(key, dry=True))[key]
    assert isinstance(outcome, WouldChange)
    assert "Invoice__c.Amount__c" in {change.field for change in outcome.differences}
    assert await world.rows("Invoice__c") == []


async def test_a_hundred_invoices_cost_a_handful_of_calls(world: BothSystems) -> None:
    keys = [await world.sales_invoice(f"CIV-{number:03}", lines=5) for number in range(100)]
    await world.run(await world.sales_invoice("CIV-X"))  # describes and tokens
    assert world.calls
    assert set((await world.run(*keys)).values()) == {CHANGED}
    assert world.calls == (2, 1)  # read, write; F&O
    assert len(await world.rows("Invoice_Line__c")) == 502
