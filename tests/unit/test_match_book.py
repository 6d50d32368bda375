"""What a person approved decides which customer an account without a number gets."""

import pytest

from integration.d365.business_keys import CustomerKey
from integration.errors import IntegrationError
from integration.flows.match_book import MatchBook
from integration.flows.outcomes import Failed, Skipped, Synced
from integration.state.blobs import StateConflict
from tests.unit.account_support import ID, A, B, C, World
from tests.unit.state_support import MemoryStore

LINK = CustomerKey("usmf", "OLD-1")


class Matched(World):
    """A world whose account flow reads a book."""

    def __init__(self, creation: str = "after-match") -> None:
        super().__init__(CUSTOMER_CREATION=creation)
        self.book = MatchBook(self.store)
        self.flow._matches = self.book


async def test_an_approved_link_is_written_and_nothing_is_created() -> None:
    world = Matched()
    world.salesforce.add(A)
    row = world.d365.add("OLD-1")
    await world.book.approve({A: LINK}, set(), {A})
    assert await world.run(A) == {A: Synced(changed=True)}
    assert (row[ID], len(world.d365.customers)) == (A, 1)
    assert world.number_of(A) == "OLD-1"


@pytest.mark.parametrize("creation", ["on", "off"])
async def test_a_link_counts_whatever_the_creation_setting(creation: str) -> None:
    world = Matched(creation)
    world.salesforce.add(A)
    world.d365.add("OLD-1")
    await world.book.approve({A: LINK}, set(), {A})
    assert await world.run(A) == {A: Synced(changed=True)}
    assert len(world.d365.customers) == 1


async def test_only_what_was_approved_for_creation_is_created() -> None:
    world = Matched()
    for key in (A, B, C):
        world.salesforce.add(key)
    await world.book.approve({}, {A}, {A, B})
    assert await world.run(A, B, C) == {
        A: Synced(changed=True),
        B: Skipped("customer-awaits-match"),
        C: Skipped("customer-awaits-match"),
    }
    assert [row[ID] for row in world.d365.customers] == [A]


async def test_creation_off_stays_off() -> None:
    world = Matched("off")
    world.salesforce.add(A)
    await world.book.approve({}, {A}, {A})
    assert await world.run(A) == {A: Skipped("customer-creation-off")}


@pytest.mark.parametrize(
    ("owner", "reason"), [(None, "approved-customer-gone"), (B, "number-of-other-account")]
)
async def test_a_link_that_no_longer_holds_is_for_a_person(owner: str | None, reason: str) -> None:
    world = Matched()
    world.salesforce.add(A)
    if owner:
        world.d365.add("OLD-1", owner)
    await world.book.approve({A: LINK}, set(), {A})
    outcome = (await world.run(A))[A]
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, IntegrationError)
    assert outcome.error.reason == reason
    assert len(world.d365.customers) == (1 if owner else 0)


async def test_a_later_approval_counts_at_once_and_keeps_other_accounts() -> None:
    store = MemoryStore()
    reader, writer = MatchBook(store), MatchBook(store)
    assert (await reader.approved()).links == {}
    await writer.approve({A: LINK}, {B}, {A, B})
    await writer.approve({B: CustomerKey("usmf", "OLD-2")}, set(), {B})
    approved = await reader.approved()
    assert {key: link.number for key, link in approved.links.items()} == {A: "OLD-1", B: "OLD-2"}
    assert approved.create == frozenset()


async def test_two_approvals_at_the_same_time_do_not_hide_each_other() -> None:
    store = MemoryStore()
    book = MatchBook(store)
    await book.approve({A: LINK}, set(), {A})
    stored = store.documents["match/accounts/current.json"].body
    store.before_write = [("match/accounts/current.json", stored)]
    with pytest.raises(StateConflict):
        await book.approve({}, {B}, {B})
    assert A in (await MatchBook(store).approved()).links
