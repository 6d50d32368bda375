"""The Kusto queries that pages tell people to ask are understood, and ask for what the telemetry holds."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from typing import Any

from tests.contract.infra_support import PROJECT
from tests.contract.infra_telemetry import emitted
from tests.contract.test_infra_alerts import KUSTO

_TABLES = "|".join(json.loads((KUSTO / "tables.json").read_text(encoding="utf-8")))
_BEGINS = re.compile(rf"(?:(?:{_TABLES}) \||union (?:{_TABLES})\b)")
# Said by the Functions host; written by the app's list of wrong settings.
_OTHERS = {"Storage", "MaxConcurrentSessions", "functions loaded", "configuration problem(s)"}
WRONG = {"wrong": "AppTraces | where Nothing == 1"}


@cache
def queries() -> dict[str, str]:
    found = {}
    for page in sorted((PROJECT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8").replace("\\|", "|")
        places = [
            *re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE),
            *re.findall(r"`([^`\n]+)`", text),
            *re.findall(r"'((?:App|union|Usage)[^'\n]+\|[^'\n]+)'", text),
        ]
        texts = dict.fromkeys(each for each in places if _BEGINS.match(each))
        found |= {f"{page.name}: {each}": each for each in texts}
    return found


@cache
def understood() -> dict[str, dict[str, Any]]:
    """By Microsoft's own parser, which runs on Node."""
    done = subprocess.run(
        ["node", "analyse.js"], cwd=KUSTO, input=json.dumps(queries() | WRONG),
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PATH": f"{PROJECT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_query_of_a_page_is_understood() -> None:
    assert len(queries()) > 12
    assert understood()["wrong"]["problems"]
    problems = {name: understood()[name]["problems"] for name in queries()}
    assert {name: each for name, each in problems.items() if each} == {}


def test_a_query_of_a_page_asks_for_what_the_telemetry_holds() -> None:
    ids = emitted().ids | {"i_key"}
    said = emitted().constants | emitted().messages | _OTHERS
    for name in queries():
        for member in re.findall(r"Properties\.(\w+)", queries()[name]):
            assert member in ids, name
        for column, text in understood()[name]["compared"]:
            if column == "Message":
                begun = any(text.startswith(each) for each in emitted().messages)
                assert begun or any(text in each for each in said), name
            elif column == "Name":
                assert any(metric.startswith(text) for metric in emitted().metrics), name
