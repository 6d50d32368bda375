"""The job `prices` while changes are few: fingerprints, full refreshes; both systems in memory behind their
seams. See `test_prices_bulk` for many."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from integration.errors import Unreachable
from tests.unit.price_support import Run, order

ITEMS = [f"A{number}" for number in range(15)]


async def test_every_item_is_pushed_once_in_the_order_of_the_source() -> None:
    run = Run(*ITEMS)
    counts = await run.run()
    assert run.target.pushed == sorted(ITEMS, key=order)
    assert counts["read"] == 15


async def test_a_second_run_pushes_nothing_and_writes_no_blob() -> None:
    run = Run(*ITEMS)
    await run.run()
    writes = run.blobs.writes
    counts = await run.run()
    assert run.target.pushes == []
    assert run.blobs.writes == writes
    assert counts == {"read": 15, "unchanged": 15}


async def test_a_change_an_addition_and_an_end_are_found_wherever_they_are() -> None:
    run = Run(*ITEMS)
    await run.run()
    run.source.prices |= {"A7": 11, "A": 5, "A05": 6, "ZZZZ": 7}
    del run.source.prices["A3"], run.source.prices["A14"]
    counts = await run.run()
    assert sorted(run.target.pushed) == ["A", "A05", "A7", "ZZZZ"]
    assert counts["gone"] == 2
    assert await run.run() == {"read": 16, "unchanged": 16}


async def test_chunks_stay_bounded_while_items_are_added() -> None:
    run = Run(*ITEMS)
    run.options["chunk_items"] = 4
    await run.run()
    run.source.prices |= dict.fromkeys((f"A5{number:03}" for number in range(40)), 1)
    await run.run()
    chunks = run.chunks()
    assert max(map(len, chunks)) <= 8
    assert sum(map(len, chunks)) == 55
    assert await run.run() == {"read": 55, "unchanged": 55}


async def test_a_step_writes_a_bounded_number_of_rows() -> None:
    run = Run(*ITEMS)
    run.options["rows"] = 7  # three rows an item
    await run.run()
    assert max(len(push) for push in run.target.pushes) == 2
    assert run.target.pushed == sorted(ITEMS, key=order)
    assert await run.run() == {"read": 15, "unchanged": 15}


async def test_a_refused_item_is_tried_again_by_the_next_run_alone() -> None:
    run = Run(*ITEMS)
    run.target.refuses = {"A3"}
    assert (await run.run())["failed"] == 1
    assert (await run.run())["failed"] == 1
    assert run.target.pushed == ["A3"]
    run.target.refuses = set()
    await run.run()
    assert run.target.pushed == ["A3"]
    assert (await run.run())["unchanged"] == 15


async def test_an_item_that_cannot_be_mapped_stops_no_other() -> None:
    run = Run("A1", " A2", "A3")
    counts = await run.run()
    assert run.target.pushed == ["A1", "A3"]
    assert counts["failed"] == 1


@pytest.mark.parametrize("stop_at", range(9))
async def test_a_step_that_is_repeated_changes_nothing(stop_at: int) -> None:
    """After a crash between a step's work and the saving of its position."""
    run = Run(*ITEMS)
    run.options["rows"] = 7
    position: dict[str, Any] = {}
    for number in range(50):
        progress = await run.step(position)
        if number == stop_at:
            progress = await run.step(position)
        if progress.done:
            break
        position = progress.position
    assert run.target.held == dict.fromkeys(ITEMS, "10.00")
    assert await run.run() == {"read": 15, "unchanged": 15}


@pytest.mark.parametrize("crash_at", range(1, 20))
async def test_a_crash_between_the_writes_of_fingerprints_loses_no_item(crash_at: int) -> None:
    run = Run(*ITEMS)
    await run.run_that_dies(crash_at)
    assert run.target.held == dict.fromkeys(ITEMS, "10.00")
    run.source.prices = dict.fromkeys(ITEMS, 12)
    await run.run()
    assert run.target.held == dict.fromkeys(ITEMS, "12.00")
    assert await run.run() == {"read": 15, "unchanged": 15}


async def test_trouble_of_salesforce_leaves_the_items_unconfirmed() -> None:
    run = Run("A1", "A2")
    run.target.error = Unreachable("down")
    with pytest.raises(Unreachable):
        await run.run()
    run.target.error = None
    await run.run()
    assert run.target.pushed == ["A1", "A2"]


async def test_a_full_refresh_is_due_after_its_days_or_on_demand() -> None:
    run = Run("A1", "A2")
    await run.run()
    run.now += timedelta(days=6)
    await run.run()
    assert run.target.pushed == []
    await run.run(full=True)
    assert run.target.pushed == ["A1", "A2"]
    run.now += timedelta(days=6, hours=23, minutes=50)  # a timer is not exact to the second
    await run.run()
    assert run.target.pushed == ["A1", "A2"]
    await run.run()
    assert run.target.pushed == []


async def test_a_full_refresh_that_did_not_end_is_still_due() -> None:
    run = Run(*ITEMS)
    run.source.slow = True
    assert not (await run.step({})).done
    assert "prices/last-full.json" not in run.blobs.documents


async def test_dry_compares_everything_and_keeps_no_fingerprint() -> None:
    run = Run(*ITEMS)
    run.options["switch"] = "dry"
    await run.run()
    assert sorted(run.target.pushed) == sorted(ITEMS)
    assert run.blobs.documents == {}


async def test_switched_off_it_does_nothing() -> None:
    run = Run(*ITEMS)
    run.options["switch"] = "off"
    assert await run.run() == {"switched-off": 1}
    assert run.source.opened == []


async def test_one_day_counts_for_the_whole_job() -> None:
    run = Run(*ITEMS)
    run.source.slow = True
    progress = await run.step({})
    run.now += timedelta(days=1)
    progress = await run.step(progress.position)
    assert not progress.done
    assert progress.position["today"] == "2026-07-31"


async def test_the_steps_of_one_process_read_nothing_twice() -> None:
    run = Run(*ITEMS)
    run.source.slow = True
    run.one_process = True
    await run.run()
    assert run.source.opened == [("", None)]
    assert run.target.held == dict.fromkeys(ITEMS, "10.00")


async def test_a_step_that_failed_in_the_middle_reads_again_what_it_had() -> None:
    run = Run(*ITEMS)
    run.source.slow = run.one_process = True
    first = await run.step((await run.step({})).position)
    assert first.position["from"] == "A3"
    run.source.slow = False
    run.source.errors = [None, Unreachable("down")]
    with pytest.raises(Unreachable):
        await run.step(first.position)
    position = first.position
    while not (progress := await run.step(position)).done:
        position = progress.position
    assert run.target.held == dict.fromkeys(ITEMS, "10.00")
    assert await run.run() == {"read": 15, "unchanged": 15}


async def test_a_step_that_runs_again_in_the_same_process_starts_where_it_did() -> None:
    run = Run(*ITEMS)
    run.source.slow = run.one_process = True
    position = (await run.step({})).position
    await run.step(position)  # its end was not saved
    while not (progress := await run.step(position)).done:
        position = progress.position
    assert run.target.held == dict.fromkeys(ITEMS, "10.00")


async def test_no_range_begins_or_ends_with_a_star() -> None:
    """F&O takes it for a wildcard."""
    items = [*ITEMS, *(f"B*{number:02}" for number in range(20)), "C0001"]
    run = Run(*items)
    run.options["chunk_items"] = 4
    await run.run()
    await run.run()
    assert len(run.source.opened) > 2
    assert not [bound for range_ in run.source.opened for bound in range_ if "*" in (bound or "")]
    assert await run.run() == {"read": 36, "unchanged": 36}
