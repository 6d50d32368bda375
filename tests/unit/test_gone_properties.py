"""Whatever is deleted, brought back and merged, in whatever order it is told: nothing is lost or doubled."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.account_support import NUMBER_FIELD, account_id
from tests.unit.gone_support import GoneWorld

KEYS = [account_id(number) for number in range(1, 5)]
ANY = st.sampled_from(KEYS)
STEPS = st.one_of(
    st.tuples(st.just("delete"), ANY, ANY),
    st.tuples(st.just("undelete"), ANY, ANY),
    st.tuples(st.just("merge"), ANY, ANY),
    st.tuples(st.just("tell"), ANY, ANY),
    st.tuples(st.just("tell"), ANY, ANY),
)
REPORTS = {"deleted-in-salesforce", "merged-customers"}
OPEN = "number-of-other-account"  # raised with each hint, until a person decides


async def apply(world: GoneWorld, step: tuple[str, str, str], happened: Counter[str]) -> None:
    name, key, other = step
    live, gone = world.org.tables["Account"], world.org.bin["Account"]
    if name == "delete" and key in live:
        world.org.delete("Account", key)
        happened[key] += 1
    elif name == "undelete" and key in gone:
        world.org.undelete("Account", key)
    elif name == "merge" and key in live and other in live and key != other:
        world.org.merge("Account", key, other)
        happened[key] += 1
    elif name == "tell":
        await world.tell(*dict.fromkeys((key, other)))


def state(world: GoneWorld) -> list[tuple[str, str, str]]:
    return sorted(
        (row["CustomerAccount"], row["SalesforceAccountId"], row.get("OnHoldStatus", ""))
        for row in world.customers()
    )


def once(world: GoneWorld) -> int:
    """Reviews that are told once."""
    return sum(end.reason != OPEN for _, end in world.reviews)


@settings(max_examples=150, deadline=None)
@given(
    linked=st.sets(ANY),
    steps=st.lists(STEPS, max_size=12),
    last=st.permutations(KEYS),
    policy=st.sampled_from(["ignore", "review", "block"]),
)
async def test_customers_are_neither_lost_nor_doubled(
    linked: set[str], steps: list[tuple[str, str, str]], last: list[str], policy: str
) -> None:
    world = GoneWorld(accounts=policy)
    for number, key in enumerate(KEYS, 1):
        world.account(key, f"US-{number}" if key in linked else None)
    happened: Counter[str] = Counter()
    for step in steps:
        await apply(world, step, happened)
    for key in last:
        await world.tell(key)
    for key in KEYS:
        await world.tell(key)

    numbers = [row["CustomerAccount"] for row in world.customers()]
    assert {f"US-{KEYS.index(key) + 1}" for key in linked} <= set(numbers)  # none is lost
    live, gone = world.org.tables["Account"], world.org.bin["Account"]
    for key, row in live.items():
        if not world.customers(key):
            # Its customer went to another by a merge; that was deleted, and it came back with the number.
            [named] = [c for c in world.customers() if c["CustomerAccount"] == row[NUMBER_FIELD]]
            assert named["SalesforceAccountId"] in gone
            assert world.reasons(key)[-1] == OPEN
            continue
        [customer] = world.customers(key)  # told, so it has one; and one only
        assert row[NUMBER_FIELD] == customer["CustomerAccount"]
        assert customer.get("OnHoldStatus", "No") in ("No", "")  # a block was taken back
        assert await world.aliases.find([f"usmf|{customer['CustomerAccount']}"]) == {}
    for key, row in gone.items():
        for customer in world.customers(key):
            number = f"usmf|{customer['CustomerAccount']}"
            survivor = row["MasterRecordId"]
            if survivor is None and policy == "block":
                assert customer["OnHoldStatus"] == "All"
            if survivor in live:  # it stayed with the merged account: the survivor has its own
                alias = (await world.aliases.find([number]))[number]
                assert alias.account == survivor
    reports = Counter(key for key, end in world.reviews if end.reason in REPORTS)
    for key, count in reports.items():
        assert count <= happened[key], "told more than once"

    before, told = state(world), once(world)
    writes = world.d365.calls["write"]
    for key in reversed(last):
        await world.tell(key)
    assert (state(world), once(world)) == (before, told)  # handling it again changes nothing
    assert world.d365.calls["write"] == writes


@settings(max_examples=100, deadline=None)
@given(order=st.lists(st.sampled_from(KEYS[:3]), min_size=1, max_size=8))
async def test_one_customer_stays_one_whichever_hint_of_a_merge_comes_first(
    order: list[str],
) -> None:
    """The second is merged into the first, the third into the second; only the third had a customer."""
    world = GoneWorld()
    for key, number in zip(KEYS[:3], (None, None, "US-7"), strict=True):
        world.account(key, number)
    world.org.merge("Account", KEYS[2], KEYS[1])
    world.org.merge("Account", KEYS[1], KEYS[0])
    for key in order:
        await world.tell(key)
        assert [row["CustomerAccount"] for row in world.customers()] == ["US-7"]
    assert world.customer(KEYS[0])["CustomerAccount"] == "US-7"
    assert world.org.tables["Account"][KEYS[0]][NUMBER_FIELD] == "US-7"
    assert world.reviews == []
