"""What a person on duty reads, whole pages of it: see `golden`."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from integration.jobs.kinds import PAYMENTS, PRICES, RECONCILE
from integration.jobs.state import JobState
from tests.end_to_end.golden import compare
from tests.end_to_end.operator_desk import Operator
from tests.end_to_end.world import new_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
STARTED = datetime(2026, 1, 31, 2, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[World]:
    async with new_world() as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def duty(world: World) -> Operator:
    return Operator(world)


def job(kind: str, number: int, minutes: int, **said: Any) -> JobState:
    """One run of a job, `number` hours into the night."""
    started = STARTED + timedelta(hours=number)
    ended = started + timedelta(minutes=minutes)
    return JobState(
        kind=kind, id=f"{started:%Y%m%dT%H%M%S}-0000000{number}", started_at=started,
        updated_at=ended, due_at=ended, deadline=started + timedelta(days=1), **said,
    )  # fmt: skip


RUNS = (
    job(
        PRICES, 1, 42, status="done", counts={"read": 1_204_117, "prices_changed": 310, "failed": 2},
        failures=(
            {
                "key": "usmf|D0001|Retail|2026-01-01",
                "reason": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
                "description": "the price of 'Lautsprecher' must not be negative",
            },
        ),
    ),
    job(
        RECONCILE, 2, 195, status="failed", counts={"compared": 9_000},
        error={"reason": "job-deadline", "description": "F&O did not answer for three hours"},
    ),
    job(PAYMENTS, 3, 1, status="done"),
)  # fmt: skip


async def test_the_pages_that_a_person_on_duty_reads(world: World, duty: Operator) -> None:
    good = await world.create(Name="Tölzer & Söhne GmbH")
    await world.settled()
    refused = await world.create(Name="Somebody GmbH", BillingCountry="Atlantis")
    await world.settled()
    await world.create(Name="Somebody GmbH", BillingCountry="USA", BillingState="QQ")
    await world.settled()
    await world.change(good, events=False, BillingCity="Lenggries", Phone="")
    for run in RUNS:
        duty.put(f"jobs/{run.kind}/{run.id}.json", json.loads(run.to_bytes()))
    await _noted(world, duty)
    await world.put("salesforce", "quota", {"max": 100_000, "used": 100})
    pages = {
        "status": ["status"],
        "limits": ["limits"],
        "jobs": ["jobs"],
        "job-with-failed-rows": ["jobs", RUNS[0].id],
        "dead-letters-list": ["dead-letters", "list"],
        "dead-letters-list-all": ["dead-letters", "list", "--all"],
        "dead-letters-show": ["dead-letters", "show", "2"],
        "dead-letters-show-values": ["dead-letters", "show", "2", "--show-values"],
        "sync-dry-run": ["sync", "account", good, "--dry-run"],
        "sync-dry-run-values": [
            "sync", "account", good, "--dry-run", "--show-values", "--all-fields",
        ],
        "sync-dry-run-refused": ["sync", "account", refused, "--dry-run"],
        "explain-account": ["explain", "account"],
        "explain-opportunity": ["explain", "opportunity"],
    }  # fmt: skip
    said = await duty.together(*([words] for words in pages.values()))
    for name, [each] in zip(pages, said, strict=True):
        assert each.err == "", name
        compare(name, each.out)
    assert {name for name, [each] in zip(pages, said, strict=True) if each.code} == {
        "status", "jobs", "sync-dry-run-refused",
    }  # fmt: skip


async def _noted(world: World, duty: Operator) -> None:
    """The app notes what it did in small documents, a moment later."""
    async with asyncio.timeout(20):
        while True:
            found = await duty.json("status", code=1)
            if found["flows"][0]["handled"] == 3:
                return
            await asyncio.sleep(0.1)
