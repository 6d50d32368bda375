"""Which records are sent again, in what order, and which of them first."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from integration.messaging.hints import Hint
from integration.recovery.replay import Case, Cause, Unit, canaries, grouped, units, waves

START = datetime(2026, 7, 31, 3, tzinfo=UTC)
MAPPING = Cause("accounts", "mapping", "app", "failed")
LOCKED = Cause("contacts", "row-lock", "d365", "failed")


def case(
    number: int, key: str = "", *, cause: Cause = MAPPING, minute: int | None = None, **hint: Any
) -> Case[Hint]:
    at = START + timedelta(minutes=number if minute is None else minute)
    values: dict[str, Any] = {
        "source": "salesforce",
        "object": "Account",
        "key": key or f"key-{number}",
        "event_id": f"event-{number}",
        "seen_at": at,
    }
    return Case(
        id=str(number),
        cause=cause,
        description="",
        first=at,
        last=at,
        hint=Hint(**{**values, **hint}),
        number=number,
    )


def keys(found: list[Unit[Hint]]) -> list[str]:
    return [unit.hint.key for unit in found]


def test_groups_are_the_causes_with_the_largest_first_and_each_record_counted_once() -> None:
    cases = [case(1, "a"), case(2, "a"), case(3, cause=LOCKED), case(4, "b")]
    first, second = grouped(cases)
    assert (first.cause, first.count, first.records) == (MAPPING, 3, 2)
    assert (first.first, first.last) == (START + timedelta(minutes=1), START + timedelta(minutes=4))
    assert (second.cause, second.count) == (LOCKED, 1)


def test_a_record_with_several_cases_is_sent_once_by_its_newest_hint() -> None:
    [unit] = units([case(1, "a", replay=2), case(2, "a"), case(3, "a", replay=1)])
    assert unit.hint.event_id == "event-1"
    assert [each.id for each in unit.cases] == ["1", "2", "3"]


def test_the_hint_of_the_ledger_speaks_for_its_record_so_that_the_entry_can_leave() -> None:
    [unit] = units([case(1, "a", event_id="ledger:x"), case(2, "a", replay=5)])
    assert unit.hint.event_id == "ledger:x"


def test_what_nobody_can_read_is_not_sent() -> None:
    unreadable: Case[Hint] = Case(id="9", cause=MAPPING, description="", first=START, last=START)
    assert units([unreadable]) == []


def test_of_one_account_the_parents_go_first_whatever_was_seen_first() -> None:
    cases = [
        case(1, "order", object="Opportunity", root="acc"),
        case(2, "contact", object="Contact", root="acc"),
        case(3, "acc", root="acc"),
        case(4, "other"),
    ]
    assert keys(units(cases)) == ["acc", "contact", "order", "other"]


def test_a_wave_holds_one_record_of_each_root() -> None:
    cases = [
        case(1, "a1", root="a"), case(2, "a2", root="a"), case(3, "b1", root="b"),
        case(4, "a3", root="a"),
    ]  # fmt: skip
    assert [keys(wave) for wave in waves(units(cases))] == [["a1", "b1"], ["a2"], ["a3"]]


def test_canaries_are_the_first_of_each_cause_and_none_stands_behind_another() -> None:
    cases = [
        *(case(n, f"m{n}") for n in range(5)),
        *(case(n, f"l{n}", cause=LOCKED, object="Contact", root="m0") for n in range(10, 13)),
        case(20, "free", cause=LOCKED, object="Contact", root="z"),
    ]
    assert keys(canaries(units(cases), 2)) == ["m0", "m1", "free"]
    assert canaries([], 3) == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 6), st.integers(0, 3), st.sampled_from(["Account", "Contact"]),
            st.integers(0, 59),
        ),
        max_size=25,
    )
)  # fmt: skip
def test_every_record_is_in_one_wave_and_none_comes_before_another_of_its_root(
    drawn: list[tuple[int, int, str, int]],
) -> None:
    cases = [
        case(number, f"k{key}", root=f"r{root}", object=name, minute=minute)
        for number, (key, root, name, minute) in enumerate(drawn)
    ]
    ordered = units(cases)
    found = [unit for wave in waves(ordered) for unit in wave]
    assert len(found) == len(ordered) == len({(c.hint.object, c.hint.key) for c in cases if c.hint})
    for wave in waves(ordered):
        assert len({unit.root for unit in wave}) == len(wave)
    for root in {unit.root for unit in ordered}:
        mine = [unit for unit in found if unit.root == root]
        assert mine == [unit for unit in ordered if unit.root == root]
        assert [u.hint.object for u in mine] == sorted(u.hint.object for u in mine)
