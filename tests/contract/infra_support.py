"""What a deployment would create, evaluated once for each example of parameters."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.checks.evaluation import Deployment, deploy
from infra.checks.rules import ROLES
from infra.parameters import EXAMPLES, parameters

if TYPE_CHECKING:
    from infra.checks.resources import Resource

PROJECT = Path(__file__).resolve().parents[2]
INFRA = PROJECT / "infra"
ROLE_NAMES = {id_: name for name, id_ in ROLES.items()}

# Read by the Functions host, its worker or the telemetry distribution, and by nothing in the app.
OF_THE_PLATFORM = {
    "AzureWebJobsStorage__credential": "how the host signs in",
    "ServiceBus__credential": "how the host signs in",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "host and worker",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "host and worker: Entra ID instead of the key",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "worker: sets up OpenTelemetry before the app",
    "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME": "worker: exports this logger and those below it",
    "OTEL_SERVICE_NAME": "OpenTelemetry",
    "OTEL_TRACES_SAMPLER": "OpenTelemetry",
    "OTEL_TRACES_SAMPLER_ARG": "OpenTelemetry",
    "PYTHON_ISOLATE_WORKER_DEPENDENCIES": "worker up to Python 3.12",
}


@cache
def deployed(example: str) -> Deployment:
    return deploy(parameters(EXAMPLES[example]))


def all_of(example: str, kind: str) -> list[Resource]:
    return [each for each in deployed(example).resources if each.type == kind]


def one_of(example: str, kind: str) -> dict[str, Any]:
    """The properties of the only resource of this type."""
    (found,) = all_of(example, kind)
    return dict(found.body["properties"])


def app_settings(example: str) -> dict[str, str]:
    return one_of(example, "Microsoft.Web/sites/config")


def queues(example: str) -> dict[str, dict[str, Any]]:
    found = all_of(example, "Microsoft.ServiceBus/namespaces/queues")
    return {str(each.body["name"]): each.body["properties"] for each in found}


def granted(example: str, principal: str) -> set[tuple[str, str]]:
    """(role, last part of what it is granted on) of a principal."""
    found = set()
    for each in all_of(example, "Microsoft.Authorization/roleAssignments"):
        properties = each.body["properties"]
        if properties["principalId"].startswith(principal):
            role = properties["roleDefinitionId"].rpartition("/")[2]
            found.add(
                (
                    ROLE_NAMES[role],
                    each.body["scope"].type.partition("/")[2]
                    + ":"
                    + each.body["scope"].name.rpartition("/")[2],
                )
            )
    return found


def sandbox_settings() -> set[str]:
    """The app settings that the sandbox starts the app with, read from its code."""
    tree = ast.parse((PROJECT / "sandbox" / "stack.py").read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        in_env = isinstance(node, ast.FunctionDef) and node.name == "env"
        in_quick = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "QUICK"
        if in_env or in_quick:
            dicts = [part for part in ast.walk(node) if isinstance(part, ast.Dict)]
            keys = [key for part in dicts for key in part.keys if isinstance(key, ast.Constant)]
            names |= {str(key.value) for key in keys}
    return names


def seconds(duration: str) -> int:
    """`PT1M`, `P1D` in seconds."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration)
    assert found is not None, duration
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
