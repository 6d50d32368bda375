"""Orders whose opportunity was deleted, or whose customer's account was merged."""

from __future__ import annotations

from typing import Any

from integration.flows.outcomes import Failed, Skipped, Synced
from integration.recovery.decisions import EndState
from integration.state.aliases import Alias, Aliases
from tests.unit.account_support import B as SURVIVOR
from tests.unit.order_support import A, World
from tests.unit.receivables_support import BothSystems, both_systems
from tests.unit.test_flows_orders import ordered, problem

DELETED = Skipped("deleted-in-salesforce")


async def kept(world: World, outcome: Any) -> None:
    assert isinstance(outcome, Failed)
    error = problem(outcome)
    await world.flow.kept(A, EndState("review", error.reason, error.description, "d365"))


async def test_a_deletion_after_the_order_is_told_once() -> None:
    world = World()
    await ordered(world)
    world.opportunity().update(IsDeleted=True, SystemModstamp="2025-03-01T10:00:00.000+0000")
    assert problem((await world.run())[A]).reason == "deleted-after-order"
    await kept(world, (await world.run())[A])
    assert await world.run() == {A: DELETED}
    world.opportunity().update(SystemModstamp="2025-03-02T10:00:00.000+0000")  # once more
    assert problem((await world.run())[A]).reason == "deleted-after-order"


async def test_a_deletion_can_be_ignored() -> None:
    world = World(DELETED_OPPORTUNITIES="ignore")
    await ordered(world)
    world.forget()
    world.opportunity()["IsDeleted"] = True
    assert await world.run() == {A: DELETED}
    assert world.d365.reads == 0


async def test_an_order_of_the_merged_accounts_customer_is_no_change() -> None:
    """The opportunity moved with the merge; the order stays with the customer that it was made for."""
    world = World()
    await ordered(world)
    world.add_account(SURVIVOR)
    world.add_customer("US-9", SURVIVOR)
    world.opportunity()["AccountId"] = SURVIVOR
    assert problem((await world.run())[A]).reason == "changed-after-order"  # nobody says so
    merged = Alias("usmf|US-1", "usmf|US-9", SURVIVOR, "001L", "2025-03-01T00:00:00+00:00")
    await Aliases(world.store).save(merged)
    assert await world.run() == {A: Synced(changed=True)}  # the complaint is taken back
    assert await world.run() == {A: Synced(changed=False)}


# Customers back to accounts


async def merged(world: BothSystems, loser: str, survivor: str) -> None:
    url = f"http://salesforce.test/sandbox/state/Account/{survivor}/merge"
    answer = await world.http["salesforce"].post(url, json={"merged": [loser]})
    answer.raise_for_status()


async def test_what_dynamics_owns_goes_to_the_account_that_survived() -> None:
    async with both_systems() as world:
        loser, survivor = await world.account("C-1"), await world.account()
        key = await world.customer("C-1", loser, PaymentTerms="Net30")
        await merged(world, loser, survivor)
        assert await world.run(key) == {key: Synced(changed=True)}
        [row] = await world.rows("Account")
        assert (row["Id"], row["D365_Payment_Terms__c"]) == (survivor, "Net30")
        assert row["D365_Customer_Number__c"] == "C-1"


async def test_a_survivor_with_a_customer_of_its_own_shows_that_ones_data() -> None:
    async with both_systems() as world:
        loser, survivor = await world.account("C-1"), await world.account("C-2")
        key = await world.customer("C-1", loser, PaymentTerms="Net30")
        own = await world.customer("C-2", survivor, PaymentTerms="Net60")
        await merged(world, loser, survivor)
        outcome = Skipped("account-merged", f"account {survivor}")
        assert await world.run(key, own) == {key: outcome, own: Synced(changed=True)}
        [row] = await world.rows("Account")
        assert row["D365_Payment_Terms__c"] == "Net60"
        assert await world.run(key) == {key: outcome}


async def test_a_survivor_that_does_not_know_its_customers_number_yet_is_left_to_that_one() -> None:
    async with both_systems() as world:
        loser, survivor = await world.account("C-1"), await world.account()
        key = await world.customer("C-1", loser)
        await world.customer("C-2", survivor)
        await merged(world, loser, survivor)
        assert await world.run(key) == {key: Skipped("account-merged", f"account {survivor}")}
        [row] = await world.rows("Account")
        assert row["D365_Customer_Number__c"] is None


async def test_the_customer_of_a_deleted_account_is_left_alone() -> None:
    async with both_systems() as world:
        account = await world.account("C-1")
        key = await world.customer("C-1", account)
        url = f"http://salesforce.test/sandbox/state/Account/{account}"
        (await world.http["salesforce"].delete(url)).raise_for_status()
        assert await world.run(key) == {key: Skipped("account-gone", account)}
