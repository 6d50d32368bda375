"""Alerts and workbook ask for what the telemetry really holds, in a language that Azure understands."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from infra.parameters import functions
from integration.flows.policies import ENDS
from integration.jobs import kinds
from sandbox import topology
from tests.contract.infra_support import INFRA, PROJECT, all_of, one_of, seconds
from tests.contract.infra_telemetry import emitted

if TYPE_CHECKING:
    from collections.abc import Iterable

KUSTO = INFRA / "kusto"
FILES = {
    file.stem: file.read_text(encoding="utf-8")
    for file in sorted((INFRA / "queries").glob("*.kql"))
}
# Said by the Functions host itself at its start.
OF_THE_HOST = {r"^\d+ functions loaded$"}
BROKEN = {
    "a column that is not there": "AppMetrics | where Nmae == 'x'",
    "an operator that is not there": "AppMetrics | wehre Name == 'x'",
    "a type that does not fit": "AppTraces | summarize avg(Message)",
}
JOBS = {value for name, value in vars(kinds).items() if name.isupper()}


def alerts() -> dict[str, dict[str, Any]]:
    """Log alerts by name, without the prefix of all."""
    found = all_of("smallest", "Microsoft.Insights/scheduledQueryRules")
    return {each.name.removeprefix("integration-"): each.body["properties"] for each in found}


def depth_alerts() -> dict[str, dict[str, Any]]:
    found = all_of("smallest", "Microsoft.Insights/metricAlerts")
    return {each.name.removeprefix("integration-"): each.body["properties"] for each in found}


def views() -> dict[str, dict[str, Any]]:
    text = one_of("smallest", "Microsoft.Insights/workbooks")["serializedData"]
    items = json.loads(text)["items"]
    return {item["name"]: item["content"] for item in items if item["type"] == 3}


def queries() -> dict[str, str]:
    """As Azure gets them: numbers filled in."""
    asked = {name: alert["criteria"]["allOf"][0]["query"] for name, alert in alerts().items()}
    return asked | {name: view["query"] for name, view in views().items()}


@cache
def understood_all() -> dict[str, dict[str, Any]]:
    """By Microsoft's own parser, which runs on Node."""
    binary = PROJECT / ".venv" / "bin"
    done = subprocess.run(
        ["node", "analyse.js"],
        cwd=KUSTO,
        input=json.dumps(queries() | BROKEN),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PATH": f"{binary}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def understood(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    return {name: understood_all()[name] for name in names}


def analysed() -> dict[str, dict[str, Any]]:
    return understood(queries())


def sections(page: str) -> set[str]:
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    return set(re.findall(r"^#+ ([\w-]+)$", text, re.MULTILINE))


# The language


def test_every_query_is_understood() -> None:
    problems = {name: each["problems"] for name, each in analysed().items() if each["problems"]}
    assert problems == {}


def test_the_parser_sees_mistakes() -> None:
    assert all(understood(BROKEN)[name]["problems"] for name in BROKEN)


@pytest.mark.parametrize("name", FILES)
def test_every_query_file_is_explained_and_used(name: str) -> None:
    assert FILES[name].startswith("// ")
    used = "".join(file.read_text(encoding="utf-8") for file in (INFRA / "modules").glob("*.bicep"))
    assert f"queries/{name}.kql" in used


def test_no_placeholder_is_left_in_a_query() -> None:
    assert [name for name, query in queries().items() if re.search(r"\{[A-Za-z]+\}", query)] == []


# The names


def test_every_metric_and_its_dimensions_are_emitted() -> None:
    for name, each in analysed().items():
        metrics = {text for column, text in each["compared"] if column == "Name"}
        assert metrics <= emitted().metrics.keys(), name
        known = set().union(*(emitted().metrics[metric] for metric in metrics))
        dimensions = {
            path.removeprefix("Properties.")
            for path in each["members"]
            if path.startswith("Properties.")
        }
        if metrics:
            assert dimensions <= known, name
        else:
            assert dimensions <= emitted().ids, name


def values_of(column: str) -> set[str]:
    """What a column of this name may hold."""
    known = emitted()
    flows = set(ENDS) | {"none"}
    return {
        "Name": set(known.metrics),
        "outcome": known.outcomes,
        "reason": known.constants,
        "result": known.beside["record_events"],
        "source": known.beside["record_events"],
        "system": known.beside["record_call"],
        "alarm": known.beside["record_alarm"],
        "status": {str(code) for code in range(100, 600)} | {"0", "done", "failed"},
        "flow": flows | JOBS,
        "job_kind": JOBS,
        "ResultCode": {"4"},
    }[column]


def test_every_value_that_is_asked_for_can_occur() -> None:
    for name, each in analysed().items():
        for column, text in each["compared"]:
            if column == "Message":
                known = emitted().messages | OF_THE_HOST
                said = text in known or any(text in part for part in emitted().constants)
                assert said, f"{name}: {text}"
            else:
                assert text in values_of(column), f"{name}: {column} is never {text}"


def test_a_column_is_named_after_its_dimension() -> None:
    """So that the comparisons above check what they seem to check."""
    for name, query in queries().items():
        for alias, dimension in re.findall(
            r"(\w+) = to(?:string|double|int)\(Properties\.(\w+)\)", query
        ):
            assert alias.removeprefix("job_") == dimension.removeprefix("i_"), name


def test_the_extraction_finds_what_the_app_emits() -> None:
    known = emitted()
    assert known.metrics["integration.outcomes"] == {"flow", "outcome", "reason"}
    assert known.metrics["integration.api_calls"] == {"system", "operation", "status"}
    assert {"synced", "retry later", "job started", "job ended"} <= known.messages
    assert {"i_flow", "i_latency", "i_job", "i_counts"} <= known.ids
    assert {"synced", "review", "reconcile", "job-failed"} <= known.outcomes


# The alerts


def test_every_alert_is_in_the_runbook_and_tells_where() -> None:
    for name, alert in (alerts() | depth_alerts()).items():
        assert alert["description"].endswith(f"docs/runbook.md#{name}")
        assert name in sections("runbook.md"), name
    for name in alerts():
        assert f"// Runbook: docs/runbook.md#{name}\n" in FILES[f"alert-{name}"]


def test_the_runbook_explains_no_alert_that_does_not_exist() -> None:
    text = (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^### ([\w-]+)$", text, re.MULTILINE))
    assert named == alerts().keys() | depth_alerts().keys()


def test_a_query_looks_no_further_back_than_its_rule() -> None:
    units = {"m": 60, "h": 3600, "d": 86400}
    for name, alert in alerts().items():
        query = alert["criteria"]["allOf"][0]["query"]
        back = [
            int(number) * units[unit] for number, unit in re.findall(r"ago\((\d+)([mhd])\)", query)
        ]
        assert max(back, default=0) <= seconds(alert["windowSize"]), name
        assert seconds(alert["evaluationFrequency"]) <= seconds(alert["windowSize"]), name
        assert alert["windowSize"] in ("PT15M", "PT30M", "PT1H", "PT6H", "P1D", "P2D"), name


def test_depths_watch_queues_that_exist_and_never_add_up_gauges() -> None:
    known = {queue.name for queue in topology.queues()}
    watched: set[str] = set()
    for name, alert in depth_alerts().items():
        (criterion,) = alert["criteria"]["allOf"]
        (dimension,) = criterion["dimensions"]
        assert set(dimension["values"]) <= known, name
        assert criterion["timeAggregation"] in ("Minimum", "Maximum"), name
        watched |= set(dimension["values"])
    assert watched == known


def test_alerts_reach_the_people_that_were_named() -> None:
    (group,) = all_of("everything", "Microsoft.Insights/actionGroups")
    receivers = group.body["properties"]["emailReceivers"]
    assert [each["emailAddress"] for each in receivers] == [
        "duty@example.com",
        "second@example.com",
    ]
    assert len(group.body["properties"]["groupShortName"]) <= 12
    for alert in alerts().values():
        assert alert["actions"] == {
            "actionGroups": [all_of("smallest", "Microsoft.Insights/actionGroups")[0].id]
        }


def test_the_number_of_functions_is_the_one_of_this_release() -> None:
    query = alerts()["function-count"]["criteria"]["allOf"][0]["query"]
    assert re.search(rf"loaded != {len(functions())}\b", query)
