"""Which names the telemetry really holds, read from the code that emits them.

Metrics and their dimensions come from `integration/telemetry.py`, messages and ids from the calls of
`log_event` and of the functions that wrap it, values from the constants beside them.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, get_args, get_type_hints

from integration.jobs.state import JobState
from integration.recovery.decisions import End
from tests.contract.infra_support import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

_CREATES = ("create_counter", "create_up_down_counter", "create_histogram", "create_gauge",
            "create_observable_gauge")  # fmt: skip
_EMITS = ("add", "record", "set")
_LOGS = ("log_event", "_log")
_ID = "i_"  # telemetry.log_event's prefix for custom dimensions


@dataclass
class Emitted:
    metrics: dict[str, set[str]] = field(default_factory=dict)  # name → dimensions
    messages: set[str] = field(default_factory=set)  # of log lines, or their beginning
    ids: set[str] = field(default_factory=set)  # custom dimensions of log lines
    outcomes: set[str] = field(default_factory=set)
    constants: set[str] = field(default_factory=set)  # every text in the code
    beside: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Recording function → the texts in the modules that call it."""


@cache
def emitted() -> Emitted:
    found = Emitted()
    for file in sorted((PROJECT / "integration").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts = {text for node in ast.walk(tree) if (text := _text(node)) is not None}
        found.constants |= texts
        _metrics(tree, found)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = _name(call.func)
            if name in _LOGS and call.args:
                found.messages |= set(_begins(call.args[0]))
                found.ids |= {_ID + each.arg for each in call.keywords if each.arg}
            elif name == "record_outcome":
                found.outcomes |= set(_outcomes(call.args[1]))
            if name.startswith("record_"):
                found.beside[name] |= texts
    found.messages.discard("")
    return found


def _metrics(tree: ast.Module, found: Emitted) -> None:
    """`_x = meter.create_…("name")`, then `_x.add(1, {"dimension": …})` or a local dict of that name."""
    variables: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            call = node.value
            name = _text(call.args[0]) if call.args else None
            if _name(call.func) in _CREATES and name:
                variables[ast.unparse(node.targets[0])] = name
    for variable, name in variables.items():
        found.metrics[name] = set()
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            dicts = {
                ast.unparse(
                    node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                ): node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict)
            }
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                emits = isinstance(call.func, ast.Attribute) and call.func.attr in _EMITS
                if emits and ast.unparse(call.func.value) == variable and len(call.args) > 1:  # type: ignore[attr-defined]
                    given = call.args[1]
                    dimensions = given if isinstance(given, ast.Dict) else dicts[ast.unparse(given)]
                    found.metrics[name] |= {ast.literal_eval(key) for key in dimensions.keys if key}


def _outcomes(node: ast.expr) -> Iterator[str]:
    """A constant; the kind of an end; a job's status behind `job-`."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Attribute(attr="kind"):
            yield from get_args(End)
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            yield from (text + status for status in get_args(get_type_hints(JobState)["status"]))
        case ast.IfExp(body=one, orelse=other):
            yield from _outcomes(one)
            yield from _outcomes(other)
        case _:
            raise AssertionError(f"line {node.lineno}: which outcomes is {ast.unparse(node)}?")


def _begins(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            yield text


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
