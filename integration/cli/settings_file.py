"""App settings for a command: from a file, and with the secrets that they refer to.

A file is a local.settings.json, or what `az functionapp config appsettings list` prints. In Azure a secret is
a reference to the vault, which the platform resolves; here it is read with the sign-in of the person.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.cli.problems import CommandFailed, WrongUse

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

_REFERENCE = re.compile(r"@Microsoft\.KeyVault\((.+)\)", re.IGNORECASE)
_SAFE = re.compile(r"https://|http://(127\.0\.0\.1|localhost)[:/]")  # where a token may be sent
_VAULT = "https://vault.azure.net/.default"
_API = "7.4"
_SECONDS = 20
_RIGHTS = (
    "have the role Key Vault Secrets User given to you, and let your address through the network rules"
    " of the vault"
)
_STEPS = {  # by the status of the answer; without one there was none
    404: "set the secret in the vault, or correct its name in the app setting",
    None: "check the name of the vault and the network",
}
_FORM = "name a local.settings.json, or what `az functionapp config appsettings list` has printed"


def use_settings(path: Path) -> list[str]:
    """The settings of the file count, even where the environment names them too: half of one environment
    and half of another would be the worst of all. Returns the names that the environment has otherwise.

    Raises WrongUse.
    """
    try:
        named = _values(json.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        what = f"the settings file {path} cannot be read: {error.strerror or type(error).__name__}"
        raise WrongUse(what, _FORM) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongUse(f"{path} is not a file of app settings", _FORM) from error
    overruled = [name for name, value in named.items() if os.environ.get(name, value) != value]
    os.environ.update(named)
    return overruled


def _values(data: Any) -> dict[str, str]:
    if isinstance(data, list):
        return {str(each["name"]): str(each["value"]) for each in data}
    return {str(name): str(value) for name, value in data["Values"].items()}


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why a reference could not be replaced, and what to do about it. Never with the reference itself."""

    problem: str
    step: str


def needed_secrets(environment: MutableMapping[str, str]) -> None:
    """Replaces each reference by its secret. Raises CommandFailed, which names all that could not be read."""
    unresolved = resolve_secrets(environment)
    if unresolved:
        texts = dict.fromkeys(unresolved.values())
        raise CommandFailed(
            "\n  ".join(
                f"{', '.join(name for name, each in unresolved.items() if each == why)}:"
                f" {why.problem}"
                for why in texts
            ),
            "; ".join(dict.fromkeys(why.step for why in texts)),
        )


def resolve_secrets(environment: MutableMapping[str, str]) -> dict[str, Unresolved]:
    """Replaces each reference by its secret; returns those that cannot be read, by name. Blocks."""
    references = {
        name: reference[1]
        for name, value in environment.items()
        if (reference := _REFERENCE.fullmatch(value.strip()))
    }
    unresolved: dict[str, Unresolved] = {}
    token: str | Unresolved | None = None
    for name, text in references.items():
        found = _address(text)
        if isinstance(found, str):
            token = token or _token()
            found = _secret(found, token) if isinstance(token, str) else token
        if isinstance(found, str):
            environment[name] = found
        else:
            unresolved[name] = found
    return unresolved


def _address(reference: str) -> str | Unresolved:
    """`SecretUri=…`, or `VaultName=…;SecretName=…[;SecretVersion=…]`."""
    pairs = (part.partition("=") for part in reference.split(";"))
    parts = {name.strip().casefold(): value.strip() for name, _, value in pairs}
    uri = parts.get("secreturi", "")
    if not uri and parts.get("vaultname") and parts.get("secretname"):
        version = f"/{parts['secretversion']}" if parts.get("secretversion") else ""
        uri = f"https://{parts['vaultname']}.vault.azure.net/secrets/{parts['secretname']}{version}"
    if not uri:
        return Unresolved("the reference names no secret", "correct the app setting")
    if not _SAFE.match(uri):
        return Unresolved("the reference is no https address", "correct the app setting")
    return uri


def _token() -> str | Unresolved:
    from azure.core.exceptions import AzureError

    from integration.identity import credential

    try:
        return credential(None).get_token(_VAULT).token
    except AzureError as error:
        return Unresolved(
            f"a secret of the vault, and nobody is signed in who could read it"
            f" ({type(error).__name__})",
            "run `az login`",
        )


def _secret(uri: str, token: str) -> str | Unresolved:
    import httpx

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
        why = f"status {status}" if status else type(error).__name__
        return Unresolved(
            f"the secret cannot be read from the vault ({why})", _STEPS.get(status, _RIGHTS)
        )
