"""The stock check against the F&O stand-in: one call, shared and kept answers, and its ends."""

import asyncio
from decimal import Decimal

import pytest

from integration.deadline import deadline
from integration.errors import (
    ContractError,
    DeadlineReached,
    RecordRejected,
    Throttled,
    Unreachable,
)
from integration.flows.stock import Place
from tests.unit.test_stock_support import Dynamics, checking

USMF = Place("usmf")


@pytest.fixture
def dynamics() -> Dynamics:
    return Dynamics()


async def test_variants_are_summed_per_warehouse(dynamics: Dynamics) -> None:
    await dynamics.stock("D0001", "11", 0.1, ProductColorId="Red", OrderedQuantity=5)
    await dynamics.stock("D0001", "11", 0.2, ProductColorId="Blue")
    await dynamics.stock("D0001", "24", 7, ReservedOnHandQuantity=2)
    await dynamics.stock("D0002", "24", 100)
    await dynamics.stock("D0001", "11", 1000, dataAreaId="demf")
    async with checking(dynamics) as (check, _):
        (level,) = await check.levels(USMF, ["D0001"])
    assert level is not None
    assert (level.onHand, level.reserved, level.ordered) == (Decimal("7.3"), 2, 5)
    assert [(w.site, w.warehouse, w.onHand) for w in level.warehouses] == [
        ("1", "11", Decimal("0.3")),
        ("2", "24", 7),
    ]
    assert dynamics.calls == 1


async def test_an_unknown_item_differs_from_one_without_stock(dynamics: Dynamics) -> None:
    async with checking(dynamics) as (check, _):
        known, unknown = await check.levels(USMF, ["D0003", "D9999"])
        elsewhere = await check.levels(Place("zzzz"), ["D0003"])
    assert known is not None
    assert (known.onHand, known.warehouses) == (0, [])
    assert unknown is None
    assert elsewhere == [None]


async def test_leading_blanks_are_data_and_case_is_not(dynamics: Dynamics) -> None:
    await dynamics.item(" D0001")
    await dynamics.stock(" D0001", on_hand=3)
    await dynamics.stock("D0001", on_hand=4)
    async with checking(dynamics) as (check, _):
        levels = await check.levels(USMF, [" D0001", "d0001", "D0001 "])
    assert [(level.itemNumber, level.onHand) for level in levels if level] == [
        (" D0001", 3),
        ("D0001", 4),
        ("D0001", 4),
    ]


async def test_special_characters_reach_dynamics_whole(dynamics: Dynamics) -> None:
    numbers = ["O'Brien & Co", "50% / #1+2", "Ä,ö?=x"]
    for each in numbers:
        await dynamics.item(each)
        await dynamics.stock(each, on_hand=2)
    async with checking(dynamics) as (check, _):
        levels = await check.levels(USMF, numbers)
    assert [(level.itemNumber, level.onHand) for level in levels if level] == [
        (each, 2) for each in numbers
    ]


async def test_site_and_warehouse_narrow_the_read(dynamics: Dynamics) -> None:
    for warehouse in ("11", "12", "24"):
        await dynamics.stock("D0001", warehouse, 1)
    async with checking(dynamics) as (check, _):
        for place, count in (
            (Place("usmf", "1"), 2),
            (Place("usmf", "1", "12"), 1),
            (Place("usmf", None, "nowhere"), 0),
        ):
            (level,) = await check.levels(place, ["D0001"])
            assert level is not None
            assert (level.onHand, len(level.warehouses)) == (count, count)


async def test_a_hundred_items_cost_one_call_of_short_filters(dynamics: Dynamics) -> None:
    items = [f"X{number:03}" for number in range(100)]
    for each in items[::2]:
        await dynamics.item(each)
        await dynamics.stock(each, on_hand=5)
    async with checking(dynamics, filter_terms=20) as (check, _):
        levels = await check.levels(Place("usmf", "1"), items)
    assert [level.onHand if level else None for level in levels] == [5, None] * 50
    assert dynamics.calls == 1
    gets = [line for line in dynamics.bodies[0].splitlines() if line.startswith("GET ")]
    assert all(line.count("%20eq%20") <= 20 for line in gets)
    assert all("cross-company=true" in line and "$select=" in line for line in gets)


async def test_answers_are_kept_for_some_seconds_each_for_its_place(dynamics: Dynamics) -> None:
    async with checking(dynamics, STOCK_CACHE_SECONDS="5") as (check, _):
        for now, items, calls in (
            (0.0, ["D0001"], 1),
            (4.9, ["d0001", "D9999"], 2),
            (4.9, ["D0001", "D9999"], 2),
            (5.1, ["D0001"], 3),
        ):
            dynamics.now = now
            await check.levels(USMF, items)
            assert dynamics.calls == calls
        assert "D0001" not in dynamics.bodies[1]
        await check.levels(Place("usmf", "1"), ["D0001"])
        await check.levels(Place("demf"), ["D0001"])
    assert dynamics.calls == 5


async def test_nothing_is_kept_with_the_cache_switched_off(dynamics: Dynamics) -> None:
    async with checking(dynamics, STOCK_CACHE_SECONDS="0") as (check, _):
        for _ in range(2):
            await check.levels(USMF, ["D0001"])
    assert dynamics.calls == 2


async def test_the_cache_does_not_grow_without_bound(
    dynamics: Dynamics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integration.flows.stock._MOST_KEPT", 3)
    async with checking(dynamics) as (check, _):
        for number in range(8):
            await check.levels(USMF, [f"X{number}"])
        assert len(check._kept) <= 4
        await check.levels(USMF, ["X7"])
    assert dynamics.calls == 8


async def test_concurrent_questions_share_one_read(dynamics: Dynamics) -> None:
    dynamics.gate.clear()
    async with checking(dynamics) as (check, _), asyncio.TaskGroup() as group:
        asked = [group.create_task(check.levels(USMF, ["D0001"])) for _ in range(30)]
        both = group.create_task(check.levels(USMF, ["D0001", "D0002"]))
        await asyncio.sleep(0.1)
        dynamics.gate.set()
        answers = [await each for each in asked]
        assert (await both)[0] == answers[0][0]
    assert all(answer == answers[0] for answer in answers)
    assert dynamics.calls == 2  # D0001 for all, D0002 for the last
    assert "D0001" not in dynamics.bodies[1]


async def test_only_so_many_reads_run_at_once_and_the_rest_wait(dynamics: Dynamics) -> None:
    dynamics.gate.clear()
    async with (
        checking(dynamics, STOCK_MAX_CALLS="2") as (check, _),
        asyncio.TaskGroup() as group,
    ):
        asked = [group.create_task(check.levels(USMF, [f"D000{n}"])) for n in range(5)]
        await asyncio.sleep(0.2)
        assert dynamics.calls == 2
        dynamics.gate.set()
        for each in asked:
            await each
    assert dynamics.calls == 5


async def test_a_shared_failure_is_everybodys_and_the_next_question_asks_again(
    dynamics: Dynamics,
) -> None:
    dynamics.gate.clear()
    dynamics.fault(status=503, body="<html>down</html>")
    async with checking(dynamics) as (check, _):
        asked = [asyncio.create_task(check.levels(USMF, ["D0001"])) for _ in range(5)]
        await dynamics.arrived.wait()
        dynamics.gate.set()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(end) for end in ends] == [Unreachable] * 5
        assert dynamics.calls == 1
        assert await check.levels(USMF, ["D0001"]) != [None]


async def test_who_shares_a_read_that_was_cancelled_reads_again(dynamics: Dynamics) -> None:
    dynamics.gate.clear()
    async with checking(dynamics) as (check, _):
        first = asyncio.create_task(check.levels(USMF, ["D0001"]))
        await dynamics.arrived.wait()
        second = asyncio.create_task(check.levels(USMF, ["D0001"]))
        await asyncio.sleep(0)
        first.cancel()
        dynamics.gate.set()
        (level,) = await second
        assert level is not None
        with pytest.raises(asyncio.CancelledError):
            await first
    assert dynamics.calls == 2


@pytest.mark.parametrize(("header", "wait"), [({"Retry-After": "37"}, 37), ({}, 10)])
async def test_throttled_means_a_pause_for_all_questions(
    dynamics: Dynamics, header: dict[str, str], wait: float
) -> None:
    dynamics.fault(status=429, headers=header, body={"error": {"message": "busy"}})
    async with checking(dynamics, tries=3) as (check, _):
        with pytest.raises(Throttled) as first:
            await check.levels(USMF, ["D0001"])
        assert first.value.retry_after == wait
        dynamics.now = wait - 7
        with pytest.raises(Throttled) as second:
            await check.levels(USMF, ["D0002"])
        assert second.value.retry_after == pytest.approx(7)
        assert dynamics.calls == 1
        dynamics.now = wait + 1
        assert await check.levels(USMF, ["D0002"]) != [None]


async def test_an_operation_throttled_inside_the_batch_counts_too(dynamics: Dynamics) -> None:
    dynamics.stand_in.throttle.configure({"mode": "inner", "retry_after": 12})
    async with checking(dynamics) as (check, _):
        with pytest.raises(Throttled) as caught:
            await check.levels(USMF, ["D0001"])
    assert caught.value.retry_after == 12


async def test_a_short_throttle_is_waited_for(dynamics: Dynamics) -> None:
    dynamics.fault(status=429, headers={"Retry-After": "0"}, body={})
    async with checking(dynamics, tries=2) as (check, _):
        assert await check.levels(USMF, ["D0001"]) != [None]
    assert dynamics.calls == 2


async def test_a_slow_dynamics_is_given_up_before_the_time_is_over(dynamics: Dynamics) -> None:
    dynamics.gate.clear()
    loop = asyncio.get_running_loop()
    async with checking(dynamics, STOCK_TIMEOUT_SECONDS="2", tries=5) as (check, _):
        started = loop.time()
        first = asyncio.create_task(check.levels(USMF, ["D0001"]))
        await asyncio.sleep(0.2)
        ends = await asyncio.gather(first, check.levels(USMF, ["D0001"]), return_exceptions=True)
        spent = loop.time() - started
        dynamics.gate.set()
    assert [type(end) for end in ends] == [Unreachable] * 2
    assert 1.9 <= spent < 3.8
    assert dynamics.calls == 1


async def test_who_has_less_time_left_stops_sharing(dynamics: Dynamics) -> None:
    dynamics.gate.clear()
    async with checking(dynamics) as (check, _):
        first = asyncio.create_task(check.levels(USMF, ["D0001"]))
        await dynamics.arrived.wait()
        with deadline(0.05), pytest.raises(DeadlineReached):
            await check.levels(USMF, ["D0001"])
        dynamics.gate.set()
        assert await first != [None]


async def test_a_wildcard_is_not_looked_up(dynamics: Dynamics) -> None:
    async with checking(dynamics) as (check, _):
        with pytest.raises(RecordRejected):
            await check.levels(USMF, ["D*"])
        assert check._running == {}
    assert dynamics.calls == 0


async def test_an_answer_that_is_none_is_said_so(dynamics: Dynamics) -> None:
    await dynamics.stock("D0001")
    dynamics.fault(inner=True, status=200, body={"value": [{"ItemNumber": None}]}, count=None)
    async with checking(dynamics) as (check, _):
        with pytest.raises(ContractError):
            await check.levels(USMF, ["D0001"])
