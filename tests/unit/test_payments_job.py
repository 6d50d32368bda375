"""Payment status from F&O to Salesforce, run by run, with the real clients on both stand-ins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from integration.errors import IntegrationError, Throttled, Unreachable
from sandbox.web import Fault
from tests.unit.payment_support import NUMBER, payments

TWO_COMPANIES = """
[companies]
default = "usmf"
field = "Legal_Entity__c"
[companies.table]
US = "usmf"
DE = "demf"
"""


async def test_accounts_and_invoices_get_amounts_and_status() -> None:
    async with payments() as world:
        await world.account("C1")
        for number in ("I1", "I2", "I3", "I4"):
            await world.held_invoice(number)
        await world.transactions(
            world.invoice("C1", "I1", 100.10, "2026-09-30"),
            world.settled(world.invoice("C1", "I2", 50, "2026-09-01"), "2026-08-01", 20),
            world.invoice("C1", "I3", 70.05, "2026-08-19"),
            world.settled(world.invoice("C1", "I4", 30, "2026-08-01"), "2026-08-19"),
            world.settled(world.payment("C1", 20, "2026-08-01"), "2026-08-01"),
            world.settled(world.payment("C1", 30, "2026-08-19"), "2026-08-19"),
        )
        await world.run()
        assert await world.amounts("C1") == (200.15, 70.05, 50, "2026-08-19")
        assert await world.status("I1") == ("Open", 100.10)
        assert await world.status("I2") == ("Partly Paid", 30)
        assert await world.status("I3") == ("Overdue", 70.05)
        assert await world.status("I4") == ("Paid", 0)


async def test_nothing_changed_means_no_call_to_salesforce_at_all() -> None:
    async with payments() as world:
        await world.account("C1")
        await world.held_invoice("I1")
        await world.transactions(world.invoice("C1", "I1", 10, "2026-09-30"))
        await world.run()
        assert world.take_calls()[0] > 0
        counts = await world.run()
        assert world.take_calls() == (0, 1)
        assert counts["unchanged"] == 2


async def test_an_invoice_becomes_overdue_with_the_clock_alone() -> None:
    async with payments() as world:
        await world.account("C1")
        await world.held_invoice("I1")
        await world.transactions(world.invoice("C1", "I1", 10, "2026-08-20"))
        await world.run()
        assert await world.status("I1") == ("Open", 10)
        world.now += timedelta(days=1)
        await world.run()
        assert await world.status("I1") == ("Overdue", 10)
        assert await world.amounts("C1") == (10, 10, 0, None)


async def test_a_payment_between_two_runs_closes_invoice_and_balance() -> None:
    async with payments() as world:
        await world.account("C1")
        await world.held_invoice("I1")
        invoice = world.invoice("C1", "I1", 10, "2026-08-01")
        await world.transactions(invoice)
        await world.run()
        await world.transactions(
            world.settled(invoice, "2026-08-20"),
            world.settled(world.payment("C1", 10, "2026-08-20"), "2026-08-20"),
        )
        counts = await world.run()
        assert counts["changed"] == 2
        assert await world.status("I1") == ("Paid", 0)
        assert await world.amounts("C1") == (0, 0, 10, "2026-08-20")


async def test_a_settlement_dated_back_beyond_the_window_is_seen_all_the_same() -> None:
    async with payments() as world:
        await world.account("C1")
        await world.held_invoice("I1")
        invoice = world.invoice("C1", "I1", 10, "2026-09-01")
        await world.transactions(invoice)
        await world.run()
        await world.transactions(world.settled(invoice, "2026-02-01"))
        await world.run()
        assert await world.status("I1") == ("Paid", 0)
        assert await world.amounts("C1") == (0, 0, 0, None)
        assert (await world.run())["changed"] == 0


async def test_a_payment_leaves_the_paid_amount_when_it_is_old_but_stays_the_last_one() -> None:
    async with payments(paid_days=30) as world:
        await world.account("C1")
        await world.transactions(world.settled(world.payment("C1", 10, "2026-08-19"), "2026-08-19"))
        await world.run()
        assert await world.amounts("C1") == (0, 0, 10, "2026-08-19")
        world.now += timedelta(days=31)
        await world.run()
        assert await world.amounts("C1") == (0, 0, 0, "2026-08-19")


async def test_totals_are_in_the_accounting_currency_and_invoices_in_their_own() -> None:
    async with payments(currencies={"usmf": "USD"}) as world:
        await world.account("C1")
        await world.held_invoice("I1")
        euros = {"CurrencyCode": "EUR", "AmountMST": 110}
        await world.transactions(
            world.invoice("C1", "I1", 100, "2026-09-01", **euros),
            world.invoice("C1", "I2", 5, "2026-09-01"),
        )
        await world.run()
        assert await world.amounts("C1") == (115, 0, 0, None)
        assert await world.status("I1") == ("Open", 100)
        (row,) = await world.rows("Account")
        assert row["D365_Amount_Currency__c"] == "USD"


async def test_nothing_is_ever_created_and_what_comes_later_is_filled_in() -> None:
    async with payments() as world:
        await world.transactions(world.invoice("C1", "I1", 10, "2026-09-30"))
        counts = await world.run()
        assert (counts["skipped:no-account"], counts["skipped:no-invoice"]) == (1, 1)
        assert await world.rows("Account") == await world.rows("Invoice__c") == []
        await world.account("C1")
        await world.held_invoice("I1")
        await world.run()
        assert await world.status("I1") == ("Open", 10)
        assert (await world.amounts("C1"))[0] == 10


async def test_a_refused_row_is_counted_named_and_tried_again() -> None:
    async with payments() as world:
        await world.account("C1")
        key = await world.held_invoice("I1")
        rule = {
            "object": "Invoice__c",
            "field": "Status__c",
            "regex": "^Overdue$",
            "message": "no",
        }
        await world.validation_rules(rule)
        await world.transactions(world.invoice("C1", "I1", 10, "2026-08-01"))
        counts = await world.run()
        assert (counts["failed"], counts["changed"]) == (1, 1)
        assert (await world.run())["failed"] == 1
        (failure,) = world.failures
        assert key in failure.key
        await world.validation_rules()
        assert (await world.run())["changed"] == 1
        assert await world.status("I1") == ("Overdue", 10)


async def test_the_nightly_comparison_heals_what_people_changed_in_salesforce() -> None:
    async with payments() as world:
        owing, free = await world.account("C1"), await world.account("C2")
        await world.account("C3", D365_Open_Amount__c=5)  # not a customer of F&O at all
        opened, paid = await world.held_invoice("I1"), await world.held_invoice("I2")
        await world.transactions(
            world.invoice("C1", "I1", 10, "2026-09-30"),
            world.settled(world.invoice("C2", "I2", 7, "2026-01-31"), "2026-02-01"),
        )
        await world.run()
        assert await world.status("I2") == (None, None)  # closed long before, and claims nothing
        assert (await world.amounts("C3"))[0] == 0
        await world.edit("Account", owing, D365_Open_Amount__c=99)
        await world.edit("Account", free, D365_Overdue_Amount__c=99)
        await world.edit("Invoice__c", opened, Status__c="Paid")
        await world.edit("Invoice__c", paid, Status__c="Overdue", Open_Amount__c=7)
        assert (await world.run())["changed"] == 0  # an ordinary run believes what it wrote
        world.now += timedelta(hours=20)
        assert (await world.run())["changed"] == 4
        assert await world.amounts("C1") == (10, 0, 0, None)
        assert await world.amounts("C2") == (0, 0, 0, None)
        assert await world.status("I1") == ("Open", 10)
        assert await world.status("I2") == ("Paid", 0)
        assert (await world.run(full=True))["changed"] == 0


@pytest.mark.parametrize(("page", "rows"), [(10, 1), (10, 3), (20, 2000), (5000, 7)])
async def test_the_result_does_not_depend_on_the_size_of_the_steps(page: int, rows: int) -> None:
    async with payments(page=page, rows=rows) as world:
        await _many(world, customers=12)
        for full in (True, False, False):
            await world.run(full=full)
            await _check_many(world, customers=12)
        world.take_calls()
        assert (await world.run())["changed"] == 0
        assert world.take_calls()[0] == 0
        await world.transactions(world.invoice("C005", "NEW", 1, "2026-09-30"))
        assert (await world.run())["changed"] == 1
        assert (await world.amounts("C005"))[0] == 16


async def _many(world, customers: int) -> None:
    """Customer n has n % 6 invoices of 3, one of them paid; one customer has more than a small page."""
    numbers = [f"C{n:03}" for n in range(customers)]
    await world.insert("Account", *({"Name": n, NUMBER: n} for n in numbers))
    rows = []
    for n, number in enumerate(numbers):
        count = 25 if n == 7 else n % 6
        rows += [world.invoice(number, f"I{n}-{i}", 3, "2026-09-30") for i in range(count)]
    await world.transactions(*rows)
    keys = [{"Name": row["Invoice"], "D365_Key__c": _key(row)} for row in rows]
    await world.insert("Invoice__c", *keys)


def _key(row) -> str:
    return f"usmf|sales|{row['Invoice']}|{row['Voucher']}"


async def _check_many(world, customers: int) -> None:
    found = {row[NUMBER]: row.get("D365_Open_Amount__c") for row in await world.rows("Account")}
    for n in range(customers):
        count = 25 if n == 7 else n % 6
        assert (found[f"C{n:03}"] or 0) == 3 * count, n


async def test_several_companies_are_kept_apart_by_their_qualified_numbers() -> None:
    async with payments(TWO_COMPANIES) as world:
        await world.account("usmf|C1")
        await world.account("demf|C1")
        await world.transactions(
            world.invoice("C1", "I1", 10, "2026-09-30"),
            world.invoice("C1", "I1", 4, "2026-09-30", dataAreaId="demf"),
            world.invoice("C1", "I1", 1, "2026-09-30", dataAreaId="gbsi"),
        )
        await world.run()
        assert (await world.amounts("usmf|C1"))[0] == 10
        assert (await world.amounts("demf|C1"))[0] == 4


async def test_a_dry_run_counts_and_writes_nothing() -> None:
    async with payments(flow="dry") as world:
        await world.account("C1")
        await world.held_invoice("I1")
        await world.transactions(world.invoice("C1", "I1", 10, "2026-09-30"))
        for _ in range(2):
            counts = await world.run()
            assert counts["would-change"] == 2
        assert await world.amounts("C1") == (None, None, None, None)
        assert world.store.documents == {}


async def test_switched_off_meanwhile_the_job_ends() -> None:
    async with payments(flow="off") as world:
        assert await world.run() == {"switched-off": 1}


async def test_trouble_of_a_system_repeats_the_step_and_the_watermark_stays() -> None:
    async with payments() as world:
        await world.account("C1")
        await world.transactions(world.invoice("C1", "I1", 10, "2026-09-30"))
        world.salesforce.control.faults.append(
            Fault(path="composite/sobjects", status=503, count=1)
        )
        with pytest.raises((Unreachable, Throttled)):
            await world.run()
        assert "payments/watermark.json" not in world.store.documents
        await world.run()
        assert (await world.amounts("C1"))[0] == 10


@pytest.mark.parametrize("system", ["salesforce", "d365"])
async def test_a_lost_answer_of_any_call_is_made_good_by_the_next_run(system: str) -> None:
    at, was_cut = 0, True
    while was_cut:
        at += 1
        async with payments(page=10, rows=3) as world:
            await _many(world, customers=5)
            cut = world.cuts[system]
            cut.at, was_cut = at, False
            try:
                await world.run()
            except IntegrationError:
                was_cut = True
            cut.at = 0
            if was_cut:
                await world.run()
            await _check_many(world, customers=5)
            assert (await world.run())["changed"] == 0
    assert at > 5  # so many calls were cut, one in each world


async def test_a_job_state_may_be_repeated_from_any_position() -> None:
    async with payments(page=10, rows=3) as world:
        await _many(world, customers=6)
        position: dict[str, object] = {}
        for _ in range(300):
            await world.job.step(dict(position))
            progress = await world.job.step(dict(position))  # a crash before the state was saved
            if progress.done:
                break
            position = progress.position
        await _check_many(world, customers=6)
        assert (await world.run())["changed"] == 0


async def test_a_row_that_cannot_be_read_is_counted_and_its_customer_left_as_it_is() -> None:
    async with payments() as world:
        for number in ("C1", "C2"):
            await world.account(number)
        await world.held_invoice("I1")
        await world.transactions(world.invoice("C1", "I1", 10, "2026-09-30"))
        await world.run()
        await world.transactions(
            world.invoice("C1", "I9", 5, "2026-09-30", AmountCur="five"),
            world.invoice("C2", "I2", 7, "2026-09-30"),
        )
        assert (await world.run())["failed"] == 1
        assert [failure.key for failure in world.failures] == ["usmf|C1"]
        assert (await world.amounts("C1"))[0] == 10
        assert (await world.amounts("C2"))[0] == 7
        assert await world.status("I1") == ("Open", 10)


async def test_a_number_with_an_asterisk_stops_nothing() -> None:
    async with payments(page=10) as world:
        await world.account("A*")
        await world.account("B1", D365_Open_Amount__c=3)
        await world.account("C*", D365_Open_Amount__c=3)
        odd = world.invoice("A*", "I*", 5, "2026-09-30")
        await world.held_invoice("I*")
        await world.transactions(
            odd, *(world.invoice("B1", f"I{n}", 1, "2026-09-30") for n in range(8))
        )
        await world.run()
        assert await world.status("I*") == ("Open", 5)
        assert [(await world.amounts(n))[0] for n in ("A*", "B1")] == [5, 8]
        assert (await world.amounts("C*"))[0] == 3  # cannot be asked for, so it is left alone
