"""`make bench`: prints the table and writes it to docs/benchmarks.md.

Ends with 1 when a promise is missed. The promises are ratios and counts of one run, never seconds.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.table import Table

from bench import accounts, imports, invoices, orders, payments, webhook
from sandbox.stack import PROJECT

if TYPE_CHECKING:
    from bench.result import Row

# Each in its own sandbox, one after the other.
MEASURED = (accounts.rows, orders.rows, invoices.rows, payments.rows, webhook.rows)


async def _measure() -> list[Row]:
    return [row for rows in MEASURED for row in await rows()]


def main() -> int:
    rows = [*asyncio.run(_measure()), *imports.rows()]
    _show(rows)
    (PROJECT / "docs" / "benchmarks.md").write_text(_page(rows), encoding="utf-8")
    return 0 if all(row.kept for row in rows) else 1


def _show(rows: list[Row]) -> None:
    table = Table(title="Benchmarks")
    for heading in ("what", "app", "naive way", "promise", "kept"):
        table.add_column(heading)
    for row in rows:
        table.add_row(row.what, row.app, row.naive, row.promise, row.verdict)
    Console(width=110).print(table)


def _page(rows: list[Row]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Both ways run against the same local stand-ins in the same run, with",
        f"{accounts.PER_CALL_MS} ms per call plus {accounts.PER_OPERATION_MS} ms per operation inside a"
        " $batch or Collections call.",
        "The naive way makes one read, one lookup, one write and one write-back per account; it is",
        f"measured on {accounts.NAIVE_SAMPLE} accounts and scaled. What counts are the calls and the"
        " ratios; seconds depend on the",
        "machine. The app's time includes its cold start and opening its connections.",
        "",
        f"Machine: {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB,"
        f" {platform.system()} {platform.machine()}, Python {platform.python_version()},"
        f" {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "| What | App | Naive way | Promise | Kept |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(f"| {row.what} | {row.app} | {row.naive} | {row.promise} | {row.verdict} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
