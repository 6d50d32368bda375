"""The error tree: short reasons, bounded words, structured facts."""

import pytest

from integration import errors
from integration.errors import (
    CallContext,
    ConfigurationError,
    CreatePending,
    IntegrationError,
    OutcomeUnknown,
    RecordRejected,
    SystemTrouble,
    Throttled,
)


def every_error() -> list[type[IntegrationError]]:
    found, todo = [], [IntegrationError]
    while todo:
        kind = todo.pop()
        if kind.__module__ == errors.__name__:
            found.append(kind)
        todo += kind.__subclasses__()
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", every_error())
def test_every_error_has_a_reason_that_fits_a_dead_letter(kind: type[IntegrationError]) -> None:
    assert kind.reason == kind.reason.lower()
    assert 0 < len(kind.reason) <= 64


def test_reasons_and_descriptions_are_cut_to_what_a_dead_letter_holds() -> None:
    error = RecordRejected("d" * 5000, reason="r" * 100)
    assert len(error.reason) == 64
    assert len(error.description) == 4096


def test_an_error_carries_its_system_and_the_ids_of_its_call() -> None:
    context = CallContext("PATCH CustomersV3", 429, "request", "activity")
    error = Throttled("too much", system="d365", context=context, retry_after=7)
    assert isinstance(error, SystemTrouble)
    assert (error.system, error.reason, error.retry_after) == ("d365", "throttled", 7)
    assert error.context.activity_id == "activity"
    assert str(error) == "too much"


def test_a_pending_create_is_an_unknown_outcome_that_says_when_to_come_back() -> None:
    error = CreatePending("begun", retry_after=60, system="d365")
    assert isinstance(error, OutcomeUnknown)
    assert (error.retry_after, error.system, error.reason) == (60, "d365", "create-pending")


def test_a_configuration_error_lists_every_problem() -> None:
    error = ConfigurationError(["one is wrong", "two is missing"])
    assert str(error) == "2 configuration problem(s):\n  - one is wrong\n  - two is missing"
    assert error.description == "one is wrong; two is missing"
