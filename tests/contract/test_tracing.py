"""What the telemetry of the app really holds, recorded in memory while records go through the real triggers.

See `tracing_run` for the records. What an exporter would send is compared with what it must hold, and with
what it must not.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from itertools import groupby
from typing import Any
from urllib.parse import unquote_plus

import pytest

from integration.flows.policies import ENDS
from integration.jobs import kinds
from tests.contract.infra_support import PROJECT
from tests.contract.infra_telemetry import emitted

OWN, HTTP = "integration", "opentelemetry.instrumentation.httpx"
JOBS = {value for name, value in vars(kinds).items() if name.isupper()}
_ID = re.compile(r"[0-9a-zA-Z]{15,}|\d{4,}")  # of Salesforce, of F&O, of a trace


@cache
def recorded() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.contract.tracing_run"],
        cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def spans(*, trace: str | None = None, **attributes: str) -> list[dict[str, Any]]:
    """The app's own and those of its HTTP calls."""
    wanted = {f"integration.{name}": value for name, value in attributes.items()}
    return [
        span
        for span in recorded()["spans"]
        if span["scope"] in (OWN, HTTP)
        and trace in (None, span["trace"])
        and wanted.items() <= span["attributes"].items()
    ]


def named(name: str, **wanted: str) -> list[dict[str, Any]]:
    return [span for span in spans(**wanted) if span["name"] == name]


def full_id(span: dict[str, Any]) -> str:
    return f"{span['trace']}-{span['id']}"


def chain(span: dict[str, Any]) -> list[str]:
    """Names from the span up to the first one of its trace."""
    by_id = {each["id"]: each for each in recorded()["spans"]}
    names = []
    while span is not None:
        names.append(span["name"])
        span = by_id.get(span["parent"])
    return names


def metric(name: str, **attributes: str) -> float:
    """The sum, or the number of recorded values, over all points with these attributes."""
    points = [
        point
        for point in recorded()["metrics"]
        if point["name"] == name and attributes.items() <= point["attributes"].items()
    ]
    return sum(point.get("value", point.get("count", 0)) for point in points)


# One trace


def test_an_account_is_one_trace_from_the_webhook_to_both_systems() -> None:
    account = recorded()["account"]
    mine = spans(trace=account["trace"])
    assert len(named("accept salesforce events", trace=account["trace"])) == 1
    calls = [span for span in mine if span["scope"] == HTTP]
    for url in recorded()["hosts"].values():
        assert any(span["attributes"]["http.url"].startswith(url) for span in calls), url
    assert chain(calls[-1])[1:] == [
        "converge accounts",
        "batch accounts",
        "handle accounts",
        "accept salesforce events",
    ]


def test_every_call_for_the_account_is_in_its_trace_alone() -> None:
    account = recorded()["account"]
    mine = named("handle accounts", key=account["key"])
    assert {span["trace"] for span in mine} == {account["trace"]}


def test_a_scheduled_repeat_goes_on_with_the_trace() -> None:
    account = recorded()["account"]
    first, *others = named("handle accounts", key=account["key"], trace=account["trace"])
    assert first["attributes"]["integration.outcome"] == "Failed"
    assert others[-1]["attributes"]["integration.outcome"] == "Synced"
    writes = [
        span
        for span in spans(trace=account["trace"])
        if span["scope"] == HTTP and span["attributes"]["http.url"].endswith("$batch")
    ]
    assert len(writes) == 1


def test_a_delivery_is_linked_with_the_function_that_the_host_ran_it_in() -> None:
    for span in named("handle accounts"):
        links = [link for link in span["links"] if not link.startswith(span["trace"])]
        assert links, full_id(span)


def test_records_that_share_a_batch_are_linked_with_it_both_ways() -> None:
    several = recorded()["several"]
    [batch] = [span for span in named("batch accounts") if span["trace"] in several]
    handled = {full_id(s): s for s in named("handle accounts") if s["trace"] in several}
    [first] = [each for each, span in handled.items() if span["id"] == batch["parent"]]
    assert len(handled) == len(several) > 2
    assert set(batch["links"]) == handled.keys() - {first}
    assert all(full_id(batch) in handled[each]["links"] for each in batch["links"])


def test_an_event_that_another_one_spoke_for_is_linked_with_its_batch() -> None:
    one, other = recorded()["twice"]
    [first] = named("handle accounts", trace=one)
    [second] = named("handle accounts", trace=other)
    batches = {full_id(span): span for span in named("batch accounts")}
    [shared] = [
        batch for batch in batches.values() if batch["parent"] in (first["id"], second["id"])
    ]
    linked = second if shared["parent"] == first["id"] else first
    assert full_id(linked) in shared["links"]
    assert full_id(shared) in linked["links"]


def test_a_hint_keeps_its_trace_when_it_moves_to_another_bucket() -> None:
    moved = recorded()["moved"]
    handled = named("handle contacts", key=moved["key"])
    outcomes = [span["attributes"]["integration.outcome"] for span in handled]
    assert outcomes[0] == "Moved"
    assert outcomes[-1] == "Synced"
    assert {span["trace"] for span in handled} == {moved["trace"]}


def test_a_dead_letter_that_is_sent_again_goes_on_with_its_trace() -> None:
    order = recorded()["order"]
    handled = named("handle orders", key=order["key"])
    assert len(handled) == 2
    assert {span["trace"] for span in handled} == {order["trace"]}


def test_every_step_of_a_job_names_the_job() -> None:
    steps = named("job payments step")
    assert len({span["attributes"]["integration.job"] for span in steps}) == 1
    assert [int(span["attributes"]["integration.step"]) for span in steps] == list(
        range(len(steps))
    )
    calls = [span for span in spans() if span["parent"] in {step["id"] for step in steps}]
    assert {span["scope"] for span in calls} == {HTTP}


def test_log_lines_stand_in_the_trace_of_their_record() -> None:
    lines = [
        line for line in recorded()["logs"] if line.get("i_key") == recorded()["account"]["key"]
    ]
    assert {"retry later", "synced"} <= {line["message"].partition(" flow=")[0] for line in lines}
    assert {line["trace"] for line in lines} == {recorded()["account"]["trace"]}


# Metrics


def test_a_failed_order_is_counted_with_its_outcome_its_reason_and_how_long_it_took() -> None:
    review = {"flow": "orders", "outcome": "review"}
    assert metric("integration.outcomes", reason="unknown-items", **review) == 2  # and its replay
    assert metric("integration.latency", **review) == 2
    assert metric("integration.outcomes", flow="orders") == 2
    assert metric("integration.api_calls", system="salesforce", operation="update Opportunity") > 0
    assert metric("integration.api_calls", system="d365", status=503) == 3
    assert metric("integration.api_call_duration", system="d365") == metric(
        "integration.api_calls", system="d365"
    )


def test_waiting_for_a_whole_system_is_told_from_the_failure_of_a_record() -> None:
    assert metric("integration.outcomes", outcome="waits", reason="unreachable") > 0
    assert metric("integration.outcomes", outcome="retry") == 0
    assert metric("integration.outcomes", outcome="dead-letter", reason="foreign-key") == 1


def test_what_is_left_of_the_daily_calls_is_what_salesforce_says() -> None:
    [left] = [p for p in recorded()["metrics"] if p["name"] == "integration.api_calls_left"]
    [allowed] = [p for p in recorded()["metrics"] if p["name"] == "integration.api_calls_allowed"]
    made = metric("integration.api_calls", system="salesforce")
    assert left["attributes"] == allowed["attributes"] == {"system": "salesforce"}
    assert 0 < allowed["value"] - left["value"] <= made


def test_every_dimension_of_every_metric_is_bounded() -> None:
    known = emitted()
    bounded: dict[str, set[Any]] = {
        "flow": {*ENDS, *JOBS, "none"},
        "outcome": known.outcomes,
        "reason": known.constants,
        "result": known.beside["record_events"],
        "source": known.beside["record_events"],
        "system": {"salesforce", "d365"},
        "alarm": known.beside["record_alarm"],
        "status": {0, *range(100, 600)},
    }
    words = {word for text in known.constants for word in text.split()}
    points = [point for point in recorded()["metrics"] if point["meter"] == OWN]
    assert {point["name"] for point in points} >= {
        "integration.outcomes", "integration.latency", "integration.api_calls",
        "integration.api_call_duration", "integration.api_calls_left", "integration.events",
    }  # fmt: skip
    for point in points:
        for name, value in point["attributes"].items():
            if name == "operation":  # a verb and what the code names
                assert set(value.split()) <= words, point
            else:
                assert value in bounded[name], point


def test_no_metric_of_a_library_holds_an_id_either() -> None:
    for point in recorded()["metrics"]:
        if point["meter"] != OWN:
            values = (value for value in point["attributes"].values() if isinstance(value, str))
            assert not any(_ID.search(value) for value in values), point


# What must not be in it


def places() -> dict[str, str]:
    return {
        "spans": json.dumps(recorded()["spans"], ensure_ascii=False),
        "metrics": json.dumps(recorded()["metrics"], ensure_ascii=False),
        "logs": json.dumps(recorded()["logs"], ensure_ascii=False),
    }


@pytest.mark.parametrize("place", ["spans", "metrics", "logs"])
def test_no_personal_data_and_no_secret_is_anywhere(place: str) -> None:
    written = places()[place].lower()
    for text in (written, unquote_plus(written)):  # as a URL would hold it, too
        for value in recorded()["private"] + recorded()["secret"]:
            found = text.find(value.lower())
            assert found < 0, text[max(0, found - 200) : found + 100]


def test_the_records_of_this_run_are_there_by_their_ids() -> None:
    """So that the test above looks at the right thing."""
    for place, text in places().items():
        assert (recorded()["order"]["key"] in text) == (place != "metrics"), place
    assert "foreign-key" in places()["logs"]


def test_every_url_of_a_call_ends_before_its_query() -> None:
    urls = [span["attributes"]["http.url"] for span in spans() if span["scope"] == HTTP]
    assert any(url.endswith("/data/ContactPersons") for url in urls)
    assert [url for url in urls if "?" in url] == []


def test_every_write_left_one_audit_line_with_names_of_fields() -> None:
    lines = [line for line in recorded()["logs"] if line["logger"] == "integration.audit"]
    [line] = [
        line
        for line in lines
        if line["i_key"] == recorded()["account"]["key"] and line["i_operation"] == "create"
    ]
    assert {"AddressCity", "OrganizationName"} <= set(line["i_fields"].split(","))
    keyed = sorted((line["i_flow"], line["i_key"], line["i_operation"]) for line in lines)
    assert [key for key, group in groupby(keyed) if len(list(group)) > 2] == []


def test_an_error_is_named_and_never_quoted() -> None:
    [surprise] = named("surprise")
    assert surprise["status"] == "ValueError"
    assert all(span["events"] == [] for span in spans() if span["scope"] == OWN)
