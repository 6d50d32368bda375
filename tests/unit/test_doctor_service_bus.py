"""What the properties of queues and the dead letters mean to `doctor`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integration.cli.checks.service_bus_judging import (
    QUEUES,
    judge_dead_letters,
    judge_left_behind,
    judge_queue,
)
from sandbox import topology
from tests.unit.doctor_support import only

RIGHT = {
    "requires_session": True,
    "requires_duplicate_detection": True,
    "duplicate_detection_history_time_window": timedelta(minutes=10),
    "enable_partitioning": False,
    "max_delivery_count": 10,
    "forward_dead_lettered_messages_to": "https://ns.servicebus.windows.net/dead-letter",
    "default_message_time_to_live": timedelta.max,
    "status": "Active",
}


def test_the_queues_are_those_of_the_infrastructure() -> None:
    made = {each.name: asdict(each) for each in topology.queues()}
    assert {name: asdict(need) for name, need in QUEUES.items()} == {
        name: {
            "sessions": each["requires_session"],
            "duplicates": each["duplicate_detection_window"],
            "deliveries": each["max_delivery_count"],
            "forwards": each["forward_dead_letters_to"] is not None,
        }
        for name, each in made.items()
    }


def test_a_right_queue_needs_no_row() -> None:
    assert judge_queue("changes", RIGHT) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"requires_session": False}, "has no sessions"),
        ({"requires_duplicate_detection": False}, "detects no duplicates"),
        ({"enable_partitioning": True}, "is partitioned, which breaks the order"),
        ({"max_delivery_count": 3}, "gives up after 3 deliveries"),
        ({"forward_dead_lettered_messages_to": None}, "does not forward its dead letters"),
        ({"forward_dead_lettered_messages_to": "sb://ns/other"}, "does not forward"),
        ({"default_message_time_to_live": timedelta(days=14)}, "lets messages expire after 14"),
        ({"status": "EntityStatus.RECEIVE_DISABLED"}, "is EntityStatus.RECEIVE_DISABLED"),
        (
            {"duplicate_detection_history_time_window": timedelta(minutes=1)},
            "remembers message ids for less than 0:10:00",
        ),
    ],
)
def test_a_property_that_differs_is_told(change: dict[str, Any], found: str) -> None:
    row = only(judge_queue("changes", {**RIGHT, **change}))
    assert row.status == "failed"
    assert found in row.found


def test_what_cannot_be_changed_later_has_a_row_of_its_own() -> None:
    wrong = {**RIGHT, "requires_session": False, "max_delivery_count": 3}
    rows = judge_queue("changes", wrong)
    assert ["cannot be changed" in row.advice for row in rows] == [True, False]


def test_a_plain_queue_must_not_demand_sessions_nor_drop_duplicates() -> None:
    assert only(judge_queue("jobs", RIGHT)).found == "demands sessions, detects duplicates"


def test_the_end_of_the_line_must_not_forward() -> None:
    end = {
        **RIGHT,
        "requires_session": False,
        "duplicate_detection_history_time_window": timedelta(days=1),
        "max_delivery_count": 2000,
    }
    assert only(judge_queue("dead-letter", end)).found.startswith("forwards its own dead letters")


def test_dead_letters_are_counted_by_kind() -> None:
    day = datetime(2026, 11, 3, 7, 5, tzinfo=UTC)
    letters = [("failed", day), ("review", day + timedelta(days=1)), ("failed", None)]
    row = judge_dead_letters(letters, 1000)
    assert (row.status, row.found) == (
        "warning",
        "3 wait: 2 failed, 1 review, the oldest of 2026-11-03 07:05 UTC",
    )
    assert judge_dead_letters([], 1000).status == "ok"
    assert judge_dead_letters([("", None)] * 5, 5).found == "5 or more wait: 5 unknown"


def test_messages_that_the_broker_gave_up_are_told() -> None:
    row = judge_left_behind({"changes": 0, "jobs": 2}, [])
    assert (row.status, row.found) == ("warning", "the broker gave up messages: 2 in jobs")
    assert judge_left_behind({"changes": 0}, ["jobs"]).found == "none; not shown to you: jobs"
