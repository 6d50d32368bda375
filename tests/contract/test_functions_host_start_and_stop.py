"""Start errors (the worker's own index errors) and what SIGTERM and SIGKILL do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.contract.functions_apps.host_process import APPS, REPOSITORY, HostProcess

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

HEAD = """
import typing
import azure.functions as func
app = func.FunctionApp()
QUEUE = {"arg_name": "m", "connection": "ServiceBus", "queue_name": "q"}
"""


def start_broken(project: Path, code: str, host_json: str = '{"version": "2.0"}') -> str:
    """The text a host writes that cannot start."""
    (project / "host.json").write_text(host_json, encoding="utf-8")
    (project / "function_app.py").write_text(HEAD + textwrap.dedent(code), encoding="utf-8")
    command = [sys.executable, "-m", "sandbox.functions", "--project", str(project), "--ready-json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize(
    ("code", "text"),
    [
        pytest.param("import no_such_module", "No module named 'no_such_module'", id="import"),
        pytest.param(
            """
            @app.service_bus_queue_trigger(**QUEUE, cardinality="many")
            async def f(m: list[func.ServiceBusMessage]) -> None: ...
            """,
            "invalid non-type annotation",
            id="builtin list",
        ),
        pytest.param(
            """
            @app.service_bus_queue_trigger(**QUEUE)
            async def f(m: func.ServiceBusMessage, extra: int = 1) -> None: ...
            """,
            "declared in Python",
            id="parameter without a binding",
        ),
        pytest.param("application = app", "More than one", id="second name for the app"),
    ],
)
def test_app_that_cannot_be_indexed_fails_with_its_own_error(
    tmp_path: Path, code: str, text: str
) -> None:
    assert text in start_broken(tmp_path, code)


@pytest.mark.parametrize(
    ("host_json", "text"),
    [
        ("{", "host.json is not JSON"),
        (
            json.dumps(
                {"version": "2.0", "extensions": {"serviceBus": {"maxConcurrentSessions": "x"}}}
            ),
            "maxConcurrentSessions must be a whole number",
        ),
    ],
)
def test_bad_host_json_is_reported(tmp_path: Path, host_json: str, text: str) -> None:
    assert text in start_broken(tmp_path, "", host_json)


def test_sigterm_lets_a_running_request_finish() -> None:
    with HostProcess(APPS / "http", {}) as host:
        answers: list[httpx.Response] = []
        caller = threading.Thread(target=lambda: answers.append(host.client.get("/api/slow")))
        caller.start()
        while not host.status()["invocations"].get("slow", {}).get("running"):
            time.sleep(0.02)
        host.process.send_signal(signal.SIGTERM)
        caller.join()
        assert host.process.wait(timeout=10) == 0
    assert answers[0].text == "finished"


def test_drain_time_is_bounded() -> None:
    with HostProcess(
        APPS / "timers", {"EVERY_SECOND": "0 0 1 1 1 *"}, "--drain-seconds", "0.2"
    ) as host:
        while not host.status()["invocations"].get("overrunning", {}).get("running"):
            time.sleep(0.02)
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(timeout=10) == 3
