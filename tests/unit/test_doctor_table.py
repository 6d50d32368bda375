"""What a person sees of `doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from integration.cli.checks.check import Check
from integration.cli.doctor import show
from integration.cli.output import Output

if TYPE_CHECKING:
    import pytest

ROWS = [
    Check("app settings", "ok", "complete", area="settings"),
    Check(
        "Opportunity fields", "failed", "D365_Status__c: cannot be changed by this user",
        "deploy the package of salesforce/ and assign D365_Integration_User", "Salesforce",
    ),
    Check("dead letters", "warning", "2 wait: 1 failed, 1 review",
          "python -m integration dead-letters list", "Service Bus"),
    Check("limits", "not checked", "comes after: Salesforce sign-in", area="Salesforce"),
]  # fmt: skip
PROBLEMS = """\
status       area         check               found
failed       Salesforce   Opportunity fields  D365_Status__c: cannot be changed by this user
                                              → deploy the package of salesforce/ and assign
                                              D365_Integration_User
warning      Service Bus  dead letters        2 wait: 1 failed, 1 review
                                              → python -m integration dead-letters list
not checked  Salesforce   limits              comes after: Salesforce sign-in

1 ok, 1 failed, 1 warning, 1 not checked
"""


def test_problems_are_a_table_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    show(Output(as_json=False), ROWS, problems=True)
    printed = capsys.readouterr()
    assert printed.out == PROBLEMS
    assert printed.err == ""


def test_without_problems_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(Output(as_json=False), ROWS[:1], problems=True)
    assert capsys.readouterr().out == "1 ok\n"
    show(Output(as_json=False), ROWS[:1])
    assert "complete" in capsys.readouterr().out


def test_scripts_get_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    show(Output(as_json=True), ROWS, problems=True)
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 1
    assert document["counts"] == {"ok": 1, "failed": 1, "warning": 1, "not checked": 1}
    assert document["checks"][0] == {
        "area": "settings", "name": "app settings", "status": "ok", "found": "complete", "advice": "",
    }  # fmt: skip
