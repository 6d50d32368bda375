"""Prices out of data packages: a full refresh by export, then only what change tracking names."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.price_world import Prices, new_prices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
FAST = {
    "JOB_STEP_SECONDS": "20",
    "EXPORT_THRESHOLD": "5",
    "PACKAGE_POLL_SECONDS": "0.2",
    "PRICES_FULL_REFRESH_DAYS": "7",
}
CUSTOM = "Direct Sales"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prices(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prices]:
    folder = tmp_path_factory.mktemp("prices")
    async with new_prices(folder, emptied=True, **FAST) as prices:
        yield prices


def calls(prices: Prices, part: str) -> int:
    return sum(part in call.path for call in prices.world.d365.calls)


async def test_a_full_refresh_reads_agreements_from_a_package_and_a_delta_only_what_changed(
    prices: Prices,
) -> None:
    items = [await prices.product(ItemNumber=f"X{number:02}") for number in range(8)]
    rows = {item: await prices.group_price(item, 20, SalesPriceQuantity=10) for item in items[:6]}
    prices.world.forget_calls()
    job = await prices.run(timeout=60)
    assert job.counts["read"] == 8
    assert "exports-failed" not in job.counts
    assert (
        calls(prices, "ExportToPackageAsync") == 3
    )  # changes of both entities, and all agreements
    for item in items:
        agreed = Decimal(2) if item in rows else Decimal(100)
        assert await prices.entries(item) == {
            f"standard|{item}|USD": (Decimal(100), True),
            f"{CUSTOM}|{item}|USD": (agreed, True),
        }

    changed = rows["X03"] | {"Price": 35}
    await prices.world.put("d365", "state/SalesPriceAgreements", changed, method="POST")
    await prices.product(ItemNumber="X06", SalesPrice=50)
    new = await prices.product(ItemNumber="X035")
    prices.world.forget_calls()
    job = await prices.run(timeout=60)
    assert (job.counts["read"], job.counts["unchanged"]) == (9, 6)
    assert calls(prices, "ExportToPackageAsync") == 2
    assert (await prices.entries("X03"))[f"{CUSTOM}|X03|USD"] == (Decimal("3.5"), True)
    assert (await prices.entries("X06"))["standard|X06|USD"] == (Decimal(50), True)
    assert len(await prices.entries(new)) == 2

    prices.world.forget_calls()
    job = await prices.run(timeout=60)
    assert job.counts == {"read": 9, "unchanged": 9}
    assert prices.world.salesforce.calls == []


async def test_where_a_package_fails_everything_is_read_by_odata(prices: Prices) -> None:
    fault = {"kind": "crash", "operation": "export", "count": None}
    await prices.world.put("d365", "packages/faults", fault, method="POST")
    await prices.product(ItemNumber="X02", SalesPrice=77)
    prices.world.forget_calls()
    job = await prices.run(timeout=60)
    assert job.status == "done"
    assert job.counts["exports-failed"] == 1
    assert (await prices.entries("X02"))["standard|X02|USD"] == (Decimal(77), True)
    await prices.world.put("d365", "packages/faults", None, method="DELETE")
    await prices.product(ItemNumber="X02", SalesPrice=78)
    job = await prices.run(timeout=60)
    assert (await prices.entries("X02"))["standard|X02|USD"] == (Decimal(78), True)
