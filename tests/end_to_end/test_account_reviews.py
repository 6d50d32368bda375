"""What a person must decide or repair ends on the queue `dead-letter`, with the words to do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_several_customers_with_one_account_id_go_to_review(world: World) -> None:
    key = await world.create(events=False)
    await world.add_customer(CustomerAccount="TWIN-1", SalesforceAccountId=key)
    await world.add_customer(CustomerAccount="TWIN-2", SalesforceAccountId=key, dataAreaId="demf")
    await world.tell(key)
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("review", "several-customers")
    assert "TWIN-1 in usmf" in letter["description"]
    assert "TWIN-2 in demf" in letter["description"]
    assert world.d365.writes_to_d365() == []
    assert not (await world.account(key)).get("D365_Customer_Number__c")


async def test_a_customer_in_another_company_goes_to_review(world: World) -> None:
    key = await world.create(events=False)
    await world.add_customer(CustomerAccount="AWAY-1", SalesforceAccountId=key, dataAreaId="demf")
    await world.tell(key)
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("review", "other-company")
    assert "AWAY-1 is in demf, the rule says usmf" in letter["description"]
    assert len(await world.customers(key)) == 1


async def test_a_number_of_another_account_goes_to_review(world: World) -> None:
    owner = await world.create(events=False)
    await world.add_customer(CustomerAccount="TAKEN-1", SalesforceAccountId=owner)
    key = await world.create(D365_Customer_Number__c="TAKEN-1")
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("review", "number-of-other-account")
    assert f"TAKEN-1 in usmf belongs to account {owner}" in letter["description"]
    assert await world.customers(key) == []


async def test_a_number_that_another_account_holds_already_goes_to_review(world: World) -> None:
    await world.create(events=False, D365_Customer_Number__c="HELD-1")
    key = await world.create(events=False)
    await world.add_customer(CustomerAccount="HELD-1", SalesforceAccountId=key)
    await world.tell(key)
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("review", "number-on-other-account")
    assert letter["hint"]["attempt"] == 1


async def test_a_customer_that_is_gone_is_not_silently_created_anew(world: World) -> None:
    key = await world.create(D365_Customer_Number__c="GONE-1")
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("review", "customer-gone")
    assert "clear D365_Customer_Number__c" in letter["description"]
    assert await world.customers(key) == []


async def test_what_dynamics_refuses_ends_with_the_text_of_its_infolog(world: World) -> None:
    key = await world.create(BillingCountry="USA", BillingState="ZZ")
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"], letter["system"]) == ("failed", "foreign-key", "d365")
    assert letter["description"].startswith("The value 'ZZ' in field 'State' is not found")
    assert letter["hint"]["attempt"] == 1  # nothing is repeated that cannot succeed
    assert len(world.d365.writes_to_d365()) == 1


async def test_a_mapping_error_names_the_field_and_sends_nothing(world: World) -> None:
    key = await world.create(BillingCountry="Atlantis")
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("failed", "mapping")
    assert "AddressCountryRegionId" in letter["description"]
    assert "BillingCountry" in letter["description"]
    assert world.d365.calls == []


async def test_a_number_that_would_match_others_is_never_sent(world: World) -> None:
    key = await world.create(D365_Customer_Number__c="US-*")
    await world.settled()
    assert world.letter(key)["kind"] == "failed"
    assert world.d365.calls == []


async def test_one_bad_account_does_not_hold_up_the_good_ones(world: World) -> None:
    good = await world.create_many(9, events=False)
    bad = await world.create(events=False, BillingCountry="USA", BillingState="ZZ")
    await world.tell(*good[:5], bad, *good[5:])
    await world.settled()
    assert world.letters(*good) == []
    assert world.letter(bad)["reason"] == "foreign-key"
    for key in good:
        assert (await world.account(key))["D365_Customer_Number__c"]


async def test_a_repaired_account_goes_through_with_its_next_event(world: World) -> None:
    key = await world.create(BillingCountry="Atlantis")
    await world.settled()
    assert await world.customers(key) == []
    await world.change(key, BillingCountry="Austria")
    await world.settled()
    assert (await world.customer(key))["AddressCountryRegionId"] == "AUT"


async def test_a_refused_write_back_is_kept_with_the_words_of_salesforce(world: World) -> None:
    rule = {
        "object": "Account",
        "field": "D365_Customer_Number__c",
        "regex": "^US-",
        "message": "Numbers are frozen until Monday.",
    }
    await world.put("salesforce", "validation-rules", [rule])
    key = await world.create()
    await world.settled()
    letter = world.letter(key)
    assert (letter["kind"], letter["system"]) == ("failed", "salesforce")
    assert letter["reason"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert "Numbers are frozen until Monday." in letter["description"]
    await world.put("salesforce", "validation-rules", [])
    await world.tell(key)
    await world.settled()
    number = (await world.customer(key))["CustomerAccount"]
    assert (await world.account(key))["D365_Customer_Number__c"] == number
