"""The timer starts one job, wakes stranded ones, and respects the switch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from integration import wiring
from integration.jobs.kinds import PAYMENTS
from integration.triggers import timers as trigger
from tests.unit.account_support import settings_of
from tests.unit.trigger_support import MemoryQueues, app_with


class Jobs:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def re_arm(self) -> int:
        self.calls.append("re-arm")
        return 0

    async def start(self, kind: str, params: dict[str, Any]) -> str | None:
        self.calls.append((kind, params))
        return "id" if len(self.calls) < 3 else None


@pytest.mark.parametrize(
    ("switch", "calls"),
    [
        ("on", ["re-arm", (PAYMENTS, {})]),
        ("dry", ["re-arm", (PAYMENTS, {})]),
        ("off", ["re-arm"]),
    ],
)
async def test_the_timer_starts_the_job_unless_it_is_switched_off(
    switch: str, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs()
    app = app_with(settings_of(FLOW_PAYMENTS=switch), MemoryQueues(), jobs=jobs)
    monkeypatch.setattr(wiring, "_app", app)
    await trigger.sync_payments(SimpleNamespace(past_due=False))
    assert jobs.calls == calls
