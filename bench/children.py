"""Measurements that need a process of their own: a module of this package that prints one line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from bench.memory import PeakMemory
from sandbox.stack import PROJECT


@dataclass(frozen=True)
class Child:
    """`answer` is what it printed, `peak` its largest resident memory in MB."""

    answer: dict[str, Any]
    seconds: float
    peak: float


async def run_child(module: str, *arguments: str, given: Any = None) -> Child:
    """`given` goes to its standard input as JSON. Raises RuntimeError where it fails."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"bench.{module}",
        *arguments,
        cwd=PROJECT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    with PeakMemory(process.pid) as peak:
        out, errors = await process.communicate(json.dumps(given).encode())
    if process.returncode:
        raise RuntimeError(f"{module}: {errors.decode()[-2000:]}")
    return Child(json.loads(out), time.monotonic() - started, peak.megabytes)
