"""App settings the way the Functions host sees them: environment, `%NAME%` and connections.

Names are case-insensitive, as .NET configuration is. `connection="ServiceBus"` means the setting
`AzureWebJobsServiceBus` or `ServiceBus`; an identity based connection
(`ServiceBus__fullyQualifiedNamespace`) needs Azure and is refused with a clear message.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class SettingError(LookupError):
    """A setting that a function needs is missing or unusable; the function cannot be started."""


class AppSettings:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name: str(value) for name, value in values.items()}

    def apply(self) -> None:
        """Puts the settings into `os.environ`, where the app and the worker read them."""
        os.environ.update(self._values)

    def get(self, name: str) -> str | None:
        """The value from the settings given, else from the environment; None when absent."""
        for source in (self._values, os.environ):
            if name in source:
                return source[name]
            for key, value in source.items():
                if key.lower() == name.lower():
                    return value
        return None

    def resolve(self, text: str) -> str:
        """Replaces every `%NAME%`. Raises SettingError for a name without a value."""

        def value_of(match: re.Match[str]) -> str:
            value = self.get(match.group(1))
            if not value:
                raise SettingError(f"'%{match.group(1)}%' does not resolve to a value.")
            return value

        return re.sub(r"%([^%]+)%", value_of, text)

    def connection_string(self, connection: str) -> str:
        """The connection string behind a binding's `connection` (default `ServiceBus`)."""
        name = connection or "ServiceBus"
        value = self.get(f"AzureWebJobs{name}") or self.get(name)
        if value:
            return value
        if self.get(f"{name}__fullyQualifiedNamespace"):
            raise SettingError(
                f"connection '{name}' uses an identity; the local host needs a connection string"
            )
        raise SettingError(f"connection setting '{name}' is missing or empty")

    def is_disabled(self, function_name: str) -> bool:
        """True for `AzureWebJobs.<name>.Disabled=true` (or with `__` instead of the dots)."""
        for separator in (".", "__"):
            value = self.get(f"AzureWebJobs{separator}{function_name}{separator}Disabled")
            if (value or "").lower() in {"true", "1"}:
                return True
        return False

    def overrides(self) -> dict[str, str]:
        """Settings that override host.json: `AzureFunctionsJobHost__extensions__…`."""
        prefix = "azurefunctionsjobhost__"
        found = {**os.environ, **self._values}
        return {k[len(prefix) :]: v for k, v in found.items() if k.lower().startswith(prefix)}


def read_settings_file(path: Path) -> dict[str, str]:
    """Reads a flat JSON object, or the `Values` of a local.settings.json."""
    data = json.loads(path.read_text(encoding="utf-8"))
    values = data.get("Values", data) if isinstance(data, dict) else None
    if not isinstance(values, dict):
        raise SettingError(f"{path.name} holds no JSON object with settings")
    return {str(name): str(value) for name, value in values.items()}
