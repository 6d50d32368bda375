"""The org package as a whole: Salesforce's own tooling accepts it, and what it sends is what the app takes.

`salesforce/check.mjs` runs the resolver and converter that `sf` deploys with, compares every file with
the types of the Metadata API and parses the Apex; the rest is read from the source here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest

from integration.salesforce.events import RecordsChanged, read_json, read_outbound_message
from integration.settings import WebhookSettings
from integration.triggers import proof
from sandbox.processes import node_executable
from tests.contract.salesforce_package import (
    PACKAGE,
    ROOT,
    SOURCE,
    apex,
    custom_fields,
    metadata,
    one,
)

ORG = "00DAa0000000001EAA"
ADDRESSES = {
    "D365_APP_URL": "https://app.example.com",
    "D365_WEBHOOK_URL": "https://app.example.com/api/salesforce/events?code=a-key",
    "D365_INTEGRATION_USER": "integration@example.com",
}
OBJECTS = ("Account", "Contact", "Opportunity")


def check(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    if not (PACKAGE / "node_modules").is_dir():
        raise FileNotFoundError("the tooling is not installed in salesforce/; run `make install`")
    return subprocess.run(
        [node_executable(), str(PACKAGE / "check.mjs")],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", ""), **environment},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def checked() -> dict[str, Any]:
    done = check(ADDRESSES)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_file_is_metadata_that_salesforce_knows_and_apex_that_parses(checked: Any) -> None:
    assert checked["problems"] == []


def test_the_manifest_names_every_component_of_the_source(checked: Any) -> None:
    assert checked["manifest"] == checked["components"]
    assert len(checked["components"]) > 100


def test_conversion_to_the_deployed_format_and_back_loses_nothing(checked: Any) -> None:
    added = {name for name in checked["returned"] if name not in checked["components"]}
    assert set(checked["components"]) <= set(checked["returned"])
    # Standard objects come back as files of their own; the source holds their fields alone.
    assert added == {f"CustomObject:{name}" for name in (*OBJECTS, "Product2", "PricebookEntry")}


def test_a_deployment_carries_the_addresses_of_this_org(checked: Any) -> None:
    text = "".join(checked["deployed"].values())
    assert ".invalid" not in text
    for name, times in (
        ("D365_APP_URL", 4), ("D365_WEBHOOK_URL", 3), ("D365_INTEGRATION_USER", 4)
    ):  # fmt: skip
        assert text.count(ADDRESSES[name]) == times, name


def test_a_deployment_without_addresses_is_refused() -> None:
    done = check({name: value for name, value in ADDRESSES.items() if name != "D365_WEBHOOK_URL"})
    assert done.returncode != 0
    assert "D365_WEBHOOK_URL" in done.stderr


def test_no_secret_is_in_the_source() -> None:
    [principal, header] = one("externalCredentials/*").root.findall("externalCredentialParameters")
    assert principal.find("parameterValue") is None
    assert header.findtext("parameterValue") == "{!$Credential.D365_Integration.FunctionKey}"


def test_an_outbound_message_sends_what_the_webhook_reads() -> None:
    for file in metadata("workflows/*.xml"):
        [message] = file.root.findall("outboundMessages")
        assert message.findtext("includeSessionId") == "false"
        fields = [each.text or "" for each in message.findall("fields")]
        record = "".join(f"<sf:{name}>001Aa0000000001IAA</sf:{name}>" for name in fields)
        body = (
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
            f"<OrganizationId>{ORG}</OrganizationId><Notification><Id>04lAa0000000001IAA</Id>"
            '<sObject xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
            ' xmlns:sf="urn:sobject.enterprise.soap.sforce.com"'
            f' xsi:type="sf:{file.name}">{record}</sObject></Notification></notifications>'
            "</s:Body></s:Envelope>"
        )
        received = read_outbound_message(body.encode())
        assert [each.object for each in received.events] == [file.name]


def test_the_signature_of_the_apex_test_is_the_one_the_app_accepts() -> None:
    text = apex("D365EventDeliveryTest")
    secret, timestamp, body, signature = (
        re.findall(rf"String {name} = '(.*)';", text)[0]
        for name in ("secret", "timestamp", "body", "expected")
    )
    settings = WebhookSettings(WEBHOOK_SECRETS=secret)  # type: ignore[call-arg]
    settings = settings.model_copy(update={"clock_skew": float("inf")})
    headers = {proof.TIMESTAMP: timestamp, proof.SIGNATURE: signature}
    proof.prove_json(settings, headers, body.encode())
    with pytest.raises(proof.NotProven):
        proof.prove_json(settings, headers, body.encode() + b" ")
    assert [each.object for each in read_json(body.encode()).events] == ["Account"]
    sent = apex("D365Webhook")
    assert f"'{proof.TIMESTAMP}'" in sent
    assert f"'{proof.SIGNATURE}'" in sent


def test_the_envelope_of_apex_is_the_webhooks() -> None:
    members = re.findall(r"^    public [\w<>]+ (\w+);$", apex("D365Envelope"), re.MULTILINE)
    assert set(members) == set(RecordsChanged.model_fields)
    [ids] = [
        each for each in RecordsChanged.model_fields["recordIds"].metadata if "ax_l" in str(each)
    ]
    most = re.findall(
        r"IDS_PER_(?:EVENT|CALL) = (\d+);", apex("D365RecordChanges") + apex("D365EventDelivery")
    )
    assert most == [str(ids.max_length)] * 2
    length = int(custom_fields()["D365_Records_Changed__e.Record_Ids__c"].text("length"))
    assert length >= 19 * ids.max_length - 1


def test_the_platform_event_is_one_the_app_reads_too() -> None:
    names = {name.split(".")[1] for name in custom_fields() if name.startswith("D365_Records_Ch")}
    payload = {"Entity__c": "Contact", "Record_Ids__c": "003Aa0000000001IAA", "EventUuid": "e-1"}
    assert set(payload) - {"EventUuid"} | {"Parent_Id__c"} <= names
    payload["Parent_Id__c"] = "001Aa0000000001IAA"
    [event] = read_json(json.dumps({"payload": payload}).encode()).events
    assert (event.object, event.root) == ("Contact", "001Aa0000000001IAA")
    event_file = one("objects/D365_Records_Changed__e/*.xml")
    assert event_file.text("publishBehavior") == "PublishAfterCommit"


def test_the_stock_check_asks_and_reads_what_the_app_documents() -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    text = apex("D365Inventory")
    [path] = re.findall(r"'callout:D365_Integration(/\S+)';", text)
    asked = {each["name"] for each in document["paths"][path]["get"]["parameters"]}
    assert {"item", *re.findall(r"'(\w+)' => question", text)} <= asked
    schemas = document["components"]["schemas"]
    for name, schema in (
        ("Quantities", "WarehouseStock"), ("Item", "ItemStock"), ("Warehouse", "WarehouseStock"),
        ("Stock", "StockAnswer"),
    ):  # fmt: skip
        [body] = re.findall(rf"class {name}\b[^{{]*\{{([^}}]*)\}}", text)
        members = set(re.findall(r"public [\w<>]+ (\w+);", body))
        assert members, name
        assert members <= set(schemas[schema]["properties"]), name


@pytest.mark.parametrize("name", OBJECTS)
def test_changes_go_out_by_flow_or_by_trigger_and_can_be_caught_up(name: str) -> None:
    flow = one(f"flows/D365_{name}_Changed.flow-meta.xml")
    assert flow.text("start/object") == name
    assert flow.text("start/recordTriggerType") == "CreateAndUpdate"
    trigger = (SOURCE / "triggers" / f"D365{name}Changed.trigger").read_text(encoding="utf-8")
    assert re.search(rf"\bon {name}\s*\(", trigger)
    member = one(f"platformEventChannelMembers/ChangeEvents_{name}ChangeEvent.*")
    assert member.text("selectedEntity") == f"{name}ChangeEvent"


def test_apex_classes_have_tests_and_the_api_version_of_the_project() -> None:
    version = json.loads((PACKAGE / "sfdx-project.json").read_text(encoding="utf-8"))[
        "sourceApiVersion"
    ]
    assert {
        file.text("apiVersion")
        for file in metadata("*/*.*-meta.xml")
        if file.root.find("apiVersion") is not None
    } == {version}
    tests = "".join(
        apex(path.name.removesuffix(".cls")) for path in SOURCE.glob("classes/*Test.cls")
    )
    for path in SOURCE.glob("classes/*.cls"):
        assert path.name.removesuffix(".cls").removesuffix("Test") in tests, path.name
