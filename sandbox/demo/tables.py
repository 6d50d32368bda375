"""The result as tables: the flows, what was kept for a person, and the drift report."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from sandbox.demo.scene import Scene

_REPORT_LINES = 40


def flows(scenes: Sequence[Scene]) -> Table:
    table = Table(title="The flows", box=box.SIMPLE_HEAD, padding=0)
    table.add_column("flow", no_wrap=True, min_width=16)  # the longest title
    table.add_column("trigger", no_wrap=True)
    for heading in (
        "records", "synced", "skipped", "review", "dead\nletter", "ledger", "tried\nagain",
        "calls of\nSF+F&O", "slow-\nest (s)", "right",
    ):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for scene in scenes:
        tally = scene.tally
        counts = (
            tally.records, tally.synced, tally.skipped, tally.review, tally.dead_letters,
            tally.ledger, tally.retried,
        )  # fmt: skip
        table.add_row(
            scene.title,
            scene.trigger,
            *(str(count or "") for count in counts),
            f"{scene.calls['salesforce']}+{scene.calls['d365']}",
            f"{tally.slowest:.1f}",
            "[red]NO[/]" if scene.wrong else "[green]yes[/]",
        )
    return table


def kept(letters: Iterable[dict[str, Any]]) -> Table:
    """One row per record and reason; `times` where it was tried and kept again."""
    table = Table(title="Kept for a person (queue dead-letter)", box=box.SIMPLE_HEAD)
    for heading in ("kind", "record", "reason", "times"):
        table.add_column(heading, no_wrap=True)
    table.add_column("in words", overflow="fold")
    rows: Counter[tuple[str, ...]] = Counter()
    for letter in letters:
        hint = letter["hint"]
        record = f"{hint['object']} {hint['key']}" if hint else "-"
        rows[letter["kind"], record, letter["reason"], letter["description"]] += 1
    for (kind, record, reason, words), times in rows.items():
        table.add_row(kind, record, reason, str(times), escape(words))
    return table


def report(console: Console, text: str) -> None:
    console.print("[bold]The drift report[/]")
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines[:_REPORT_LINES]:
        console.print(f"  {escape(line)}", highlight=False)
    if len(lines) > _REPORT_LINES:
        console.print(f"  … {len(lines) - _REPORT_LINES} more lines")
