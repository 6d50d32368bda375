"""Customers in the F&O stand-in: create, read, change, refuse (F&O contract 2.6-2.8, 5.2, 11)."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

from tests.contract.d365_standin import BASE, client, create, customer, d365, entra, infolog

if TYPE_CHECKING:
    import httpx

    from sandbox.d365 import D365StandIn

__all__ = ["client", "d365", "entra"]  # the fixtures


async def test_a_minimal_create_fills_every_property(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/data/CustomersV3", json=customer(OrganizationName="RFI Dryrun Customer 001")
    )
    assert answer.status_code == 201
    row = answer.json()
    assert list(row)[:4] == ["@odata.context", "@odata.etag", "dataAreaId", "CustomerAccount"]
    assert row["@odata.context"] == f"{BASE}/data/$metadata#CustomersV3/$entity"
    assert row["CustomerAccount"] == "US-000001"
    assert row["NameAlias"] == "RFI Dryrun Customer "
    assert re.fullmatch(r"\d{9}", row["PartyNumber"])
    assert (row["PartyType"], row["LanguageId"], row["OnHoldStatus"]) == (
        "Organization",
        "en-US",
        "No",
    )
    assert row["CredManCustomerSince"] == "1900-01-01T12:00:00Z"
    assert row["AddressTimeZone"] is None
    assert row["TaxExemptNumber"] == ""
    assert row["SalesforceAccountId"] == ""
    assert len(row) == 309 + 1 + 2  # Appendix A, the custom field, two annotations
    path = f"{BASE}/data/CustomersV3(dataAreaId='usmf',CustomerAccount='US-000001')"
    assert answer.headers["location"] == path
    assert answer.headers["content-type"] == "application/json; odata.metadata=minimal"
    assert answer.headers["odata-version"] == "4.0"
    assert answer.headers["ms-dyn-aid"]
    assert answer.headers["server-timing"].startswith("dur=")
    assert "ApplicationGatewayAffinity" in answer.headers["set-cookie"]
    read = (await client.get(path)).json()
    assert read == row


async def test_each_company_has_its_own_numbers(client: httpx.AsyncClient) -> None:
    accounts = [
        (await create(client, dataAreaId=company))["CustomerAccount"]
        for company in ("usmf", "DEMF", "usmf", "demf")
    ]
    assert accounts == ["US-000001", "DE-000001", "US-000002", "DE-000002"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"CustomerGroupId": "Local"},
            "Warning: The value 'Local' in field 'Customer group' is not found in the related table"
            " 'Customer groups'.; Warning: validateField failed on field"
            " 'CustCustomerV3Entity.CustomerGroupId'.",
        ),
        ({"CustomerGroupId": ""}, "Field 'Customer group' must be filled in."),
        ({"SalesCurrencyCode": "XXX"}, "not found in the related table 'Currencies'"),
        ({"OrganizationName": ""}, "Field 'Name' must be filled in."),
        ({"OrganizationName": "x" * 101}, "longer than 100 characters"),
        ({"SalesforceAccountId": "x" * 19}, "longer than 18 characters"),
        ({"AddressCountryRegionId": "US"}, "not found in the related table 'Country/region'"),
        ({"AddressCountryRegionId": "USA", "AddressState": "ZZ"}, "'ZZ' in field 'State'"),
        ({"dataAreaId": "none"}, "Company 'none' does not exist."),
        ({"CustomerAccount": "C1"}, "does not allow manual numbers"),
        ({"PartyType": "Robot"}, "no valid party type"),
        ({"PartyNumber": "999999999"}, "'Global address book'"),
        ({"FullPrimaryAddress": "x"}, "does not allow editing"),
    ],
)
async def test_a_refused_create_explains_itself_and_writes_nothing(
    client: httpx.AsyncClient, changes: dict[str, str], text: str
) -> None:
    answer = await client.post("/data/CustomersV3", json=customer(**changes))
    assert answer.status_code == 400
    assert text in infolog(answer)
    assert (await client.get("/sandbox/state")).json()["CustomersV3"] == 0


async def test_an_unknown_property_is_named_in_the_internal_exception(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/data/CustomersV3", json=customer(Colour="blue"))
    assert answer.status_code == 400
    inner = answer.json()["error"]["innererror"]
    assert inner["type"] == "System.Reflection.TargetInvocationException"
    assert inner["internalexception"]["message"] == (
        "The property 'Colour' does not exist on type 'Microsoft.Dynamics.DataEntities.CustomerV3'."
        " Make sure to only use property names that are defined by the type."
    )


@pytest.mark.parametrize(
    ("name", "value", "edm"),
    [
        ("OnHoldStatus", "Yes", "Microsoft.Dynamics.DataEntities.CustVendorBlocked"),
        ("ConsolidationDay", "", "Edm.Int32"),
        ("CreditLimit", "5", "Edm.Decimal"),
        ("OrganizationName", 5, "Edm.String"),
        ("CredManCustomerSince", "soon", "Edm.DateTimeOffset"),
    ],
)
async def test_values_of_another_type_are_refused(
    client: httpx.AsyncClient, name: str, value: object, edm: str
) -> None:
    answer = await client.post("/data/CustomersV3", json=customer(**{name: value}))
    assert answer.status_code == 400
    message = answer.json()["error"]["innererror"]["message"]
    assert message == f"Cannot convert the literal '{value}' to the expected type '{edm}'."


async def test_values_come_back_in_the_form_of_f_and_o(client: httpx.AsyncClient) -> None:
    row = await create(
        client,
        LanguageId="en-us",
        OnHoldStatus="Invoice",
        CredManCustomerSince="2026-07-30",
        AddressStreet="Main St 1",
        AddressCity="Seattle",
        AddressZipCode="98101",
        AddressState="WA",
        AddressCountryRegionId="USA",
        InvoiceAccount=None,
    )
    assert row["LanguageId"] == "en-US"
    assert row["OnHoldStatus"] == "Invoice"
    assert row["CredManCustomerSince"] == "2026-07-30T12:00:00Z"
    assert row["AddressCountryRegionISOCode"] == "US"
    assert row["FullPrimaryAddress"] == "Main St 1\nSeattle, WA 98101\nUSA"
    assert row["AddressRecordId"] > 0
    assert row["InvoiceAccount"] == ""


async def test_manual_numbers_work_where_they_are_allowed(client: httpx.AsyncClient) -> None:
    await client.put("/sandbox/settings", json={"manual_numbers": {"CustomersV3": {"demf": True}}})
    row = await create(client, dataAreaId="demf", CustomerAccount="SF-1")
    assert row["CustomerAccount"] == "SF-1"
    refused = await client.post("/data/CustomersV3", json=customer(CustomerAccount="SF-1"))
    assert "manual numbers" in infolog(refused)
    doubled = await client.post(
        "/data/CustomersV3", json=customer(dataAreaId="demf", CustomerAccount="sf-1")
    )
    assert doubled.status_code == 400
    assert (
        "Error: Cannot create a record in Customers (CustTable). Customer account: sf-1."
        " The record already exists." in infolog(doubled)
    )


async def test_a_custom_id_can_be_doubled_unless_it_is_unique(client: httpx.AsyncClient) -> None:
    account_id = "001000000000001AAA"
    first = await create(client, SalesforceAccountId=account_id)
    second = await create(client, SalesforceAccountId=account_id)
    assert first["CustomerAccount"] != second["CustomerAccount"]
    unique = {"unique_indexes": ["CustomersV3.SalesforceAccountId"]}
    await client.put("/sandbox/settings", json=unique)
    body = customer(SalesforceAccountId=account_id)
    assert "already exists" in infolog(await client.post("/data/CustomersV3", json=body))
    await create(client, SalesforceAccountId=account_id, dataAreaId="demf")
    await create(client)
    await create(client)


async def test_a_patch_changes_only_what_it_names_and_renews_the_etag(
    client: httpx.AsyncClient,
) -> None:
    row = await create(client, PrimaryContactEmail="a@example.com")
    path = "/data/CustomersV3(CustomerAccount='us-000001', dataAreaId='USMF')"
    body = {"dataAreaId": "usmf", "OrganizationName": "New name", "PrimaryContactEmail": ""}
    answer = await client.patch(path, json=body)
    assert (answer.status_code, answer.content) == (204, b"")
    after = (await client.get(path)).json()
    assert after["@odata.etag"] != row["@odata.etag"]
    changed = {name for name in row if row[name] != after[name]}
    assert changed == {"@odata.etag", "OrganizationName", "PrimaryContactEmail"}


async def test_the_etag_holds_version_and_record_id(client: httpx.AsyncClient) -> None:
    etag = (await create(client))["@odata.etag"]
    assert etag.startswith('W/"')
    text = base64.b64decode(etag[3:-1]).decode()
    assert re.fullmatch(r"'1,\d{10}(;0,0){6}'", text)


async def test_a_stale_if_match_is_refused(client: httpx.AsyncClient) -> None:
    row = await create(client)
    path = "/data/CustomersV3(dataAreaId='usmf',CustomerAccount='US-000001')"
    fresh = {"if-match": row["@odata.etag"]}
    change = {"NameAlias": "First"}
    assert (await client.patch(path, json=change, headers=fresh)).status_code == 204
    assert (await client.patch(path, json=change, headers=fresh)).status_code == 412
    assert (await client.delete(path, headers=fresh)).status_code == 412
    assert (await client.patch(path, json=change, headers={"if-match": "*"})).status_code == 204
    await client.put("/sandbox/settings", json={"if_match_enforced": False})
    assert (await client.patch(path, json=change, headers=fresh)).status_code == 204


@pytest.mark.parametrize(
    "change", [{"CustomerAccount": "US-9"}, {"PartyType": "Person"}, {"dataAreaId": "demf"}]
)
async def test_keys_and_party_type_cannot_be_changed(
    client: httpx.AsyncClient, change: dict[str, str]
) -> None:
    await create(client)
    path = "/data/CustomersV3(dataAreaId='usmf',CustomerAccount='US-000001')"
    answer = await client.patch(path, json=change)
    assert answer.status_code == 400
    assert "does not allow editing" in infolog(answer)


async def test_writing_a_missing_row_is_a_bad_request_and_reading_it_is_not_found(
    client: httpx.AsyncClient,
) -> None:
    path = "/data/CustomersV3(dataAreaId='usmf',CustomerAccount='US-404')"
    for answer in (await client.patch(path, json={}), await client.delete(path)):
        assert answer.status_code == 400
        message = answer.json()["error"]["innererror"]["message"]
        assert message == "No resources were found when selecting for update."
    assert (await client.get(path)).status_code == 404
    collection = await client.patch("/data/CustomersV3", json={})
    assert collection.json()["error"]["innererror"]["message"].startswith("More than one resource")


async def test_other_companies_are_out_of_reach_without_cross_company(
    client: httpx.AsyncClient,
) -> None:
    await create(client, dataAreaId="demf")
    path = "/data/CustomersV3(dataAreaId='demf',CustomerAccount='DE-000001')"
    assert (await client.get(path)).status_code == 404
    assert (await client.patch(path, json={"NameAlias": "x"})).status_code == 400
    assert (await client.delete(path)).status_code == 400
    assert (await client.get("/data/CustomersV3")).json()["value"] == []
    across = {"cross-company": "true"}
    assert (await client.get(path, params=across)).status_code == 200
    assert len((await client.get("/data/CustomersV3", params=across)).json()["value"]) == 1
    change = {"NameAlias": "x"}
    assert (await client.patch(path, json=change, params=across)).status_code == 204
    assert (await client.delete(path, params=across)).status_code == 204
    assert (await client.get(path, params=across)).status_code == 404


async def test_an_update_conflict_can_be_provoked(client: httpx.AsyncClient) -> None:
    await create(client)
    await client.put("/sandbox/update-conflicts", json={"CustomersV3": 1})
    path = "/data/CustomersV3(dataAreaId='usmf',CustomerAccount='US-000001')"
    answer = await client.patch(path, json={"NameAlias": "x"})
    assert "An update conflict occurred due to another user process" in infolog(answer)
    assert (await client.patch(path, json={"NameAlias": "x"})).status_code == 204


async def test_state_can_be_posted_read_and_reset(
    client: httpx.AsyncClient, d365: D365StandIn
) -> None:
    rows = [
        {"CustomerAccount": "US-7", "OrganizationName": "Raw", "CustomerGroupId": "unknown"},
        {"dataAreaId": "demf", "OrganizationName": "Numbered"},
    ]
    await client.post("/sandbox/state/CustomersV3", json=rows)
    stored = (await client.get("/sandbox/state/CustomersV3")).json()
    assert [row["CustomerAccount"] for row in stored] == ["US-7", "DE-000001"]
    found = await client.get("/sandbox/state/CustomersV3?$filter=OrganizationName eq 'Raw'")
    assert [row["CustomerGroupId"] for row in found.json()] == ["unknown"]
    wrong = await client.post("/sandbox/state/CustomersV3", json={"Colour": "blue"})
    assert wrong.status_code == 400
    await client.put("/sandbox/settings", json={"page_size": 5})
    await client.post("/sandbox/reset")
    assert (await client.get("/sandbox/state/CustomersV3")).json() == []
    assert d365.environment.settings.page_size == 10_000
    assert (await create(client))["CustomerAccount"] == "US-000001"


async def test_a_contact_hangs_on_the_party_of_a_customer(client: httpx.AsyncClient) -> None:
    party = (await create(client))["PartyNumber"]
    body = {"AssociatedPartyNumber": party, "FirstName": "Ada", "LastName": "Lovelace"}
    contact = await client.post("/data/ContactPersons", json=body)
    assert contact.status_code == 201
    row = contact.json()
    assert row["ContactPersonId"] == "US-000001"
    assert row["ContactPersonName"] == "Ada Lovelace"
    assert row["ContactForParty"] == "Forest Wholesales"
    assert row["ContactPersonPartyNumber"] not in ("", party)
    unknown = await client.post("/data/ContactPersons", json={**body, "AssociatedPartyNumber": "9"})
    assert "'Global address book'" in infolog(unknown)
    missing = await client.post("/data/ContactPersons", json={"LastName": "Alone"})
    assert "must be filled in" in infolog(missing)
    text = await client.post("/data/ContactPersons", json={**body, "BirthDay": ""})
    message = text.json()["error"]["innererror"]["message"]
    assert message == "Cannot convert the literal '' to the expected type 'Edm.Int32'."


async def test_a_customer_with_orders_cannot_be_deleted(client: httpx.AsyncClient) -> None:
    account = (await create(client))["CustomerAccount"]
    header = {"OrderingCustomerAccountNumber": account, "CurrencyCode": "USD"}
    await client.post("/data/SalesOrderHeadersV2", json=header)
    path = f"/data/CustomersV3(dataAreaId='usmf',CustomerAccount='{account}')"
    assert "has sales orders" in infolog(await client.delete(path))
