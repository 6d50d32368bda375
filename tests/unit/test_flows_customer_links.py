"""Customers that exist in F&O only: ignored, linked by rule or given an account; never twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from integration.errors import IntegrationError, RecordBusy
from integration.flows.outcomes import Skipped, Synced, WouldChange
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
    from collections.abc import AsyncIterator

__all__ = ["creating", "world"]  # the fixtures

CHANGED, UNCHANGED = Synced(changed=True), Synced(changed=False)
TAX = '[customers.match]\nSic = "TaxExemptNumber"\n'
ID = "SalesforceAccountId"


@pytest.fixture
async def linking() -> AsyncIterator[BothSystems]:
    async with both_systems(CUSTOMERS_WITHOUT_ACCOUNT="link") as world:
        yield world


async def id_of(world: BothSystems, number: str) -> Any:
    (row,) = [r for r in await world.found("CustomersV3") if r["CustomerAccount"] == number]
    return row[ID]


async def test_a_customer_of_dynamics_alone_is_ignored_by_default(world: BothSystems) -> None:
    await world.account(AccountNumber="C-1")
    key = await world.customer("C-1")
    assert await world.run(key) == {key: Skipped("customer-only-in-d365")}


async def test_the_account_that_names_the_number_is_linked(linking: BothSystems) -> None:
    mine = await linking.account("C-1")
    key = await linking.customer("C-1")
    assert await linking.run(key) == {key: CHANGED}
    assert await id_of(linking, "C-1") == mine
    assert await linking.run(key) == {key: UNCHANGED}


async def test_the_account_with_that_account_number_is_linked(linking: BothSystems) -> None:
    mine = await linking.account(AccountNumber="c-1")
    key = await linking.customer("C-1", CreditLimit=5)
    assert await linking.run(key) == {key: CHANGED}
    assert await id_of(linking, "C-1") == mine
    row = await account(linking, mine)
    assert (row[NUMBER], row["D365_Credit_Limit__c"]) == ("C-1", 5)


async def test_the_rule_of_the_mapping_file_links_too() -> None:
    async with both_systems(TAX, CUSTOMERS_WITHOUT_ACCOUNT="link") as world:
        mine = await world.account(Sic="DE123")
        await world.account(AccountNumber="C-1")
        key = await world.customer("C-1", TaxExemptNumber="DE123")
        assert await world.run(key) == {key: CHANGED}
        assert await id_of(world, "C-1") == mine


async def test_linking_makes_no_account(linking: BothSystems) -> None:
    key = await linking.customer("C-1")
    assert await linking.run(key) == {key: Skipped("no-account-matches")}
    assert await linking.rows("Account") == []


async def test_several_accounts_that_match_are_left_to_a_person(creating: BothSystems) -> None:
    for _ in range(2):
        await creating.account(AccountNumber="C-1")
    assert await review(creating, await creating.customer("C-1")) == "several-accounts"


async def test_an_account_with_another_customer_is_left_to_a_person(creating: BothSystems) -> None:
    await creating.account("C-9", AccountNumber="C-1")
    assert await review(creating, await creating.customer("C-1")) == "account-of-other-customer"
    linked = await creating.account(AccountNumber="C-2")
    await creating.customer("C-8", linked)
    assert await review(creating, await creating.customer("C-2")) == "account-of-other-customer"
    assert await id_of(creating, "C-2") == ""


async def test_two_customers_that_match_one_account_are_both_left_to_a_person() -> None:
    async with both_systems(TAX, CUSTOMERS_WITHOUT_ACCOUNT="create") as world:
        await world.account(Sic="DE1")
        keys = [await world.customer(f"C-{n}", TaxExemptNumber="DE1") for n in (1, 2)]
        outcomes = await world.run(*keys)
        assert {error_of(each).reason for each in outcomes.values()} == {
            "account-of-other-customer"
        }
        assert len(await world.rows("Account")) == 1


async def test_a_new_account_holds_what_the_customer_holds(creating: BothSystems) -> None:
    key = await creating.customer(
        "C-1", OrganizationName="Kontor", AddressStreet="A\nB", AddressCity="Lenggries",
        AddressCountryRegionId="DEU", AddressCountryRegionISOCode="DE", CreditLimit=9,
        PrimaryContactURL="https://kontor.example",
    )  # fmt: skip
    assert await creating.run(key) == {key: CHANGED}
    (row,) = await creating.rows("Account")
    assert (row["Name"], row["BillingCity"], row["BillingCountry"]) == (
        "Kontor",
        "Lenggries",
        "Germany",
    )
    assert (row[NUMBER], row["D365_Credit_Limit__c"], row["CurrencyIsoCode"]) == ("C-1", 9, "USD")
    assert row["Website"] == "https://kontor.example"
    assert await id_of(creating, "C-1") == row["Id"]
    assert await creating.run(key) == {key: UNCHANGED}


async def test_an_org_with_country_picklists_gets_the_codes() -> None:
    async with both_systems(picklists=True, CUSTOMERS_WITHOUT_ACCOUNT="create") as world:
        key = await world.customer(
            "C-1", AddressCountryRegionId="USA", AddressCountryRegionISOCode="US", AddressState="WA"
        )
        assert await world.run(key) == {key: CHANGED}
        (row,) = await world.rows("Account")
        assert (row["BillingCountryCode"], row["BillingStateCode"]) == ("US", "WA")


async def test_nothing_that_salesforce_cannot_hold_is_taken_away(creating: BothSystems) -> None:
    mapping = '[accounts.fields.DeliveryTerms]\nsource = ["Site", "Sic"]\ntransform = "upper"\n'
    async with both_systems(mapping, CUSTOMERS_WITHOUT_ACCOUNT="create") as world:
        key = await world.customer("C-1", DeliveryTerms="cif")
        assert await world.run(key) == {key: CHANGED}  # the tenant's own field comes along
        (row,) = await world.rows("Account")
        assert row["Site"] == "CIF"
    key = await creating.customer("C-1", AddressCountryRegionId="ATLANTIS")
    assert await review(creating, key) == "account-does-not-fit"
    assert await creating.rows("Account") == []


async def test_a_company_that_the_rule_does_not_give_is_left_to_a_person() -> None:
    async with both_systems(COMPANIES, CUSTOMERS_WITHOUT_ACCOUNT="create") as world:
        key = await world.customer("C-1", dataAreaId="demf")
        assert await review(world, key) == "account-does-not-fit"


async def test_the_field_that_decides_the_company_is_filled() -> None:
    mapping = '[companies]\ndefault = "usmf"\nfield = "Legal_Entity__c"\n'
    async with both_systems(mapping, CUSTOMERS_WITHOUT_ACCOUNT="create") as world:
        key = await world.customer("C-1", dataAreaId="demf")
        assert await world.run(key) == {key: CHANGED}
        (row,) = await world.rows("Account")
        assert (row["Legal_Entity__c"], row[NUMBER]) == ("demf", "demf|C-1")


async def test_persons_get_no_account(creating: BothSystems) -> None:
    key = await creating.customer("C-1", PartyType="Person")
    assert error_of((await creating.run(key))[key]).reason == "person-customer"


async def test_a_link_that_failed_is_made_good_by_the_next_try(creating: BothSystems) -> None:
    creating.fault("d365", match={"method": "PATCH"}, status=503, inner=True, count=1)
    key = await creating.customer("C-1")
    assert isinstance(error_of((await creating.run(key))[key]), IntegrationError)
    assert await creating.run(key) == {key: CHANGED}
    (row,) = await creating.rows("Account")
    assert await id_of(creating, "C-1") == row["Id"]


async def test_somebody_who_was_faster_is_not_overwritten(linking: BothSystems) -> None:
    mine, other = await linking.account(AccountNumber="C-1"), await linking.account()
    key = await linking.customer("C-1")
    found = await linking.customers.read([key])
    wanted = {key: linking.customers.wanted(found[key])}  # type: ignore[arg-type]
    current = await linking.customers.find(wanted)  # type: ignore[arg-type]
    change = linking.customers.compare(wanted[key], current[key])  # type: ignore[arg-type]
    await linking.customer("C-1", other)
    answers = await linking.customers.write({key: change}, {key: "b"})  # type: ignore[dict-item]
    assert isinstance(answers[key], RecordBusy)
    assert await id_of(linking, "C-1") == other
    assert (await account(linking, mine))[NUMBER] is None


async def test_a_dry_run_writes_nothing(creating: BothSystems) -> None:
    key = await creating.customer("C-1")
    assert isinstance((await creating.run(key, dry=True))[key], WouldChange)
    assert await creating.rows("Account") == []
