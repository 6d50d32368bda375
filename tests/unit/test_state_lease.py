"""One holder at a time, over several instances and crashes."""

import asyncio
import json
from datetime import timedelta

import pytest

from integration.state.blobs import StateConflict
from integration.state.lease import Lease
from tests.unit.state_support import MemoryStore
from tests.unit.test_d365_package_support import Clock

NAME = "leases/dmf-import.json"
HOURS = timedelta(hours=6)


def lease(store: MemoryStore, clock: Clock) -> Lease:
    return Lease(store, "dmf-import", clock=clock)


async def test_who_comes_second_learns_who_holds_it_and_until_when():
    store, clock = MemoryStore(), Clock()
    until = clock() + HOURS
    assert await lease(store, clock).take("a", until) is None
    hold = await lease(store, clock).take("b", until)
    assert hold is not None
    assert (hold.owner, hold.until, hold.left) == ("a", until, "")
    assert store.stored(NAME) == {"owner": "a", "until": until.isoformat()}


async def test_of_takers_at_the_same_time_one_wins():
    store, clock = MemoryStore(), Clock()
    holds = await asyncio.gather(
        *(lease(store, clock).take(f"job-{n}", clock() + HOURS) for n in range(8))
    )
    assert holds.count(None) == 1
    owner = store.stored(NAME)["owner"]
    assert all(hold is None or hold.owner == owner for hold in holds)


async def test_the_holder_may_take_it_again_after_a_crash():
    store, clock = MemoryStore(), Clock()
    await lease(store, clock).take("a", clock() + HOURS)
    clock.pass_(60)
    assert await lease(store, clock).take("a", clock() + HOURS) is None
    assert store.stored(NAME)["until"] == (clock() + HOURS).isoformat()


async def test_two_deliveries_of_the_same_holder_do_not_both_go_on():
    store, clock = MemoryStore(), Clock()
    answers = await asyncio.gather(
        *(lease(store, clock).take("a", clock() + HOURS) for _ in range(2)),
        return_exceptions=True,
    )
    assert sorted(type(answer) for answer in answers if answer) == [StateConflict]


async def test_a_lease_whose_time_is_over_is_free_and_stays_with_its_new_holder():
    store, clock = MemoryStore(), Clock()
    first = lease(store, clock)
    await first.take("a", clock() + HOURS)
    clock.pass_(HOURS.total_seconds())
    assert await lease(store, clock).take("b", clock() + HOURS) is None
    await first.release("a")
    await first.leave("a", "run-1")
    assert store.stored(NAME)["owner"] == "b"


async def test_a_released_lease_is_free():
    store, clock = MemoryStore(), Clock()
    await lease(store, clock).release("a")
    await lease(store, clock).take("a", clock() + HOURS)
    await lease(store, clock).release("a")
    assert json.loads(store.documents[NAME].body) == {}
    assert await lease(store, clock).take("b", clock() + HOURS) is None


async def test_work_left_behind_keeps_the_lease_until_somebody_knows_that_it_is_over():
    store, clock = MemoryStore(), Clock()
    await lease(store, clock).take("a", clock() + HOURS)
    await lease(store, clock).leave("a", "run-1")
    hold = await lease(store, clock).take("b", clock() + HOURS)
    assert hold is not None
    assert (hold.owner, hold.left) == ("a", "run-1")
    takers = await asyncio.gather(
        *(lease(store, clock).take(n, clock() + HOURS, instead_of=hold) for n in "bcd")
    )
    assert takers.count(None) == 1


async def test_knowledge_about_an_earlier_hold_does_not_break_a_later_one():
    store, clock = MemoryStore(), Clock()
    await lease(store, clock).take("a", clock() + HOURS)
    await lease(store, clock).leave("a", "run-1")
    old = await lease(store, clock).take("b", clock() + HOURS)
    await lease(store, clock).take("c", clock() + HOURS, instead_of=old)
    hold = await lease(store, clock).take("b", clock() + HOURS, instead_of=old)
    assert hold is not None
    assert hold.owner == "c"


async def test_a_release_in_between_is_a_conflict_and_no_stranger_s_hold():
    store, clock = MemoryStore(), Clock()
    await lease(store, clock).take("a", clock() - HOURS)
    store.before_write.append((NAME, b"{}"))
    with pytest.raises(StateConflict):
        await lease(store, clock).take("b", clock() + HOURS)


async def test_who_left_work_behind_waits_for_it_like_others():
    store, clock = MemoryStore(), Clock()
    await lease(store, clock).take("a", clock() + HOURS)
    await lease(store, clock).leave("a", "run-1")
    hold = await lease(store, clock).take("a", clock() + HOURS)
    assert hold is not None
    assert await lease(store, clock).take("a", clock() + HOURS, instead_of=hold) is None
    assert "left" not in store.stored(NAME)
