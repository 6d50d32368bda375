"""`python -m sandbox demo` as a newcomer runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.demo import run_demo
from sandbox.demo.prices import PriceScene
from sandbox.demo.run import SCENES

if TYPE_CHECKING:
    from sandbox.demo.scene import Scene

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(240)
def test_the_demo_is_right_and_says_so_for_every_flow() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "demo"],
        cwd=PROJECT, capture_output=True, text=True, timeout=220, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RIGHT" in done.stdout
    assert "WRONG" not in done.stdout
    lines = done.stdout.splitlines()
    for scene in SCENES:
        rows = [line for line in lines if line.strip().startswith(scene.title) and "yes" in line]
        assert len(rows) == 1, scene.title


class Tampered(PriceScene):
    """Somebody changes one price after it came."""

    async def run(self) -> None:
        await super().run()
        [entry, *_] = await self.stage.rows("salesforce", "PricebookEntry")
        await self.stage.update("PricebookEntry", entry["Id"], UnitPrice=0.07)


class Broken(PriceScene):
    title = "broken"

    async def run(self) -> None:
        await super().run()
        raise LookupError("nothing left to drive")


@pytest.mark.parametrize(
    ("scene", "says"),
    [(Tampered, "UnitPrice is 0.07, should be"), (Broken, "nothing left to drive")],
)
async def test_a_single_wrong_field_or_broken_scene_makes_the_demo_fail(
    scene: type[Scene], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run_demo(seed=7, verbose=False, scenes=[scene]) == 1
    out = capsys.readouterr().out
    assert "WRONG: 1 differences" in out
    assert says in out
    assert "RIGHT" not in out
