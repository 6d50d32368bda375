"""host.json, app settings and connections as the Functions host reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.functions.app_settings import AppSettings, SettingError, read_settings_file
from sandbox.functions.host_json import HostJsonError, ServiceBusOptions, read_host_json

if TYPE_CHECKING:
    from pathlib import Path


def host_json(folder: Path, service_bus: dict[str, Any], **extensions: Any) -> Path:
    data = {"version": "2.0", "extensions": {"serviceBus": service_bus, **extensions}}
    (folder / "host.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def test_every_service_bus_option_is_read(tmp_path: Path) -> None:
    members = {
        "prefetchCount": 5,
        "autoCompleteMessages": False,
        "maxAutoLockRenewalDuration": "01:00:00",
        "maxConcurrentCalls": 3,
        "maxConcurrentSessions": 16,
        "maxConcurrentCallsPerSession": 64,
        "sessionIdleTimeout": "00:00:02.5",
        "maxMessageBatchSize": 10,
    }
    read = read_host_json(host_json(tmp_path, members, http={"routePrefix": ""}))
    assert read.route_prefix == ""
    assert read.service_bus == ServiceBusOptions(5, False, 3600.0, 3, 16, 64, 2.5, 10)


def test_defaults_are_those_of_the_extension(tmp_path: Path) -> None:
    read = read_host_json(host_json(tmp_path, {}))
    options = read.service_bus
    assert read.route_prefix == "api"
    assert (options.prefetch_count, options.auto_complete) == (0, True)
    assert (options.max_concurrent_sessions, options.max_concurrent_calls_per_session) == (8, 1)
    assert options.max_concurrent_calls % 16 == 0
    assert (options.max_auto_lock_renewal, options.session_idle_timeout) == (300.0, 60.0)


def test_session_idle_time_falls_back_to_the_try_timeout(tmp_path: Path) -> None:
    folder = host_json(tmp_path, {"clientRetryOptions": {"tryTimeout": "00:00:20"}})
    assert read_host_json(folder).service_bus.session_idle_timeout == 20.0


def test_app_settings_override_host_json(tmp_path: Path) -> None:
    prefix = "AzureFunctionsJobHost__extensions__serviceBus__"
    settings = AppSettings({prefix + "maxConcurrentSessions": "2", prefix + "PrefetchCount": "7"})
    folder = host_json(tmp_path, {"maxConcurrentSessions": 16})
    options = read_host_json(folder, settings.overrides()).service_bus
    assert (options.max_concurrent_sessions, options.prefetch_count) == (2, 7)


@pytest.mark.parametrize(
    "members",
    [
        {"maxConcurrentCalls": 0},
        {"prefetchCount": True},
        {"autoCompleteMessages": "perhaps"},
        {"sessionIdleTimeout": "2 seconds"},
        {"sessionHandlerOptions": {"maxConcurrentSessions": 1}},
    ],
)
def test_unusable_service_bus_options_are_refused(tmp_path: Path, members: dict[str, Any]) -> None:
    with pytest.raises(HostJsonError):
        read_host_json(host_json(tmp_path, members))


def test_settings_resolve_in_any_case_and_report_missing_names() -> None:
    settings = AppSettings({"Queue": "changes", "Empty": ""})
    assert settings.resolve("%QUEUE%-%queue%") == "changes-changes"
    for missing in ("%NoSuchSetting%", "%Empty%"):
        with pytest.raises(SettingError, match="does not resolve to a value"):
            settings.resolve(missing)


def test_connection_is_a_connection_string_setting() -> None:
    settings = AppSettings({"Bus": "plain", "AzureWebJobsOther": "prefixed"})
    assert settings.connection_string("Bus") == "plain"
    assert settings.connection_string("Other") == "prefixed"
    with pytest.raises(SettingError, match="missing"):
        settings.connection_string("Nowhere")
    identity = AppSettings({"Id__fullyQualifiedNamespace": "x.servicebus.windows.net"})
    with pytest.raises(SettingError, match="identity"):
        identity.connection_string("Id")


@pytest.mark.parametrize("name", ["AzureWebJobs.f.Disabled", "AzureWebJobs__f__Disabled"])
def test_function_is_disabled_by_a_setting(name: str) -> None:
    assert AppSettings({name: "true"}).is_disabled("f")
    assert not AppSettings({name: "false"}).is_disabled("f")
    assert not AppSettings({name: "true"}).is_disabled("g")


def test_settings_file_may_be_flat_or_local_settings(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    for content in ({"A": "1"}, {"IsEncrypted": False, "Values": {"A": "1"}}):
        file.write_text(json.dumps(content), encoding="utf-8")
        assert read_settings_file(file) == {"A": "1"}
