"""Mistakes of an administrator that the stand-ins can be given act as the real ones do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.d365 import D365StandIn
from sandbox.salesforce import SalesforceStandIn
from tests.contract.d365_standin import connect, create, customer, new_entra
from tests.contract.salesforce_standin import ROOT, signed_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx


@pytest.fixture
async def org() -> AsyncIterator[httpx.AsyncClient]:
    async with signed_in(SalesforceStandIn()) as client:
        yield client


@pytest.fixture
async def d365() -> AsyncIterator[httpx.AsyncClient]:
    async with connect(D365StandIn(entra=new_entra())) as client:
        yield client


async def put(client: httpx.AsyncClient, route: str, body: Any, status: int = 200) -> None:
    answer = await client.put(f"/sandbox/{route}", json=body)
    assert answer.status_code == status, answer.text


async def described(org: httpx.AsyncClient, name: str) -> dict[str, dict[str, Any]]:
    body = (await org.get(f"{ROOT}/sobjects/{name}/describe")).json()
    return {field["name"]: field for field in body["fields"]}


async def test_a_hidden_field_is_not_there_at_all(org: httpx.AsyncClient) -> None:
    await put(org, "schema", {"Contact.Department": {"hidden": True}})
    assert "Department" not in await described(org, "Contact")
    query = {"q": "SELECT Department FROM Contact"}
    answer = await org.get(f"{ROOT}/query", params=query)
    assert answer.json()[0]["errorCode"] == "INVALID_FIELD"
    row = {"LastName": "Doe", "Department": "Sales"}
    assert (await org.post(f"{ROOT}/sobjects/Contact", json=row)).status_code == 400
    await put(org, "schema", {})
    assert "Department" in await described(org, "Contact")
    assert (await org.get(f"{ROOT}/query", params=query)).status_code == 200


async def test_a_field_that_cannot_be_changed_refuses_it(org: httpx.AsyncClient) -> None:
    made = (await org.post(f"{ROOT}/sobjects/Account", json={"Name": "A"})).json()
    await put(org, "schema", {"Account.Phone": {"updateable": False}})
    assert (await described(org, "Account"))["Phone"]["updateable"] is False
    answer = await org.patch(f"{ROOT}/sobjects/Account/{made['id']}", json={"Phone": "1"})
    assert answer.json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


async def test_what_is_no_external_id_is_no_key(org: httpx.AsyncClient) -> None:
    await put(org, "schema", {"Account.D365_Customer_Number__c": {"external": False}})
    url = f"{ROOT}/sobjects/Account/D365_Customer_Number__c/C-1"
    assert (await org.patch(url, json={"Name": "A"})).status_code in (400, 404)


async def test_a_wrong_name_changes_nothing(org: httpx.AsyncClient) -> None:
    await put(org, "schema", {"Account.Phone": {"hidden": True}})
    await put(org, "schema", {"Account.Nothing": {"hidden": True}}, 400)
    await put(org, "schema", {"Account.Phone": {"colour": "red"}}, 400)
    assert "Phone" not in await described(org, "Account")
    assert (await org.post("/sandbox/reset")).is_success
    assert "Phone" in await described(org, "Account")


async def test_an_entity_that_is_not_public_is_unknown_to_odata(d365: httpx.AsyncClient) -> None:
    await put(d365, "model", {"WarehousesOnHandV2": {"public": False}})
    assert (await d365.get("/data/WarehousesOnHandV2")).status_code == 404
    where = "/metadata/PublicEntities('WarehouseOnHandV2')"
    assert (await d365.get(where)).status_code == 404
    names = [row["name"] for row in (await d365.get("/data")).json()["value"]]
    assert "WarehousesOnHandV2" not in names
    query = {"$filter": "PublicCollectionName eq 'WarehousesOnHandV2'"}
    [row] = (await d365.get("/metadata/DataEntities", params=query)).json()["value"]
    assert row["DataServiceEnabled"] is False
    schema = await d365.get("/data/$metadata")
    assert '<EntitySet Name="WarehousesOnHandV2"' not in schema.text
    await put(d365, "model", {})
    assert (await d365.get("/data/WarehousesOnHandV2")).status_code == 200
    assert '<EntitySet Name="WarehousesOnHandV2"' in (await d365.get("/data/$metadata")).text


async def test_a_missing_column_is_refused_where_it_is_named(d365: httpx.AsyncClient) -> None:
    await create(d365, SalesforceAccountId="001Aa0000000001IAA")
    await put(d365, "model", {"CustomersV3.SalesforceAccountId": {"hidden": True}})
    answer = await d365.get("/data/CustomersV3", params={"$select": "SalesforceAccountId"})
    assert answer.status_code == 400
    body = customer(SalesforceAccountId="001Aa0000000002IAA")
    assert (await d365.post("/data/CustomersV3", json=body)).status_code == 400
    [row] = (await d365.get("/data/CustomersV3")).json()["value"]
    assert "SalesforceAccountId" not in row
    info = (await d365.get("/metadata/PublicEntities('CustomerV3')")).json()
    assert "SalesforceAccountId" not in [each["Name"] for each in info["Properties"]]


async def test_a_read_only_entity_and_a_mandatory_column_refuse_a_create(
    d365: httpx.AsyncClient,
) -> None:
    await put(d365, "model", {"CustomersV3.SalesDistrict": {"mandatory": True}})
    assert (await d365.post("/data/CustomersV3", json=customer())).status_code == 400
    await put(d365, "model", {"CustomersV3": {"read_only": True}})
    assert (await d365.post("/data/CustomersV3", json=customer())).status_code in (400, 405)
    await put(d365, "model", {"CustomersV4": {"public": False}}, 400)
    await put(d365, "model", {"CustomersV3": {"colour": "red"}}, 400)
    await put(d365, "model", {})
    assert (await d365.post("/data/CustomersV3", json=customer())).status_code == 201
