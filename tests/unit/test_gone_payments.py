"""After a merge an account has two customers: it owes the sum, and the invoices of both are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.flows.outcomes import Synced
from integration.state.aliases import Alias, Aliases
from tests.unit.payment_support import PaymentWorld, payments
from tests.unit.receivables_support import both_systems
from tests.unit.state_support import MemoryStore

if TYPE_CHECKING:
    from integration.state.blobs import Document


async def alias(store: MemoryStore, number: str, into: str) -> None:
    await Aliases(store).save(Alias(number, into, "001W", "001L", "2026-08-20T00:00:00+00:00"))


async def two_customers(world: PaymentWorld) -> None:
    """C2 counts as a further number of the account of C1; they owe 100 and 40, 30 were paid."""
    await alias(world.store, "usmf|C2", "usmf|C1")
    await world.account("C1")
    await world.transactions(
        world.invoice("C1", "I1", 100, "2026-09-30"),
        world.invoice("C2", "I2", 40, "2026-08-01"),
        world.settled(world.payment("C2", 30, "2026-08-10"), "2026-08-10"),
    )


async def test_the_account_shows_the_sum_of_its_customers() -> None:
    async with payments() as world:
        await two_customers(world)
        for number in ("I1", "I2"):
            await world.held_invoice(number)
        counts = await world.run()
        assert await world.amounts("C1") == (140, 40, 30, "2026-08-10")
        assert await world.status("I1") == ("Open", 100)
        assert await world.status("I2") == ("Overdue", 40)
        assert counts["changed"] == 3  # the account is written once
        world.take_calls()
        assert (await world.run())["changed"] == 0
        assert world.take_calls() == (0, 2)  # transactions, and once more those of the two


@pytest.mark.parametrize("paid", ["C1", "C2"])
async def test_what_one_has_paid_leaves_what_the_other_owes(paid: str) -> None:
    async with payments() as world:
        await two_customers(world)
        await world.run()
        answer = await world.d365_http.get("http://d365.test/sandbox/state/CustTransBiEntities")
        [row] = [
            {name: value for name, value in row.items() if "@" not in name}
            for row in answer.json()
            if row["AccountNum"] == paid and row["TransType"] == "Sales"
        ]
        await world.transactions(world.settled(row, "2026-06-01"))
        await world.run()
        left = 40 if paid == "C1" else 100
        assert (await world.amounts("C1"))[0] == left
        await world.run(full=True)
        assert (await world.amounts("C1"))[0] == left


async def test_a_customer_that_leaves_the_open_transactions_takes_nothing_from_the_sum() -> None:
    async with payments() as world:
        await alias(world.store, "usmf|C2", "usmf|C1")
        await world.account("C1")
        mine = world.invoice("C1", "I1", 100, "2026-08-01")
        await world.transactions(mine, world.invoice("C2", "I2", 40, "2026-08-01"))
        await world.run()
        await world.transactions(world.settled(mine, world.now.date().isoformat()))
        await world.run()
        assert await world.amounts("C1") == (40, 40, 0, None)
        await world.transactions(world.settled(mine, "2026-06-01"))  # dated back: not read any more
        assert (await world.run())["changed"] == 0
        assert await world.amounts("C1") == (40, 40, 0, None)


async def test_a_full_comparison_repairs_what_somebody_edited_to_the_sum() -> None:
    async with payments() as world:
        await two_customers(world)
        await world.run()
        [account] = await world.rows("Account")
        await world.edit("Account", account["Id"], D365_Open_Amount__c=7)
        await world.run(full=True)
        assert (await world.amounts("C1"))[0] == 140


async def test_customers_in_another_company_are_kept_apart() -> None:
    companies = (
        '[companies]\ndefault = "usmf"\nfield = "Legal_Entity__c"\n'
        '[companies.table]\nUS = "usmf"\nDE = "demf"\n'
    )
    async with payments(companies) as world:
        await alias(world.store, "demf|D1", "usmf|C1")
        await world.account("usmf|C1")
        await world.transactions(
            world.invoice("C1", "I1", 100, "2026-09-30"),
            world.invoice("D1", "I2", 40, "2026-09-30", dataAreaId="demf"),
        )
        counts = await world.run()
        assert (await world.amounts("usmf|C1"))[0] == 100
        assert counts["skipped:no-account"] >= 1


async def test_without_aliases_no_call_is_made_for_them() -> None:
    async with payments() as world:
        await world.account("C1")
        await world.held_invoice("I1")
        await world.transactions(world.invoice("C1", "I1", 10, "2026-09-30"))
        await world.run()
        world.take_calls()
        await world.run()
        assert world.take_calls() == (0, 1)


async def test_an_invoice_of_the_further_number_goes_to_the_account() -> None:
    async with both_systems() as world:
        survivor = await world.account("C-1")
        await alias(world.store, "usmf|C-2", "usmf|C-1")
        key = await world.sales_invoice("CIV-1", InvoiceCustomerAccountNumber="C-2")
        assert await world.run(key) == {key: Synced(changed=True)}
        [row] = await world.rows("Invoice__c")
        assert row["Account__c"] == survivor
        assert await world.run(key) == {key: Synced(changed=False)}


async def test_a_chain_of_further_numbers_ends_at_the_account_and_a_circle_nowhere() -> None:
    store = MemoryStore()
    for number, into in (("1", "2"), ("2", "3"), ("7", "8"), ("8", "9"), ("9", "8")):
        await alias(store, f"usmf|{number}", f"usmf|{into}")
    aliases = Aliases(store)
    found = await aliases.find(["usmf|1", "USMF|2", "usmf|3", "usmf|7", "usmf|8"])
    assert {number: each.into for number, each in found.items()} == {
        "usmf|1": "usmf|3",
        "USMF|2": "usmf|3",
    }
    assert sorted(each.number for each in await aliases.all()) == ["usmf|1", "usmf|2"]


async def test_a_remembered_list_answers_for_numbers_that_are_none() -> None:
    class Counted(MemoryStore):
        reads = 0

        async def read(self, name: str) -> Document | None:
            self.reads += 1
            return await super().read(name)

    store, now = Counted(), [0.0]
    aliases = Aliases(store, cache=30, monotonic=lambda: now[0])
    assert await aliases.find(["usmf|1"]) == {}
    await alias(store, "usmf|1", "usmf|2")  # by another instance
    assert await aliases.find(["usmf|1"]) == {}
    assert store.reads == 0
    now[0] = 31
    assert set(await aliases.find(["usmf|1"])) == {"usmf|1"}
    await aliases.drop("usmf|1")
    assert await aliases.find(["usmf|1"]) == {}
    assert store.documents == {}
