"""Typed view of host.json, with the defaults of the Service Bus extension 5.x (Azure contract 1.6).

App settings named `AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentCalls` override
members, as in Azure. Durations are seconds here and `[d.]hh:mm:ss[.fff]` in the file.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d+):(\d+):(\d+(?:\.\d+)?)")


class HostJsonError(ValueError):
    """host.json is missing, is not JSON or holds a member of the wrong kind."""


@dataclass(frozen=True)
class ServiceBusOptions:
    prefetch_count: int = 0
    auto_complete: bool = True
    max_auto_lock_renewal: float = 300.0
    max_concurrent_calls: int = field(default_factory=lambda: 16 * (os.cpu_count() or 1))
    max_concurrent_sessions: int = 8
    max_concurrent_calls_per_session: int = 1
    session_idle_timeout: float = 60.0
    max_message_batch_size: int = 1000

    def with_auto_complete(self, value: bool) -> ServiceBusOptions:
        """The same options for a trigger that sets `autoCompleteMessages` itself."""
        return replace(self, auto_complete=value)


@dataclass(frozen=True)
class HostJson:
    service_bus: ServiceBusOptions = field(default_factory=ServiceBusOptions)
    route_prefix: str = "api"


def parse_time_span(text: str) -> float:
    """Seconds of a .NET TimeSpan. Raises HostJsonError."""
    match = _TIME_SPAN.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise HostJsonError(f"'{text}' is not a time span such as 00:05:00")
    days, hours, minutes, seconds = match.groups()
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def read_host_json(project: Path, overrides: Mapping[str, str] | None = None) -> HostJson:
    """Reads `<project>/host.json`. Raises HostJsonError."""
    try:
        data = json.loads((project / "host.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HostJsonError("no host.json in the project folder") from error
    except json.JSONDecodeError as error:
        raise HostJsonError(f"host.json is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("version") != "2.0":
        raise HostJsonError('host.json must be an object with "version": "2.0"')
    for path, value in (overrides or {}).items():
        _set(data, path.split("__"), value)
    extensions = _section(data, "extensions")
    http = _section(extensions, "http")
    prefix = http.get("routePrefix", "api")
    return HostJson(_service_bus(_section(extensions, "serviceBus")), str(prefix).strip("/"))


def _service_bus(section: dict[str, Any]) -> ServiceBusOptions:
    for dead in ("messageHandlerOptions", "sessionHandlerOptions", "batchOptions"):
        if dead in section:
            raise HostJsonError(f"serviceBus.{dead} belongs to extension 4.x and has no effect")
    defaults = ServiceBusOptions()
    retry = _section(section, "clientRetryOptions")
    # Without sessionIdleTimeout the client's try time-out counts, 60 s by default.
    idle = section.get("sessionIdleTimeout") or retry.get("tryTimeout") or "00:01:00"
    renewal = section.get("maxAutoLockRenewalDuration")
    return ServiceBusOptions(
        prefetch_count=_number(section, "prefetchCount", defaults.prefetch_count, least=0),
        auto_complete=_boolean(section, "autoCompleteMessages", default=True),
        max_auto_lock_renewal=(
            parse_time_span(renewal) if renewal else defaults.max_auto_lock_renewal
        ),
        max_concurrent_calls=_number(section, "maxConcurrentCalls", defaults.max_concurrent_calls),
        max_concurrent_sessions=_number(
            section, "maxConcurrentSessions", defaults.max_concurrent_sessions
        ),
        max_concurrent_calls_per_session=_number(
            section, "maxConcurrentCallsPerSession", defaults.max_concurrent_calls_per_session
        ),
        session_idle_timeout=parse_time_span(idle),
        max_message_batch_size=_number(
            section, "maxMessageBatchSize", defaults.max_message_batch_size
        ),
    )


def _section(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise HostJsonError(f"{name} must be an object")
    return value


def _number(section: dict[str, Any], name: str, default: int, least: int = 1) -> int:
    value = section.get(name, default)
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise HostJsonError(f"{name} must be a whole number") from error
    if isinstance(value, bool) or number < least:
        raise HostJsonError(f"{name} must be a whole number of at least {least}")
    return number


def _boolean(section: dict[str, Any], name: str, *, default: bool) -> bool:
    value = section.get(name, default)
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise HostJsonError(f"{name} must be true or false")
    return value


def _set(data: dict[str, Any], path: list[str], value: str) -> None:
    """Sets one member by its path; existing names match in any case, new ones are camel case."""
    node = data
    for depth, part in enumerate(path):
        camel = part[:1].lower() + part[1:]
        name = next((key for key in node if key.lower() == part.lower()), camel)
        if depth == len(path) - 1:
            node[name] = value
            return
        if not isinstance(node.get(name), dict):
            node[name] = {}
        node = node[name]
