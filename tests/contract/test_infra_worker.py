"""The app settings of a deployment, given to the worker's own code: telemetry works before the app is loaded.

One process stands for a cold start: the worker's set-up of the exporter, then `import function_app`. It may
connect to nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

from bench.imports import OFFLINE, TELEMETRY
from infra.parameters import functions
from tests.contract.infra_support import OF_THE_PLATFORM, PROJECT, app_settings
from tests.contract.test_bindings import HEAVY

START = f"""{OFFLINE}
import json, logging, os
from azure_functions_runtime.otel import initialize_azure_monitor, otel_manager
initialize_azure_monitor()
before = set(sys.modules)
import function_app
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
provider = trace.get_tracer_provider()
print(json.dumps({{
    "available": otel_manager.get_azure_monitor_available(),
    "functions": [each.get_function_name() for each in function_app.app.get_functions()],
    "sampler": provider.sampler.get_description(),
    "service": provider.resource.attributes["service.name"],
    "handlers": [type(each).__name__ for each in logging.getLogger("integration").handlers],
    "root": [type(each).__name__ for each in logging.getLogger().handlers],
    "httpx": HTTPXClientInstrumentor().is_instrumented_by_opentelemetry,
    "loaded": [name for name in {HEAVY!r} if name in sys.modules and name not in before],
}}))
sys.stdout.flush()
os._exit(0)
"""
SHARE = "0.25"


@cache
def started() -> dict[str, Any]:
    deployed = {name: app_settings("smallest").get(name) for name in OF_THE_PLATFORM}
    given = {name: value for name, value in deployed.items() if value is not None}
    connection = {name: TELEMETRY[name] for name in ("APPLICATIONINSIGHTS_CONNECTION_STRING",)}
    done = subprocess.run(
        [sys.executable, "-c", START],
        cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **given, **connection, "OTEL_TRACES_SAMPLER_ARG": SHARE},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {**found, "said": done.stderr, "given": given}


def test_the_worker_sets_the_exporter_up_from_the_settings_of_a_deployment() -> None:
    assert started()["available"] is True
    assert started()["given"]["PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"] == "true"
    assert started()["service"] == started()["given"]["OTEL_SERVICE_NAME"]
    assert started()["httpx"] is True
    assert "Traceback" not in started()["said"]


def test_only_the_loggers_of_the_app_are_exported() -> None:
    assert started()["handlers"] == ["LoggingHandler"]
    assert "LoggingHandler" not in started()["root"]


def test_whole_traces_are_kept_in_the_share_that_was_set() -> None:
    """By the trace id, as the host's exporter decides too: another name would be five traces a second."""
    assert started()["sampler"] == f"ApplicationInsightsSampler{SHARE}"
    assert "Invalid argument" not in started()["said"]


def test_the_app_is_loaded_whole_and_brings_nothing_heavy_along() -> None:
    assert sorted(started()["functions"]) == sorted(functions())
    assert started()["loaded"] == []


def test_the_bench_sets_telemetry_up_as_a_deployment_does() -> None:
    given = started()["given"]
    for name, value in TELEMETRY.items():
        if name not in ("APPLICATIONINSIGHTS_CONNECTION_STRING", "OTEL_TRACES_SAMPLER_ARG"):
            ours, theirs = value.rpartition(";")[2], given[name].rpartition(";")[2]
            assert ours == theirs, name
