"""`doctor` against a sandbox: it finds nothing where nothing is wrong, and exactly what was planted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sandbox.stack import Sandbox
from tests.end_to_end.doctor_world import (
    Patient,
    broker_with_letters_and_plain_changes,
    broker_without_jobs,
)
from tests.end_to_end.golden import compare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRETS = ("sandbox-secret", "sandbox-webhook-secret", "PRIVATE KEY", "SharedAccessKey=sandbox")
READ_ACTIONS = ("GetApplicationVersion", "GetAzureWriteUrl")  # POST that change nothing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing() -> AsyncIterator[Patient]:
    sandbox = Sandbox()
    try:
        await sandbox.start(app=False)
        patient = Patient(sandbox)
        with patient.container() as container:
            await asyncio.to_thread(container.create_container)
        yield patient
    finally:
        await sandbox.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def patient(standing: Patient) -> AsyncIterator[Patient]:
    yield standing
    await standing.heal()


async def test_a_right_sandbox_has_nothing_to_tell_and_is_left_as_it_was(patient: Patient) -> None:
    sandbox = patient.sandbox
    for stand_in in (sandbox.salesforce, sandbox.d365):
        stand_in.control.calls.clear()
    report = await patient.examine()
    assert report.not_ok() == set()
    assert report.code == 0
    assert not [secret for secret in SECRETS if secret in report.output]
    calls = {*sandbox.salesforce.control.calls, *sandbox.d365.control.calls}
    writes = {call for call in calls if not call.startswith("GET ") and "oauth2" not in call}
    assert {call.rpartition(".")[2] for call in writes} == set(READ_ACTIONS)
    counts = sandbox.broker.counts().values()
    assert sum(count for queue in counts for count in queue.values()) == 0
    with patient.container() as container:
        assert await asyncio.to_thread(lambda: list(container.list_blob_names())) == []


async def test_the_pages_that_a_person_reads(patient: Patient) -> None:
    whole, problems = await asyncio.gather(
        patient.run(), patient.run("--problems", D365_CLIENT_SECRET="wrong")
    )
    assert (whole[0], problems[0]) == (0, 1)
    compare("doctor", whole[1])
    compare("doctor-problems", problems[1])


async def test_ten_planted_mistakes_are_found_and_nothing_else(
    patient: Patient, tmp_path: Path
) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[prices.books."Wholesale"]\ngroup = "WHO"\n')
    await patient.put(
        "salesforce",
        "schema",
        {
            "Product2.D365_Item_Number__c": {"external": False},
            "Contact.Department": {"hidden": True},
            "Opportunity.D365_Status__c": {"updateable": False},
        },
    )
    await patient.put("salesforce", "quota", {"max": 10_000, "used": 8_500})
    await patient.put(
        "d365",
        "model",
        {
            "ContactPersons.SalesforceContactId": {"hidden": True},
            "WarehousesOnHandV2": {"public": False},
        },
    )
    broker = await broker_without_jobs()
    try:
        report = await patient.examine(
            SALESFORCE_ORG_IDS="00DAa0000000009",
            D365_COMPANY="usxx",
            MAPPING_FILE=str(mapping),
            ServiceBus=broker.connection_string,
        )
    finally:
        await broker.stop()
    assert report.not_ok() == {
        ("failed", "Salesforce", "allowed organisation"),
        ("warning", "Salesforce", "limits"),
        ("failed", "Salesforce", "Contact fields"),
        ("failed", "Salesforce", "Opportunity fields"),
        ("failed", "Salesforce", "Product2.D365_Item_Number__c"),
        ("failed", "Salesforce", "price book"),
        ("failed", "F&O", "companies"),
        ("failed", "F&O", "ContactPersons"),
        ("failed", "F&O", "WarehousesOnHandV2"),
        ("failed", "Service Bus", "queue jobs"),
    }
    assert len([row for row in report.rows if row["status"] != "ok"]) == 10
    assert report.code == 1
    assert report.row("Contact fields")["found"].startswith("Department: missing, or hidden")
    assert report.row("Opportunity fields")["found"].startswith("D365_Status__c: cannot be changed")
    assert report.row("ContactPersons")["found"] == (
        "SalesforceContactId is missing (D365_SALESFORCE_CONTACT_ID_FIELD)"
    )
    assert report.row("companies")["found"] == "usxx, named by D365_COMPANY, is no legal entity"


async def test_ten_other_mistakes_are_found_too(patient: Patient) -> None:
    await patient.put(
        "salesforce",
        "schema",
        {
            "Invoice__c.D365_Key__c": {"unique": False},
            "PricebookEntry.D365_Key__c": {"length": 30},
            "Product2.D365_Item_Number__c": {"cased": False},
            "Account.D365_Credit_Limit__c": {"hidden": True},
            "Invoice_Line__c.Amount__c": {"createable": False},
        },
    )
    await patient.put(
        "d365",
        "model",
        {
            "CustomersV3.SalesDistrict": {"mandatory": True},
            "SalesOrderLines.LineAmount": {"hidden": True},
            "ContactPersons": {"read_only": True},
        },
    )
    broker = await broker_with_letters_and_plain_changes()
    try:
        report = await patient.examine(
            SALESFORCE_API_VERSION="61.0", ServiceBus=broker.connection_string
        )
    finally:
        await broker.stop()
    assert report.not_ok() == {
        ("failed", "Salesforce", "Invoice__c.D365_Key__c"),
        ("failed", "Salesforce", "PricebookEntry.D365_Key__c"),
        ("warning", "Salesforce", "Product2.D365_Item_Number__c"),
        ("warning", "Salesforce", "Account fields"),
        ("failed", "Salesforce", "Invoice_Line__c fields"),
        ("warning", "F&O", "CustomersV3"),
        ("failed", "F&O", "SalesOrderLines"),
        ("failed", "F&O", "ContactPersons"),
        ("failed", "Service Bus", "queue changes"),
        ("warning", "Service Bus", "dead letters"),
    }
    assert report.row("dead letters")["found"].startswith("2 wait: 1 failed, 1 review, the oldest")
    assert report.row("CustomersV3")["found"].startswith("SalesDistrict: mandatory")


async def test_a_sign_in_that_fails_is_one_failure(patient: Patient) -> None:
    report = await patient.examine(
        SALESFORCE_CLIENT_ID="somebody-else",
        D365_CLIENT_SECRET="wrong",
        ServiceBus=patient.sandbox.broker.connection_string.replace(
            str(patient.sandbox.broker.port), "9"
        ),
        AzureWebJobsStorage="DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;"
        "BlobEndpoint=http://127.0.0.1:9/a;",
    )
    signed_in = [row for row in report.rows if row["area"] in ("Salesforce", "F&O")]
    by_name = {(row["area"], row["name"]): row["status"] for row in signed_in}
    assert by_name.pop(("Salesforce", "sign-in")) == by_name.pop(("F&O", "sign-in")) == "failed"
    assert set(by_name.values()) == {"not checked"}
    assert report.code == 1
    assert report.row("container")["found"].startswith("integration-state cannot be reached")
    assert report.row("queue jobs")["found"].startswith("cannot be opened")
    assert report.row("dead letters")["status"] == "not checked"
    assert not [secret for secret in SECRETS if secret in report.output]


async def test_what_does_not_need_a_wrong_setting_is_checked_all_the_same(
    patient: Patient, tmp_path: Path
) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text("[price]\n")
    report = await patient.examine(
        D365_COMPANY="", ORDERS_SINCE="soon", WATCH_SCHEDULE="daily", MAPPING_FILE=str(mapping)
    )
    assert report.code == 2
    assert {row for row in report.not_ok() if row[0] == "failed"} == {
        ("failed", "settings", "D365_COMPANY"),
        ("failed", "settings", "ORDERS_SINCE"),
        ("failed", "settings", "WATCH_SCHEDULE"),
        ("failed", "settings", "MAPPING_FILE"),
    }
    assert report.row("companies")["status"] == "not checked"
    assert report.row("Account fields")["status"] == "not checked"
    for name in ("environment", "API version", "queue changes", "container"):
        assert report.row(name)["status"] == "ok"


async def test_a_secret_that_cannot_be_read_is_a_failure_and_the_rest_is_checked_all_the_same(
    patient: Patient,
) -> None:
    """Nobody is signed in; and one reference names no secret at all."""
    report = await patient.examine(
        PATH="/nowhere",
        SALESFORCE_PRIVATE_KEY="@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/a)",
        D365_CLIENT_SECRET="@Microsoft.KeyVault(VaultName=v)",
        BATCH_SIZE="many",
    )
    assert report.code == 2
    assert {row for row in report.not_ok() if row[0] == "failed"} == {
        ("failed", "settings", "SALESFORCE_PRIVATE_KEY"),
        ("failed", "settings", "D365_CLIENT_SECRET"),
        ("failed", "settings", "BATCH_SIZE"),
    }
    assert report.row("SALESFORCE_PRIVATE_KEY")["advice"] == "run `az login`"
    assert report.row("D365_CLIENT_SECRET")["found"] == "the reference names no secret"
    signs = [row for row in report.rows if row["name"] == "sign-in"]
    assert [row["found"] for row in signs] == [
        "needs SALESFORCE_PRIVATE_KEY",
        "needs D365_CLIENT_SECRET",
    ]
    for name in ("flows", "webhook", "schedules", "queue changes", "dead letters", "container"):
        assert report.row(name)["status"] == "ok"
    assert "vault.azure.net" not in report.output


async def test_a_token_for_another_address_is_a_failure_of_the_environment(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F&O answers 401 to a token that is for another host than its own (F&O contract 1.2)."""
    authenticator = patient.sandbox.d365.authenticator
    session = authenticator.session

    def moved(authorization: str, base_url: str, own_url: str | None) -> object:
        return session(authorization, "https://new.operations.test", "https://new.operations.test")

    monkeypatch.setattr(authenticator, "session", moved)
    report = await patient.examine()
    assert {row for row in report.not_ok() if row[0] == "failed"} == {
        ("failed", "F&O", "environment")
    }
    assert report.row("environment")["found"].startswith("refuses the token of application")
    assert report.row("companies")["status"] == "not checked"


async def test_a_throttled_system_fails_what_it_was_asked_for_and_nothing_else(
    patient: Patient,
) -> None:
    refused = {"match": {"path": "CustomersV3"}, "status": 429, "body": {}, "count": None}
    await patient.put("d365", "faults", refused, method="POST")
    limit = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    refused = {"match": {"path": "Pricebook2/describe"}, "status": 403, "body": limit}
    await patient.put("salesforce", "faults", {**refused, "count": None}, method="POST")
    report = await patient.examine()
    assert report.not_ok() == {
        ("failed", "F&O", "customer numbers"),
        ("failed", "Salesforce", "Pricebook2 fields"),
    }
    assert "wait" in report.row("customer numbers")["advice"]
    assert "wait" in report.row("Pricebook2 fields")["advice"]
