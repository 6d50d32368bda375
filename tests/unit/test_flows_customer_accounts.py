"""Customer → account: F&O's own fields, and customers that exist in F&O only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.errors import ContractError
from integration.flows.outcomes import Skipped, Synced
from integration.salesforce.ids import to_18
from tests.unit.flow_support import COMPANIES, error_of
from tests.unit.receivables_support import (
    NUMBER,
    BothSystems,
    account,
    both_systems,
    creating,
    review,
    world,
)

if TYPE_CHECKING:
    import pytest

__all__ = ["creating", "world"]  # the fixtures

CHANGED, UNCHANGED = Synced(changed=True), Synced(changed=False)


async def test_what_dynamics_owns_comes_to_the_account_once(world: BothSystems) -> None:
    mine = await world.account()
    key = await world.customer(
        "C-1", mine, CreditLimit=1000.25, PaymentTerms="Net30", OnHoldStatus="All"
    )
    assert await world.run(key) == {key: CHANGED}
    row = await account(world, mine)
    assert row[NUMBER] == "C-1"
    assert (row["D365_Credit_Limit__c"], row["D365_Payment_Terms__c"]) == (1000.25, "Net30")
    assert (row["D365_On_Hold__c"], row["D365_Customer_Group__c"]) == ("All", "30")
    assert row["Name"] == "Acme"
    assert world.calls
    assert await world.run(key) == {key: UNCHANGED}
    assert world.calls == (1, 1)


async def test_a_field_that_was_emptied_is_emptied(world: BothSystems) -> None:
    mine = await world.account(D365_Payment_Terms__c="Net30", D365_Credit_Limit__c=5)
    key = await world.customer("C-1", mine)
    await world.run(key)
    row = await account(world, mine)
    assert (row["D365_Payment_Terms__c"], row["D365_Credit_Limit__c"]) == (None, 0)


async def test_the_bucket_is_that_of_the_account(world: BothSystems) -> None:
    mine = await world.account()
    linked, alone = await world.customer("C-1", mine), await world.customer("C-2")
    found = await world.customers.read([linked, alone])
    roots = {key: world.customers.root_of(record) for key, record in found.items()}  # type: ignore[arg-type]
    assert roots == {linked: mine, alone: alone}


async def test_an_org_without_the_fields_gets_the_number_alone(
    world: BothSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = world.salesforce.org.schema.objects["Account"].fields
    for name in [name for name in fields if name.startswith("D365_") and name != NUMBER]:
        monkeypatch.delitem(fields, name)
    mine = await world.account()
    key = await world.customer("C-1", mine, CreditLimit=7)
    assert await world.run(key) == {key: CHANGED}
    assert (await account(world, mine))[NUMBER] == "C-1"


async def test_a_tenants_own_line_wins_over_a_built_in_one() -> None:
    mapping = '[accounts.fields.PaymentTerms]\nsource = "Site"\nowner = "d365"\n'
    async with both_systems(mapping) as world:
        mine = await world.account()
        key = await world.customer("C-1", mine, PaymentTerms="Net45")
        await world.run(key)
        row = await account(world, mine)
        assert (row["Site"], row["D365_Payment_Terms__c"]) == ("Net45", None)


async def test_what_is_not_there_or_no_key_ends_alone(world: BothSystems) -> None:
    keys = ["usmf|NONE", "nonsense|", "demf|C-1", "usmf|C*"]
    outcomes = await world.run("usmf|NONE", *keys[1:])
    assert outcomes["usmf|NONE"] == Skipped("not-found")
    assert outcomes["demf|C-1"] == Skipped("company-not-served", "demf")
    assert isinstance(error_of(outcomes["nonsense|"]), ContractError)
    assert error_of(outcomes["usmf|C*"]).reason == "wildcard"


async def test_an_account_that_is_gone_is_never_made_anew(creating: BothSystems) -> None:
    gone = to_18("001Aa00000ZZZZZ")
    key = await creating.customer("C-1", gone)
    assert await creating.run(key) == {key: Skipped("account-gone", gone)}
    assert await creating.rows("Account") == []


async def test_an_id_that_is_none_is_a_mistake_and_not_f_and_o_only(creating: BothSystems) -> None:
    key = await creating.customer("C-1", "see note")
    assert error_of((await creating.run(key))[key]).reason == "no-salesforce-id"
    assert await creating.rows("Account") == []


async def test_two_customers_of_one_account_are_left_to_a_person(world: BothSystems) -> None:
    mine = await world.account()
    first, second = await world.customer("C-1", mine), await world.customer("C-2", mine)
    outcomes = await world.run(first, second)
    assert {error_of(each).reason for each in outcomes.values()} == {"several-customers"}
    assert (await account(world, mine))[NUMBER] is None


async def test_and_so_they_are_when_they_come_one_after_the_other(world: BothSystems) -> None:
    mine = await world.account("C-1")
    await world.customer("C-1", mine)
    assert await review(world, await world.customer("C-2", mine)) == "several-customers"


async def test_a_number_that_is_out_of_date_is_corrected(world: BothSystems) -> None:
    mine = await world.account("OLD-1")
    key = await world.customer("C-1", mine)
    assert await world.run(key) == {key: CHANGED}
    assert (await account(world, mine))[NUMBER] == "C-1"


async def test_a_number_that_another_account_holds_is_left_to_a_person(world: BothSystems) -> None:
    await world.account("C-1")
    key = await world.customer("C-1", await world.account())
    assert await review(world, key) == "number-on-other-account"


async def test_with_several_companies_the_number_carries_its_company() -> None:
    async with both_systems(COMPANIES) as world:
        mine = await world.account()
        key = await world.customer("C-1", mine, dataAreaId="demf")
        await world.run(key)
        row = await account(world, mine)
        assert (row[NUMBER], row["D365_Company__c"]) == ("demf|C-1", "demf")


async def test_a_hundred_customers_cost_a_handful_of_calls(world: BothSystems) -> None:
    ids = [await world.account() for _ in range(100)]
    keys = [await world.customer(f"C-{number}", each) for number, each in enumerate(ids)]
    await world.run(await world.customer("C-X", await world.account()))
    assert world.calls
    assert set((await world.run(*keys)).values()) == {CHANGED}
    assert world.calls == (2, 1)
