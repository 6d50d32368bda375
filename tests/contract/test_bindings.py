"""What the triggers ask for is what the host is told, the queues offer and the sample settings name.

The app is indexed once, in a process of its own, as the host does it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices

from integration.messaging import service_bus
from integration.settings import AppSettings, Settings, load_settings
from sandbox import topology
from sandbox.functions.host_json import parse_time_span, read_host_json

if TYPE_CHECKING:
    import pytest

PROJECT = Path(__file__).resolve().parents[2]
QUEUES = {queue.name: queue for queue in topology.queues()}
HOST_KEYS = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", "ServiceBus"}
# Stable names (design: functions).
NAMES = {
    "salesforce_events", "d365_business_events", "converge_changes", "advance_jobs", "sync_prices",
    "sync_payments", "send_packages", "reconcile", "catch_up_salesforce", "watch", "inventory", "health",
    "health_deep", "openapi",
}  # fmt: skip
KEYLESS = {"health", "openapi"}
# Paid at every cold start, so not before the first event.
HEAVY = (
    "azure.servicebus", "azure.identity", "azure.storage", "azure.core", "pydantic",
    "httpx", "jwt", "cryptography", "msal",
)  # fmt: skip
INDEX = f"""
import json, sys
import function_app
loaded = [name for name in {HEAVY!r} if name in sys.modules]
functions = {{
    function.get_function_name(): json.loads(function.get_function_json())["bindings"]
    for function in function_app.app.get_functions()
}}
print(json.dumps({{"loaded": loaded, "functions": functions}}))
"""


@cache
def indexed() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INDEX],
        cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def triggers(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: binding
        for name, bindings in indexed()["functions"].items()
        for binding in bindings
        if binding["type"] == kind
    }


def host_json() -> dict[str, Any]:
    return json.loads((PROJECT / "host.json").read_text(encoding="utf-8"))


def sample() -> dict[str, str]:
    text = (PROJECT / "local.settings.sample.json").read_text(encoding="utf-8")
    return json.loads(text)["Values"]


def setting_names(*, mandatory: bool = False) -> set[str]:
    """As app settings, of every group."""
    found = set()
    for group in Settings.model_fields.values():
        prefix = group.annotation.model_config.get("env_prefix", "")
        for name, field in group.annotation.model_fields.items():
            if mandatory and not field.is_required():
                continue
            alias = field.validation_alias or f"{prefix}{name}".upper()
            found.add(alias.choices[0] if isinstance(alias, AliasChoices) else alias)
    return found


def referenced() -> set[str]:
    """App settings that bindings name as %NAME%."""
    return set(re.findall(r"%(\w+)%", json.dumps(indexed()["functions"])))


def test_importing_the_app_loads_no_client_library() -> None:
    assert indexed()["loaded"] == []


def test_functions_have_their_stable_names() -> None:
    names = set(indexed()["functions"])
    assert names <= NAMES
    assert {"salesforce_events", "converge_changes", "health"} <= names


def test_every_function_has_exactly_one_trigger() -> None:
    for name, bindings in indexed()["functions"].items():
        assert len([b for b in bindings if b["type"].endswith("Trigger")]) == 1, name


def test_http_functions_ask_for_a_key_but_the_probe_and_the_description() -> None:
    for name, binding in triggers("httpTrigger").items():
        assert binding["authLevel"] == ("ANONYMOUS" if name in KEYLESS else "FUNCTION"), name


def test_the_webhook_is_where_the_contract_says() -> None:
    binding = triggers("httpTrigger")["salesforce_events"]
    assert (binding["route"], binding["methods"]) == ("salesforce/events", ["POST"])


def test_a_queue_trigger_fits_its_queue() -> None:
    for name, binding in triggers("serviceBusTrigger").items():
        queue = QUEUES[binding["queueName"]]
        assert binding.get("isSessionsEnabled", False) == queue.requires_session, name
        assert binding["connection"] == "ServiceBus", name
        assert binding["cardinality"] == "ONE", name
        assert binding["dataType"] == "BINARY", name  # text: JSON members overwrite metadata


def test_a_queue_has_one_function_and_the_dead_letters_none() -> None:
    served = sorted(binding["queueName"] for binding in triggers("serviceBusTrigger").values())
    assert len(served) == len(set(served))
    assert topology.DEAD_LETTER not in served
    assert set(served) <= QUEUES.keys()


def test_the_app_sends_to_queues_that_exist() -> None:
    assert service_bus.CHANGES == topology.CHANGES
    assert service_bus.DEAD_LETTER == topology.DEAD_LETTER


def test_changes_keep_order_and_drop_doubles() -> None:
    queue = QUEUES[topology.CHANGES]
    assert queue.requires_session
    assert queue.duplicate_detection_window


def test_what_the_broker_gives_up_ends_with_the_dead_letters() -> None:
    end = QUEUES[topology.DEAD_LETTER]
    assert {q.forward_dead_letters_to for q in QUEUES.values() if q is not end} == {end.name}
    assert end.forward_dead_letters_to is None
    assert end.default_ttl is None
    assert end.max_delivery_count == 2000


def test_the_host_holds_all_buckets_and_settles_by_outcome() -> None:
    options = read_host_json(PROJECT).service_bus
    assert options.max_concurrent_sessions == AppSettings.model_fields["buckets"].default
    # One bucket alone can fill a batch.
    assert options.max_concurrent_calls_per_session == 100
    assert AppSettings.model_fields["batch_size"].default == 100
    assert options.prefetch_count == 0  # a prefetched message's lock runs while it waits
    assert options.auto_complete
    assert options.max_auto_lock_renewal == 3600


def test_a_batch_ends_before_the_function_does() -> None:
    limit = parse_time_span(host_json()["functionTimeout"])
    assert AppSettings.model_fields["batch_seconds"].default < limit <= 600
    assert timedelta(seconds=limit) < timedelta(seconds=3600)


def test_the_sample_names_only_known_settings() -> None:
    assert set(sample()) <= setting_names() | HOST_KEYS | referenced()


def test_the_sample_names_every_setting_that_has_no_default() -> None:
    assert setting_names(mandatory=True) | referenced() | HOST_KEYS <= set(sample())


def test_the_sample_is_a_valid_configuration_once_its_blanks_are_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filled = {"SALESFORCE_ORG_IDS": "00DAa0000000001MAA", "ORDERS_SINCE": "2025-01-01"}
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    for name, value in sample().items():
        blank = value.startswith("<")
        monkeypatch.setenv(name, filled.get(name, "filled") if blank else value)
    settings = load_settings()
    assert settings.app.buckets == read_host_json(PROJECT).service_bus.max_concurrent_sessions


def test_timers_take_their_schedule_from_a_setting() -> None:
    for name, binding in triggers("timerTrigger").items():
        assert re.fullmatch(r"%\w+%", binding["schedule"]), name
        assert not binding.get("runOnStartup"), name
        assert len(sample()[binding["schedule"].strip("%")].split()) == 6, name
