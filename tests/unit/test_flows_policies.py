"""The last column of the flow table (spec 1), and what a setting changes of it."""

from datetime import timedelta

import pytest

from integration.flows.policies import ENDS, policy_of
from integration.settings import RetrySettings


@pytest.mark.parametrize(
    ("flow", "exhausted"),
    [
        ("accounts", "dead-letter"),
        ("contacts", "dead-letter"),
        ("orders", "review"),
        ("invoices", "reconcile"),
    ],
)
def test_a_flow_that_keeps_failing_ends_as_its_table_says(flow: str, exhausted: str) -> None:
    policy = policy_of(flow, RetrySettings())
    assert policy.exhausted == exhausted
    assert policy.attempts == 4


def test_nothing_of_a_financial_flow_is_only_skipped() -> None:
    assert not {end for ends in ENDS.values() for end in ends} & {"skip"}


def test_the_settings_say_how_often_and_how_long() -> None:
    retry = RetrySettings(attempts=2, base_delay=1, max_delay=5, max_age_hours=1)
    policy = policy_of("accounts", retry)
    assert (policy.attempts, policy.base_delay, policy.max_delay) == (2, 1, 5)
    assert policy.max_age == timedelta(hours=1)
