"""The command line: what a person reads when something is wrong, and the timer."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from integration import wiring
from integration.cli.main import main
from integration.errors import Throttled, Unreachable
from integration.jobs.state import JobState
from integration.jobs.store import JobStore
from integration.triggers import timers
from tests.unit.account_support import settings_of
from tests.unit.state_support import MemoryStore
from tests.unit.trigger_support import MemoryQueues, app_with


class Jobs:
    """Those that run already, or the answer to a start, are in the store."""

    def __init__(self, answer: str | None = "run-1", error: Exception | None = None) -> None:
        self.started: list[tuple[str, dict[str, Any]]] = []
        self.answer, self.error = answer, error
        self.store = JobStore(MemoryStore())

    async def re_arm(self) -> int:
        return 0

    async def start(self, kind: str, params: dict[str, Any]) -> str | None:
        if self.error:
            raise self.error
        self.started.append((kind, params))
        now = datetime.now(UTC)
        await self.store.open(
            JobState(
                kind=kind,
                id=self.answer or "run-0",
                started_at=now,
                updated_at=now,
                due_at=now,
                deadline=now,
            )
        )
        return self.answer


def use(monkeypatch: pytest.MonkeyPatch, jobs: Jobs) -> None:
    app = app_with(settings_of(), MemoryQueues(), jobs=jobs)

    async def close() -> None:
        return

    stand_in = SimpleNamespace(
        jobs=app.jobs, close=close, state=MemoryStore(), settings=app.settings
    )

    async def build() -> Any:
        return stand_in

    monkeypatch.setattr(wiring, "build_app", build)
    monkeypatch.setattr(wiring, "_app", app)


@pytest.mark.parametrize(("arguments", "params"), [([], {}), (["--full"], {"full": True})])
def test_the_command_starts_the_job(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], params: dict[str, Any]
) -> None:
    jobs = Jobs()
    use(monkeypatch, jobs)
    assert main(["reconcile", *arguments]) == 0
    assert jobs.started == [("reconcile", params)]


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        (Jobs(None), "runs already"),
        (Jobs(error=Unreachable("blob gone", system="storage")), "storage: blob gone"),
        (Jobs(error=Throttled("slow down", system="d365")), "wait a few minutes"),
        (Jobs(error=KeyError("secret value")), "unexpected KeyError"),
    ],
)
def test_a_failure_is_a_sentence_with_a_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], jobs: Jobs, words: str
) -> None:
    use(monkeypatch, jobs)
    assert main(["reconcile"]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "next: " in error
    assert "Traceback" not in error
    assert "secret value" not in error


def test_debug_shows_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Jobs(error=KeyError("x")))
    with pytest.raises(KeyError):
        main(["--debug", "reconcile"])


@pytest.mark.parametrize("text", [None, "{}", "nonsense"])
def test_a_settings_file_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "local.settings.json"
    if text is not None:
        path.write_text(text)
    assert main(["--settings", str(path), "reconcile"]) == 2
    assert "next: name a local.settings.json" in capsys.readouterr().err


def test_proposals_never_overwrite_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "match.csv"
    path.write_text("decisions")
    assert main(["match", "accounts", "--output", str(path)]) == 1
    assert "--output" in capsys.readouterr().err
    assert path.read_text() == "decisions"


@pytest.mark.parametrize("answer", ["run-1", None])
async def test_the_timer_starts_a_run_unless_one_is_at_work(
    monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    jobs = Jobs(answer)
    use(monkeypatch, jobs)
    timer: Any = SimpleNamespace(past_due=False)
    await timers.reconcile._function._func(timer)
    assert jobs.started == [("reconcile", {})]
