"""Every app setting: what the code reads is what a deployment sets, the sample shows and the sandbox uses."""

from __future__ import annotations

import json
import re

import pytest

from infra.parameters import EXAMPLES, FILE, PARAMETERS, document, setting_names
from integration.settings import load_settings
from tests.contract.infra_support import (
    INFRA,
    OF_THE_PLATFORM,
    app_settings,
    deployed,
    sandbox_settings,
)
from tests.contract.test_bindings import HOST_KEYS, referenced, sample

REFERENCE = re.compile(r"@Microsoft\.KeyVault\(SecretUri=https://[\w.-]+/secrets/([\w-]+)\)")
PEM = "-----BEGIN PRIVATE KEY-----\\nAA==\\n-----END PRIVATE KEY-----"


def test_the_parameters_file_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == document(), "run: python -m infra.parameters"


def settable() -> set[str]:
    """Whatever a deployment can set: the file's settings, those with a parameter, connections, secrets."""
    listed = set(json.loads(document())["parameters"]["settings"]["value"])
    references = [line for name in EXAMPLES for line in app_settings(name)]
    return (
        listed
        | {variable for variable, _ in PARAMETERS.values()} & set(setting_names())
        | set(references)
    )


def test_every_setting_that_the_code_reads_can_be_set_by_a_deployment() -> None:
    by_connection_string = {"ServiceBus", "AzureWebJobsStorage"}  # never where identities work
    of_one_way_to_sign_in = {"SALESFORCE_PRIVATE_KEY", "SALESFORCE_CLIENT_SECRET",
                             "D365_CERTIFICATE", "D365_CLIENT_SECRET"}  # fmt: skip
    known = (setting_names().keys() | referenced()) - by_connection_string
    assert known - of_one_way_to_sign_in <= settable()
    template = (INFRA / "modules" / "app.bicep").read_text(encoding="utf-8")
    assert {name for name in of_one_way_to_sign_in if f"'{name}'" not in template} == set()


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_deployment_sets_nothing_that_nobody_reads(example: str) -> None:
    known = setting_names().keys() | referenced() | OF_THE_PLATFORM.keys()
    assert app_settings(example).keys() <= known


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_deployment_sets_what_bindings_name(example: str) -> None:
    given = app_settings(example)
    assert referenced() <= given.keys()
    for name in referenced():
        assert len(given[name].split()) == 6, name  # NCRONTAB with seconds


@pytest.mark.parametrize("name", ["FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_PROCESS_COUNT"])
def test_what_the_plan_forbids_is_not_set(name: str) -> None:
    assert name not in app_settings("everything")


def test_sample_and_sandbox_use_no_setting_that_a_deployment_could_not_set() -> None:
    local = HOST_KEYS | {"SALESFORCE_PRIVATE_KEY", "D365_CLIENT_SECRET"}
    assert set(sample()) - local <= settable()
    of_the_machine = {"REQUESTS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"}  # own certificates
    assert sandbox_settings() - local - of_the_machine <= settable()


def test_every_secret_comes_from_key_vault() -> None:
    for example in EXAMPLES:
        for name, value in app_settings(example).items():
            if setting_names().get(name):
                found = REFERENCE.fullmatch(value)
                assert found, name
                assert found[1] == name.lower().replace("_", "-")


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_deployed_settings_are_a_valid_configuration(
    example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    for name, value in app_settings(example).items():
        monkeypatch.setenv(name, PEM if REFERENCE.fullmatch(value) else value)
    settings = load_settings()
    assert settings.app.flow_orders == "dry"  # a first deployment writes nothing
    assert (
        settings.azure.service_bus_namespace == deployed(example).outputs["SERVICE_BUS_NAMESPACE"]
    )
    identity = deployed(example).outputs["IDENTITY_CLIENT_ID"]
    managed = settings.d365.auth == "managed_identity"
    assert (settings.d365.client_id == identity) is managed


def test_a_changed_variable_reaches_the_app() -> None:
    assert app_settings("everything")["FLOW_ACCOUNTS"] == "on"
    assert app_settings("smallest")["FLOW_ACCOUNTS"] == "dry"
    assert "RETRY_ATTEMPTS" not in app_settings("smallest")  # empty: the app's own default counts
