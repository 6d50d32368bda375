"""Reads, writes, actions and services of the F&O client."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from urllib.parse import unquote

import pytest

from integration.d365.errors import EtagConflict, RecordExists, RecordMissing
from integration.d365.filters import any_of, eq
from integration.d365.literals import Key, yes_no
from integration.d365.values import etag_of
from integration.errors import (
    ContractError,
    Misconfigured,
    OutcomeUnknown,
    RecordRejected,
)
from tests.unit.test_d365_support import (
    BASE,
    CUSTOMER,
    FakeServer,
    client_for,
    odata_error,
    reply,
)

KEY = Key(dataAreaId="usmf", CustomerAccount="US-001")
RECORD_URL = "/data/CustomersV3(dataAreaId='usmf',CustomerAccount='US-001')?cross-company=true"


async def test_a_record_is_read_by_its_key_in_any_company():
    server = FakeServer(reply(200, CUSTOMER))
    with client_for(server) as client:
        record = await client.get("CustomersV3", KEY, select=["OrganizationName", "CreditLimit"])
    assert record is not None
    assert record["CreditLimit"] == Decimal("389.45")
    assert etag_of(record) == CUSTOMER["@odata.etag"]
    assert server.urls == [f"{RECORD_URL}&$select=OrganizationName,CreditLimit"]
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer token-1"
    assert headers["accept"] == "application/json"
    assert headers["odata-version"] == headers["odata-maxversion"] == "4.0"
    assert headers["x-ms-client-request-id"]
    assert "cookie" not in headers


async def test_a_missing_record_is_none_and_a_wrong_address_is_not():
    with client_for(FakeServer(reply(404))) as client:
        assert await client.get("CustomersV3", KEY) is None
    route = {"Message": "No HTTP resource was found that matches the request URI 'x'."}
    with client_for(FakeServer(reply(404, route))) as client, pytest.raises(Misconfigured):
        await client.get("Nope", KEY)


async def test_another_record_than_the_asked_one_is_refused():
    with (
        client_for(FakeServer(reply(200, CUSTOMER | {"CustomerAccount": "US-0011"}))) as client,
        pytest.raises(ContractError),
    ):
        await client.get("CustomersV3", KEY)


async def test_a_created_answer_without_the_record_leaves_the_outcome_unknown():
    with (
        client_for(FakeServer(reply(201, ["x"]))) as client,
        pytest.raises(OutcomeUnknown, match="no record back"),
    ):
        await client.create("CustomersV3", {"dataAreaId": "usmf"})


async def test_rows_are_paged_on_the_configured_host_and_in_all_companies():
    server = FakeServer(
        reply(
            200,
            {
                "@odata.count": 3,
                "value": [{"n": 1}, {"n": 2}],
                "@odata.nextLink": "https://internal:8080/data/CustomersV3?$skiptoken=x%27y",
            },
        ),
        reply(200, {"value": [], "@odata.nextLink": f"{BASE}/data/CustomersV3?$skip=2"}),
        reply(200, {"value": [{"n": 3}]}),
    )
    with client_for(server) as client:
        rows = client.query(
            "CustomersV3",
            filter=eq("dataAreaId", "usmf") & any_of("CustomerAccount", ["A&B", "O'C"]),
            select=["CustomerAccount"],
            expand=["Lines($select=ItemNumber)"],
            orderby=["dataAreaId asc", "CustomerAccount asc"],
            count=True,
        )
        assert [row["n"] async for row in rows] == [1, 2, 3]
    assert rows.total == 3
    assert {request.url.host for request in server.requests} == {"contoso.operations.dynamics.com"}
    assert all("cross-company=true" in url for url in server.urls)
    assert server.urls[1] == "/data/CustomersV3?$skiptoken=x%27y&cross-company=true"
    first = dict(part.split("=", 1) for part in server.urls[0].partition("?")[2].split("&"))
    assert unquote(first["$filter"]) == (
        "(dataAreaId eq 'usmf' and (CustomerAccount eq 'A&B' or CustomerAccount eq 'O''C'))"
    )
    assert unquote(first["$expand"]) == "Lines($select=ItemNumber)"
    assert unquote(first["$orderby"]) == "dataAreaId asc,CustomerAccount asc"
    assert first["$count"] == "true"


async def test_no_more_rows_or_pages_than_asked_for():
    page = {"value": [{"n": 1}, {"n": 2}], "@odata.nextLink": "CustomersV3?$skip=2"}
    server = FakeServer(reply(200, page))
    with client_for(server) as client:
        assert [row["n"] async for row in client.query("CustomersV3", top=1)] == [1]
        assert [row async for row in client.query("CustomersV3", top=0)] == []
    assert len(server.requests) == 1
    assert "$top=1" in server.urls[0]


async def test_a_page_that_leads_to_itself_or_is_none_ends_with_an_error():
    loop = {"value": [{"n": 1}], "@odata.nextLink": f"{BASE}/data/X?cross-company=true"}
    for page in (loop, {"rows": []}, ["x"]):
        with client_for(FakeServer(reply(200, page))) as client, pytest.raises(ContractError):
            _ = [row async for row in client.query("X")]


async def test_a_create_sends_exact_numbers_and_returns_what_f_and_o_made():
    server = FakeServer(reply(201, CUSTOMER))
    with client_for(server) as client:
        created = await client.create(
            "CustomersV3",
            {
                "dataAreaId": "usmf",
                "CreditLimit": Decimal("12345678901234567890.10"),
                "BirthDate": date(2026, 7, 30),
                "OneTimeCustomer": yes_no(True),
            },
        )
    assert created["CustomerAccount"] == "US-001"
    request = server.requests[0]
    assert (request.method, server.urls[0]) == ("POST", "/data/CustomersV3?cross-company=true")
    assert request.headers["content-type"] == "application/json"
    assert request.content.decode() == (
        '{"dataAreaId":"usmf","CreditLimit":12345678901234567890.10,'
        '"BirthDate":"2026-07-30T12:00:00Z","OneTimeCustomer":"Yes"}'
    )


async def test_a_create_of_an_existing_key_is_told_from_a_refused_one():
    error = odata_error("Write failed. Infolog: Error: The record already exists.")
    with client_for(FakeServer(reply(400, error))) as client, pytest.raises(RecordExists) as caught:
        await client.create("CustomersV3", {"dataAreaId": "usmf"})
    assert isinstance(caught.value, RecordRejected)
    assert caught.value.context.activity_id == "activity-1"
    assert caught.value.context.operation == "POST CustomersV3"


async def test_an_update_carries_its_version_unless_switched_off():
    server = FakeServer(reply(204))
    with client_for(server) as client:
        await client.update("CustomersV3", KEY, {"NameAlias": "x"}, etag='W/"1"')
        await client.delete("CustomersV3", KEY, etag='W/"1"')
        await client.update("CustomersV3", KEY, {"NameAlias": "x"})
    with client_for(server, use_etag=False) as client:
        await client.update("CustomersV3", KEY, {"NameAlias": "x"}, etag='W/"1"')
    assert server.urls == [RECORD_URL] * 4
    sent = [request.headers.get("if-match") for request in server.requests]
    assert sent == ['W/"1"', 'W/"1"', None, None]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(412), EtagConflict),
        (
            reply(
                400, {"error": {"message": "No resources were found when selecting for update."}}
            ),
            RecordMissing,
        ),
    ],
)
async def test_an_update_tells_a_conflict_from_a_missing_record(answer, kind):
    with client_for(FakeServer(answer)) as client, pytest.raises(kind):
        await client.update("CustomersV3", KEY, {"NameAlias": "x"})


async def test_actions_return_their_value_however_wrapped():
    url = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.ExportToPackage"
    for body, value in [
        ({"@odata.context": "x", "value": "Succeeded"}, "Succeeded"),
        ({"value": {"value": "id"}}, "id"),
        (None, None),
    ]:
        server = FakeServer(reply(200 if body else 204, body))
        with client_for(server) as client:
            answer = await client.action(
                "DataManagementDefinitionGroups", "ExportToPackage", {"reExecute": True}
            )
        assert answer == value
        assert server.urls == [f"{url}?cross-company=true"]
        assert json.loads(server.requests[0].content) == {"reExecute": True}


async def test_services_return_the_bare_value_and_take_no_body_without_parameters():
    server = FakeServer(reply(200, [{"$id": "1", "Price": 1.10}]))
    with client_for(server) as client:
        answer = await client.service("Group", "PriceService", "find", {"_request": {"a": 1}})
        await client.service("UserSessionService", "AifUserSessionService", "GetUserSessionInfo")
    assert answer == [{"$id": "1", "Price": Decimal("1.10")}]
    assert server.urls[0] == "/api/services/Group/PriceService/find"
    assert server.requests[1].headers["content-length"] == "0"
