"""`python -m sandbox demo` as a newcomer runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(240)
def test_the_demo_is_right_and_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "demo"],
        cwd=PROJECT, capture_output=True, text=True, timeout=220, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RIGHT" in done.stdout
    assert "WRONG" not in done.stdout
