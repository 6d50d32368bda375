"""What a cold start pays for `import function_app`, beside the three packages nobody can do without.

In Azure the worker sets the exporter of Azure Monitor up before it loads the app (Azure contract 4). That
is measured too, by the worker's own function: its time is the platform's, the app's import comes after it.
No connection is made: every attempt is refused inside the process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import NamedTuple

from bench.result import Row
from sandbox.stack import PROJECT

APP = "import function_app"
PACKAGES = "import azure.functions, httpx, pydantic"
_TIMED = "t = time.perf_counter(); {}; print(time.perf_counter() - t)"
_OFF = "import time\n"
# The exporter's threads would call its end point, the sign-in service and Microsoft's own statistics.
OFFLINE = """\
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError("no connections here")
sys.addaudithook(refuse)
"""
_ON = f"""{OFFLINE}
import os, time
import azure_functions_runtime.handle_event
from azure_functions_runtime.otel import initialize_azure_monitor, otel_manager
t = time.perf_counter(); initialize_azure_monitor(); print(time.perf_counter() - t)
assert otel_manager.get_azure_monitor_available()
"""
_LEAVE = "\nsys.stdout.flush(); os._exit(0)"  # without a last try of the exporter to send
TELEMETRY = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=00000000-0000-0000-0000-000000000000;"
    "IngestionEndpoint=https://127.0.0.1:9/;LiveEndpoint=https://127.0.0.1:9/",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "ClientId=identity;Authorization=AAD",
    "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME": "integration",
    "OTEL_TRACES_SAMPLER": "microsoft.fixed_percentage",
    "OTEL_TRACES_SAMPLER_ARG": "1.0",
}
_LIMIT = 2


class Start(NamedTuple):
    """Median seconds."""

    app: float
    packages: float
    setup: float  # of the exporter
    app_after: float  # the app's import after it


def rows() -> list[Row]:
    start = measure()
    beside = f"{start.packages * 1000:.0f} ms for azure.functions, httpx, pydantic"
    promise = f"≤ {_LIMIT} times"
    return [
        Row("import function_app", _ms(start.app), beside, promise, _kept(start.app, start)),
        Row(
            "the same in the worker, after it has set up telemetry",
            _ms(start.app_after),
            f"{beside}; {_ms(start.setup)} for the worker's own set-up",
            promise,
            _kept(start.app_after, start),
        ),
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _kept(seconds: float, start: Start) -> bool:
    return seconds <= _LIMIT * start.packages


def measure(rounds: int = 7) -> Start:
    """Measured in turn, so that all meet the same machine."""
    programs = {
        "app": _OFF + _TIMED.format(APP),
        "packages": _OFF + _TIMED.format(PACKAGES),
        "telemetry": _ON + _TIMED.format(APP) + _LEAVE,
    }
    samples: dict[str, list[list[float]]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            times = _run(program, TELEMETRY if name == "telemetry" else {})
            if number:  # the first round fills the disk cache
                samples[name].append(times)
    [[app], [packages], [setup, after]] = (
        [statistics.median(column) for column in zip(*times, strict=True)]
        for times in samples.values()
    )
    return Start(app, packages, setup, after)


def _run(program: str, settings: dict[str, str]) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(line) for line in done.stdout.split()]
