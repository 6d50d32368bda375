"""The job `prices` while changes are many: loads by Bulk, wrong assumptions, refusals, crashes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from integration.errors import RecordRejected
from tests.unit.price_support import BOOKS, ENTRY, ITEM, Run, order

if TYPE_CHECKING:
    from integration.jobs.job import Position

ITEMS = [f"A{number}" for number in range(30)]
DIRECT = {"dataAreaId": "usmf", "ItemNumber": "", "ItemCode": "Table", "AccountCode": "GroupId",
          "PriceCustomerGroupCode": "D", "Price": 7, "SalesPriceQuantity": 1, "FromQuantity": 0,
          "PriceCurrencyCode": "USD", "QuantityUnitySymbol": "ea"}  # fmt: skip


def bulk(*items: str) -> Run:
    """Everything above ten rows goes by Bulk."""
    return Run(*(items or ITEMS), threshold=10)


def key(item: str, book: str = "standard") -> str:
    return f"{book}|{item}|USD"


def all_prices(price: str = "10.00") -> dict[str, str]:
    return {key(item, book): price for item in ITEMS for book in BOOKS}


async def test_products_go_before_standard_prices_and_those_before_custom_ones() -> None:
    run = bulk()
    counts = await run.run()
    assert run.loads.loads == [("products", 30), ("standard", 30), ("custom", 30)]
    assert run.org.prices == all_prices()
    assert run.target.pushes == []
    assert (counts["products_written"], counts["prices_written"]) == (30, 60)
    assert [row[ITEM] for row in run.loads.rows[:30]] == sorted(ITEMS, key=order)


async def test_a_second_run_sends_nothing() -> None:
    run = bulk()
    await run.run()
    writes = run.blobs.writes
    assert await run.run() == {"read": 30, "unchanged": 30}
    assert (run.loads.loads, run.blobs.writes) == ([], writes)


async def test_a_known_entry_leaves_the_columns_alone_that_only_a_creation_may_set() -> None:
    run = bulk()
    await run.run()
    run.source.prices = dict.fromkeys([*ITEMS, "B1"], 11)
    await run.run()
    rows = {row[ENTRY]: row for row in run.loads.rows if ENTRY in row}
    known, new = rows[key("A1")], rows[key("B1")]
    assert (known["Pricebook2Id"], known[f"Product2.{ITEM}"], known["CurrencyIsoCode"]) == ("",) * 3
    assert (new["Pricebook2Id"], new[f"Product2.{ITEM}"]) == (BOOKS["standard"], "B1")
    assert set(run.org.prices.values()) == {"11.00"}
    assert run.failures == {}


async def test_few_changes_among_many_items_go_by_collections() -> None:
    run = bulk()
    await run.run()
    run.source.prices["A3"] = 12
    counts = await run.run()
    assert (run.target.pushed, run.loads.loads) == (["A3"], [])
    assert counts["unchanged"] == 29


async def test_a_price_that_ended_is_closed_and_opens_again() -> None:
    run = bulk()
    await run.run()
    run.source.prices = dict.fromkeys(ITEMS, 0)
    run.source.agreements = {
        i: [DIRECT | {"ItemNumber": i, "PriceCurrencyCode": "EUR"}] for i in ITEMS
    }
    await run.run()
    assert set(run.org.prices) == {f"{book}|{item}|EUR" for item in ITEMS for book in BOOKS}
    assert run.loads.loads[-1] == (
        "closing",
        30,
    )  # standard prices last; custom ones went with theirs
    run.source.prices, run.source.agreements = dict.fromkeys(ITEMS, 10), {}
    await run.run()
    assert run.org.prices == all_prices()
    assert run.failures == {}
    assert {row["IsActive"] for row in run.loads.rows if row.get(ENTRY, "").endswith("EUR")} == {
        "false"
    }


async def test_a_full_refresh_sends_everything_and_heals_what_was_edited() -> None:
    run = bulk()
    await run.run()
    for entry in run.org.entries.values():
        entry["price"] = "1"
    run.org.products["A1"]["Name"] = "edited"
    await run.run(full=True)
    assert run.org.prices == all_prices()
    assert run.org.products["A1"]["Name"] == "Name of A1"
    assert await run.run() == {"read": 30, "unchanged": 30}


async def test_a_full_refresh_closes_what_somebody_opened_again() -> None:
    run = bulk()
    run.source.agreements = {
        i: [DIRECT | {"ItemNumber": i, "PriceCurrencyCode": "EUR"}] for i in ITEMS
    }
    await run.run()
    run.source.agreements = {}
    await run.run()
    for entry in run.org.entries.values():
        entry["active"] = True
    await run.run(full=True)
    assert run.org.prices == all_prices()


async def test_entries_to_close_that_are_gone_are_not_made_for_it() -> None:
    run = bulk()
    run.source.agreements = {
        i: [DIRECT | {"ItemNumber": i, "PriceCurrencyCode": "EUR"}] for i in ITEMS
    }
    await run.run()
    run.source.agreements = {}
    run.org.entries = {p: e for p, e in run.org.entries.items() if not e["key"].endswith("EUR")}
    counts = await run.run()
    assert ("failed" not in counts, run.target.pushes) == (True, [])
    assert run.org.prices == all_prices()
    assert await run.run() == {"read": 30, "unchanged": 30}


async def test_an_inactive_product_is_deactivated_and_one_never_seen_is_looked_up() -> None:
    run = bulk()
    obsolete = {"ProductLifecycleStateId": "Obsolete"}
    run.source.fields = {"A1": obsolete, "A2": obsolete}
    run.org.products["A2"] = {"IsActive": "true"}  # from before the app
    await run.run()
    assert "A1" not in run.org.products
    assert run.org.products["A2"]["IsActive"] == "False"
    assert run.target.pushed == ["A1", "A2"]
    run.source.fields = {"A3": obsolete}
    run.source.prices = dict.fromkeys(ITEMS, 11)
    await run.run()
    assert run.target.pushed == []
    assert run.org.products["A3"]["IsActive"] == "false"
    assert run.org.prices == all_prices("11.00") | {key("A3", book): "10.00" for book in BOOKS}


async def test_an_item_that_cannot_be_mapped_stops_no_other() -> None:
    run = bulk()
    run.source.fields = {"A5": {"ItemNumber": " A5"}}
    assert (await run.run())["failed"] == 1
    assert len(run.org.products) == 29


async def test_entries_that_exist_though_nobody_remembers_them_are_sent_in_the_other_form() -> None:
    run = bulk()
    await run.run()
    for name in [name for name in run.blobs.documents if name.startswith("fingerprints/")]:
        del run.blobs.documents[name]
    run.source.prices = dict.fromkeys(ITEMS, 11)
    counts = await run.run()
    assert run.loads.loads[-2:] == [("standard-2", 30), ("custom-2", 30)]
    assert run.org.prices == all_prices("11.00")
    assert "failed" not in counts
    assert run.target.pushes == []
    assert await run.run() == {"read": 30, "unchanged": 30}


async def test_entries_that_somebody_deleted_are_made_anew() -> None:
    run = bulk()
    await run.run()
    run.org.entries.clear()
    run.source.prices = dict.fromkeys(ITEMS, 11)
    assert "failed" not in await run.run()
    assert run.org.prices == all_prices("11.00")
    assert await run.run() == {"read": 30, "unchanged": 30}


async def test_a_few_wrong_assumptions_are_compared_one_by_one() -> None:
    run = bulk()
    await run.run()
    run.org.entries.pop((BOOKS["Direct"], "A1", "USD"))  # deleted
    run.org.entries.pop((BOOKS["standard"], "A2", "USD"))
    run.org.entries[BOOKS["standard"], "A2", "USD"] = {"key": "", "active": True}  # by hand
    run.source.prices = dict.fromkeys(ITEMS, 11)
    counts = await run.run()
    assert sorted(run.target.pushed) == ["A1", "A2"]
    assert "failed" not in counts
    assert run.org.prices == all_prices("11.00")
    assert await run.run() == {"read": 30, "unchanged": 30}


async def test_every_refused_row_has_its_reason_and_is_tried_again_alone() -> None:
    run = Run(*ITEMS, threshold=20)
    run.org.refuses = {
        "A3": ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "not this one"),
        key("A5"): ("STRING_TOO_LONG", "too long"),
        key("A7", "Direct"): ("NUMBER_OUTSIDE_VALID_RANGE", "too much"),
        key("A9"): ("UNABLE_TO_LOCK_ROW", "locked"),  # for good, in this test
    }
    run.target.refuses = {"A9"}
    counts = await run.run()
    assert run.failures == {
        "A3": "FIELD_CUSTOM_VALIDATION_EXCEPTION",  # and nothing of its prices
        key("A5"): "STRING_TOO_LONG",
        key("A5", "Direct"): "standard-price",
        key("A7", "Direct"): "NUMBER_OUTSIDE_VALID_RANGE",
        "A9": "rejected",
    }
    assert counts["failed"] == 5
    good = {
        k: p for k, p in all_prices().items() if k.split("|")[1] not in ("A3", "A5", "A7", "A9")
    }
    assert good.items() <= run.org.prices.items()
    run.org.refuses, run.target.refuses = {}, set()
    counts = await run.run()
    assert sorted(run.target.pushed) == ["A3", "A5", "A7", "A9"]
    assert counts["unchanged"] == 26
    assert run.org.prices == all_prices()
    assert await run.run() == {"read": 30, "unchanged": 30}


async def test_more_than_can_be_compared_is_left_for_the_next_run() -> None:
    run = Run(*[f"B{number}" for number in range(60)], threshold=1)
    for item in run.source.prices:
        run.org.products[item] = {}
        for place in BOOKS.values():
            run.org.entries[place, item, "USD"] = {"key": "", "active": True, "price": "1"}
    counts = await run.run()
    assert 0 < len(run.target.pushed) < 10
    assert set(run.failures.values()) == {"left-for-next-run"}
    assert counts["failed"] == 60 - len(run.target.pushed)


@pytest.mark.parametrize("state", ["Failed", "Aborted", "deadline"])
async def test_a_load_that_did_not_end_ends_the_job_and_confirms_nothing(state: str) -> None:
    run = bulk()
    run.loads.state = state
    with pytest.raises(RecordRejected, match=state):
        await run.run()
    run.loads.state = "JobComplete"
    counts = await run.run()
    assert "unchanged" not in counts
    assert run.org.prices == all_prices()


async def steps_of(run: Run) -> list[Position]:
    """The positions of a whole run."""
    positions: list[Position] = [{}]
    while True:
        progress = await run.step(positions[-1])
        positions.append(progress.position)
        if progress.done:
            return positions


REFUSED = {"A3": ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "no"), key("A5"): ("DUPLICATE_VALUE", "x")}


def uneven() -> Run:
    """Slow steps, refusals of every kind, several chunks."""
    run = bulk()
    run.source.slow = True
    run.options["chunk_items"] = 8
    run.org.refuses = dict(REFUSED)
    run.org.products["A8"] = {}
    run.org.entries[BOOKS["standard"], "A8", "USD"] = {
        "key": key("A8"),
        "active": False,
        "price": "1",
    }
    run.target.refuses = {"A5"}
    return run


def check(run: Run) -> None:
    expected = {k: p for k, p in all_prices().items() if k.split("|")[1] not in ("A3", "A5")}
    assert {k: p for k, p in run.org.prices.items() if "A5" not in k} == expected


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_in_any_write_confirms_nothing_that_was_not_sent(moment: str) -> None:
    """The process ends around the n-th write, for every n; the step runs again from its position."""
    for crash_at in range(1, 200):
        run = uneven()
        writes = await run.run_that_dies(2 * crash_at - (moment == "before"))
        check(run)
        run.org.refuses, run.target.refuses, run.source.slow = {}, set(), False
        counts = await run.run()
        assert sorted(run.target.pushed) == ["A3", "A5"], crash_at
        assert counts["unchanged"] == 28
        assert run.org.prices == all_prices()
        if writes < 2 * crash_at:
            return
    raise AssertionError("the crashes never end")


async def test_every_step_may_run_twice() -> None:
    steps = len(await steps_of(uneven())) - 1
    assert steps > 15
    for repeated in range(steps):
        run, position = uneven(), {}
        for number in range(400):
            progress = await run.step(position)
            if number == repeated:
                progress = await run.step(position)
            if progress.done:
                break
            position = json.loads(json.dumps(progress.position))
        check(run)
        run.org.refuses, run.target.refuses, run.source.slow = {}, set(), False
        await run.run()
        assert sorted(run.target.pushed) == ["A3", "A5"]
        assert run.org.prices == all_prices()


async def test_at_every_step_a_cancel_aborts_the_load_and_the_next_run_brings_all_in_step() -> None:
    aborted: set[str] = set()
    ended: set[bool] = set()
    for steps in range(40):
        run = bulk()
        position, over = await after_steps(run, {}, steps)
        if over:
            break
        progress = await run.job().cancel(position)
        if not progress.done:  # it only confirms
            ended.add((await after_steps(run, progress.position, 9))[1])
        aborted |= set(run.loads.aborted)
        assert not [name for name in run.blobs.documents if name.startswith("spool/")]
        counts = await run.run()
        assert run.org.prices == all_prices()
        assert run.failures == {}
        assert counts["read"] == 30
    assert aborted == {"products", "standard", "custom"}
    assert ended <= {True}


async def after_steps(run: Run, position: Position, most: int) -> tuple[Position, bool]:
    """So many steps; whether the job is over then."""
    for _ in range(most):
        progress = await run.step(position)
        position = progress.position
        if progress.done:
            return position, True
    return position, False


async def test_every_refused_row_is_told_however_many_there_are() -> None:
    run = bulk(*(f"A{number}" for number in range(300)))
    for item in run.source.prices:
        run.org.refuses[key(item)] = ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "no")
    counts = await run.run()
    told = [name for name, reason in run.failures.items() if reason != "standard-price"]
    assert len(told) == 300
    assert counts["failed"] == len(run.failures)


async def test_rows_refused_by_a_load_that_did_not_end_well_are_told_with_their_own_reasons() -> (
    None
):
    run = bulk()
    run.org.refuses[key("A3")] = ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "not this one")
    run.loads.state_of["standard"] = "Failed"
    with pytest.raises(RecordRejected, match="standard: Failed"):
        await run.run()
    assert run.failures == {key("A3"): "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
    run.loads.state_of.clear()
    run.org.refuses.clear()
    await run.run()
    assert run.org.prices == all_prices()
