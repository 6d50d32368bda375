"""Flow 6 through the real queue: a posted invoice appears in Salesforce, once, whatever its event is like."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob import ContainerClient

from integration.messaging.service_bus import BUSINESS_EVENTS
from tests.end_to_end import receivables

if TYPE_CHECKING:
    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def usual_events(world: World) -> None:
    await receivables.events(
        world, duplicate_share=0, shuffle=False, delay_ms=0, lose_share=0, form="flat"
    )


async def posted(world: World, **given: Any) -> dict[str, Any]:
    """A posted invoice of a customer whose account exists, and the row in Salesforce."""
    account = await receivables.customer_with_account(world)
    number = await receivables.order(world, account)
    made = await receivables.post(world, sales_order=number, **given)
    await world.settled()
    return made


async def ledger(world: World) -> dict[str, Any]:
    """Entries of the reconciliation ledger by key."""
    return await asyncio.to_thread(_ledger, world.sandbox.storage.connection_string)


def _ledger(connection: str) -> dict[str, Any]:
    with ContainerClient.from_connection_string(connection, "integration-state") as container:
        names = list(container.list_blob_names(name_starts_with="ledger/invoices/"))
        entries = [json.loads(container.download_blob(name).readall()) for name in names]
    return {entry["key"]: entry for entry in entries}


async def test_a_posted_sales_invoice_appears_with_its_lines(world: World) -> None:
    await world.put("salesforce", "state/Product2", [product("E2E-1")], method="POST")
    account = await receivables.customer_with_account(world)
    order = await receivables.order(world, account)
    made = await receivables.post(world, sales_order=order, date="2025-06-30", tax_percent=10)
    await world.settled()
    row = await receivables.invoice(world, made["invoice"])
    (owner,) = await world._rows("salesforce", "Account", D365_Customer_Number__c=account)
    assert row["Account__c"] == owner["Id"]
    assert row["D365_Key__c"] == f"usmf|sales|{made['invoice']}|{made['voucher']}"
    assert (row["Invoice_Date__c"], row["Due_Date__c"]) == ("2025-06-30", "2025-07-30")
    assert (row["Amount__c"], row["Tax_Amount__c"], row["Open_Amount__c"]) == (220, 20, 220)
    assert (row["Status__c"], row["CurrencyIsoCode"]) == ("Overdue", "USD")
    assert (row["D365_Order_Number__c"], row["D365_Company__c"]) == (order, "usmf")
    first, second = await receivables.lines(world, row)
    assert (first["Quantity__c"], first["Unit_Price__c"], first["Amount__c"]) == (2, 50, 100)
    assert first["Name"] == f"{made['invoice']} / 1"
    assert (first["Tax_Amount__c"], first["CurrencyIsoCode"]) == (10, "USD")
    assert first["Product__c"]
    assert second["Product__c"] is None  # not a product of Salesforce, and no reason to fail


async def test_the_same_event_again_reads_and_writes_nothing(world: World) -> None:
    made = await posted(world)
    world.forget_calls()
    await raise_event(world, made)
    await world.settled()
    assert len(world.d365.to("$batch")) == 1
    assert world.salesforce.to("", "PATCH") == []


async def test_a_free_text_invoice_appears_under_its_own_kind(world: World) -> None:
    account = await receivables.customer_with_account(world)
    lines = [{"text": "Freight", "quantity": 1, "price": 20.5}, {"text": "Set-up", "amount": 30}]
    made = await receivables.post(world, customer=account, lines=lines, tax_percent=20)
    await world.settled()
    row = await receivables.invoice(world, made["invoice"])
    assert row["D365_Key__c"] == f"usmf|freetext|{made['invoice']}|{made['voucher']}"
    assert (row["Amount__c"], row["Tax_Amount__c"]) == (60.6, 10.1)
    found = await receivables.lines(world, row)
    assert [line["Description__c"] for line in found] == ["Freight", "Set-up"]
    assert [line["Amount__c"] for line in found] == [20.5, 30]


async def test_a_credit_note_is_negative(world: World) -> None:
    account = await receivables.customer_with_account(world)
    order = await receivables.order(world, account)
    await receivables.post(world, sales_order=order)
    note = await receivables.post(world, sales_order=order, credit_note=True, date="2025-01-31")
    await world.settled()
    row = await receivables.invoice(world, note["invoice"])
    assert (row["Amount__c"], row["Open_Amount__c"], row["Status__c"]) == (-200, -200, "Open")
    assert [line["Quantity__c"] for line in await receivables.lines(world, row)] == [-2, -2]


async def test_a_changed_due_date_is_the_only_thing_written(world: World) -> None:
    made = await posted(world)
    (transaction,) = await world._rows(
        "d365", "CustTransBiEntities", filter_=f"Invoice eq '{made['invoice']}'"
    )
    kept = {name: value for name, value in transaction.items() if not name.startswith("@")}
    changed = {**kept, "DueDate": "2031-01-02T12:00:00Z"}
    await world.put("d365", "state/CustTransBiEntities", changed, method="POST")
    world.forget_calls()
    await raise_event(world, made)
    await world.settled()
    key = f"usmf|sales|{made['invoice']}|{made['voucher']}"
    rows = world.salesforce.rows_to_salesforce()
    assert rows == [{"D365_Key__c": key, "Due_Date__c": "2031-01-02"}]


@pytest.mark.parametrize("form", ["flat", "dataverse", "datacontract"])
async def test_every_form_of_the_event_is_understood(world: World, form: str) -> None:
    await receivables.events(world, form=form)
    made = await posted(world)
    await receivables.invoice(world, made["invoice"])


async def test_doubled_and_reordered_events_change_nothing(world: World) -> None:
    await receivables.events(world, duplicate_share=1, shuffle=True, delay_ms=200)
    account = await receivables.customer_with_account(world)
    orders = [await receivables.order(world, account) for _ in range(4)]
    made = [await receivables.post(world, sales_order=order) for order in orders]
    await world.settled()
    for each in made:
        row = await receivables.invoice(world, each["invoice"])
        assert len(await receivables.lines(world, row)) == 2


async def test_an_invoice_before_its_account_waits_for_it(world: World) -> None:
    number = await receivables.customer(world)
    await world.run_with(RETRY_BASE_DELAY="2")
    order = await receivables.order(world, number)
    made = await receivables.post(world, sales_order=order)
    await world.until(lambda: waits(world, made), timeout=20)
    assert await receivables.invoices(world, made["invoice"]) == []
    await world.create(events=False, D365_Customer_Number__c=number)
    await world.settled()
    await receivables.invoice(world, made["invoice"])
    await world.run_with()


async def test_an_invoice_whose_account_never_comes_ends_in_the_ledger(world: World) -> None:
    number = await receivables.customer(world)
    made = await receivables.post(world, sales_order=await receivables.order(world, number))
    await world.settled()
    key = f"usmf|sales|{made['invoice']}"
    entry = (await ledger(world))[key]
    assert entry["reason"] == "account-not-in-salesforce"
    assert number in entry["description"]
    assert entry["attempts"] == 4
    assert world.letters(key) == []


async def test_an_event_for_an_invoice_that_is_not_there_ends_in_the_ledger(world: World) -> None:
    await raise_event(world, {"company": "usmf", "invoice": "NEVER-1", "customer": "x"})
    await world.settled()
    assert (await ledger(world))["usmf|sales|NEVER-1"]["reason"] == "invoice-not-found"


async def test_other_events_are_skipped_and_garbage_is_kept(world: World) -> None:
    letters = len(world.sandbox.dead_letters())
    unknown = {"event": "CollectionLetterCreatedBusinessEvent", "company": "usmf"}
    await world.put("d365", "business-events", unknown, method="POST")
    await world.settled()
    assert len(world.sandbox.dead_letters()) == letters
    await send(world, b"\x00garbage")
    await world.until(lambda: len(world.sandbox.dead_letters()) == letters + 1)
    letter = world.sandbox.dead_letters()[-1]
    assert (letter["kind"], letter["system"]) == ("undecodable", "d365")


async def test_invoices_of_other_companies_are_no_concern(world: World) -> None:
    account = await receivables.customer_with_account(world)
    await world.add_customer(dataAreaId="demf", CustomerAccount=account)
    made = await receivables.post(
        world, company="demf", customer=account, lines=[{"text": "x", "amount": 1}]
    )
    await world.settled()
    found = await receivables.invoices(world, made["invoice"])  # numbers repeat between companies
    assert [row for row in found if row["D365_Company__c"] == "demf"] == []


async def test_sixty_invoices_cost_a_handful_of_calls(world: World) -> None:
    account = await receivables.customer_with_account(world)
    orders = [await receivables.order(world, account, lines=5) for _ in range(60)]
    await world.put("d365", "faults", {"latency_ms": 100, "count": None}, method="POST")
    world.forget_calls()
    batch = [{"sales_order": order} for order in orders]
    made = await world.put("d365", "post-invoice", batch, method="POST")
    await world.settled()
    for each in made:
        row = await receivables.invoice(world, each["invoice"])
        assert len(await receivables.lines(world, row)) == 5
    calls = len(world.d365.calls) + len(world.salesforce.calls)
    # About a dozen when nothing else runs here; batches are smaller where the machine is busy.
    assert calls <= 120, calls  # five for each one are 300


def product(item: str) -> dict[str, Any]:
    return {"Name": item, "ProductCode": item, "D365_Item_Number__c": item, "IsActive": True}


async def raise_event(world: World, made: dict[str, Any]) -> None:
    """F&O tells of the invoice again, in an event of its own."""
    members = {
        "InvoiceId": made["invoice"],
        "InvoiceAccount": made["customer"],
        "LegalEntity": made["company"],
    }
    event = {"event": "SalesInvoicePostedBusinessEvent", "company": made["company"]}
    await world.put("d365", "business-events", {**event, "members": members}, method="POST")


async def send(world: World, body: bytes) -> None:
    connection = world.sandbox.broker.connection_string
    async with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_sender(BUSINESS_EVENTS) as sender,
    ):
        await sender.send_messages(ServiceBusMessage(body))


def waits(world: World, made: dict[str, Any]) -> bool:
    waiting = world.waiting(f"usmf|sales|{made['invoice']}")
    return any(hint["attempt"] > 1 for hint in waiting)
