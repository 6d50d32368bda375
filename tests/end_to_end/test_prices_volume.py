"""Products and prices by the thousand: Bulk API 2.0 from the trigger to the rows, and what is refused."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.end_to_end.guillotine import Guillotine
from tests.end_to_end.job_runs import claims_over
from tests.end_to_end.operator_desk import Operator
from tests.end_to_end.price_world import Prices, new_prices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.jobs.state import JobState

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

ITEMS = [f"V{number:04}" for number in range(1000)]
BOOKS = ("standard", "Direct Sales")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prices(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prices]:
    folder = tmp_path_factory.mktemp("prices")
    async with new_prices(folder, emptied=True, BULK_POLL_SECONDS="0.2") as prices:
        yield prices


def product(item: str, **fields: Any) -> dict[str, Any]:
    return {"dataAreaId": "usmf", "ItemNumber": item, "ProductNumber": item, "SalesUnitSymbol": "ea",
            "ProductSearchName": f"Name of {item}", "SalesPrice": 100, "SalesPriceQuantity": 1,
            **fields}  # fmt: skip


def agreements(items: list[str], price: float, first: int = 1) -> list[dict[str, Any]]:
    """A price in EUR for everybody, and one in USD for the group of the custom price book."""
    rows = []
    for number, item in enumerate(items):
        common = {"dataAreaId": "usmf", "ItemNumber": item, "ItemCode": "Table", "Price": price,
                  "SalesPriceQuantity": 1, "QuantityUnitySymbol": "ea"}  # fmt: skip
        group = {"AccountCode": "GroupId", "PriceCustomerGroupCode": "DIRECT"}
        rows += [
            common | group | {"PriceCurrencyCode": "USD", "RecordId": first + 2 * number},
            common
            | {
                "AccountCode": "All",
                "PriceCurrencyCode": "EUR",
                "RecordId": first + 2 * number + 1,
            },
        ]
    return rows


async def put(prices: Prices, name: str, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 2000):
        await prices.world.put("d365", f"state/{name}", rows[start : start + 2000], method="POST")


async def held(prices: Prices) -> dict[str, tuple[Decimal, bool]]:
    """All entries by key, with price and activity."""
    rows = await prices.world._rows("salesforce", "PricebookEntry")
    return {
        row["D365_Key__c"]: (Decimal(str(row["UnitPrice"])), row["IsActive"])
        for row in rows
        if row.get("D365_Key__c")
    }


def expected(items: list[str], price: str) -> dict[str, tuple[Decimal, bool]]:
    prices, agreed = {}, Decimal(price)
    for item in items:
        prices |= {f"{book}|{item}|EUR": (agreed, True) for book in BOOKS}
        prices[f"standard|{item}|USD"] = (Decimal(100), True)
        prices[f"Direct Sales|{item}|USD"] = (agreed, True)
    return prices


def bulk_jobs(prices: Prices) -> int:
    calls = prices.world.salesforce.calls
    return sum(call.method == "POST" and call.path.endswith("/jobs/ingest") for call in calls)


async def test_good_rows_arrive_and_every_bad_one_comes_back_with_its_reason(
    prices: Prices,
) -> None:
    products = {item: product(item) for item in ITEMS}
    products["V0003"]["ProductSearchName"] = "Forbidden"
    products[" V0004"] = products.pop("V0004") | {"ItemNumber": " V0004"}
    await put(prices, "ReleasedProductsV2", list(products.values()))
    rows = agreements(ITEMS, 42.5)
    for row in rows:
        if row["ItemNumber"] == "V0005" and row["PriceCurrencyCode"] == "EUR":
            row["Price"] = 10**17  # more digits than the field has
    await put(prices, "SalesPriceAgreements", rows)
    no = {"message": "not this one"}
    await prices.world.put(
        "salesforce",
        "validation-rules",
        [
            {"object": "Product2", "field": "Name", "regex": "Forbidden", **no},
            {"object": "PricebookEntry", "field": "D365_Key__c", "regex": "standard.V0006.USD", **no},
            {"object": "PricebookEntry", "field": "D365_Key__c", "regex": "Direct.*V0007.EUR", **no},
        ],
    )  # fmt: skip
    await entry_of_a_person(prices, "V0008")
    job = await prices.run(timeout=120)
    assert job.status == "done"
    failures = {failure["key"]: failure["reason"] for failure in job.failures}
    custom = "Direct Sales"
    assert failures == {
        "V0003": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        " V0004": "item-blanks",
        "standard|V0005|EUR": "NUMBER_OUTSIDE_VALID_RANGE",
        f"{custom}|V0005|EUR": "NUMBER_OUTSIDE_VALID_RANGE",
        "standard|V0006|USD": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        f"{custom}|V0006|USD": "standard-price",
        f"{custom}|V0007|EUR": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    }
    assert job.counts["failed"] == len(failures)
    good = [item for item in ITEMS if item not in ("V0003", "V0004")]
    wanted = {key: row for key, row in expected(good, "42.5").items() if key not in failures}
    assert await held(prices) == wanted
    assert bulk_jobs(prices) == 3
    await prices.world.put("salesforce", "validation-rules", [])


async def entry_of_a_person(prices: Prices, item: str) -> None:
    product = {"Name": "x", "IsActive": True, "D365_Item_Number__c": item}
    made = await prices.world.put("salesforce", "state/Product2", product, method="POST")
    [book] = await prices.world._rows("salesforce", "Pricebook2", IsStandard="True")
    entry = {"Pricebook2Id": book["Id"], "Product2Id": made["ids"][0], "UnitPrice": 1,
             "CurrencyIsoCode": "USD", "IsActive": True}  # fmt: skip
    await prices.world.put("salesforce", "state/PricebookEntry", entry, method="POST")


async def test_what_was_refused_arrives_once_it_may_and_then_nothing_is_sent(
    prices: Prices,
) -> None:
    allowed = product("V0003", ProductSearchName="Allowed")
    await prices.world.put("d365", "state/ReleasedProductsV2", allowed, method="POST")
    await put(prices, "SalesPriceAgreements", agreements(["V0005"], 42.5, first=11))
    prices.world.forget_calls()
    job = await prices.run(timeout=60)
    assert (job.counts["unchanged"], bulk_jobs(prices)) == (995, 0)
    good = [item for item in ITEMS if item != "V0004"]
    assert await held(prices) == expected(good, "42.5")
    prices.world.forget_calls()
    job = await prices.run(timeout=60)
    assert prices.world.salesforce.calls == []
    assert job.counts["unchanged"] == 999


async def test_changed_prices_of_all_items_take_a_handful_of_calls(prices: Prices) -> None:
    await put(prices, "SalesPriceAgreements", agreements(ITEMS, 43.5))
    prices.world.forget_calls()
    job: JobState = await prices.run(timeout=120)
    good = [item for item in ITEMS if item != "V0004"]
    assert await held(prices) == expected(good, "43.5")
    calls = [c for c in prices.world.salesforce.calls if not _is_poll(c.method, c.path)]
    assert (
        len(calls) <= 3 * 4 + 2
    )  # create, state, upload, close; the price books and their currencies
    assert [failure["reason"] for failure in job.failures] == ["item-blanks"]


async def test_a_cancelled_run_aborts_its_load_and_the_next_run_brings_all_in_step(
    prices: Prices,
) -> None:
    await put(prices, "SalesPriceAgreements", agreements(ITEMS, 43.75))
    world = prices.world
    stuck = {"kind": "stuck", "job_type": "ingest", "after_rows": 500}
    await world.put("salesforce", "bulk/faults", stuck, method="POST")
    before = {job.id for job in await prices.jobs.runs("prices")}
    await prices.start()

    async def loading() -> list[Any]:
        runs = await prices.jobs.runs("prices")
        loads = [run.position.get("load") or {} for run in runs if run.id not in before]
        return [load for load in loads if load.get("phase") == "poll"]

    await world.until_found(loading, 60)
    said = await Operator(world).done("jobs", "cancel", "prices", "--yes", "--wait")
    assert "cancelled" in said.out
    await world.put("salesforce", "bulk/faults", None, method="DELETE")
    answer = await world.sandbox.http.get(f"{world.sandbox.salesforce.url}/sandbox/bulk/jobs")
    assert answer.json()[-1]["state"] == "Aborted"
    job = await prices.run(timeout=120)
    assert job.status == "done"
    good = [item for item in ITEMS if item != "V0004"]
    assert await held(prices) == expected(good, "43.75")


async def test_a_load_survives_that_the_app_is_killed(prices: Prices) -> None:
    await put(prices, "SalesPriceAgreements", agreements(ITEMS, 44.5))
    guillotine, world = Guillotine(prices.world), prices.world
    before = len(await prices.jobs.runs("prices"))
    guillotine.arm(7, "after")  # within the first load
    await prices.start()
    await guillotine.falls(60)
    guillotine.arm(8, "before")  # within the next one
    await claims_over(prices.jobs, "prices")
    await world.sandbox.start_app(prices.settings(BULK_POLL_SECONDS="0.2"))
    await guillotine.falls(60)
    guillotine.disarm()
    await claims_over(prices.jobs, "prices")
    await world.sandbox.start_app(prices.settings(BULK_POLL_SECONDS="0.2"))
    [job, *others] = await prices.jobs.runs("prices")
    async with asyncio.timeout(120):
        while job.is_running:
            await asyncio.sleep(0.2)
            [job, *others] = await prices.jobs.runs("prices")
    assert (job.status, len(others)) == ("done", before)
    good = [item for item in ITEMS if item != "V0004"]
    assert await held(prices) == expected(good, "44.5")
    assert [failure["reason"] for failure in job.failures] == ["item-blanks"]


def _is_poll(method: str, path: str) -> bool:
    return method == "GET" and path.rsplit("/", 2)[-2] == "ingest"
