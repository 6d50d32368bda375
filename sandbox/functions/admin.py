"""Admin endpoints: host status, function list, running a non-HTTP function by hand.

`POST /admin/functions/<name>` with `{"input": "…"}` answers 202 and runs the function in the
background, as the real host does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .http_data import Answer

if TYPE_CHECKING:
    from .executor import Executor
    from .worker import Function

ManualRun = Callable[[str], None]


@dataclass
class Admin:
    """`manual` starts a function with an input text; `problems` says why a function is not up."""

    functions: list[Function]
    executor: Executor
    manual: Mapping[str, ManualRun]
    problems: Mapping[str, str]

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    async def handle(self, method: str, path: str, body: bytes) -> Answer | None:
        """Answers a request below /admin/; None means there is no such endpoint."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts == ["host", "status"] and method == "GET":
            return _json(self._status())
        if parts == ["host", "ping"] and method in {"GET", "POST"}:
            return Answer(200)
        if parts == ["functions"] and method == "GET":
            return _json([self._describe(f) for f in self.functions])
        if len(parts) < 2 or parts[0] != "functions":
            return None
        function = next((f for f in self.functions if f.name.lower() == parts[1].lower()), None)
        if function is None:
            return None
        if len(parts) == 3 and parts[2] == "status" and method == "GET":
            problem = self.problems.get(function.name)
            return _json({"errors": [problem]} if problem else {})
        if len(parts) == 2 and method == "GET":
            return _json(self._describe(function))
        if len(parts) == 2 and method == "POST":
            return self._run(function, body)
        return None

    def _run(self, function: Function, body: bytes) -> Answer:
        run = self.manual.get(function.name)
        if run is None:
            return _json({"error": f"{function.name} cannot be run by hand"}, 400)
        try:
            given = json.loads(body) if body.strip() else {}
        except ValueError:
            return _json({"error": "the body is not JSON"}, 400)
        value = given.get("input") if isinstance(given, dict) else None
        run(value if isinstance(value, str) else "" if value is None else json.dumps(value))
        return Answer(202)

    def _status(self) -> dict[str, Any]:
        return {
            "state": "Running",
            "version": "sandbox",
            "processUptime": int((time.monotonic() - self._started) * 1000),
            "functions": [f.name for f in self.functions],
            "invocations": {name: asdict(c) for name, c in self.executor.counts.items()},
            "errors": dict(self.problems),
        }

    def _describe(self, function: Function) -> dict[str, Any]:
        return {
            "name": function.name,
            "language": "python",
            "script_file": function.script_file,
            "isDisabled": self.problems.get(function.name) == "disabled",
            "config": {"bindings": list(function.bindings)},
        }


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"content-type": "application/json"})
