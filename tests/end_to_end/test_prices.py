"""Products and prices from F&O to Salesforce, started by the timer."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sandbox import topology
from tests.end_to_end.price_world import EAST, WEST, Prices, new_prices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prices]:
    async with new_prices(tmp_path_factory.mktemp("prices")) as prices:
        yield prices


@pytest_asyncio.fixture(loop_scope="module")
async def prices(running: Prices) -> AsyncIterator[Prices]:
    await running.world.run_with(**running.settings())
    yield running
    await running.world.calm()


async def test_products_and_prices_arrive_with_every_field(prices: Prices) -> None:
    item = await prices.product(SalesPrice=250, SalesPriceQuantity=100)
    await prices.group_price(item, 19.999, SalesPriceQuantity=10, FromQuantity=0)
    await prices.group_price(item, 1, FromQuantity=50)
    await prices.agreement(item, 18, PriceCurrencyCode="EUR")
    await prices.agreement(item, 3, ProductColorId="RED")
    await prices.agreement(
        item, 4, AccountCode="Table", AccountRelation="US-001", CustomerAccountNumber="US-001"
    )
    job = await prices.run()
    product = await prices.product_in_salesforce(item)
    assert product is not None
    assert (product["Name"], product["ProductCode"], product["IsActive"]) == (
        f"Name of {item}", item, True,
    )  # fmt: skip
    assert await prices.entries(item) == {
        f"standard|{item}|USD": (Decimal("2.5"), True),
        f"standard|{item}|EUR": (Decimal(18), True),
        f"Direct Sales|{item}|USD": (Decimal("2"), True),
        f"Direct Sales|{item}|EUR": (Decimal(18), True),
    }
    assert job.status == "done"
    assert job.counts["skipped:variant"] == 1
    assert job.counts["skipped:customer"] == 1
    assert "failed" not in job.counts


async def test_a_second_run_writes_nothing_and_asks_salesforce_nothing(prices: Prices) -> None:
    item = await prices.product()
    await prices.run()
    assert prices.writes()  # the tap sees them
    prices.world.forget_calls()
    job = await prices.run()
    assert prices.world.salesforce.calls == []
    assert job.counts["unchanged"] == job.counts["read"]
    await prices.product(ItemNumber=item, SalesPrice=101)
    job = await prices.run()
    assert job.counts["prices_updated"] == 2
    assert (await prices.entries(item))[f"standard|{item}|USD"] == (Decimal(101), True)


async def test_a_full_refresh_heals_what_was_edited_in_salesforce(prices: Prices) -> None:
    item = await prices.product(SalesPrice=70)
    await prices.run()
    product = await prices.product_in_salesforce(item)
    assert product is not None
    await prices.edit("PricebookEntry", await prices.entry_id(f"standard|{item}|USD"), UnitPrice=1)
    await prices.edit(
        "PricebookEntry", await prices.entry_id(f"Direct Sales|{item}|USD"), IsActive=False
    )
    await prices.edit("Product2", product["Id"], Name="Somebody's name")
    job = await prices.full_run()
    assert await prices.entries(item) == {
        f"standard|{item}|USD": (Decimal(70), True),
        f"Direct Sales|{item}|USD": (Decimal(70), True),
    }
    healed = await prices.product_in_salesforce(item)
    assert healed is not None
    assert healed["Name"] == f"Name of {item}"
    assert (job.counts["products_updated"], job.counts["prices_updated"]) == (1, 2)


async def test_a_price_begins_and_ends_with_its_dates(prices: Prices) -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    await prices.world.run_with(**prices.settings(WEST))
    item = await prices.product(SalesPrice=50)
    starts = datetime.now(ZoneInfo(EAST)).date().isoformat()
    ends = datetime.now(ZoneInfo(WEST)).date().isoformat()
    await prices.group_price(item, 30, PriceApplicableFromDate=starts)
    await prices.group_price(item, 45, PriceApplicableToDate=ends)
    await prices.run()
    key = f"Direct Sales|{item}|USD"
    assert (await prices.entries(item))[key] == (Decimal(45), True)
    await prices.world.run_with(**prices.settings(EAST))  # the clock, not the data, has moved
    job = await prices.run()
    assert (await prices.entries(item))[key] == (Decimal(30), True)
    assert job.counts["prices_updated"] == 1


async def test_an_inactive_product_is_deactivated_and_a_new_one_is_not_made(prices: Prices) -> None:
    item, never = await prices.product(), await prices.product(ProductLifecycleStateId="Obsolete")
    await prices.run()
    await prices.product(ItemNumber=item, ProductLifecycleStateId="Obsolete")
    await prices.run()
    product = await prices.product_in_salesforce(item)
    assert product is not None
    assert product["IsActive"] is False
    assert await prices.product_in_salesforce(never) is None
    await prices.product(ItemNumber=item)
    await prices.run()
    back = await prices.product_in_salesforce(item)
    assert back is not None
    assert back["IsActive"] is True


async def test_a_refused_row_is_counted_and_tried_again_by_the_next_run(prices: Prices) -> None:
    item, other = await prices.product(ProductSearchName="Forbidden"), await prices.product()
    rule = {"object": "Product2", "field": "Name", "regex": "Forbidden", "message": "not this one"}
    await prices.world.put("salesforce", "validation-rules", [rule])
    job = await prices.run()
    assert job.counts["failed"] == 1
    assert [(f["key"], "not this one" in f["description"]) for f in job.failures] == [(item, True)]
    assert await prices.product_in_salesforce(other) is not None
    await prices.world.put("salesforce", "validation-rules", [])
    job = await prices.run()
    assert "failed" not in job.counts
    assert len(await prices.entries(item)) == 2


async def test_a_custom_price_without_a_standard_one_gets_one(prices: Prices) -> None:
    item = await prices.product(SalesPrice=0)
    row = await prices.group_price(item, 12, PriceCurrencyCode="EUR")
    await prices.run()
    assert await prices.entries(item) == {
        f"standard|{item}|EUR": (Decimal(12), True),
        f"Direct Sales|{item}|EUR": (Decimal(12), True),
    }
    await prices.world.put(
        "d365",
        "state/SalesPriceAgreements",
        {**row, "PriceApplicableToDate": "2020-01-01T12:00:00Z"},
        method="POST",
    )
    job = await prices.run()
    assert job.counts["prices_updated"] == 2
    assert await prices.entries(item) == {
        f"standard|{item}|EUR": (Decimal(12), False),
        f"Direct Sales|{item}|EUR": (Decimal(12), False),
    }


async def test_an_entry_made_by_a_person_is_taken_over(prices: Prices) -> None:
    item = await prices.product(SalesPrice=10)
    products = await prices.world.put(
        "salesforce", "state/Product2", {"Name": "x", "IsActive": True, "D365_Item_Number__c": item},
        method="POST",
    )  # fmt: skip
    [book] = await prices.world._rows("salesforce", "Pricebook2", IsStandard="True")
    entry = {"Pricebook2Id": book["Id"], "Product2Id": products["ids"][0], "UnitPrice": 1,
             "CurrencyIsoCode": "USD", "IsActive": False}  # fmt: skip
    await prices.world.put("salesforce", "state/PricebookEntry", entry, method="POST")
    await prices.run()
    assert (await prices.entries(item))[f"standard|{item}|USD"] == (Decimal(10), True)


async def test_a_dry_run_writes_nothing(prices: Prices) -> None:
    item = await prices.product()
    await prices.world.run_with(**prices.settings(FLOW_PRICES="dry"))
    prices.world.forget_calls()
    job = await prices.run()
    assert prices.world.salesforce.calls  # it did look
    assert prices.writes() == []
    assert job.counts["products_differing"] == 1
    assert job.counts["prices_differing"] == 2
    assert await prices.product_in_salesforce(item) is None


async def test_switched_off_no_job_starts(prices: Prices) -> None:
    await prices.world.run_with(**prices.settings(FLOW_PRICES="off"))
    before = len(await prices.jobs.runs("prices"))
    await prices.start()
    await asyncio.sleep(1)
    assert len(await prices.jobs.runs("prices")) == before


async def test_an_outage_of_salesforce_only_delays_the_job(prices: Prices) -> None:
    item = await prices.product()
    await prices.world.fault("salesforce", status=503, body="down", count=4)
    job = await prices.run()
    assert job.status == "done"
    assert "failed" not in job.counts
    assert len(await prices.entries(item)) == 2


async def test_a_job_survives_a_killed_app(prices: Prices) -> None:
    items = [await prices.product() for _ in range(12)]
    await prices.world.run_with(**prices.settings(PRICES_ROWS="6"))
    await prices.start()
    await prices.world.until(lambda: bool(prices.writes()))
    await prices.world.sandbox.kill_app()
    [job, *_] = await prices.jobs.runs("prices")
    assert job.is_running
    await prices.world.sandbox.start_app(prices.settings(PRICES_ROWS="6"))
    async with asyncio.timeout(60):
        while job.is_running:
            await asyncio.sleep(0.2)
            [job, *_] = await prices.jobs.runs("prices")
    assert (job.status, job.counts.get("failed")) == ("done", None)
    for item in items:
        assert len(await prices.entries(item)) == 2
    counts = prices.world.sandbox.broker.counts()[topology.JOBS]
    assert counts["locked"] == 0
