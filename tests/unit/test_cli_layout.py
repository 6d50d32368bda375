"""How tables fit their page, and how values of records are kept out of it."""

from __future__ import annotations

import io
import re
import sys
from datetime import UTC, datetime

import pytest

from integration.cli.layout import Column, widths
from integration.cli.output import Output
from integration.cli.status import _show
from integration.cli.status_reading import FlowState, Status
from integration.cli.veil import veiled, veiled_document

NARROW, WIDE = Column("id", whole=True), Column("text")
ID = "001Aa00000BbCc1IAF"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(monkeypatch: pytest.MonkeyPatch, width: int = 100) -> Screen:
    made = Screen()
    monkeypatch.setattr(sys, "stdout", made)
    for name, value in (("TERM", "xterm"), ("NO_COLOR", "1"), ("COLUMNS", str(width))):
        monkeypatch.setenv(name, value)
    return made


def lines_of(screen: Screen) -> list[str]:
    text = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("rows", "width", "expected"),
    [
        ([(ID, "short")], 100, [18, 5]),
        ([(ID, "word " * 40)], 60, [18, 40]),  # the text goes on below
        ([(ID, "x" * 300)], 60, [18, 40]),  # so does a word that is too long
        ([(ID, "word " * 40)], 20, [9, 9]),  # at last the id, too
    ],
)
def test_columns_share_the_width_and_ids_stay_whole_as_long_as_they_can(
    rows: list[tuple[str, str]], width: int, expected: list[int]
) -> None:
    assert widths((NARROW, WIDE), rows, width) == expected


def test_equal_columns_are_cut_at_the_same_height() -> None:
    found = widths((WIDE, WIDE, Column("n", number=True)), [("a " * 90, "b " * 90, "12345")], 45)
    assert found == [18, 18, 5]


@pytest.mark.parametrize("width", [30, 60, 80, 100, 200])
def test_a_table_loses_nothing_at_any_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    made = screen(monkeypatch, width)
    row = (ID, "https://www.toelzer.example", "https://www.toelzer.example", "text " * 9, "update")
    columns = (Column("field", True), "source", "mapped", "current", Column("decision", True))
    Output(as_json=False).table(columns, [row])
    lines = lines_of(made)
    assert max(map(len, lines)) <= min(width, 100)
    letters = sorted("".join(lines).replace(" ", "").replace("─", ""))
    assert letters == sorted("".join((*row, "fieldsourcemappedcurrentdecision")).replace(" ", ""))


def test_a_terminal_has_a_line_below_the_head_and_the_same_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = screen(monkeypatch)
    Output(as_json=False).table(
        (Column("flow", True), Column("n", number=True)), [("accounts", 12)]
    )
    assert lines_of(made) == ["flow       n", "────────────", "accounts  12"]


def test_what_status_does_not_know_is_no_zero(capsys: pytest.CaptureFixture[str]) -> None:
    flows = {
        "accounts": FlowState("accounts", "Account", "on", failed=2, reviews=0),
        "contacts": FlowState(
            "contacts", "Contact", "dry", waiting=1_200, oldest=75.0, scheduled=0, handled=9,
            failed=0, reviews=0, ledger=1,
        ),
        "prices": FlowState("prices", "job", "off"),
    }  # fmt: skip
    found = Status(datetime(2026, 1, 31, 3, tzinfo=UTC), flows)
    found.unknown = {
        "what waits": "storage: state-unavailable",
        "jobs": "storage: state-unavailable",
    }
    _show(Output(as_json=False), found)
    assert (
        capsys.readouterr().out
        == """\
2026-01-31 03:00:00 UTC
UNKNOWN what waits: storage: state-unavailable
UNKNOWN jobs: storage: state-unavailable
next: python -m integration doctor

flow      switch  waiting  oldest  later  handled 1 h  failed  reviews  ledger
accounts  on            ?       ?      ?            ?       2        0       ?
contacts  dry       1,200   1 min      0            9       0        0       1
prices    off

"""
    )


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("The value 'QQ' in field 'State' is wrong", "The value '…' in field '…' is wrong"),
        ("'O'Neil' of the app's user's", "'…' of the app's user's"),
        ('name "Geheim GmbH": bad', 'name "…": bad'),
        ("nothing of a record", "nothing of a record"),
        ("'…' stays", "'…' stays"),
    ],
)  # fmt: skip
def test_what_others_quote_is_hidden_unless_it_is_asked_for(text: str, hidden: str) -> None:
    assert veiled(text, values=False) == hidden
    assert veiled(text, values=True) == text
    document = {"a": [text], "n": 1, "none": None}
    assert veiled_document(document, values=False) == {"a": [hidden], "n": 1, "none": None}
