"""What a cold start pays for `import function_app`, beside the three packages nobody can do without."""

from __future__ import annotations

import statistics
import subprocess
import sys

from bench.result import Row
from sandbox.stack import PROJECT

APP = "import function_app"
PACKAGES = "import azure.functions, httpx, pydantic"
_TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


def rows() -> list[Row]:
    own, packages = measure()
    return [
        Row(
            "import function_app",
            f"{own * 1000:.0f} ms",
            f"{packages * 1000:.0f} ms for azure.functions, httpx, pydantic",
            "≤ 2 times",
            own <= 2 * packages,
        )
    ]


def measure(rounds: int = 7) -> tuple[float, float]:
    """(app, packages): median seconds, measured in turn so that both meet the same machine."""
    samples: dict[str, list[float]] = {APP: [], PACKAGES: []}
    for number in range(rounds + 1):
        for statement, times in samples.items():
            done = subprocess.run(
                [sys.executable, "-c", _TIMED.format(statement)],
                cwd=PROJECT,
                capture_output=True,
                text=True,
                check=True,
            )
            if number:  # the first round fills the disk cache
                times.append(float(done.stdout))
    return statistics.median(samples[APP]), statistics.median(samples[PACKAGES])
