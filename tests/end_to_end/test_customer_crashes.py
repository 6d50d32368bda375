"""The app dies at every outgoing call of a customer's creation; afterwards there is one customer."""

from __future__ import annotations

import pytest

from sandbox.stack import Sandbox
from tests.end_to_end.guillotine import Guillotine, Moment
from tests.end_to_end.world import World

pytestmark = pytest.mark.timeout(120)
QUARANTINE = "0.02"  # minutes
LOCK = 1.5  # seconds that a dead process still holds its session
CALLS = ("composite/sobjects/Account", "CustomersV3", "$batch", "composite/sobjects")


async def created_despite(
    world: World, guillotine: Guillotine, number: int, moment: Moment
) -> list[str]:
    """One account made while the app dies at its call `number`; the calls up to then, if it made so many."""
    guillotine.arm(number, moment)
    key = await world.create()

    def has_number() -> bool:
        row = world.sandbox.salesforce.org.store.tables["Account"].rows[key]
        return bool(row.get("D365_Customer_Number__c"))

    calls = await guillotine.outlived(has_number)
    assert await world.is_in_step(key), (number, moment, calls)
    return calls


@pytest.mark.parametrize("numbering", ["sequence", "salesforce-id"])
async def test_wherever_the_app_dies_there_is_one_customer(numbering: str) -> None:
    settings = {"CUSTOMER_NUMBERING": numbering, "CREATE_QUARANTINE_MINUTES": QUARANTINE}
    sandbox = Sandbox(settings=settings, lock_seconds=LOCK)
    world = World(sandbox)
    async with sandbox:
        guillotine = Guillotine(world)
        await sandbox.subscribe("Account")
        manual = {"CustomersV3": numbering == "salesforce-id"}
        await world.put("d365", "settings", {"manual_numbers": manual})
        await world.create_settled()  # from here on the process is warm
        died: list[str] = []
        number = 1
        while calls := await created_despite(world, guillotine, number, "after"):
            died.append(calls[-1].replace("%24", "$"))
            number += 1
        assert len(died) == len(CALLS), died
        for call, part in zip(died, CALLS, strict=True):
            assert part in call
        for each in range(
            2, number
        ):  # the write and the write-back, killed before they were executed
            assert await created_despite(world, guillotine, each, "before")
