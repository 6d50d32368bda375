"""docs/observability.md lists what the app really emits."""

from __future__ import annotations

import re
from pathlib import Path

from tests.contract.infra_telemetry import emitted

PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table with this first column, without its head."""
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def words(cell: str) -> set[str]:
    return set(re.findall(r"`([\w.-]+)`", cell))


def test_every_metric_is_listed_with_its_dimensions() -> None:
    listed = {
        metric: words(dimensions)
        for metrics, dimensions, _ in rows("Metric")
        for metric in words(metrics)
    }
    assert listed == emitted().metrics


def test_every_outcome_is_explained() -> None:
    listed = {outcome for outcomes, _ in rows("Outcome") for outcome in words(outcomes)}
    assert listed == emitted().outcomes - {"job-running"}


def test_every_log_line_that_is_named_exists() -> None:
    named = {"synced", "skipped", "retry later", "ended", "job started", "job ended"}
    assert all(f"`{line}`" in PAGE for line in named)
    assert named <= emitted().messages
    assert {word for word in words(PAGE) if word.startswith("i_")} <= emitted().ids | {"i_key"}
