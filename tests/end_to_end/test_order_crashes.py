"""The app dies at every outgoing call of the order flow; afterwards there is one order with its lines."""

from __future__ import annotations

import pytest

from tests.end_to_end.guillotine import Guillotine, Moment
from tests.end_to_end.order_world import OrderWorld, new_order_world

pytestmark = pytest.mark.timeout(180)
LINES = (("D0001", 2, 249.5), ("D0002", 3, 75), ("D0003", 1, 12.5))
QUARANTINE = "0.02"  # minutes
LOCK = 1.5  # seconds that a dead process still holds its session


async def ordered_despite(
    world: OrderWorld, guillotine: Guillotine, account: str, number: int, moment: Moment
) -> list[str]:
    """One deal won while the app dies at its call `number`; the calls up to then. Empty: it made fewer."""
    deal = await world.open_deal(account, *LINES)
    guillotine.arm(number, moment)
    await world.edit("Opportunity", deal, StageName="Closed Won")
    calls = await guillotine.outlived(lambda: world.ordered_by_now(deal))
    assert await world.is_ordered(deal), (number, moment, calls)
    return calls


@pytest.mark.parametrize("numbering", ["sequence", "opportunity-id"])
async def test_wherever_the_app_dies_there_is_one_order_with_its_lines(numbering: str) -> None:
    expected = ["query", "batch", "batch", "composite/sobjects"]
    if numbering == "sequence":
        expected.insert(1, "batch")
    settings = {"ORDER_NUMBERING": numbering, "CREATE_QUARANTINE_MINUTES": QUARANTINE}
    async with new_order_world(LOCK, **settings) as world:
        guillotine = Guillotine(world)
        account = await world.create_settled()
        await world.win_settled(account, *LINES)  # from here on the process is warm
        died: list[str] = []
        number = 1
        while calls := await ordered_despite(world, guillotine, account, number, "after"):
            died.append(calls[-1])
            number += 1
        assert len(died) == len(expected), died
        for call, part in zip(died, expected, strict=True):
            assert part in call.replace("%24", "$")
        for each in range(3, number):  # the writes, killed before they were executed
            assert await ordered_despite(world, guillotine, account, each, "before")
        await cold_deaths(world, guillotine, account)


async def cold_deaths(world: OrderWorld, guillotine: Guillotine, account: str) -> None:
    """A new process dies at its own first calls, too: signing in and asking for descriptions."""
    deal = await world.open_deal(account, *LINES)
    guillotine.arm(2)
    await world.edit("Opportunity", deal, StageName="Closed Won")
    await guillotine.falls()
    for number in (1, 2, 3, 4):
        guillotine.arm(number)
        await world.sandbox.start_app()
        await guillotine.falls()
    guillotine.disarm()
    await world.sandbox.start_app()
    await world.settled()
    assert await world.is_ordered(deal)
