"""Reading from the F&O stand-in: filters, paging, metadata (F&O contract 2.1-2.5, 8)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import httpx
import pytest

from sandbox.d365.filters import parse_filter
from sandbox.d365.predicates import candidates
from tests.contract.d365_standin import BASE, CLIENT, client, create, d365, entra

if TYPE_CHECKING:
    from sandbox.d365 import D365StandIn
    from sandbox.entra import EntraStandIn

__all__ = ["client", "d365", "entra"]  # the fixtures

ROWS = [
    {"CustomerAccount": "C1", "OrganizationName": "Birch & Co", "CreditLimit": 100,
     "SalesforceAccountId": "001A"},
    {"CustomerAccount": "C2", "OrganizationName": "O'Brien*", "CreditLimit": 250.5, "OnHoldStatus": "All"},
    {"CustomerAccount": "C3", "OrganizationName": "birchwood",
     "CredManCustomerSince": "2026-07-30T12:00:00Z"},
    {"CustomerAccount": "D1", "OrganizationName": "Eiche", "dataAreaId": "demf"},
]  # fmt: skip
PREFIX = "Microsoft.Dynamics.DataEntities."


@pytest.fixture
async def stocked(client: httpx.AsyncClient) -> httpx.AsyncClient:
    await client.post("/sandbox/state/CustomersV3", json=ROWS)
    return client


async def _accounts(client: httpx.AsyncClient, **options: str) -> list[str]:
    params = {f"${name}": value for name, value in options.items()}
    answer = await client.get("/data/CustomersV3", params=params)
    assert answer.status_code == 200, answer.text
    return [row["CustomerAccount"] for row in answer.json()["value"]]


@pytest.mark.parametrize(
    ("text", "accounts"),
    [
        ("CustomerAccount eq 'c1'", ["C1"]),
        ("OrganizationName eq '*birch*'", ["C1", "C3"]),
        ("OrganizationName eq '*wood'", ["C3"]),
        ("OrganizationName ne '*birch*'", ["C2"]),
        ("OrganizationName eq 'birch & co'", ["C1"]),
        ("startswith(OrganizationName,'O''B')", ["C2"]),
        ("contains(tolower(OrganizationName),'BIRCH')", ["C1", "C3"]),
        ("CreditLimit gt 99.5 and CreditLimit lt 250", ["C1"]),
        ("not (CreditLimit gt 0)", ["C3"]),
        ("CreditLimit add 1 eq 101 or CreditLimit divby 2 ge 125", ["C1", "C2"]),
        (f"OnHoldStatus eq {PREFIX}CustVendorBlocked'All'", ["C2"]),
        (f"OnHoldStatus ne {PREFIX}CustVendorBlocked'All'", ["C1", "C3"]),
        ("CredManCustomerSince ge 2026-07-30T00:00:00Z", ["C3"]),
        ("SalesforceAccountId eq '001a' or SalesforceAccountId eq 'none'", ["C1"]),
        ("CustomerAccount eq 'C2' or OrganizationName eq 'Birch*'", ["C1", "C2", "C3"]),
        ("dataAreaId eq 'USMF' and (CustomerAccount eq 'C3' or CustomerAccount eq 'D1')", ["C3"]),
        ("dataAreaId eq 'demf'", []),
    ],
)
async def test_filters_select_like_f_and_o(
    stocked: httpx.AsyncClient, text: str, accounts: list[str]
) -> None:
    assert await _accounts(stocked, filter=text) == accounts


@pytest.mark.parametrize(
    "text",
    [
        "CustomerAccount in ('C1','C2')",
        "OnHoldStatus has CustVendorBlocked'All'",
        "OnHoldStatus eq 'All'",
        f"OnHoldStatus gt {PREFIX}CustVendorBlocked'All'",
        "Unknown eq 'x'",
        "Unknown eq 'x' or Unknown eq 'y'",
        "CreditLimit eq '5'",
        "OrganizationName",
        "CustomerAccount eq 'C1",
        "frobnicate(OrganizationName) eq 'x'",
        "CreditLimit div 0 eq 1",
    ],
)
async def test_unsupported_filters_are_bad_requests(stocked: httpx.AsyncClient, text: str) -> None:
    answer = await stocked.get("/data/CustomersV3", params={"$filter": text})
    assert answer.status_code == 400
    assert answer.json()["error"]["innererror"]["message"]


async def test_options_select_order_count_and_cut(stocked: httpx.AsyncClient) -> None:
    params = {
        "$select": "CustomerAccount,CreditLimit",
        "$orderby": "CreditLimit desc,CustomerAccount",
        "$top": "2",
        "$skip": "1",
        "$count": "true",
        "$format": "json",
    }
    body = (await stocked.get("/data/CustomersV3", params=params)).json()
    assert body["@odata.context"] == (
        f"{BASE}/data/$metadata#CustomersV3(CustomerAccount,CreditLimit)"
    )
    assert body["@odata.count"] == 3
    rows = [{n: v for n, v in row.items() if n != "@odata.etag"} for row in body["value"]]
    assert rows == [
        {"CustomerAccount": "C1", "CreditLimit": 100},
        {"CustomerAccount": "C3", "CreditLimit": 0},
    ]
    assert (await stocked.get("/data/CustomersV3/$count")).text == "3"
    refused = await stocked.get("/data/CustomersV3", params={"$search": "x"})
    assert refused.status_code == 400
    assert (await stocked.get("/data/CustomersV3?$select=Nope")).status_code == 400


async def test_pages_link_to_each_other_until_all_is_read(client: httpx.AsyncClient) -> None:
    rows = [{"CustomerAccount": f"C{n:02}", "dataAreaId": "demf"} for n in range(7)]
    await client.post("/sandbox/state/CustomersV3", json=rows)
    await client.put("/sandbox/settings", json={"page_size": 3})
    url: str | None = (
        "/data/CustomersV3?cross-company=true&$select=CustomerAccount&$filter=dataAreaId eq 'demf'"
    )
    seen, pages = [], 0
    while url:
        body = (await client.get(url)).json()
        seen += [row["CustomerAccount"] for row in body["value"]]
        url, pages = body.get("@odata.nextLink"), pages + 1
    assert seen == [f"C{n:02}" for n in range(7)]
    assert pages == 3
    preferred = await client.get(
        "/data/CustomersV3?cross-company=true", headers={"prefer": "odata.maxpagesize=2"}
    )
    assert len(preferred.json()["value"]) == 2
    assert preferred.headers["preference-applied"] == "odata.maxpagesize=2"


async def test_hundreds_of_keys_are_looked_up_through_an_index(
    client: httpx.AsyncClient, d365: D365StandIn
) -> None:
    await client.put("/sandbox/settings", json={"filter_node_limit": 0})
    rows = [{"SalesforceAccountId": f"001{n:015}"} for n in range(2000)]
    await client.post("/sandbox/state/CustomersV3", json=rows)
    terms = " or ".join(f"SalesforceAccountId eq '001{n:015}'" for n in range(0, 2000, 10))
    text = f"dataAreaId eq 'usmf' and ({terms})"
    params = {"$filter": text, "$select": "CustomerAccount"}
    answer = await client.get("/data/CustomersV3", params=params)
    assert len(answer.json()["value"]) == 200
    table = d365.environment.store.tables["CustomersV3"]
    assert len(candidates(table, parse_filter(text)) or ()) == 200
    assert candidates(table, parse_filter(f"{terms} or OrganizationName eq 'x'")) is None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/data/CustomersV3(dataAreaId='usmf')", 404),
        ("/data/CustomersV3(CustomerAccount='C1')", 404),
        ("/data/CustomersV3('C1')", 404),
        ("/data/CustomersV3(dataAreaId='usmf',CustomerAccount='C1',Name='x')", 404),
        ("/data/CustomersV3(dataAreaId='usmf',CustomerAccount=C1)", 404),
        ("/data/Unknown", 404),
    ],
)
async def test_malformed_addresses_have_no_route(
    stocked: httpx.AsyncClient, path: str, status: int
) -> None:
    answer = await stocked.get(path)
    assert answer.status_code == status
    assert answer.json()["Message"].startswith("No HTTP resource was found that matches")


async def test_keys_keep_quotes_slashes_and_leading_blanks(client: httpx.AsyncClient) -> None:
    for item in ("O'Neil", "A/B", " RFI-1", "50%", "a,b=c)"):
        await client.post("/sandbox/state/ReleasedProductsV2", json={"ItemNumber": item})
        escaped = item.replace("'", "''").replace("%", "%25").replace("/", "%2F")
        escaped = escaped.replace(" ", "%20")
        path = f"/data/ReleasedProductsV2(dataAreaId='usmf',ItemNumber='{escaped}')"
        answer = await client.get(path)
        assert answer.status_code == 200, item
        assert answer.json()["ItemNumber"] == item


async def test_number_and_date_keys_stand_without_quotes(client: httpx.AsyncClient) -> None:
    await client.post(
        "/sandbox/state/CustTransBiEntities", json={"SourceKey": 5637144589, "AmountCur": 10}
    )
    path = "/data/CustTransBiEntities(dataAreaId='usmf',SourceKey=5637144589)"
    assert (await client.get(path)).json()["AmountCur"] == 10
    invoice = {
        "InvoiceNumber": "CIV-1",
        "InvoiceDate": "2026-07-30T12:00:00Z",
        "LedgerVoucher": "V1",
    }
    await client.post("/sandbox/state/SalesInvoiceHeadersV2", json=invoice)
    key = "dataAreaId='usmf',InvoiceNumber='CIV-1',InvoiceDate=2026-07-30T12:00:00Z,LedgerVoucher='V1'"
    assert (await client.get(f"/data/SalesInvoiceHeadersV2({key})")).status_code == 200
    created = await client.post("/data/SalesInvoiceHeadersV2", json=invoice)
    assert created.status_code == 400


async def test_one_property_and_the_key_without_name_can_be_read(
    client: httpx.AsyncClient,
) -> None:
    body = (await client.get("/data/AddressCountryRegions('DEU')")).json()
    assert (body["CountryRegion"], body["ISOcode"]) == ("DEU", "DE")
    assert (await client.get("/data/AddressCountryRegions('DEU')/ISOcode")).json()["value"] == "DE"
    countries = await client.get("/data/AddressCountryRegions?$filter=ISOcode eq 'US'")
    assert [row["CountryRegion"] for row in countries.json()["value"]] == ["USA"]


async def test_metadata_describes_the_model(client: httpx.AsyncClient) -> None:
    names = {row["name"] for row in (await client.get("/data")).json()["value"]}
    assert {"CustomersV3", "CustomerGroups", "SalesOrderLines"} <= names
    entity = (await client.get("/metadata/PublicEntities('CustomerV3')")).json()
    assert entity["EntitySetName"] == "CustomersV3"
    properties = {row["Name"]: row for row in entity["Properties"]}
    assert properties["CustomerGroupId"]["IsMandatory"] is True
    assert properties["CustomerAccount"]["IsKey"] is True
    assert "SalesforceAccountId" in properties
    found = await client.get(
        "/metadata/DataEntities",
        params={"$filter": "contains(tolower(PublicCollectionName),'customersv3')"},
    )
    assert [row["Name"] for row in found.json()["value"]] == ["CustCustomerV3Entity"]
    enums = (await client.get("/metadata/PublicEnumerations")).json()["value"]
    no_yes = next(row for row in enums if row["Name"] == "NoYes")
    assert [(m["Name"], m["Value"]) for m in no_yes["Members"]] == [("No", 0), ("Yes", 1)]
    schema = ET.fromstring((await client.get("/data/$metadata")).content)
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    types = {t.get("Name"): t for t in schema.iter(f"{edm}EntityType")}
    nullable = {
        p.get("Name"): p.get("Nullable", "true") for p in types["CustomerV3"].iter(f"{edm}Property")
    }
    assert nullable["CustomerGroupId"] == "true"  # mandatory only by business rule
    assert nullable["CreditLimit"] == "false"
    assert any(e.get("Name") == "CustVendorBlocked" for e in schema.iter(f"{edm}EnumType"))


async def test_actions_and_custom_services_answer(client: httpx.AsyncClient) -> None:
    action = f"/data/DataManagementEntities/{PREFIX}GetApplicationVersion"
    body = (await client.post(action, json={})).json()
    assert body["@odata.context"].endswith("#Edm.String")
    assert body["value"].startswith("10.0.")
    path = "/api/services/UserSessionService/AifUserSessionService"
    assert (await client.get(path)).json() == {"Operations": [{"Name": "GetUserSessionInfo"}]}
    session = (await client.post(f"{path}/GetUserSessionInfo")).json()
    assert (session["Company"], session["AXLanguage"]) == ("usmf", "en-us")


@pytest.mark.parametrize(
    ("audience", "claims"),
    [
        (f"{BASE}/", {}),
        (BASE.upper(), {}),
        ("https://other.operations.dynamics.com", {}),
        (BASE, {"lifetime": -10}),
        (BASE, {"tid": "other-tenant"}),
        (BASE, {"oid": None}),
        (BASE, {"appid": "unknown", "azp": "unknown"}),
    ],
)
async def test_a_token_that_does_not_fit_is_unauthorized(
    d365: D365StandIn, entra: EntraStandIn, audience: str, claims: dict[str, object]
) -> None:
    token = entra.issue_token(CLIENT, audience, **claims)
    transport = httpx.ASGITransport(d365.app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        answer = await http.get("/data", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert (await http.get("/data")).status_code == 401
        forged = {"authorization": f"Bearer {token[:-8]}AAAAAAAA"}
        assert (await http.get("/data", headers=forged)).status_code == 401


async def test_calls_are_counted_by_operation(client: httpx.AsyncClient) -> None:
    await create(client)
    await client.get("/data/CustomersV3(dataAreaId='usmf',CustomerAccount='US-000001')")
    await client.get("/data/CustomersV3?$top=1")
    counted = (await client.get("/sandbox/calls")).json()["by_operation"]
    assert counted == {"POST data/CustomersV3": 1, "GET data/CustomersV3": 2}
