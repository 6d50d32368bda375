"""200,000 accounts, Salesforce to F&O, by the load that `backfill accounts` starts: one data package.

The floor is the standard library parsing and writing the same tables (`volume_floor`): the accounts of the
Bulk query, the numbers read back, the package, the numbers for Salesforce.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.children import run_child
from bench.result import Row
from bench.volume_run import PEAK_GROWTH, PEAK_MB, Run, volume_sandbox
from integration.jobs.kinds import LOAD_ACCOUNTS

if TYPE_CHECKING:
    from bench.volume_run import VolumeSandbox

PROMISE_CALLS = 60
PROMISE_CPU = 3  # times the floor
# Of these even a small load travels by package.
SETTINGS = {"PACKAGE_THRESHOLD": "1", "BULK_THRESHOLD": "1"}


@dataclass(frozen=True)
class Measured:
    """`floor` in seconds of CPU."""

    run: Run
    tenth: Run
    floor: float


async def rows(customers: int) -> list[Row]:
    return _rows(customers, await measure(customers))


async def measure(customers: int) -> Measured:
    """Raises RuntimeError where the load fails or an account has no customer at the end."""
    run, floor = await load(customers)
    tenth, _ = await load(customers // 10)
    return Measured(run, tenth, floor)


async def load(customers: int) -> tuple[Run, float]:
    """The run, and the floor."""
    async with volume_sandbox(**SETTINGS) as world:
        return await run_load(world, customers), await floor_of(world)


async def floor_of(world: VolumeSandbox) -> float:
    await world.keep_packages("-out.csv")
    return float((await run_child("volume_floor", str(world.folder))).answer["cpu"])


async def run_load(world: VolumeSandbox, customers: int) -> Run:
    await world.post("salesforce", "bulk/seed", {"accounts": customers})
    run = await world.by_command(LOAD_ACCOUNTS, {})
    accounts = world.sandbox.salesforce.org.store.tables["Account"].rows.values()
    numbered = sum(1 for row in accounts if row.get("D365_Customer_Number__c"))
    if numbered != customers or run.counts.get("created") != customers:
        raise RuntimeError(f"{numbered} accounts have a number, the load says {run.counts}")
    return run


def _rows(customers: int, found: Measured) -> list[Row]:
    run, floor = found.run, found.floor
    growth, times = run.peak / found.tenth.peak, run.work / floor
    return [
        Row(
            f"{customers:,} accounts as new customers, in a data package: API calls without"
            f" {run.polls} polls",
            f"{run.calls} (Salesforce {run.salesforce_calls}, F&O {run.d365_calls})",
            promise=f"≤ {PROMISE_CALLS}",
            kept=run.calls <= PROMISE_CALLS,
        ),
        Row("… time", f"{run.seconds:.0f} s"),
        Row(
            "… peak memory of the app's process",
            f"{run.peak:.0f} MB, {growth:.2f} times that of {customers // 10:,} accounts",
            promise=f"≤ {PEAK_GROWTH} times, < {PEAK_MB} MB",
            kept=growth <= PEAK_GROWTH and run.peak < PEAK_MB,
        ),
        Row(
            "… CPU of the app",
            f"{run.cpu:.1f} s: waiting for messages {run.waiting:.1f}, the rest {run.work:.1f}",
        ),
        Row(
            "… that rest, beside the floor",
            f"{customers / run.work:,.0f} accounts per second of CPU ({times:.1f} times the floor's"
            " CPU)",
            f"{customers / floor:,.0f} accounts per second of CPU ({floor:.1f} s)",
            f"≤ {PROMISE_CPU} times",
            times <= PROMISE_CPU,
        ),
    ]
