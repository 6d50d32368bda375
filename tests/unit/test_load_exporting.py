"""Customers out of exported packages: only what is equal is believed, and all of them must be there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.account_support import COMPANY, ID, NUMBER, account_id
from tests.unit.load_support import World
from tests.unit.test_load_crashes import STRIDE, dies_at, last_tick
from tests.unit.test_loads import COMPANIES, customer_of, fill, in_step

LARGE = {"export_threshold": 1}


async def filled(mapping: str | None = None, **volume: Any) -> tuple[World, list[str]]:
    """Customers that the first load made; from now on they are exported."""
    world = World(mapping, LARGE | volume)
    keys = fill(world, 20)
    await world.run()
    in_step(world, keys)
    world.d365.pages = 0
    return world, keys


async def test_a_large_target_is_read_out_of_a_package_and_only_counted_by_odata() -> None:
    world, keys = await filled()
    assert await world.run() == {"read": 20, "unchanged": 20, "exports": 1}
    assert world.d365.pages == 2  # counts
    [begun] = world.exports.begun.values()
    assert (begun["project"], begun["entity"], begun["company"], begun["change_tracked"]) == (
        "SalesforceIntegration Customers V3", "Customers V3", "usmf", False,
    )  # fmt: skip
    assert world.left_behind() == []
    in_step(world, keys)


async def test_below_the_threshold_nothing_is_exported() -> None:
    world, _ = await filled(export_threshold=21)
    assert await world.run() == {"read": 20, "unchanged": 20}
    assert world.exports.begun == {}


async def test_new_and_changed_accounts_arrive_beside_equal_ones() -> None:
    world, keys = await filled()
    for key in keys[:5]:
        world.salesforce.accounts[key]["Name"] = f"New {key}"
    new = [account_id(number) for number in range(50, 54)]
    for key in new:
        world.salesforce.add(key, f"Acme {key}", BillingCity="Hamburg")
    counts = await world.run()
    assert (counts["unchanged"], counts["changed"], counts["created"]) == (15, 5, 4)
    in_step(world, keys + new)
    assert await world.run() == {"read": 24, "unchanged": 24, "exports": 1}


async def test_values_that_a_package_spells_otherwise_are_compared_by_the_flow() -> None:
    world, keys = await filled()
    sent = len(world.packages.imports)
    world.exports.spell = lambda value: str(value or "").replace("Hamburg", "HAMBURG, Hansestadt")
    assert await world.run() == {"read": 20, "unchanged": 20, "exports": 1}
    assert len(world.packages.imports) == sent
    in_step(world, keys)


async def test_each_company_has_a_project_of_its_own() -> None:
    world = World(COMPANIES, LARGE)
    keys = fill(world, 6)
    for key in keys[:3]:
        world.salesforce.accounts[key]["BillingCountry"] = "Germany"
    await world.run()
    counts = await world.run()
    assert counts == {"read": 6, "unchanged": 6, "exports": 2}
    assert [each["project"] for each in world.exports.begun.values()] == [
        "SalesforceIntegration Customers V3 usmf",
        "SalesforceIntegration Customers V3 demf",
    ]
    assert {customer_of(world, key)[COMPANY] for key in keys[:3]} == {"demf"}


async def test_where_an_account_may_name_any_company_nothing_is_exported() -> None:
    world = World('[companies]\ndefault = "usmf"\nfield = "Site"\n', LARGE)
    fill(world, 5)
    await world.run()
    assert await world.run() == {"read": 5, "unchanged": 5}
    assert world.exports.begun == {}


async def test_a_project_that_fails_is_replaced_by_odata() -> None:
    world, keys = await filled()
    world.exports.fails = "the data project does not exist"
    assert await world.run() == {"read": 20, "unchanged": 20, "exports-failed": 1}
    in_step(world, keys)


@pytest.mark.parametrize("where", ["of a project with a filter", "in a company nobody named"])
async def test_a_customer_that_no_package_holds_is_not_made_again(where: str) -> None:
    world, keys = await filled()
    left_out = customer_of(world, keys[3])
    if where == "in a company nobody named":
        left_out[COMPANY] = "frrt"
    else:
        world.exports.hides = lambda row: row is left_out
    counts = await world.run()
    assert counts["exports-failed"] == 1
    assert len([row for row in world.d365.customers if row[ID] == keys[3]]) == 1
    assert left_out[NUMBER]


async def test_a_customer_without_an_id_is_none_of_the_records_that_are_counted() -> None:
    world, _ = await filled()
    world.d365.add("US-900", "", OrganizationName="Of the ERP alone")
    assert await world.run() == {"read": 20, "unchanged": 20, "exports": 1}


@pytest.mark.parametrize("first", [3, 5] if STRIDE > 2 else range(1, 1 + STRIDE))
async def test_wherever_a_load_with_exports_dies_the_end_is_the_same(first: int) -> None:
    for at in range(first, await last_tick(**LARGE) + 1, STRIDE):
        await dies_at(at, **LARGE)
