"""A system in trouble is asked by one hint at a time, at growing distances."""

import pytest

from integration.errors import SystemName, SystemTrouble, Throttled, Unreachable
from integration.recovery.gate import SystemGate

BOTH: tuple[SystemName, ...] = ("salesforce", "d365")
DOWN = Unreachable("down", system="d365")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> SystemGate:
    return SystemGate(base=30, longest=900, clock=clock)


def wait_of(gate: SystemGate, systems: tuple[SystemName, ...] = BOTH) -> float:
    with pytest.raises(Unreachable) as caught:
        gate.enter(systems)
    assert caught.value.reason == "waiting-for-system"
    assert caught.value.retry_after is not None
    return caught.value.retry_after


def test_a_gate_is_open_until_there_is_trouble(gate: SystemGate) -> None:
    assert [gate.enter(BOTH), gate.enter(BOTH)] == ["open", "open"]
    gate.leave(BOTH, None)
    assert gate.enter(BOTH) == "open"


def test_after_trouble_nobody_passes_until_the_time_is_over(gate: SystemGate, clock: Clock) -> None:
    gate.enter(BOTH)
    gate.leave(BOTH, DOWN)
    assert wait_of(gate) == 30
    clock.now += 20
    assert wait_of(gate) == 10


def test_one_probes_while_the_others_wait_and_its_success_opens_for_all(
    gate: SystemGate, clock: Clock
) -> None:
    gate.leave(BOTH, DOWN)
    clock.now += 30
    assert gate.enter(BOTH) == "probe"
    assert wait_of(gate) == 30
    gate.leave(BOTH, None)
    assert [gate.enter(BOTH), gate.enter(BOTH)] == ["open", "open"]


def test_failing_probes_close_it_for_twice_as_long_up_to_the_cap(
    gate: SystemGate, clock: Clock
) -> None:
    waits = []
    for _ in range(8):
        gate.leave(BOTH, DOWN)
        waits.append(wait_of(gate))
        clock.now += waits[-1]
        assert gate.enter(BOTH) == "probe"
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    gate.leave(BOTH, None)
    gate.leave(BOTH, DOWN)
    assert wait_of(gate) == 30


def test_batches_that_meet_the_same_trouble_together_count_once(gate: SystemGate) -> None:
    for _ in range(16):
        gate.enter(BOTH)
    for _ in range(16):
        gate.leave(BOTH, DOWN)
    assert wait_of(gate) == 30


def test_the_servers_own_word_is_kept_even_above_the_cap(gate: SystemGate) -> None:
    gate.leave(BOTH, Throttled("?", system="d365", retry_after=2000))
    gate.leave(BOTH, Throttled("?", system="d365", retry_after=5))
    assert wait_of(gate) == 2000


def test_only_the_system_in_trouble_is_closed(gate: SystemGate) -> None:
    gate.leave(BOTH, DOWN)
    assert gate.enter(("salesforce",)) == "open"
    assert wait_of(gate, ("d365",)) == 30


@pytest.mark.parametrize("system", ["storage", "app"])
def test_trouble_elsewhere_ends_a_probe_but_proves_nothing(
    gate: SystemGate, clock: Clock, system: SystemName
) -> None:
    gate.leave(BOTH, DOWN)
    clock.now += 30
    assert gate.enter(BOTH) == "probe"
    elsewhere: SystemTrouble = Unreachable("?", system=system)
    gate.leave(BOTH, elsewhere)
    assert gate.enter(BOTH) == "probe"


def test_a_probe_that_never_came_to_its_system_proves_nothing(
    gate: SystemGate, clock: Clock
) -> None:
    gate.leave(BOTH, DOWN)
    clock.now += 30
    assert gate.enter(BOTH) == "probe"
    gate.leave(BOTH, None, unasked={"d365"})
    assert gate.enter(BOTH) == "probe"
    gate.leave(BOTH, DOWN)
    assert wait_of(gate) == 60


def test_the_longest_wait_of_several_systems_counts(gate: SystemGate, clock: Clock) -> None:
    gate.leave(BOTH, DOWN)
    clock.now += 10
    gate.leave(("salesforce",), Unreachable("?", system="salesforce"))
    assert wait_of(gate) == 30
