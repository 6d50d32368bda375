"""Timer triggers of the Functions host: schedule, start, overlap, past due and runs by hand."""

from __future__ import annotations

import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.functions.timers import Schedule, ScheduleError
from tests.contract.functions_apps.host_process import APPS, HostProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS = {"EVERY_SECOND": "*/1 * * * * *", "AzureWebJobs.switched_off.Disabled": "true"}


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)


def test_timers_run_on_schedule_at_start_and_by_hand(tmp_path: Path) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    status = {"Last": "x", "LastUpdated": "x", "Next": yesterday.isoformat()}
    (tmp_path / "timer-nightly.json").write_text(json.dumps(status), encoding="utf-8")
    with HostProcess(APPS / "timers", SETTINGS, "--state-directory", str(tmp_path)) as host:

        def runs(name: str) -> list[dict[str, Any]]:
            return [r for r in host.client.get("/api/runs").json() if r["name"] == name]

        wait_for(lambda: len(runs("each_second")) >= 2 and len(runs("overrunning")) >= 2)
        assert host.run_by_hand("nightly").status_code == 202
        assert host.run_by_hand("nightly").status_code == 202
        assert host.run_by_hand("failing").status_code == 202
        assert host.run_by_hand("unknown").status_code == 404
        assert host.run_by_hand("show").status_code == 400
        wait_for(lambda: sum(bool(r["ended"]) for r in runs("nightly")) == 3)

        starts = [r["started"] for r in runs("each_second")]
        assert all(int(a) < int(b) for a, b in itertools.pairwise(starts)), "once a second"

        # Neither the schedule nor two calls by hand make a timer overlap itself.
        for name in ("overrunning", "nightly"):
            found = [r for r in runs(name) if r["ended"]]
            assert all(a["ended"] <= b["started"] for a, b in itertools.pairwise(found))

        # The saved status says that nightly was missed; a second start is not past due again.
        assert [r["past_due"] for r in runs("nightly")] == [True, False, False]
        assert runs("nightly")[0]["schedule"] == {"AdjustForDST": True}
        saved = json.loads((tmp_path / "timer-nightly.json").read_text(encoding="utf-8"))
        assert datetime.fromisoformat(saved["Next"]) > datetime.now(UTC)

        assert [r["past_due"] for r in runs("at_start")] == [False]
        # A disabled function has no schedule but runs by hand.
        assert runs("switched_off") == []
        assert host.run_by_hand("switched_off").status_code == 202
        wait_for(lambda: len(runs("switched_off")) == 1)
        counts = host.status()["invocations"]["failing"]
        assert counts == {"running": 0, "succeeded": 0, "failed": 1}
        assert host.status()["errors"] == {"switched_off": "disabled"}
    assert any("the timer failed" in line for line in host.stderr)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("30 */5 * * * *", "2026-01-01T00:00:00", "2026-01-01T00:00:30"),
        ("30 */5 * * * *", "2026-01-01T00:00:30", "2026-01-01T00:05:30"),
        ("*/5 * * * *", "2026-01-01T00:01:00", "2026-01-01T00:05:00"),
        ("0 0 3 * * *", "2026-01-01T03:00:00.5", "2026-01-02T03:00:00"),
        ("0 0 9 * * MON-FRI", "2026-01-02T10:00:00", "2026-01-05T09:00:00"),
        # Both day fields must hold: Friday the 13th.
        ("0 0 0 13 * FRI", "2026-01-01T00:00:00", "2026-02-13T00:00:00"),
        ("00:15:00", "2026-01-01T00:01:00", "2026-01-01T00:16:00"),
    ],
)
def test_schedule_has_seconds_first(expression: str, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert Schedule(expression).after(moment) == datetime.fromisoformat(expected + "+00:00")


@pytest.mark.parametrize("expression", ["", "* * *", "61 * * * * *", "every day"])
def test_invalid_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ScheduleError):
        Schedule(expression)
