"""What an invoice points to: its account, products, the opportunity; and companies and currencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.errors import RecordBusy, RecordNeedsReview
from integration.flows.outcomes import Skipped, Synced
from tests.unit.flow_support import COMPANIES, error_of
from tests.unit.receivables_support import BothSystems, both_systems, invoice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHANGED, UNCHANGED = Synced(changed=True), Synced(changed=False)


@pytest.fixture
async def world() -> AsyncIterator[BothSystems]:
    async with both_systems() as world:
        await world.account("C-1")
        yield world


async def test_an_invoice_without_account_waits(world: BothSystems) -> None:
    other = await world.sales_invoice("CIV-2", InvoiceCustomerAccountNumber="C-9")
    key = await world.sales_invoice("CIV-1")
    outcomes = await world.run(key, other)
    assert outcomes[key] == CHANGED
    error = error_of(outcomes[other])
    assert isinstance(error, RecordBusy)
    assert error.reason == "account-not-in-salesforce"
    assert "C-9" in error.description
    assert {line["Name"] for line in await world.rows("Invoice_Line__c")} == {
        "CIV-1 / 1", "CIV-1 / 2",
    }  # fmt: skip
    await world.account("C-9")
    assert await world.run(other) == {other: CHANGED}


async def test_products_and_opportunities_are_linked_where_salesforce_has_them(
    world: BothSystems,
) -> None:
    key = await world.sales_invoice("CIV-1", SalesOrderNumber="SO-1")
    await world.run(key)
    row = await invoice(world)
    assert (row["Opportunity__c"], row["D365_Order_Number__c"]) == (None, "SO-1")
    (product,) = await world.insert("Product2", {"Name": "I", "D365_Item_Number__c": "I-2"})
    won = {"Name": "Won", "StageName": "Prospecting", "CloseDate": "2026-01-01"}
    (opportunity,) = await world.insert("Opportunity", {**won, "D365_Order_Number__c": "SO-1"})
    assert await world.run(key) == {key: CHANGED}
    assert (await invoice(world))["Opportunity__c"] == opportunity
    lines = {row["Name"]: row["Product__c"] for row in await world.rows("Invoice_Line__c")}
    assert lines == {"CIV-1 / 1": None, "CIV-1 / 2": product}
    assert await world.run(key) == {key: UNCHANGED}


async def test_a_link_that_is_gone_is_asked_for_again(world: BothSystems) -> None:
    (product,) = await world.insert("Product2", {"Name": "I", "D365_Item_Number__c": "I-1"})
    await world.run(await world.sales_invoice("CIV-1"))
    url = f"http://salesforce.test/sandbox/state/Product2/{product}"
    (await world.http["salesforce"].delete(url)).raise_for_status()
    key = await world.sales_invoice("CIV-2")
    assert isinstance(error_of((await world.run(key))[key]), RecordBusy)
    assert await world.run(key) == {key: CHANGED}


async def test_companies_that_are_not_served_are_skipped(world: BothSystems) -> None:
    key = await world.sales_invoice("CIV-1", dataAreaId="demf")
    assert await world.run(key) == {key: Skipped("company-not-served", "demf")}
    assert world.calls[1] == 0


async def test_with_several_companies_the_customer_number_carries_its_own() -> None:
    async with both_systems(COMPANIES) as world:
        await world.account("usmf|C-1")
        german = await world.account("demf|C-1")
        key = await world.sales_invoice("CIV-1", dataAreaId="demf", CurrencyCode="EUR")
        assert await world.run(key) == {key: CHANGED}
        row = await invoice(world)
        assert (row["Account__c"], row["CurrencyIsoCode"]) == (german, "EUR")
        assert row["D365_Key__c"] == "demf|sales|CIV-1|V-CIV-1"


async def test_an_amount_in_a_currency_that_the_org_lacks_is_left_to_a_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with both_systems('[accounts.defaults]\nSalesCurrencyCode = "EUR"\n') as world:
        await world.account("C-1")
        key = await world.sales_invoice("CIV-1")
        for name in ("Invoice__c", "Invoice_Line__c"):
            fields = world.salesforce.org.schema.objects[name].fields
            monkeypatch.delitem(fields, "CurrencyIsoCode")
        error = error_of((await world.run(key))[key])
        assert isinstance(error, RecordNeedsReview)
        assert error.reason == "foreign-currency"
