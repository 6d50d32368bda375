"""App settings for a command: from a file, and with the secrets that they refer to.

A file is a local.settings.json, or what `az functionapp config appsettings list` prints. In Azure a secret is
a reference to the vault, which the platform resolves; here it is read with the sign-in of the person.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from integration.cli.problems import CommandFailed

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

_REFERENCE = re.compile(r"@Microsoft\.KeyVault\(SecretUri=([^)]+)\)")
_SAFE = re.compile(r"https://|http://(127\.0\.0\.1|localhost)[:/]")  # where a token may be sent
_VAULT = "https://vault.azure.net/.default"
_API = "7.4"
_SECONDS = 20


def use_settings(path: Path) -> None:
    """The settings of the file count where the environment does not name them."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        named = _values(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandFailed(
            f"the settings file {path} cannot be used ({type(error).__name__})",
            "name a file in the form of local.settings.sample.json",
        ) from error
    for name, value in named.items():
        os.environ.setdefault(name, value)


def _values(data: Any) -> dict[str, str]:
    if isinstance(data, list):
        return {str(each["name"]): str(each["value"]) for each in data}
    return {str(name): str(value) for name, value in data["Values"].items()}


def resolve_secrets(environment: MutableMapping[str, str]) -> None:
    """Replaces each reference by its secret. Raises CommandFailed."""
    references = {
        name: found[1]
        for name, value in environment.items()
        if (found := _REFERENCE.fullmatch(value.strip()))
    }
    if references:
        token = _token()
        for name, uri in references.items():
            environment[name] = _secret(name, uri, token)


def _token() -> str:
    from azure.core.exceptions import AzureError

    from integration.identity import credential

    try:
        return credential(None).get_token(_VAULT).token
    except AzureError as error:
        raise CommandFailed(
            f"the settings refer to a vault, and nobody is signed in ({type(error).__name__})",
            "run `az login`",
        ) from error


def _secret(name: str, uri: str, token: str) -> str:
    import httpx

    if not _SAFE.match(uri):
        raise CommandFailed(f"{name} refers to no https address", "correct the app setting")
    try:
        answer = httpx.get(
            uri.rstrip("/"),
            params={"api-version": _API},
            headers={"Authorization": f"Bearer {token}"},
            timeout=_SECONDS,
        )
        answer.raise_for_status()
        return str(answer.json()["value"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        raise CommandFailed(
            f"the secret of {name} cannot be read from the vault"
            f" ({f'status {status}' if status else type(error).__name__})",
            "have the role Key Vault Secrets User given to you, and let your address through its network"
            " rules",
        ) from error
