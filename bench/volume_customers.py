"""200,000 accounts, Salesforce to F&O, by the load that `backfill accounts` starts: one data package.

The floor is the standard library parsing and writing the same tables (`volume_floor`): the accounts of the
Bulk query, the numbers read back, the package, the numbers for Salesforce. Hashes of keys are measured apart,
on the same rows (`volume_keys`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.children import run_child
from bench.result import Row
from bench.volume_rows import calls_row, cpu_rows, memory_row
from bench.volume_run import volume_sandbox
from integration.jobs.kinds import LOAD_ACCOUNTS

if TYPE_CHECKING:
    from bench.volume_run import Run, VolumeSandbox

PROMISE_CALLS = 60
# Of these even a small load travels by package.
SETTINGS = {"PACKAGE_THRESHOLD": "1", "BULK_THRESHOLD": "1"}


@dataclass(frozen=True)
class Parts:
    """Seconds of CPU: the floor, and what is reported apart."""

    floor: float
    fingerprints: float


async def rows(customers: int) -> list[Row]:
    """Raises RuntimeError where the load fails or an account has no customer at the end."""
    async with volume_sandbox(**SETTINGS) as world:
        run = await run_load(world, customers)
        parts = await parts_of(world)
    async with volume_sandbox(**SETTINGS) as world:
        tenth = await run_load(world, customers // 10)
    what = f"{customers:,} accounts as new customers, in a data package"
    return [
        calls_row(what, run, PROMISE_CALLS),
        Row("… time", f"{run.seconds:.0f} s"),
        memory_row(run, tenth, f"{customers // 10:,} accounts"),
        *cpu_rows(run, tenth, {"fingerprints": parts.fingerprints}, parts.floor, customers),
    ]


async def run_load(world: VolumeSandbox, customers: int) -> Run:
    await world.post("salesforce", "bulk/seed", {"accounts": customers})
    run = await world.by_command(LOAD_ACCOUNTS, {})
    accounts = world.sandbox.salesforce.org.store.tables["Account"].rows.values()
    numbered = sum(1 for row in accounts if row.get("D365_Customer_Number__c"))
    if numbered != customers or run.counts.get("created") != customers:
        raise RuntimeError(f"{numbered} accounts have a number, the load says {run.counts}")
    return run


async def parts_of(world: VolumeSandbox) -> Parts:
    await world.keep_packages("-out.csv")
    floor = await run_child("volume_floor", str(world.folder))
    keys = await run_child("volume_keys", str(world.folder))
    return Parts(floor.answer["cpu"], keys.answer["fingerprints"])
