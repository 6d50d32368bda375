"""App settings from a file, and the secrets that they refer to."""

import json
import os
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from integration.cli.problems import CommandFailed, WrongUse
from integration.cli.settings_file import needed_secrets, resolve_secrets, use_settings


def test_settings_come_from_either_form_of_file_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, listed = tmp_path / "local.json", tmp_path / "listed.json"
    local.write_text(json.dumps({"Values": {"CLI_TEST_A": "1", "CLI_TEST_B": "1"}}))
    listed.write_text(
        json.dumps(
            [{"name": f"CLI_TEST_{name}", "value": "2", "slotSetting": False} for name in "BC"]
        )
    )
    monkeypatch.setenv("CLI_TEST_A", "given")
    for name in ("CLI_TEST_B", "CLI_TEST_C"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    assert use_settings(local) == ["CLI_TEST_A"]
    assert os.environ["CLI_TEST_A"] == "1"
    assert use_settings(listed) == ["CLI_TEST_B"]
    assert [os.environ[f"CLI_TEST_{name}"] for name in "ABC"] == ["1", "2", "2"]


@pytest.mark.parametrize("text", ["A=1", "[1]", '{"Value": {}}', "null"])
def test_a_file_of_another_kind_is_wrong_use(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.json"
    file.write_text(text)
    with pytest.raises(WrongUse, match="is not a file of app settings"):
        use_settings(file)
    with pytest.raises(WrongUse, match="cannot be read: No such file"):
        use_settings(tmp_path / "other.json")


class Vault(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == "Bearer person"
        found = self.path.startswith("/secrets/private-key?api-version=")
        body = json.dumps({"value": "the key"} if allowed and found else {}).encode()
        self.send_response(200 if allowed and found else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def vault() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Vault) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `az` that answers as after `az login`."""
    script = tmp_path / "az"
    token = {"accessToken": "person", "expiresOn": "2099-01-01 00:00:00.000000"}
    script.write_text(f"#!/bin/sh\necho '{json.dumps(token)}'\n")
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.delenv("MSI_ENDPOINT", raising=False)


@pytest.mark.usefixtures("signed_in")
def test_a_reference_to_the_vault_is_read_with_the_sign_in_of_the_person(vault: str) -> None:
    settings = {
        "KEY": f"@Microsoft.KeyVault(SecretUri={vault}/secrets/private-key)",
        "PLAIN": "as it is",
    }
    assert resolve_secrets(settings) == {}
    assert settings == {"KEY": "the key", "PLAIN": "as it is"}


@pytest.mark.usefixtures("signed_in")
def test_what_cannot_be_read_is_named_and_the_rest_is_read_all_the_same(vault: str) -> None:
    settings = {
        "OTHER": f"@Microsoft.KeyVault(SecretUri={vault}/secrets/other)",
        "ANOTHER": f"@Microsoft.KeyVault(SecretUri={vault}/secrets/another)",
        "OPEN": "@Microsoft.KeyVault(SecretUri=http://vault.example/secrets/x)",
        "NOTHING": "@Microsoft.KeyVault(VaultName=v)",
        "KEY": f"@microsoft.keyvault( SecretUri={vault}/secrets/private-key )",
    }
    unresolved = resolve_secrets(settings)
    assert settings["KEY"] == "the key"
    assert {name: why.problem for name, why in unresolved.items()} == {
        "OTHER": "the secret cannot be read from the vault (status 403)",
        "ANOTHER": "the secret cannot be read from the vault (status 403)",
        "OPEN": "the reference is no https address",
        "NOTHING": "the reference names no secret",
    }
    assert "Key Vault Secrets User" in unresolved["OTHER"].step
    with pytest.raises(CommandFailed, match="OTHER, ANOTHER: the secret") as raised:
        needed_secrets(settings)
    assert vault not in str(raised.value)


def test_whoever_is_not_signed_in_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    for reference in ("SecretUri=https://v.vault.azure.net/secrets/x", "VaultName=v;SecretName=x"):
        with pytest.raises(CommandFailed, match="az login"):
            needed_secrets({"X": f"@Microsoft.KeyVault({reference})"})
