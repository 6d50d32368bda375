"""docs/benchmarks.md: one section for each of the commands that write it, so that none loses the other's."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.table import Table

from sandbox.stack import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.result import Row

PAGE = PROJECT / "docs" / "benchmarks.md"
SECTIONS = ("Every day", "Volume")  # in this order
_HEADINGS = ("what", "app", "beside it", "promise", "kept")


def show(title: str, rows: Sequence[Row]) -> None:
    table = Table(title=title)
    for heading in _HEADINGS:
        table.add_column(heading)
    for row in rows:
        table.add_row(row.what, row.app, row.naive, row.promise, row.verdict)
    Console(width=150).print(table)


def write(heading: str, introduction: str, rows: Sequence[Row], path: Path = PAGE) -> None:
    """Puts a section in the place of the one with this heading, and leaves the others alone."""
    known = _sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[heading] = "\n".join([introduction, _machine(), "", *_table(rows), ""])
    parts = [f"## {name}\n\n{known[name]}" for name in SECTIONS if name in known]
    path.write_text("# Benchmarks\n\n" + "\n".join(parts), encoding="utf-8")


def _sections(text: str) -> dict[str, str]:
    _, *parts = re.split(r"^## (.+)\n\n", text, flags=re.MULTILINE)
    return {name: body.rstrip("\n") + "\n" for name, body in zip(*[iter(parts)] * 2, strict=True)}


def _machine() -> str:
    return (
        f"Machine: {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB,"
        f" {platform.system()} {platform.machine()}, Python {platform.python_version()},"
        f" {datetime.now(UTC):%Y-%m-%d}."
    )


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [f"| {' | '.join(name.capitalize() for name in _HEADINGS)} |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row.what} | {row.app} | {row.naive} | {row.promise} | {row.verdict} |")
    return lines
