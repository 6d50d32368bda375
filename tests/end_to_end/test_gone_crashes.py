"""The app dies at the writes of a merge, a block and its taking back; afterwards all is in step."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from integration.messaging.hints import bucket_of
from tests.end_to_end.gone_world import new_gone_world
from tests.end_to_end.guillotine import Guillotine, Moment
from tests.end_to_end.job_runs import document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.end_to_end.gone_world import GoneWorld

    Act = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.timeout(180)
MOMENTS: tuple[Moment, Moment] = ("before", "after")
LOCK = 1.5  # seconds that a dead process still holds its session


@asynccontextmanager
async def deadly_world(**settings: str) -> AsyncIterator[tuple[GoneWorld, Guillotine]]:
    async with new_gone_world(LOCK, CREATE_QUARANTINE_MINUTES="0.02", **settings) as world:
        guillotine = Guillotine(world)
        await world.create_settled()  # from here on the process is warm
        yield world, guillotine


async def observed(world: GoneWorld, guillotine: Guillotine, act: Act) -> list[str]:
    """The app's calls for it, unharmed."""
    guillotine.arm(0)
    await act()
    await world.settled()
    return list(guillotine.calls)


async def dies_at(
    world: GoneWorld, guillotine: Guillotine, number: int, moment: Moment, act: Act
) -> str:
    """Acts, the app dies at its call `number` and is started again; that call."""
    guillotine.arm(number, moment)
    await act()
    await guillotine.falls()
    call = guillotine.calls[-1]
    guillotine.disarm()
    await world.sandbox.start_app()
    await world.settled()
    return call


def writes_of(calls: list[str]) -> list[int]:
    return [number for number, call in enumerate(calls, 1) if is_write(call)]


def is_write(call: str) -> bool:
    return call.startswith("PATCH") or "batch" in call


async def pair(world: GoneWorld, *, linked: bool) -> tuple[str, str]:
    """(loser, winner) of one bucket, so that each round makes the same calls; the winner has a customer if
    `linked`."""
    loser = await world.create_settled()
    mine = bucket_of(loser, 16)
    while True:
        found = await world.create_many(40, events=False)
        if same := [key for key in found if bucket_of(key, 16) == mine]:
            break
    if linked:
        await world.tell(same[0])
        await world.settled()
    await world.a_second_later()
    await world.merge_into(same[0], loser, events=False)
    return loser, same[0]


@pytest.mark.parametrize("first", ["loser", "winner"])
async def test_wherever_a_write_is_cut_off_a_merged_customer_has_one_owner(first: str) -> None:
    async with deadly_world() as (world, guillotine):

        async def merge(number: int = 0, moment: Moment = "after") -> list[str]:
            loser, winner = await pair(world, linked=False)
            customer = (await world.customer(loser))["CustomerAccount"]
            count = await world.customer_count()
            told = loser if first == "loser" else winner
            if number:
                calls = [await dies_at(world, guillotine, number, moment, lambda: world.tell(told))]
                assert is_write(calls[0])
            else:
                calls = await observed(world, guillotine, lambda: world.tell(told))
            assert (await world.customer(winner))["CustomerAccount"] == customer, calls
            assert await world.number(winner) == customer, calls
            assert await world.customer_count() == count, calls
            assert world.letters(loser, winner) == [], calls
            return calls

        for number in writes_of(await merge()):
            for moment in MOMENTS if first == "winner" else MOMENTS[1:]:
                await merge(number, moment)


async def test_two_customers_are_reported_once_although_the_app_dies() -> None:
    async with deadly_world() as (world, guillotine):

        async def merge(number: int = 0) -> list[str]:
            loser, winner = await pair(world, linked=True)
            if number:
                calls = [
                    await dies_at(world, guillotine, number, "after", lambda: world.tell(loser))
                ]
            else:
                calls = await observed(world, guillotine, lambda: world.tell(loser))
            assert world.letter(loser)["reason"] == "merged-customers", calls
            await world.tell_in_turn(loser)
            assert len(world.letters(loser)) == 1
            assert world.letters(winner) == []
            return calls

        calls = await merge()
        looked = next(number for number, call in enumerate(calls, 1) if "CustomersV3" in call)
        for number in (looked, looked + 1):  # before it is noted and reported, and right after
            await merge(number)


async def test_wherever_a_write_is_cut_off_a_block_is_set_and_taken_back() -> None:
    async with deadly_world(DELETED_ACCOUNTS="block") as (world, guillotine):

        async def block(moment: Moment) -> None:
            key, probe = await world.create_settled(), await world.create_settled()
            own = await world.number(key)
            calls = await observed(world, guillotine, lambda: world.delete(probe))
            [number] = writes_of(calls)
            died = await dies_at(world, guillotine, number, moment, lambda: world.delete(key))
            assert is_write(died)
            assert (await world.customer_numbered(own))["OnHoldStatus"] == "All"
            assert document(world, f"marks/Account/{key}.json")["phase"] in ("setting", "set")
            for each in (probe, key):
                await world.undelete("Account", each)
            calls = await observed(world, guillotine, lambda: world.tell(probe))
            [number] = writes_of(calls)
            await dies_at(world, guillotine, number, moment, lambda: world.tell(key))
            assert (await world.customer_numbered(own))["OnHoldStatus"] == "No"
            assert world.letters(key) == []

        for moment in MOMENTS:
            await block(moment)
