"""What follows from a failure, as a table and as properties over every error, attempt and age."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.errors import (
    AuthenticationFailed,
    BudgetSpent,
    ConfigurationError,
    ContractError,
    CreatePending,
    DeadlineReached,
    IntegrationError,
    Misconfigured,
    OutcomeUnknown,
    RecordBusy,
    RecordNeedsReview,
    RecordRejected,
    Throttled,
    Unreachable,
)
from integration.recovery.decisions import (
    Decision,
    EndState,
    FailurePolicy,
    RetryLater,
    decide,
)
from integration.state.blobs import StateConflict

POLICY = FailurePolicy(exhausted="review", rejected="skip")
YOUNG, OLD = timedelta(hours=1), timedelta(hours=72)

FINAL = {
    "contract": (ContractError("?"), "dead-letter"),
    "review": (RecordNeedsReview("?"), "review"),
    "rejected": (RecordRejected("?"), "skip"),
}
COUNTED: dict[str, Exception] = {
    "busy": RecordBusy("?"),
    "unknown": OutcomeUnknown("?"),
    "state": StateConflict("?"),
    "bug": KeyError("secret value"),
}
WAITED: dict[str, Exception] = {
    "unreachable": Unreachable("?"),
    "throttled": Throttled("?"),
    "budget": BudgetSpent("?"),
    "authentication": AuthenticationFailed("?"),
    "misconfigured": Misconfigured("?"),
    "configuration": ConfigurationError(["?"]),
    "deadline": DeadlineReached("?"),
    "pending": CreatePending("?", retry_after=60),
}
ERRORS = st.sampled_from([*(e for e, _ in FINAL.values()), *COUNTED.values(), *WAITED.values()])


def decided(
    error: Exception,
    *,
    attempt: int = 1,
    put_backs: int = 0,
    age: timedelta = YOUNG,
    policy: FailurePolicy = POLICY,
) -> Decision:
    return decide(
        error, attempt=attempt, put_backs=put_backs, age=age, policy=policy, random=Random(1)
    )


@pytest.mark.parametrize("age", [YOUNG, OLD])
@pytest.mark.parametrize("attempt", [1, 3, 4, 5])
@pytest.mark.parametrize("name", FINAL)
def test_what_can_never_succeed_ends_at_once(name: str, attempt: int, age: timedelta) -> None:
    error, kind = FINAL[name]
    decision = decided(error, attempt=attempt, age=age)
    assert isinstance(decision, EndState)
    assert decision.kind == kind


@pytest.mark.parametrize("age", [YOUNG, OLD])
@pytest.mark.parametrize(
    ("attempt", "low", "high"), [(1, 15, 30), (2, 30, 60), (3, 60, 120), (4, None, None)]
)
@pytest.mark.parametrize("name", COUNTED)
def test_one_record_is_tried_four_times_with_doubled_waits(
    name: str, attempt: int, low: float | None, high: float | None, age: timedelta
) -> None:
    decision = decided(COUNTED[name], attempt=attempt, age=age)
    if low is None or high is None:
        assert isinstance(decision, EndState)
        assert decision.kind == POLICY.exhausted
        assert decision.description.startswith("failed 4 times, last: ")
    else:
        assert isinstance(decision, RetryLater)
        assert decision.uses_attempt
        assert low <= decision.delay <= high


@pytest.mark.parametrize("attempt", [1, 4, 99])
@pytest.mark.parametrize("name", WAITED)
def test_trouble_of_a_system_uses_up_no_attempt_until_the_hint_is_too_old(
    name: str, attempt: int
) -> None:
    waits = decided(WAITED[name], attempt=attempt, age=OLD - timedelta(seconds=1))
    assert isinstance(waits, RetryLater)
    assert not waits.uses_attempt
    ends = decided(WAITED[name], attempt=attempt, age=OLD)
    assert isinstance(ends, EndState)
    assert ends.kind == POLICY.exhausted
    assert ends.description.startswith("given up after 72 h: ")


@pytest.mark.parametrize("asked", [0.0, 7.0, 4000.0])
def test_the_servers_own_word_wins_and_is_never_undercut(asked: float) -> None:
    decision = decided(Throttled("?", retry_after=asked), put_backs=9)
    assert isinstance(decision, RetryLater)
    assert asked <= decision.delay <= asked * 1.1


def test_put_backs_grow_to_the_longest_wait() -> None:
    delays = [decided(Unreachable("?"), put_backs=count) for count in (0, 1, 2, 5, 500)]
    assert all(isinstance(one, RetryLater) for one in delays)
    first, *_, last = [one.delay for one in delays if isinstance(one, RetryLater)]
    assert 15 <= first <= 30
    assert 450 <= last <= 900


def test_the_text_of_an_unexpected_exception_stays_out_of_the_dead_letter() -> None:
    decision = decided(COUNTED["bug"], attempt=4)
    assert isinstance(decision, EndState)
    assert (decision.reason, decision.system) == ("unexpected", "app")
    assert decision.description.endswith("KeyError")
    assert "secret" not in decision.description


def test_a_known_error_keeps_its_reason_and_its_system() -> None:
    decision = decided(RecordRejected("no country", reason="validation", system="d365"))
    assert decision == EndState("skip", "validation", "no country", "d365")


POLICIES = st.builds(
    FailurePolicy,
    attempts=st.integers(1, 10),
    base_delay=st.floats(0.1, 100),
    max_delay=st.floats(0.1, 1000),
    max_age=st.timedeltas(timedelta(seconds=1), timedelta(days=30)),
    exhausted=st.sampled_from(["dead-letter", "review", "reconcile", "skip"]),
)


@given(
    error=ERRORS,
    attempt=st.integers(1, 10**6),
    put_backs=st.integers(0, 10**6),
    age=st.timedeltas(timedelta(days=-1), timedelta(days=60)),
    policy=POLICIES,
    seed=st.integers(),
)
def test_every_failure_has_a_bounded_answer(
    error: Exception,
    attempt: int,
    put_backs: int,
    age: timedelta,
    policy: FailurePolicy,
    seed: int,
) -> None:
    decision = decide(
        error, attempt=attempt, put_backs=put_backs, age=age, policy=policy, random=Random(seed)
    )
    counted, waited = error in COUNTED.values(), error in WAITED.values()
    if isinstance(decision, EndState):
        assert not (counted and attempt < policy.attempts)
        assert not (waited and age < policy.max_age)
        assert isinstance(error, IntegrationError) or decision.reason == "unexpected"
        return
    assert decision.uses_attempt is counted
    assert counted or waited
    asked = getattr(error, "retry_after", None)
    longest = min(policy.max_delay, policy.base_delay * 2.0 ** min(attempt + put_backs, 30))
    assert 0 < decision.delay <= (longest if asked is None else asked * 1.1)


@given(error=ERRORS, policy=POLICIES, waits=st.integers(0, 200), seed=st.integers())
def test_every_hint_comes_to_an_end(
    error: Exception, policy: FailurePolicy, waits: int, seed: int
) -> None:
    random, attempt, put_backs, age = Random(seed), 1, 0, timedelta()
    shortest = min(policy.base_delay, policy.max_delay) / 2
    policy = replace(policy, max_age=timedelta(seconds=shortest * waits))
    for _ in range(max(policy.attempts, waits + 1)):
        decision = decide(
            error, attempt=attempt, put_backs=put_backs, age=age, policy=policy, random=random
        )
        if isinstance(decision, EndState):
            return
        attempt += decision.uses_attempt
        put_backs += not decision.uses_attempt
        age += timedelta(seconds=decision.delay)
    raise AssertionError("no end")
