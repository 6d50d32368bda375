"""What `doctor` makes of rights that are missing, and what it asks, with scripted systems."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.cli.checks.check import Check, run_probes
from integration.cli.checks.d365 import D365Checks
from integration.cli.checks.salesforce import SalesforceChecks
from integration.d365.metadata import Metadata
from tests.unit.doctor_support import given, only
from tests.unit.test_d365_support import FakeServer, client_for, reply
from tests.unit.test_salesforce_org import ORG_ID, USER_ID, FakeOrg

if TYPE_CHECKING:
    from collections.abc import Mapping

REFUSED = (403, [{"message": "no right", "errorCode": "INSUFFICIENT_ACCESS"}])
PEOPLE = {"organization_id": ORG_ID, "user_id": USER_ID, "preferred_username": "sync@acme.example"}


async def salesforce_rows(
    monkeypatch: pytest.MonkeyPatch, name: str, answers: Mapping[str, Any]
) -> list[Check]:
    """The rows of one probe; `answers` by a part of the path."""

    def answer(request: httpx.Request) -> Any:
        if request.url.path.endswith("/userinfo"):
            headers = {"sforce-limit-info": "api-usage=900/1000"}
            return httpx.Response(200, json=PEOPLE, headers=headers)
        return next(each for part, each in answers.items() if part in str(request.url))

    org = FakeOrg(answer)
    client = org.client()
    probes = SalesforceChecks(client, given(monkeypatch)).probes()
    wanted = [each for each in probes if each.name in ("sign-in", name)]
    rows = await run_probes(wanted)
    await org.http.aclose()
    return [row for row in rows if row.name not in ("sign-in", "instance")]


async def test_without_the_right_to_limits_the_answers_tell_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = only(await salesforce_rows(monkeypatch, "limits", {"/limits": REFUSED}))
    assert (row.status, row.found) == ("warning", "API calls: 100 of 1,000 left")


async def test_without_the_right_to_the_organisation_its_id_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = await salesforce_rows(monkeypatch, "organisation", {"/query": REFUSED})
    assert [row.status for row in rows] == ["ok", "ok"]
    assert rows[0].found == "what kind it is cannot be read by this user"
    assert ORG_ID in rows[1].found


async def test_without_the_right_to_profiles_the_user_is_not_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unknown = (400, [{"message": "No such column", "errorCode": "INVALID_FIELD"}])
    row = only(await salesforce_rows(monkeypatch, "integration user", {"/query": unknown}))
    assert row.status == "not checked"


async def test_a_user_who_may_be_a_person_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"Id": USER_ID, "Profile": {"PermissionsApiUserOnly": False}}
    found = (200, {"totalSize": 1, "done": True, "records": [record]})
    row = only(await salesforce_rows(monkeypatch, "integration user", {"/query": found}))
    assert row.status == "warning"


async def test_an_object_that_is_hidden_is_a_failure_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = (404, [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}])
    row = only(await salesforce_rows(monkeypatch, "Invoice__c fields", {"/describe": gone}))
    assert (row.status, row.name) == ("failed", "Invoice__c fields")
    assert row.advice


async def d365_rows(
    monkeypatch: pytest.MonkeyPatch, server: FakeServer, name: str, **settings: str
) -> list[Check]:
    found = given(monkeypatch, **settings)
    with client_for(server, tries=1) as client:
        probes = D365Checks(client, found, Metadata(client)).probes()
        [wanted] = [each for each in probes if each.name == name]
        return list(await wanted.work())


def metadata(*columns: str, locked: str = "", mandatory: str = "") -> Any:
    return {
        "Name": "CustomerV3",
        "EntitySetName": "CustomersV3",
        "Properties": [
            {
                "Name": each,
                "TypeName": "Edm.String",
                "IsMandatory": each == mandatory,
                "AllowEditOnCreate": each != locked,
            }
            for each in columns
        ],
    }


PUBLIC = {"value": [{"PublicEntityName": "CustomerV3", "DataServiceEnabled": True}]}


async def test_a_version_that_cannot_be_read_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = FakeServer(reply(403), reply(200, {"value": []}))
    row = only(await d365_rows(monkeypatch, server, "environment"))
    assert row.status == "ok"
    assert row.found.endswith("its version cannot be read")


async def test_an_application_that_f_and_o_does_not_know_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = only(await d365_rows(monkeypatch, FakeServer(reply(401)), "environment"))
    assert row.status == "failed"
    assert "Microsoft Entra ID applications" in row.advice


async def test_one_set_is_asked_for_and_not_the_whole_metadata(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = FakeServer(reply(200, PUBLIC), reply(200, metadata("dataAreaId")))
    rows = await d365_rows(monkeypatch, server, "CustomersV3")
    assert server.urls == [
        "/metadata/DataEntities?$filter=PublicCollectionName%20eq%20'CustomersV3'",
        "/metadata/PublicEntities('CustomerV3')",
    ]
    assert {row.status for row in rows} == {"failed"}


async def test_a_set_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer(reply(200, {"value": []}))
    row = only(await d365_rows(monkeypatch, server, "CustomersV3"))
    assert row.found == "there is no such entity (used by accounts, contacts, customers, orders)"


@pytest.mark.parametrize(("route", "status"), [("realtime", "warning"), ("scheduled", "failed")])
async def test_packages_that_cannot_be_used_fail_where_they_are_the_route(
    monkeypatch: pytest.MonkeyPatch, route: str, status: str
) -> None:
    rows = await d365_rows(
        monkeypatch, FakeServer(reply(403)), "data packages", ACCOUNTS_ROUTE=route
    )
    assert only(rows).status == status


@pytest.mark.parametrize(
    ("number", "locked", "status"),
    [
        ("001Aa0000000001IAA", "", "ok"),
        ("US-001", "", "warning"),
        ("US-001", "CustomerAccount", "failed"),
    ],
)
async def test_customer_numbers_of_our_own_are_proven_by_customers(
    monkeypatch: pytest.MonkeyPatch, number: str, locked: str, status: str
) -> None:
    row = {"CustomerAccount": number, "SalesforceAccountId": "001Aa0000000001IAA"}
    server = FakeServer(
        reply(200, PUBLIC),
        reply(200, metadata("CustomerAccount", "SalesforceAccountId", locked=locked)),
        reply(200, {"value": [row]}),
    )
    rows = await d365_rows(
        monkeypatch, server, "customer numbers", CUSTOMER_NUMBERING="salesforce-id"
    )
    assert only(rows).status == status
    assert number not in json.dumps(only(rows).found)
