"""The lines of the table that all loads have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.result import Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.volume_run import Run

PEAK_GROWTH = 1.15  # times the memory of a tenth of the rows
PEAK_MB = 250
CPU_TIMES = 3  # times the floor


def memory_row(run: Run, tenth: Run, of_tenth: str, *, most: float | None = None) -> Row:
    """`most`: the growth that is promised."""
    growth = run.peak / tenth.peak
    return Row(
        "… peak memory of the app's process",
        f"{run.peak:.0f} MB, {growth:.2f} times that of {of_tenth}",
        promise=(f"≤ {most} times, " if most else "") + f"< {PEAK_MB} MB",
        kept=growth <= (most or growth) and run.peak < PEAK_MB,
    )


def calls_row(what: str, run: Run, most: int) -> Row:
    return run.calls.row(f"{what}: API calls without {run.polls} polls", most)


def cpu_rows(
    run: Run, tenth: Run, apart: Mapping[str, float], floor: float, rows: int
) -> list[Row]:
    """`apart`: CPU seconds that are no part of the comparison with the floor, by name."""
    apart = {
        **apart,
        "waiting for messages": run.waiting,
        "once, whatever the rows": run.once(tenth),
    }
    rest = run.cpu - sum(apart.values())
    named = ", ".join(f"{name} {seconds:.1f}" for name, seconds in apart.items())
    return [
        Row("… CPU of the app", f"{run.cpu:.1f} s: {named}, the rest {rest:.1f}"),
        Row(
            "… that rest, beside the floor",
            f"{rows / rest:,.0f} rows per second of CPU, {rest / floor:.1f} times the floor's CPU",
            f"{rows / floor:,.0f} rows per second of CPU ({floor:.1f} s)",
            f"≤ {CPU_TIMES} times",
            rest <= CPU_TIMES * floor,
        ),
    ]
