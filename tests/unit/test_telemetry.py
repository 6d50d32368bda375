"""Log lines carry ids, never a record; of an unknown error only its class and place."""

import logging

import pytest

from integration.errors import RecordRejected
from integration.telemetry import (
    OTHER,
    _Few,
    audit,
    cut_urls,
    log_event,
    record_budget,
    record_call,
    record_events,
    record_outcome,
    span,
    trace_parent,
)


def test_ids_become_dimensions_and_missing_ones_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "integration"):
        log_event("ended", flow="accounts", key="001", attempt=2, trace=None)
    [record] = caplog.records
    assert record.getMessage() == "ended flow=accounts key=001 attempt=2"
    assert vars(record)["i_attempt"] == "2"
    assert "i_trace" not in vars(record)


def test_the_text_of_an_unknown_error_stays_out_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handle_record() -> None:
        raise ValueError("phone +49 40 1234")

    try:
        handle_record()
    except ValueError as error:
        log_event("ended", level=logging.WARNING, error=error, key="001")
    [record] = caplog.records
    assert vars(record)["i_error"] == "ValueError"
    assert vars(record)["i_at"].startswith("handle_record:")
    assert "1234" not in caplog.text


def test_a_known_error_is_named_by_the_ids_given_with_it(caplog: pytest.LogCaptureFixture) -> None:
    log_event("ended", level=logging.WARNING, error=RecordRejected("no"), reason="rejected")
    assert "i_error" not in vars(caplog.records[0])
    assert caplog.records[0].getMessage() == "ended reason=rejected"


def test_an_audit_record_names_fields_and_ids(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "integration.audit"):
        audit("accounts", "update", "001", ["AddressCity", "OrganizationName"], company="usmf")
    record = vars(caplog.records[0])
    assert (record["i_fields"], record["i_company"]) == ("AddressCity,OrganizationName", "usmf")


def test_metrics_cost_nothing_without_an_exporter() -> None:
    record_outcome("accounts", "synced", "changed", 1.5)
    record_call("d365", "POST $batch", None, 0.2)
    record_events("salesforce", "accepted", 3)
    record_events("salesforce", "ignored", 0)
    record_budget("salesforce", 90, 100)
    cut_urls()
    with span("work", key="001"):
        assert trace_parent() is None


def test_values_without_end_become_one_value() -> None:
    """A server that invents codes must not make a metric grow for ever."""
    few = _Few(3)
    assert [few(value) for value in ("a", "b", "a", "c", "d", "e", "a")] == [
        "a", "b", "a", "c", OTHER, OTHER, "a",
    ]  # fmt: skip
