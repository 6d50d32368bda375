"""The volume benchmarks at a tiny size: every measurement is taken, and the page keeps its sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import page, volume_customers, volume_prices
from bench.result import Row
from bench.volume_rows import PEAK_MB
from bench.volume_run import volume_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from bench.volume_run import Run, VolumeSandbox

QUICK = {"BULK_POLL_SECONDS": "0.2", "PACKAGE_POLL_SECONDS": "0.2", "BATCH_SECONDS": "6"}


def check(run: Run, world: VolumeSandbox) -> None:
    assert run.cpu > 0
    assert 30 < run.peak < PEAK_MB
    assert run.calls.total + run.polls == sum(run.operations.values())
    assert run.polls > 0
    assert {path.suffix for path in world.folder.iterdir()} >= {".json", ".csv"}


async def test_prices_are_measured_beside_the_floor_and_simple_salesforce() -> None:
    with volume_prices.mapping_file() as mapping:
        settings = {"MAPPING_FILE": mapping, **volume_prices.PAGES, **QUICK}
        async with volume_sandbox(**settings) as world:
            world.idle_for = 0.2
            run = await volume_prices.run_prices(world, 1000)
            check(run, world)
            assert run.calls.total <= 20
            parts = await volume_prices.parts_of(world, mapping)
            assert min(parts.floor, *parts.apart.values()) > 0
            upserts = await volume_prices.upserts(world, run, wait=0.2)
            assert min(upserts.app.peak, upserts.simple.peak) > 10


async def test_customers_are_measured_beside_the_floor() -> None:
    async with volume_sandbox(**volume_customers.SETTINGS, **QUICK) as world:
        world.idle_for = 0.2
        run = await volume_customers.run_load(world, 100)
        check(run, world)
        assert run.calls.total <= volume_customers.PROMISE_CALLS
        parts = await volume_customers.parts_of(world)
        assert min(parts.floor, parts.fingerprints) > 0
        assert [path for path in world.folder.iterdir() if path.name.startswith("package-")]


def test_a_section_is_written_without_losing_the_others(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    first, second = page.SECTIONS
    page.write(second, "About loads.\n", [Row("calls", "12", promise="≤ 170")], file)
    page.write(first, "About calls.\n", [Row("calls", "78")], file)
    before = file.read_text(encoding="utf-8")
    assert before.index(f"## {first}") < before.index(f"## {second}")
    page.write(second, "About loads.\n", [Row("calls", "99", promise="≤ 170")], file)
    after = file.read_text(encoding="utf-8")
    assert after == before.replace("| 12 |", "| 99 |")
