"""What the settings of an installation do to accounts; the app starts again for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import topology

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

TWO_COMPANIES = """
[companies]
default = "usmf"
by_country = { Germany = "demf", AT = "demf" }

[accounts.defaults]
CustomerGroupId = "20"
"""


async def test_two_companies_have_company_qualified_numbers(world: World, tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(TWO_COMPANIES, encoding="utf-8")
    await world.run_with(MAPPING_FILE=str(file))
    german = await world.create(BillingCountry="Deutschland")
    french = await world.create(BillingCountry="France")
    await world.settled()
    for key, company in ((german, "demf"), (french, "usmf")):
        customer = await world.customer(key)
        assert (customer["dataAreaId"], customer["CustomerGroupId"]) == (company, "20")
        number = (await world.account(key))["D365_Customer_Number__c"]
        assert number == f"{company}|{customer['CustomerAccount']}"
    world.forget_calls()
    await world.tell(german, french)  # the number it now names is understood
    await world.settled()
    assert world.d365.writes_to_d365() == []
    assert world.salesforce.rows_to_salesforce() == []


async def test_an_account_that_moves_to_another_company_goes_to_review(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(TWO_COMPANIES, encoding="utf-8")
    await world.run_with(MAPPING_FILE=str(file))
    key = await world.create_settled(BillingCountry="France")
    await world.change(key, BillingCountry="Germany")
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("review", "other-company")
    assert [row["dataAreaId"] for row in await world.customers(key)] == ["usmf"]


async def test_the_account_id_can_be_the_customer_number(world: World) -> None:
    await world.put("d365", "settings", {"manual_numbers": {"CustomersV3": True}})
    await world.run_with(CUSTOMER_NUMBERING="salesforce-id")
    key = await world.create()
    await world.settled()
    assert (await world.customer(key))["CustomerAccount"] == key
    assert (await world.account(key))["D365_Customer_Number__c"] == key
    await world.put("d365", "settings", {"manual_numbers": {}})


@pytest.mark.parametrize("creation", ["off", "after-match"])
async def test_without_customer_creation_known_customers_are_still_kept_in_step(
    world: World, creation: str
) -> None:
    await world.run_with(CUSTOMER_CREATION=creation)
    known = await world.create(events=False)
    number = f"KNOWN-{creation}"
    await world.add_customer(CustomerAccount=number, SalesforceAccountId=known)
    new = await world.create()
    await world.tell(known)
    await world.settled()
    assert await world.customers(new) == []
    assert world.letters(new, known) == []
    assert (await world.customer(known))["AddressCity"] == "Bad Tölz"
    assert (await world.account(known))["D365_Customer_Number__c"] == number


async def test_a_dry_flow_writes_nothing_anywhere(world: World) -> None:
    known, number = await world.create(events=False), "DRY-1"
    await world.add_customer(CustomerAccount=number, SalesforceAccountId=known)
    await world.run_with(FLOW_ACCOUNTS="dry")
    before = [await world.customer(known), await world.account(known)]
    new = await world.create()
    await world.tell(known)
    await world.settled()
    assert world.d365.reads_of_customers() >= 1  # it did compare
    assert world.d365.writes_to_d365() == []
    assert world.salesforce.rows_to_salesforce() == []
    assert [await world.customer(known), await world.account(known)] == before
    assert await world.customers(new) == []
    assert world.letters(new, known) == []


async def test_a_flow_that_is_off_parks_the_hints_and_loses_none(world: World) -> None:
    await world.run_with(FLOW_ACCOUNTS="off", RETRY_MAX_DELAY="1")
    keys = await world.create_many(5)
    await world.until(lambda: len([h for h in world.waiting(*keys) if h["put_backs"] >= 2]) == 5)
    assert world.d365.calls == []
    assert world.salesforce.to("composite/sobjects") == []
    assert all(hint["attempt"] == 1 for hint in world.waiting(*keys))
    await world.run_with()
    await world.settled()
    assert world.letters(*keys) == []
    for key in keys:
        number = (await world.customer(key))["CustomerAccount"]
        assert (await world.account(key))["D365_Customer_Number__c"] == number


async def test_wrong_settings_refuse_new_events_and_keep_the_waiting_ones(world: World) -> None:
    await world.run_with()
    world.sandbox.broker.pause(topology.CHANGES)
    waiting = await world.create_many(3, events=False)
    await world.tell(*waiting)
    letters = world.sandbox.broker.counts()[topology.DEAD_LETTER]["active"]
    await world.run_with(D365_COMPANY="too-long", FLOW_ACCOUNTS="maybe", RETRY_MAX_DELAY="1")
    world.sandbox.broker.resume(topology.CHANGES)
    health = await world.sandbox.http.get(f"{world.sandbox.app_url}/api/health")
    assert (health.status_code, health.json()) == (503, {"status": "misconfigured"})
    await world.until(lambda: {hint["state"] for hint in world.waiting(*waiting)} == {"scheduled"})
    key = await world.create(events=False)
    answer = await world.sandbox.post_event(world.event(key))
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    await world.run_with()
    health = await world.sandbox.http.get(f"{world.sandbox.app_url}/api/health")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    await world.tell(key)
    await world.settled()
    for each in (key, *waiting):
        assert len(await world.customers(each)) == 1
    assert world.sandbox.broker.counts()[topology.DEAD_LETTER]["active"] == letters
