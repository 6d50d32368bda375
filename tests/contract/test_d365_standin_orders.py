"""Sales orders of the F&O stand-in: defaults, prices, amounts, refusals (F&O contract 3.4, 5.4, 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.d365_standin import client, create, d365, entra, infolog

if TYPE_CHECKING:
    import httpx

__all__ = ["client", "d365", "entra"]  # the fixtures

HEADERS = "/data/SalesOrderHeadersV2"
LINES = "/data/SalesOrderLinesV3"


async def _order(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    customer = await create(client, PaymentTerms="Net10", SiteId="1", WarehouseId="13")
    account = customer["CustomerAccount"]
    body = {"dataAreaId": "usmf", "OrderingCustomerAccountNumber": account, **changes}
    answer = await client.post(HEADERS, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def _line(client: httpx.AsyncClient, order: dict[str, Any], **changes: Any) -> httpx.Response:
    body = {
        "dataAreaId": "usmf",
        "SalesOrderNumber": order["SalesOrderNumber"],
        "ItemNumber": "1000",
        "OrderedSalesQuantity": 2,
        **changes,
    }
    return await client.post(LINES, json=body)


async def _header(client: httpx.AsyncClient, order: dict[str, Any]) -> dict[str, Any]:
    key = f"(dataAreaId='usmf',SalesOrderNumber='{order['SalesOrderNumber']}')"
    answer: dict[str, Any] = (await client.get(HEADERS + key)).json()
    return answer


def _key(line: dict[str, Any]) -> str:
    return f"{LINES}(dataAreaId='usmf',InventoryLotId='{line['InventoryLotId']}')"


async def test_an_order_takes_its_defaults_from_the_customer(client: httpx.AsyncClient) -> None:
    order = await _order(client, SalesforceOpportunityId="006000000000001AAA")
    assert order["SalesOrderNumber"].startswith("US-")
    assert order["InvoiceCustomerAccountNumber"] == order["OrderingCustomerAccountNumber"]
    assert order["SalesOrderName"] == order["DeliveryAddressName"] == "Forest Wholesales"
    assert (order["CurrencyCode"], order["PaymentTermsName"]) == ("USD", "Net10")
    assert (order["DefaultShippingSiteId"], order["DefaultShippingWarehouseId"]) == ("1", "13")
    assert order["RequestedShippingDate"].endswith("T12:00:00Z")
    assert (order["SalesOrderStatus"], order["SalesOrderProcessingStatus"]) == ("None", "Active")
    assert order["SalesforceOpportunityId"] == "006000000000001AAA"


async def test_the_first_line_opens_the_order_and_its_last_deletion_empties_it(
    client: httpx.AsyncClient,
) -> None:
    order = await _order(client)
    first = (await _line(client, order, SalesforceLineId="00k000000000001AAA")).json()
    second = (await _line(client, order, ItemNumber="D0002", OrderedSalesQuantity=3)).json()
    assert first["InventoryLotId"] != second["InventoryLotId"]
    assert (first["LineNumber"], second["LineNumber"]) == (1, 2)
    assert (first["ShippingSiteId"], first["ShippingWarehouseId"]) == ("1", "13")
    assert first["SalesforceLineId"] == "00k000000000001AAA"
    header = await _header(client, order)
    assert header["SalesOrderStatus"] == "Backorder"
    assert header["OrderTotalAmount"] == 2 * 399 + 3 * 75
    await client.delete(_key(first))
    assert (await _header(client, order))["OrderTotalAmount"] == 225
    await client.delete(_key(second))
    header = await _header(client, order)
    assert (header["SalesOrderStatus"], header["OrderTotalAmount"]) == ("None", 0)


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ({}, 798),  # the item's base price
        ({"SalesPrice": 10.005, "OrderedSalesQuantity": 3}, 30.02),  # 30.015, half away from zero
        ({"SalesPrice": 250, "SalesPriceQuantity": 100, "OrderedSalesQuantity": 7}, 17.5),
        ({"SalesPrice": 100, "LineDiscountAmount": 10}, 180),
        ({"SalesPrice": 100, "LineDiscountPercentage": 12.5}, 175),
        ({"SalesPrice": 99.99, "LineDiscountAmount": 0.99, "LineDiscountPercentage": 33.3}, 132.07),
        ({"SalesPrice": 0.1, "OrderedSalesQuantity": 3}, 0.3),
        ({"SalesPrice": 19.99, "OrderedSalesQuantity": -2}, -39.98),
        ({"SalesPrice": 0, "LineAmount": 5}, 0),  # F&O calculates the amount itself
        ({"CalculateLineAmount": "No", "LineAmount": 5}, 5),
    ],
)
async def test_a_line_amount_is_exact_to_the_cent(
    client: httpx.AsyncClient, given: dict[str, Any], amount: float
) -> None:
    line = await _line(client, await _order(client), **given)
    assert line.json()["LineAmount"] == amount


async def test_a_changed_quantity_changes_amount_and_total(client: httpx.AsyncClient) -> None:
    order = await _order(client, TotalDiscountPercentage=10)
    line = (await _line(client, order, SalesPrice=50)).json()
    answer = await client.patch(_key(line), json={"OrderedSalesQuantity": 5})
    assert answer.status_code == 204
    assert (await client.get(_key(line))).json()["LineAmount"] == 250
    header = await _header(client, order)
    assert (header["OrderTotalAmount"], header["OrderTotalDiscountAmount"]) == (225, 25)


async def test_totals_stay_zero_where_the_environment_does_not_calculate_them(
    client: httpx.AsyncClient,
) -> None:
    await client.put("/sandbox/settings", json={"order_totals": False})
    order = await _order(client)
    await _line(client, order)
    header = await _header(client, order)
    assert (header["OrderTotalAmount"], header["AreTotalsCalculated"]) == (0, "No")


def _agreement(record: int, price: float, **changes: Any) -> dict[str, Any]:
    return {
        "RecordId": record,
        "ItemNumber": "1000",
        "Price": price,
        "PriceCurrencyCode": "USD",
        "AccountCode": "All",
        **changes,
    }


@pytest.mark.parametrize(
    ("rows", "price", "per"),
    [
        ([_agreement(1, 380)], 380, 1),
        ([_agreement(1, 380, PriceCurrencyCode="EUR")], 399, 1),
        ([_agreement(1, 380), _agreement(2, 350, PriceCustomerGroupCode="RETAIL")], 350, 1),
        ([_agreement(1, 380), _agreement(2, 350, PriceCustomerGroupCode="DEALER")], 380, 1),
        ([_agreement(1, 380), _agreement(2, 390, CustomerAccountNumber="US-000001")], 390, 1),
        ([_agreement(1, 380), _agreement(2, 370, FromQuantity=2)], 370, 1),
        ([_agreement(1, 380), _agreement(2, 370, FromQuantity=3)], 380, 1),
        ([_agreement(1, 380, ToQuantity=2)], 399, 1),
        ([_agreement(1, 38_000, SalesPriceQuantity=100)], 38_000, 100),
        ([_agreement(1, 380, PriceApplicableToDate="2020-01-01T12:00:00Z")], 399, 1),
        ([_agreement(1, 380, PriceApplicableFromDate="2150-01-01T12:00:00Z")], 399, 1),
        ([_agreement(1, 380, ProductColorId="Red")], 399, 1),
        ([_agreement(1, 380, PriceSiteId="2")], 399, 1),
        ([_agreement(1, 380, QuantityUnitySymbol="box")], 399, 1),
        (
            [
                _agreement(1, 390, CustomerAccountNumber="US-000001", WillSearchContinue="Yes"),
                _agreement(2, 380),
            ],
            380,
            1,
        ),
    ],
)
async def test_a_line_without_price_gets_the_agreed_one(
    client: httpx.AsyncClient, rows: list[dict[str, Any]], price: float, per: float
) -> None:
    await client.post("/sandbox/state/SalesPriceAgreements", json=rows)
    order = await _order(client, PriceCustomerGroupCode="RETAIL")
    line = (await _line(client, order)).json()
    assert (line["SalesPrice"], line["SalesPriceQuantity"]) == (price, per)
    assert line["LineAmount"] == round(2 * price / per, 2)


async def test_a_given_price_counts_unless_f_and_o_overrules_it(client: httpx.AsyncClient) -> None:
    order = await _order(client)
    assert (await _line(client, order, SalesPrice=1)).json()["LineAmount"] == 2
    await client.put("/sandbox/settings", json={"price_overrides": True})
    overruled = (await _line(client, order, SalesPrice=1)).json()
    assert (overruled["SalesPrice"], overruled["LineAmount"]) == (399, 798)
    await client.patch(_key(overruled), json={"SalesPrice": 2})
    assert (await client.get(_key(overruled))).json()["SalesPrice"] == 399


async def test_lines_are_refused_with_f_and_o_words(client: httpx.AsyncClient) -> None:
    order = await _order(client)
    unknown = await _line(client, order, ItemNumber="nope")
    assert "The value 'nope' in field 'Item number' is not found in the related table" in infolog(
        unknown
    )
    settings = {"dataAreaId": "usmf", "ItemNumber": "1000", "IsSalesProcessingStopped": "Yes"}
    await client.post("/data/ProductDefaultOrderSettings", json=settings)
    assert "Item number 1000 is stopped" in infolog(await _line(client, order))
    empty = await _line(client, order, ItemNumber="D0001", OrderedSalesQuantity=0)
    assert "Field 'Quantity' must be filled in." in infolog(empty)
    bare = await create(client)
    account = bare["CustomerAccount"]
    no_site = {"dataAreaId": "usmf", "OrderingCustomerAccountNumber": account}
    order = (await client.post(HEADERS, json=no_site)).json()
    nowhere = await _line(client, order, ItemNumber="D0001")
    assert "Inventory dimension Site is mandatory" in infolog(nowhere)
    service = await _line(client, order, ItemNumber="S0001")
    assert service.status_code == 201
    assert (await _header(client, order))["OrderTotalAmount"] == 190


async def test_an_item_of_another_company_is_unknown(client: httpx.AsyncClient) -> None:
    await client.post(
        "/sandbox/state/ReleasedProductsV2", json={"dataAreaId": "demf", "ItemNumber": "only-demf"}
    )
    answer = await _line(client, await _order(client), ItemNumber="only-demf")
    assert "is not found in the related table" in infolog(answer)


async def test_orders_are_refused_with_f_and_o_words(client: httpx.AsyncClient) -> None:
    customer = await create(client)
    account = customer["CustomerAccount"]
    wrong = {"dataAreaId": "usmf", "OrderingCustomerAccountNumber": "US-999999"}
    answer = await client.post(HEADERS, json={**wrong, "CurrencyCode": "USD"})
    assert "'Customer account' is not found in the related table 'Customers'" in infolog(answer)
    body = {"dataAreaId": "usmf", "OrderingCustomerAccountNumber": account}
    answer = await client.post(HEADERS, json={**body, "CurrencyCode": "XXX"})
    assert "'Currency' is not found in the related table 'Currencies'" in infolog(answer)
    answer = await client.post(
        f"{HEADERS}?cross-company=true", json={**body, "dataAreaId": "demf", "CurrencyCode": "EUR"}
    )
    assert "is not found in the related table 'Customers'" in infolog(answer)
    where = f"/data/CustomersV3(dataAreaId='usmf',CustomerAccount='{account}')"
    await client.patch(where, json={"OnHoldStatus": "All"})
    assert "is on hold" in infolog(await client.post(HEADERS, json=body))
    await client.patch(where, json={"OnHoldStatus": "Invoice"})
    assert (await client.post(HEADERS, json=body)).status_code == 201


async def test_manual_numbers_are_a_switch_per_company(client: httpx.AsyncClient) -> None:
    own = await _order(client, SalesOrderNumber="006000000000001AAA")
    assert own["SalesOrderNumber"] == "006000000000001AAA"
    again = {
        "dataAreaId": "usmf",
        "SalesOrderNumber": "006000000000001AAA",
        "OrderingCustomerAccountNumber": own["OrderingCustomerAccountNumber"],
    }
    assert "already exists" in infolog(await client.post(HEADERS, json=again))
    switch = {"manual_numbers": {"SalesOrderHeadersV2": {"usmf": False}}}
    await client.put("/sandbox/settings", json=switch)
    other = {**again, "SalesOrderNumber": "006000000000002AAA"}
    assert "does not allow manual numbers" in infolog(await client.post(HEADERS, json=other))


async def test_a_new_line_can_collide_on_its_header(client: httpx.AsyncClient) -> None:
    order = await _order(client)
    await client.put("/sandbox/update-conflicts", json={"SalesOrderLinesV3": 1})
    refused = await _line(client, order)
    assert "Cannot edit a record in Sales orders (SalesTable)" in infolog(refused)
    assert "An update conflict occurred" in infolog(refused)
    assert (await _line(client, order)).status_code == 201


async def test_deleting_an_order_deletes_its_lines_unless_it_is_invoiced(
    client: httpx.AsyncClient,
) -> None:
    order = await _order(client)
    line = (await _line(client, order)).json()
    where = f"{HEADERS}(dataAreaId='usmf',SalesOrderNumber='{order['SalesOrderNumber']}')"
    assert (await client.delete(where)).status_code == 204
    assert (await client.get(_key(line))).status_code == 404
    order = await _order(client)
    line = (await _line(client, order)).json()
    number = order["SalesOrderNumber"]
    posted = await client.post("/sandbox/post-invoice", json={"sales_order": number})
    assert posted.status_code == 200, posted.text
    where = f"{HEADERS}(dataAreaId='usmf',SalesOrderNumber='{number}')"
    assert "is invoiced and cannot be deleted" in infolog(await client.delete(where))
    assert "cannot be deleted" in infolog(await client.delete(_key(line)))
    changed = await client.patch(_key(line), json={"OrderedSalesQuantity": 9})
    assert "is invoiced and cannot be changed" in infolog(changed)
