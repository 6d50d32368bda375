"""How the checks of `doctor` run: each for itself, in time, and after what it depends on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from integration.cli.checks.check import Check, Probe, failed, ok, run_probes, warning
from integration.cli.checks.clock import judge_clock
from integration.cli.doctor import exit_code
from integration.errors import AuthenticationFailed, ConfigurationError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence


def probe(name: str, *rows: Check, after: tuple[str, ...] = (), **more: object) -> Probe:
    async def work() -> Sequence[Check]:
        return rows

    return Probe("Here", name, work, after, **more)  # type: ignore[arg-type]


def raising(name: str, error: Exception) -> Probe:
    async def work() -> Sequence[Check]:
        raise error

    return Probe("Here", name, work)


async def test_rows_come_in_the_order_of_the_probes_with_their_area() -> None:
    rows = await run_probes([probe("b", ok("b", "1"), ok("c", "2")), probe("a", ok("a", "3"))])
    assert [(row.area, row.name, row.found) for row in rows] == [
        ("Here", "b", "1"),
        ("Here", "c", "2"),
        ("Here", "a", "3"),
    ]


async def test_a_check_after_a_failed_one_is_not_checked_and_neither_is_the_next() -> None:
    first = probe("sign-in", failed("sign-in", "refused", "do"))
    second = probe("fields", ok("fields", "all"), after=("Here sign-in",))
    third = probe("numbers", ok("numbers", "all"), after=("Here fields",))
    rows = await run_probes([first, second, third])
    assert [row.status for row in rows] == ["failed", "not checked", "not checked"]
    assert rows[1].found == "comes after: Here sign-in"


async def test_a_check_after_a_warning_runs() -> None:
    rows = await run_probes(
        [probe("a", warning("a", "low", "do")), probe("b", ok("b", "all"), after=("Here a",))]
    )
    assert rows[1].status == "ok"


async def test_a_check_that_needs_a_wrong_setting_is_not_checked() -> None:
    rows = await run_probes([probe("a", ok("a", "all"), settings=("X", "Y"))], {"Y", "Z"})
    assert (rows[0].status, rows[0].found) == ("not checked", "needs Y")


async def test_trouble_of_one_check_is_its_own_row_and_the_others_go_on() -> None:
    refused = AuthenticationFailed("refused: set the secret", system="salesforce")
    rows = await run_probes(
        [
            raising("a", refused),
            raising("b", Unreachable("no connection", system="d365")),
            raising("c", ConfigurationError(["ONE: wrong", "TWO: wrong"])),
            raising("d", KeyError("a payload")),
            probe("e", ok("e", "all")),
        ]
    )
    assert [(row.name, row.status, row.found) for row in rows] == [
        ("a", "failed", "refused: set the secret"),
        ("b", "failed", "no connection"),
        ("c", "failed", "ONE: wrong"),
        ("c", "failed", "TWO: wrong"),
        ("d", "failed", rows[4].found),
        ("e", "ok", "all"),
    ]
    assert all(row.advice for row in rows if row.status != "ok")
    assert rows[4].found.startswith("unexpected KeyError at test_doctor_checks.py:")


async def test_a_check_without_an_answer_ends_after_its_time_limit() -> None:
    async def hang() -> Sequence[Check]:
        await asyncio.Event().wait()
        return ()

    started = time.monotonic()
    rows = await run_probes([Probe("Here", "a", hang, seconds=0.6), probe("b", ok("b", "all"))])
    assert time.monotonic() - started < 5
    assert [row.status for row in rows] == ["failed", "ok"]
    assert rows[0].found == "no answer within 1 s"


async def test_independent_checks_run_side_by_side() -> None:
    barrier = asyncio.Barrier(3)

    async def meet() -> Sequence[Check]:
        await barrier.wait()
        return [ok("a", "met")]

    rows = await run_probes([Probe("Here", name, meet, seconds=5) for name in "abc"])
    assert [row.found for row in rows] == ["met"] * 3


async def test_a_probe_cannot_wait_for_one_behind_it() -> None:
    with pytest.raises(ValueError, match="Here b"):
        await run_probes([probe("a", after=("Here b",)), probe("b")])


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([("settings", "ok"), ("F&O", "ok")], 0),
        ([("settings", "warning"), ("F&O", "warning"), ("F&O", "not checked")], 0),
        ([("settings", "ok"), ("F&O", "failed")], 1),
        ([("settings", "failed"), ("F&O", "failed")], 2),
    ],
)
def test_the_exit_code_tells_settings_from_the_rest(rows: list[tuple[str, str]], code: int) -> None:
    checks = [Check("a", status, "", area=area) for area, status in rows]  # type: ignore[arg-type]
    assert exit_code(checks) == code


@pytest.mark.parametrize(
    ("asked", "answered", "status", "found"),
    [
        (0.2, 0.9, "ok", "the same"),
        (-9.0, 9.0, "ok", "the same"),  # a slow answer is no difference
        (40.0, 41.0, "warning", "40 s ahead"),
        (-60.0, -59.0, "warning", "60 s behind"),
        (-400.0, -399.0, "failed", "400 s behind"),
    ],
)
def test_a_clock_far_off_is_told(asked: float, answered: float, status: str, found: str) -> None:
    date, then = "Tue, 15 Nov 1994 08:12:31 GMT", 784887151.0
    row = judge_clock(date, then + asked, then + answered)
    assert (row.status, row.found) == (status, found)


def test_an_answer_without_a_time_is_not_checked() -> None:
    assert judge_clock(None, 0, 1).status == "not checked"
