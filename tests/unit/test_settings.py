"""The app settings: what is wrong is said at once and together, and no secret is ever shown."""

import os

import pytest
from azure.storage.blob import ContainerClient

from integration.errors import ConfigurationError
from integration.settings import (
    AzureSettings,
    D365Settings,
    SalesforceSettings,
    Settings,
    WebhookSettings,
    load_settings,
)

KEY = "-----BEGIN PRIVATE KEY-----\\nVERYSECRETKEY\\n-----END PRIVATE KEY-----"
COMPLETE = {
    "SALESFORCE_CLIENT_ID": "consumer",
    "SALESFORCE_USERNAME": "integration@example.com",
    "SALESFORCE_PRIVATE_KEY": KEY,
    "SALESFORCE_ORG_IDS": "00DAa0000000001MAA, 00DAa0000000002",
    "D365_BASE_URL": "https://Contoso.Operations.Dynamics.com/",
    "D365_AUTH": "secret",
    "D365_TENANT_ID": "tenant",
    "D365_CLIENT_ID": "application",
    "D365_CLIENT_SECRET": "d365-hush",
    "D365_COMPANY": "usmf",
    "WEBHOOK_SECRETS": "hmac-one,hmac-two",
    "WEBHOOK_STATIC_SECRET": "static-hush",
    "ServiceBus": "Endpoint=sb://x;SharedAccessKeyName=n;SharedAccessKey=bus-hush",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "ORDERS_SINCE": "2025-03-01",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with nothing in it."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    return monkeypatch


def loaded(environment: pytest.MonkeyPatch, **changes: str | None) -> Settings:
    for name, value in {**COMPLETE, **changes}.items():
        if value is not None:
            environment.setenv(name, value)
    return load_settings()


def problems(environment: pytest.MonkeyPatch, **changes: str | None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(environment, **changes)
    return caught.value.problems


def test_an_empty_environment_names_every_setting_that_is_needed(
    environment: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    names = [problem.partition(":")[0] for problem in caught.value.problems]
    assert names == [
        "SALESFORCE_CLIENT_ID",
        "SALESFORCE_USERNAME",
        "SALESFORCE_PRIVATE_KEY",
        "D365_BASE_URL",
        "D365_COMPANY",
        "ServiceBus__fullyQualifiedNamespace",
        "AzureWebJobsStorage__accountName",
        "ORDERS_SINCE",
    ]
    assert str(caught.value).startswith("8 configuration problem(s):\n  - SALESFORCE_CLIENT_ID")


def test_needs_between_settings_are_reported_beside_wrong_single_settings(
    environment: pytest.MonkeyPatch,
) -> None:
    found = problems(
        environment,
        SALESFORCE_CLIENT_ID=None,
        SALESFORCE_USERNAME=None,
        D365_BASE_URL="contoso.operations.dynamics.com",
        D365_TENANT_ID=None,
        D365_CLIENT_SECRET=None,
        D365_MAX_CONCURRENT_CALLS="10",
        WEBHOOK_MAX_BYTES="many",
        RETRY_ATTEMPTS="0",
        AzureWebJobsStorage=None,
        FLOW_ACCOUNTS="maybe",
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "FLOW_ACCOUNTS",
        "SALESFORCE_CLIENT_ID",
        "SALESFORCE_USERNAME",
        "D365_BASE_URL",
        "D365_TENANT_ID",
        "D365_CLIENT_SECRET",
        "WEBHOOK_MAX_BYTES",
        "AzureWebJobsStorage__accountName",
        "RETRY_ATTEMPTS",
        found[-1].partition(":")[0],
    ]
    assert "INTEGRATION_BUCKETS=16" in found[-1]
    assert "D365_MAX_CONCURRENT_CALLS=10" in found[-1]


@pytest.mark.parametrize("name", ["WEBHOOK_SECRETS", "SALESFORCE_PRIVATE_KEY", "D365_COMPANY"])
def test_an_unresolved_key_vault_reference_is_no_value(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://x.vault.azure.net/secrets/y)"
    (problem,) = problems(environment, **{name: reference})
    assert problem.startswith(f"{name}: the Key Vault reference is not resolved")


def test_stock_checks_and_jobs_count_into_the_budget_of_concurrent_calls(
    environment: pytest.MonkeyPatch,
) -> None:
    assert loaded(environment, STOCK_MAX_CALLS="28").app.stock_calls == 28
    (problem,) = problems(environment, INTEGRATION_BUCKETS="16", STOCK_MAX_CALLS="29")
    assert "make 53 F&O calls at once" in problem


def test_a_problem_is_reported_once_where_two_checks_read_the_setting(
    environment: pytest.MonkeyPatch,
) -> None:
    assert [p.partition(":")[0] for p in problems(environment, INTEGRATION_BUCKETS="none")] == [
        "INTEGRATION_BUCKETS"
    ]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (
            {"SALESFORCE_AUTH": "client_credentials"},
            ["SALESFORCE_CLIENT_SECRET"],
        ),
        ({"D365_AUTH": "certificate"}, ["D365_CERTIFICATE"]),
        (
            {"D365_AUTH": "certificate", "D365_TENANT_ID": None, "D365_CLIENT_ID": ""},
            ["D365_TENANT_ID", "D365_CLIENT_ID", "D365_CERTIFICATE"],
        ),
        ({"SALESFORCE_AUTH": "password", "SALESFORCE_USERNAME": None}, ["SALESFORCE_AUTH"]),
        ({"SALESFORCE_ORG_IDS": "<organisation id>"}, ["SALESFORCE_ORG_IDS"]),
        ({"D365_COMPANY": "toolong"}, ["D365_COMPANY"]),
        ({"SALESFORCE_API_VERSION": "62"}, ["SALESFORCE_API_VERSION"]),
        ({"INTEGRATION_BUCKETS": "0"}, ["INTEGRATION_BUCKETS"]),
    ],
)
def test_each_way_to_sign_in_and_each_form_is_checked(
    environment: pytest.MonkeyPatch, changes: dict[str, str | None], names: list[str]
) -> None:
    found = problems(environment, **changes)
    assert [problem.partition(":")[0] for problem in found] == names


def test_secrets_are_in_no_text_of_the_settings_nor_of_their_problems(
    environment: pytest.MonkeyPatch,
) -> None:
    settings = loaded(environment)
    shown = repr(settings) + str(settings) + settings.model_dump_json()
    for secret in ("VERYSECRETKEY", "hush", "hmac-one", "hmac-two"):
        assert secret not in shown
    assert settings.webhook.secrets[1].get_secret_value() == "hmac-two"


def test_problems_do_not_repeat_the_values(environment: pytest.MonkeyPatch) -> None:
    text = "\n".join(
        problems(
            environment,
            D365_AUTH="hush",
            D365_BASE_URL="hush",
            SALESFORCE_ORG_IDS="hush",
            RETRY_ATTEMPTS="hush",
            WEBHOOK_MAX_BYTES="hush",
        )
    )
    assert "hush" not in text


def test_settings_carry_the_names_of_the_app_settings(environment: pytest.MonkeyPatch) -> None:
    settings = loaded(
        environment,
        INTEGRATION_BUCKETS="8",
        BATCH_WINDOW_MS="20",
        CREATE_QUARANTINE_MINUTES="5",
        RETRY_MAX_AGE_HOURS="1",
        STATE_CONTAINER="state",
        WEBHOOK_SECRETS=None,
        WEBHOOK_SECRET="only",
    )
    assert settings.app.buckets == 8
    assert settings.app.create_quarantine.total_seconds() == 300
    assert settings.retry.max_age.total_seconds() == 3600
    assert settings.azure.state_container == "state"
    assert [s.get_secret_value() for s in settings.webhook.secrets] == ["only"]
    assert settings.salesforce.org_ids == ("00DAa0000000001MAA", "00DAa0000000002")


def test_an_empty_app_setting_counts_as_not_set(environment: pytest.MonkeyPatch) -> None:
    assert loaded(environment, FLOW_ACCOUNTS="", MAPPING_FILE="").app.flow_accounts == "on"


def test_settings_cannot_be_changed(environment: pytest.MonkeyPatch) -> None:
    settings = loaded(environment)
    with pytest.raises(ValueError, match="frozen"):
        settings.app.buckets = 3


def test_a_private_key_on_one_line_gets_its_newlines_back(
    environment: pytest.MonkeyPatch,
) -> None:
    key = loaded(environment).salesforce.private_key
    assert key is not None
    assert key.get_secret_value().splitlines()[1] == "VERYSECRETKEY"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Contoso.operations.dynamics.com/", "https://contoso.operations.dynamics.com"),
        (" https://contoso.com ", "https://contoso.com"),
        ("https://onebox.contoso.com/NamedInstance/", "https://onebox.contoso.com/NamedInstance"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_a_base_url_is_lower_case_and_ends_without_slash(given: str, kept: str) -> None:
    assert D365Settings(base_url=given, company="usmf").base_url == kept


@pytest.mark.parametrize("given", ["contoso.com", "ftp://contoso.com", "https://", "https:contoso"])
def test_a_base_url_must_be_a_whole_one(given: str) -> None:
    with pytest.raises(ValueError, match="full URL"):
        D365Settings(base_url=given, company="usmf")


def test_development_storage_is_a_connection_that_the_sdk_knows() -> None:
    settings = AzureSettings(AzureWebJobsStorage="UseDevelopmentStorage=true", ServiceBus="x")
    assert settings.storage is not None
    with ContainerClient.from_connection_string(
        settings.storage.get_secret_value(), settings.state_container
    ) as container:
        assert container.url == "http://127.0.0.1:10000/devstoreaccount1/integration-state"


@pytest.mark.parametrize(
    ("login_url", "audience"),
    [
        ("https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "https://test.salesforce.com"),
        ("https://acme.my.salesforce.com", "https://login.salesforce.com"),
    ],
)
def test_the_audience_follows_from_the_kind_of_org(login_url: str, audience: str) -> None:
    settings = SalesforceSettings(
        login_url=login_url, client_id="c", auth="client_credentials", client_secret="s"
    )
    assert settings.token_audience == audience


def test_webhook_secrets_may_be_missing_so_that_only_soap_is_used(
    environment: pytest.MonkeyPatch,
) -> None:
    assert WebhookSettings().secrets == ()


def test_a_step_of_a_job_leaves_time_for_a_write(environment: pytest.MonkeyPatch) -> None:
    assert problems(environment, JOB_STEP_SECONDS="6.9") == [
        "JOB_STEP_SECONDS: must be at least 7: a write to F&O is only begun with 5 s left, so a shorter"
        " step would never come to one"
    ]
    assert loaded(environment, JOB_STEP_SECONDS="7").app.job_step_seconds == 7
