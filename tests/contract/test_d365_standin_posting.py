"""Invoices and payments of the F&O stand-in (F&O contract 5.8)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.contract.d365_standin import client, create, d365, entra

if TYPE_CHECKING:
    import httpx

__all__ = ["client", "d365", "entra"]  # the fixtures

NEVER = "1900-01-01T12:00:00Z"


async def _order(client: httpx.AsyncClient, company: str = "usmf", **changes: Any) -> str:
    """An order with 2 × 399 and 3 × 75, in the company's or the given currency."""
    currency = {"usmf": "USD", "demf": "EUR"}[company]
    made = await client.post(
        "/data/CustomersV3?cross-company=true",
        json={
            "dataAreaId": company,
            "OrganizationName": "Forest",
            "CustomerGroupId": "30",
            "SalesCurrencyCode": currency,
        },
    )
    body = {
        "dataAreaId": company,
        "OrderingCustomerAccountNumber": made.json()["CustomerAccount"],
        "DefaultShippingSiteId": "1",
        **changes,
    }
    order = (await client.post("/data/SalesOrderHeadersV2?cross-company=true", json=body)).json()
    number: str = order["SalesOrderNumber"]
    for item, quantity in (("1000", 2), ("D0002", 3)):
        line = {
            "dataAreaId": company,
            "SalesOrderNumber": number,
            "ItemNumber": item,
            "OrderedSalesQuantity": quantity,
        }
        answer = await client.post("/data/SalesOrderLines?cross-company=true", json=line)
        assert answer.status_code == 201, answer.text
    return number


async def _post(client: httpx.AsyncClient, what: str, given: Any) -> Any:
    answer = await client.post(f"/sandbox/post-{what}", json=given)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _rows(client: httpx.AsyncClient, set_name: str, text: str) -> list[dict[str, Any]]:
    params = {"$filter": text, "cross-company": "true"}
    answer = await client.get(f"/data/{set_name}", params=params)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["value"]
    return rows


async def _transaction(client: httpx.AsyncClient, invoice: dict[str, Any]) -> dict[str, Any]:
    text = f"Invoice eq '{invoice['invoice']}' and dataAreaId eq '{invoice['company']}'"
    [row] = await _rows(client, "CustTransBiEntities", text)
    return row


async def test_an_invoiced_order_leaves_invoice_lines_and_an_open_transaction(
    client: httpx.AsyncClient,
) -> None:
    number = await _order(client, CustomersOrderReference="PO 7")
    given = {"sales_order": number, "date": "2026-07-30", "tax_percent": 10}
    posted = await _post(client, "invoice", given)
    assert (posted["amount"], posted["tax"]) == (1125.3, 102.3)
    [header] = await _rows(client, "SalesInvoiceHeadersV2", f"SalesOrderNumber eq '{number}'")
    assert header["InvoiceNumber"] == posted["invoice"] == "CIV-000001"
    assert header["InvoiceDate"] == "2026-07-30T12:00:00Z"
    assert (header["TotalInvoiceAmount"], header["TotalTaxAmount"]) == (1125.3, 102.3)
    assert header["CustomersOrderReference"] == "PO 7"
    lines = await _rows(client, "SalesInvoiceV2Lines", f"InvoiceNumber eq '{posted['invoice']}'")
    assert [(row["LineCreationSequenceNumber"], row["LineAmount"]) for row in lines] == [
        (1, 798),
        (2, 225),
    ]
    assert lines[0]["ProductName"] == "SurroundSoundReceive"
    row = await _transaction(client, posted)
    assert (row["AmountCur"], row["AmountMST"], row["SettleAmountCur"]) == (1125.3, 1125.3, 0)
    assert (row["TransType"], row["Closed"], row["LastSettleDate"]) == ("Sales", NEVER, NEVER)
    assert row["DueDate"] == "2026-08-09T12:00:00Z"  # Net10, the terms of group 30
    [order] = await _rows(client, "SalesOrderHeadersV2", f"SalesOrderNumber eq '{number}'")
    assert order["SalesOrderStatus"] == order["SalesOrderProcessingStatus"] == "Invoiced"
    again = await client.post("/sandbox/post-invoice", json={"sales_order": number})
    assert again.status_code == 400


async def test_an_invoice_key_reads_header_with_lines(client: httpx.AsyncClient) -> None:
    posted = await _post(client, "invoice", {"sales_order": await _order(client)})
    key = (
        f"(dataAreaId='usmf',InvoiceNumber='{posted['invoice']}',"
        f"InvoiceDate={posted['date']}T12:00:00Z,LedgerVoucher='{posted['voucher']}')"
    )
    answer = await client.get(f"/data/SalesInvoiceHeadersV2{key}?$expand=SalesInvoiceLinesV2")
    assert len(answer.json()["SalesInvoiceLinesV2"]) == 2
    assert (await client.patch(f"/data/SalesInvoiceHeadersV2{key}", json={})).status_code == 400


async def test_an_order_is_invoiced_in_parts(client: httpx.AsyncClient) -> None:
    number = await _order(client)
    first = await _post(
        client, "invoice", {"sales_order": number, "lines": [{"line": 2, "quantity": 1}]}
    )
    assert first["amount"] == 75
    [order] = await _rows(client, "SalesOrderHeadersV2", f"SalesOrderNumber eq '{number}'")
    assert order["SalesOrderStatus"] == "Backorder"
    too_much = {"sales_order": number, "lines": [{"line": 2, "quantity": 3}]}
    assert (await client.post("/sandbox/post-invoice", json=too_much)).status_code == 400
    assert (await _post(client, "invoice", {"sales_order": number}))["amount"] == 798 + 150
    [order] = await _rows(client, "SalesOrderHeadersV2", f"SalesOrderNumber eq '{number}'")
    assert order["SalesOrderStatus"] == "Invoiced"


async def test_a_credit_note_is_negative_and_settled_by_a_refund(client: httpx.AsyncClient) -> None:
    number = await _order(client)
    await _post(client, "invoice", {"sales_order": number})
    wanted = {"sales_order": number, "credit_note": True, "lines": [{"line": 2, "quantity": 1}]}
    credit = await _post(client, "invoice", wanted)
    assert (credit["invoice"], credit["amount"]) == ("CCN-000001", -75)
    lines = await _rows(client, "SalesInvoiceV2Lines", f"InvoiceNumber eq '{credit['invoice']}'")
    assert [(row["InvoicedQuantity"], row["LineAmount"]) for row in lines] == [(-1, -75)]
    assert (await _transaction(client, credit))["AmountCur"] == -75
    refund = {"customer": credit["customer"], "invoice": credit["invoice"], "amount": -75}
    assert (await _post(client, "payment", refund))["open"] == 0
    assert (await _transaction(client, credit))["Closed"] != NEVER


async def test_a_free_text_invoice_has_rows_of_its_own(client: httpx.AsyncClient) -> None:
    customer = await create(client, PaymentTerms="Net30")
    posted = await _post(
        client,
        "invoice",
        {
            "customer": customer["CustomerAccount"],
            "date": "2026-01-31",
            "lines": [{"text": "Set-up", "quantity": 3, "price": 33.335}, {"amount": 20}],
        },
    )
    assert (posted["invoice"], posted["amount"]) == ("FTI-000001", 120.01)
    [header] = await _rows(
        client, "FreeTextInvoiceHeaders", f"FreeTextNumber eq '{posted['invoice']}'"
    )
    assert (header["CustomerAccount"], header["IsPosted"]) == (customer["CustomerAccount"], "Yes")
    assert header["DueDate"] == "2026-03-02T12:00:00Z"
    text = f"ParentRecId eq {header['InvoiceIdentifier']}"
    lines = await _rows(client, "FreeTextInvoiceLines", text)
    assert [row["TransactionCurrencyAmount"] for row in lines] == [100.01, 20]
    assert lines[0]["Description"] == "Set-up"
    assert (await _transaction(client, posted))["TransType"] == "Cust"
    assert await _rows(client, "SalesInvoiceHeadersV2", "InvoiceNumber ne ''") == []


async def test_payments_settle_in_parts_until_the_invoice_is_closed(
    client: httpx.AsyncClient,
) -> None:
    invoice = await _post(client, "invoice", {"sales_order": await _order(client)})
    pay = {"customer": invoice["customer"], "invoice": invoice["invoice"]}
    part = await _post(client, "payment", {**pay, "amount": 23.0, "date": "2026-07-01"})
    assert (part["settled"], part["open"]) == (23, 1000)
    row = await _transaction(client, invoice)
    assert (row["SettleAmountCur"], row["Closed"]) == (23, NEVER)
    assert row["LastSettleDate"] == "2026-07-01T12:00:00Z"
    rest = await _post(client, "payment", {**pay, "amount": 1100, "date": "2026-07-20"})
    assert (rest["settled"], rest["open"]) == (1000, 0)
    row = await _transaction(client, invoice)
    assert (row["SettleAmountCur"], row["Closed"]) == (1023, "2026-07-20T12:00:00Z")
    [over] = await _rows(client, "CustTransBiEntities", f"Voucher eq '{rest['voucher']}'")
    assert (over["AmountCur"], over["SettleAmountCur"], over["Closed"]) == (-1100, -1000, NEVER)
    again = await client.post("/sandbox/post-payment", json={**pay, "amount": 1})
    assert again.status_code == 400
    assert await _rows(client, "CustTransBiEntities", "AmountCur eq -1") == []


async def test_companies_and_currencies_stay_apart(client: httpx.AsyncClient) -> None:
    ours = await _post(client, "invoice", {"sales_order": await _order(client, CurrencyCode="EUR")})
    theirs_order = {"company": "demf", "sales_order": await _order(client, "demf")}
    theirs = await _post(client, "invoice", theirs_order)
    assert ours["invoice"] == theirs["invoice"]  # each company counts for itself
    row = await _transaction(client, ours)
    assert (row["CurrencyCode"], row["AmountCur"], row["AmountMST"]) == ("EUR", 1023, 1104.84)
    row = await _transaction(client, theirs)
    assert (row["AmountCur"], row["AmountMST"]) == (1023, 1023)
    pay = {"customer": ours["customer"], "invoice": ours["invoice"]}
    paid = await _post(client, "payment", {**pay, "amount": 1104.84, "currency": "USD"})
    assert (paid["settled"], paid["open"]) == (1023, 0)
    assert (await _transaction(client, theirs))["SettleAmountCur"] == 0


async def test_a_payment_without_invoice_stays_on_the_account(client: httpx.AsyncClient) -> None:
    account = (await create(client))["CustomerAccount"]
    await _post(client, "payment", {"customer": account, "amount": 50})
    [row] = await _rows(client, "CustTransBiEntities", f"AccountNum eq '{account}'")
    assert (row["AmountCur"], row["TransType"], row["Closed"]) == (-50, "Payment", NEVER)


async def test_a_list_is_posted_all_or_nothing(client: httpx.AsyncClient) -> None:
    account = (await create(client))["CustomerAccount"]
    good = {"customer": account, "amount": 10}
    answer = await client.post("/sandbox/post-invoice", json=[good, {**good, "customer": "nope"}])
    assert answer.status_code == 400
    assert (await client.get("/sandbox/state/CustTransBiEntities")).json() == []
    events = (await client.get("/sandbox/business-events")).json()
    assert events["emitted"] == 0


async def test_a_customer_on_hold_is_not_invoiced(client: httpx.AsyncClient) -> None:
    account = (await create(client, OnHoldStatus="Invoice"))["CustomerAccount"]
    answer = await client.post("/sandbox/post-invoice", json={"customer": account, "amount": 1})
    assert answer.status_code == 400


async def test_a_thousand_invoices_are_one_quick_call(client: httpx.AsyncClient) -> None:
    given = {"products": 50, "customers": 100, "orders": 1000, "lines": 5}
    await client.post("/sandbox/generate", json=given)
    began = time.process_time()
    posted = await _post(client, "invoice", [{"sales_order": f"GO-{n:06}"} for n in range(1, 1001)])
    assert time.process_time() - began < 3
    assert len({invoice["invoice"] for invoice in posted}) == 1000
    counts = (await client.get("/sandbox/state")).json()
    assert counts["SalesInvoiceV2Lines"] == 5000
    assert counts["CustTransBiEntities"] == 1000
    assert (await client.get("/sandbox/business-events")).json()["emitted"] == 1000
