"""Contacts, stock, generated rows and the limit of a filter (F&O contract 5.3, 5.6, 5.7)."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.d365.generate import generate_prices, generate_products
from sandbox.d365.generate_trade import generate_stock
from tests.contract.d365_standin import client, create, d365, entra, infolog

if TYPE_CHECKING:
    import httpx

__all__ = ["client", "d365", "entra"]  # the fixtures

CONTACTS = "/data/ContactPersons"


async def _contact(client: httpx.AsyncClient, party: str, **changes: Any) -> httpx.Response:
    body = {
        "dataAreaId": "usmf",
        "AssociatedPartyNumber": party,
        "FirstName": "Ada",
        "LastName": "Byron",
        "PrimaryEmailAddress": "ada@example.com",
        **changes,
    }
    return await client.post(CONTACTS, json=body)


async def test_a_contact_is_numbered_named_and_tied_to_its_customer(
    client: httpx.AsyncClient,
) -> None:
    customer = await create(client)
    given = {"MiddleName": "King", "SalesforceContactId": "003000000000001AAA"}
    answer = await _contact(client, customer["PartyNumber"], **given)
    contact = answer.json()
    assert answer.status_code == 201, answer.text
    assert contact["ContactPersonId"].startswith("US-")
    assert contact["ContactPersonName"] == "Ada King Byron"
    assert contact["ContactForParty"] == "Forest Wholesales"
    assert contact["SalesforceContactId"] == "003000000000001AAA"
    where = f"{CONTACTS}(dataAreaId='usmf',ContactPersonId='{contact['ContactPersonId']}')"
    await client.patch(where, json={"MiddleName": "", "LastName": "Lovelace"})
    assert (await client.get(where)).json()["ContactPersonName"] == "Ada Lovelace"


async def test_contacts_are_refused_with_f_and_o_words(client: httpx.AsyncClient) -> None:
    party = (await create(client))["PartyNumber"]
    stranger = await _contact(client, "999999999")
    assert "'Contact for' is not found in the related table" in infolog(stranger)
    nameless = await _contact(client, party, FirstName="", LastName="")
    assert "Field 'Name' must be filled in." in infolog(nameless)
    long_name = await _contact(client, party, LastName="x" * 26)
    assert "is longer than 25 characters" in infolog(long_name)
    text = await _contact(client, party, BirthYear="")
    assert text.status_code == 400
    assert text.json()["error"]["innererror"]["message"] == (
        "Cannot convert the literal '' to the expected type 'Edm.Int32'."
    )
    given = {"PrimaryAddressCountryRegionId": "USA", "PrimaryAddressStateId": "ZZ"}
    assert "field 'State' is not found" in infolog(await _contact(client, party, **given))


async def test_a_second_contact_with_the_same_address_is_refused_where_checked(
    client: httpx.AsyncClient,
) -> None:
    party = (await create(client))["PartyNumber"]
    other = (await create(client, OrganizationName="Cave Wholesales"))["PartyNumber"]
    first = (await _contact(client, party)).json()
    assert (await _contact(client, party)).status_code == 201  # not checked by default
    await client.put("/sandbox/settings", json={"contact_duplicate_check": True})
    refused = infolog(await _contact(client, party, PrimaryEmailAddress="ADA@example.com"))
    assert "already exists" in refused
    assert first["ContactPersonId"] in refused
    assert (await _contact(client, other)).status_code == 201
    where = f"{CONTACTS}(dataAreaId='usmf',ContactPersonId='{first['ContactPersonId']}')"
    renamed = await client.patch(where, json={"FirstName": "Augusta"})
    assert renamed.status_code == 204


async def test_stock_is_read_per_item_warehouse_and_variant(client: httpx.AsyncClient) -> None:
    rows = [
        {"item": "1000", "warehouse": "11", "on_hand": 10, "reserved": 4, "ordered": 3},
        {"item": "1000", "warehouse": "24", "on_hand": 2.5},
        {"item": "D0001", "warehouse": "11", "on_hand": 7, "color": "Black"},
        {"item": "D0001", "warehouse": "11", "on_hand": 5, "color": "White"},
    ]
    assert (await client.put("/sandbox/stock", json=rows)).status_code == 200
    await client.put("/sandbox/stock", json={**rows[1], "on_hand": 3})
    query = {"$filter": "ItemNumber eq '1000'", "$orderby": "InventoryWarehouseId"}
    found = (await client.get("/data/WarehousesOnHandV2", params=query)).json()["value"]
    assert [(row["InventorySiteId"], row["OnHandQuantity"]) for row in found] == [
        ("1", 10),
        ("2", 3),
    ]
    assert found[0]["AvailableOnHandQuantity"] == 6
    assert found[0]["TotalAvailableQuantity"] == 9
    query = {"$filter": "ItemNumber eq 'D0001'", "$select": "ProductColorId,OnHandQuantity"}
    found = (await client.get("/data/WarehousesOnHandV2", params=query)).json()["value"]
    assert {row["ProductColorId"]: row["OnHandQuantity"] for row in found} == {
        "Black": 7,
        "White": 5,
    }


async def test_stock_of_unknown_items_and_warehouses_is_refused(client: httpx.AsyncClient) -> None:
    for wrong in ({"item": "nope", "warehouse": "11"}, {"item": "1000", "warehouse": "99"}):
        assert (await client.put("/sandbox/stock", json=wrong)).status_code == 400
    typo = {"item": "1000", "warehouse": "11", "onhand": 1}
    assert (await client.put("/sandbox/stock", json=typo)).status_code == 400


def test_generated_rows_repeat_with_the_seed_and_hold_every_kind() -> None:
    today = datetime.date(2026, 7, 30)
    products = generate_products(600, seed=7)
    assert products == generate_products(600, seed=7)
    assert products != generate_products(600, seed=8)
    assert len({product["ItemNumber"] for product in products}) == 600
    assert any(product["ItemNumber"].startswith(" ") for product in products)
    assert {product["ProductType"] for product in products} == {"Item", "Service"}
    assert {product["SalesPriceQuantity"] for product in products} == {1, 10, 100}
    prices = generate_prices(products, 4, 7, today=today, customers=["US-000001"])
    assert prices == generate_prices(products, 4, 7, today=today, customers=["US-000001"])
    assert len({row["RecordId"] for row in prices}) == len(prices)
    assert set(Counter(row["AccountCode"] for row in prices)) == {"All", "GroupId", "Table"}
    for name in ("FromQuantity", "ProductColorId", "PriceSiteId", "PriceApplicableToDate"):
        assert any(name in row for row in prices)
    assert len({row["PriceCurrencyCode"] for row in prices}) > 1
    assert any(row.get("PriceApplicableFromDate", "") > "2026-07-30T12" for row in prices)
    priced = {row["ItemNumber"] for row in prices}
    assert 0 < len(products) - len(priced) < len(products) / 4
    assert any(row["ProductColorId"] for row in generate_stock(products, 7))


async def test_a_generated_catalogue_is_read_over_odata(client: httpx.AsyncClient) -> None:
    given = {"products": 200, "prices": 3, "stock": True, "customers": 20, "seed": 5}
    made = (await client.post("/sandbox/generate", json=given)).json()
    assert made["ReleasedProductsV2"] == made["ProductTranslations"] == 200
    query = {"$filter": "PriceCustomerGroupCode eq 'RETAIL'", "$count": "true", "$top": "1"}
    answer = (await client.get("/data/SalesPriceAgreements", params=query)).json()
    assert 0 < answer["@odata.count"] < made["SalesPriceAgreements"]
    product = (
        await client.get("/data/ReleasedProductsV2(dataAreaId='usmf',ItemNumber='P000001')")
    ).json()
    assert product["SalesPrice"] > 0
    wrong = await client.post("/sandbox/generate", json={"product": 5})
    assert wrong.status_code == 400


@pytest.mark.parametrize(
    ("terms", "limit", "status"),
    [(20, 100, 200), (21, 100, 400), (21, 104, 200), (300, 0, 200)],
)
async def test_a_filter_may_have_a_hundred_nodes(
    client: httpx.AsyncClient, terms: int, limit: int, status: int
) -> None:
    """A term of `eq` counts four, an `or` one: twenty terms are ninety-nine."""
    await client.put("/sandbox/settings", json={"filter_node_limit": limit})
    text = " or ".join(f"CustomerAccount eq 'US-{n:06}'" for n in range(terms))
    answer = await client.get("/data/CustomersV3", params={"$filter": text})
    assert answer.status_code == status
    if status == 400:
        message = answer.json()["error"]["innererror"]["message"]
        assert message.startswith("The node count limit of '100' has been exceeded")
