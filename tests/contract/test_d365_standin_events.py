"""Business and data events of the F&O stand-in on a real queue (F&O contract 7)."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from sandbox.d365 import D365StandIn
from sandbox.entra import EntraStandIn
from sandbox.servicebus import Broker, QueueOptions
from sandbox.servicebus.options import SERVER_BUSY
from tests.contract.d365_standin import BASE, CLIENT, create

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox.servicebus.broker import PeekedMessage

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE = "d365-business-events"
OTHER_CLIENT = "11111111-2222-4333-8444-555555555555"
WRAPPED = b"@\x06string\x083http://schemas.microsoft.com/2003/10/Serialization/\x9b"


@dataclass
class World:
    """A stand-in that sends to a broker; `messages` are those since the last reset."""

    d365: D365StandIn
    broker: Broker
    app: httpx.AsyncClient
    other: httpx.AsyncClient
    account: str = ""
    _after: int = field(default=0, init=False)

    async def reset(self, **settings: Any) -> None:
        await self.app.post("/sandbox/reset")
        self.account = (await create(self.app))["CustomerAccount"]
        await self.configure(**settings)
        self._after = max((m.sequence_number for m in self.broker.peek(QUEUE, 100_000)), default=0)

    async def configure(self, **settings: Any) -> None:
        answer = await self.app.put("/sandbox/business-events", json=settings)
        assert answer.status_code == 200, answer.text

    async def counts(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.app.get("/sandbox/business-events")).json()
        return answer

    async def invoice(self, amount: float = 100, count: int = 1, **given: Any) -> list[Any]:
        one = {"customer": self.account, "amount": amount, **given}
        answer = await self.app.post("/sandbox/post-invoice", json=[one] * count)
        assert answer.status_code == 200, answer.text
        posted: list[Any] = answer.json()
        return posted

    async def messages(self) -> list[PeekedMessage]:
        """Once nothing is on its way any more."""
        async with asyncio.timeout(10):
            await self.d365.events.drained()
        arrived = self.broker.peek(QUEUE, 100_000)
        return [message for message in arrived if message.sequence_number > self._after]

    async def events(self) -> list[dict[str, Any]]:
        return [json.loads(message.body) for message in await self.messages()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    broker = Broker([QueueOptions(QUEUE)])
    await broker.start()
    entra = EntraStandIn(
        "5b0d2c8e-3a41-4c1c-9b34-0f6f0b8a1a77", {CLIENT: "secret", OTHER_CLIENT: "secret"}
    )
    d365 = D365StandIn(entra=entra, events_connection_string=broker.connection_string)
    transport = httpx.ASGITransport(d365.app)
    clients = [
        httpx.AsyncClient(
            transport=transport,
            base_url=BASE,
            headers={"authorization": f"Bearer {entra.issue_token(client, BASE)}"},
        )
        for client in (CLIENT, OTHER_CLIENT)
    ]
    await d365.start()
    try:
        yield World(d365, broker, *clients)
    finally:
        for client in clients:
            await client.aclose()
        await d365.stop()
        await broker.stop()


async def test_a_posted_sales_invoice_is_told_as_the_contract_says(world: World) -> None:
    await world.reset()
    given = {"products": 5, "customers": 2, "orders": 1, "lines": 2}
    await world.app.post("/sandbox/generate", json=given)
    wanted = {"sales_order": "GO-000001", "date": "2026-07-30", "tax_percent": 25}
    posted = (await world.app.post("/sandbox/post-invoice", json=wanted)).json()
    [message] = await world.messages()
    event = json.loads(message.body)
    assert list(event) == sorted(event)
    assert event["BusinessEventId"] == "SalesInvoicePostedBusinessEvent"
    assert event["BusinessEventLegalEntity"] == event["LegalEntity"] == "usmf"
    assert (event["InvoiceId"], event["InvoiceAccount"]) == (posted["invoice"], posted["customer"])
    assert event["SalesOrderId"] == "GO-000001"
    assert event["InvoiceDate"] == "/Date(1785369600000)/"
    assert event["InvoiceAmountInAccountingCurrency"] == posted["amount"]
    assert event["InvoiceTaxAmount"] == posted["tax"]
    assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", event["EventId"])
    assert re.fullmatch(r"/Date\(\d{10}000\)/", event["EventTime"])
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{7}Z", event["EventTimeIso8601"])
    assert re.fullmatch(r"\{[0-9A-F-]{36}\}", event["InitiatingUserAADObjectId"])
    assert isinstance(event["ControlNumber"], int)
    assert event["ParentContextRecordSubjects"] == []
    assert message.application_properties == {
        "EventId": event["EventId"],
        "BusinessEventId": "SalesInvoicePostedBusinessEvent",
        "BusinessEventCategory": "AccountsReceivable",
        "LegalEntity": "usmf",
    }


async def test_free_text_invoices_and_credit_notes_are_told_in_accounting_currency(
    world: World,
) -> None:
    await world.reset()
    await world.invoice(100, currency="EUR")
    await world.invoice(100, credit_note=True)
    first, second = await world.events()
    assert first["BusinessEventId"] == "CustFreeTextInvoicePostedBusinessEvent"
    assert "SalesOrderId" not in first
    assert first["InvoiceAmountInAccountingCurrency"] == 108
    assert second["InvoiceAmountInAccountingCurrency"] == -100
    assert first["ControlNumber"] < second["ControlNumber"]
    assert first["EventId"] != second["EventId"]


async def test_an_event_can_come_as_dataverse_passes_it_on(world: World) -> None:
    await world.reset(form="dataverse")
    [posted] = await world.invoice()
    await world.configure(form="dataverse-parameters")
    await world.invoice()
    beside, event = await world.events()
    assert beside["InvoiceId"] == posted["invoice"]
    parameters = {entry["key"]: entry["value"] for entry in event["InputParameters"]}
    assert parameters["InvoiceId"] == "FTI-000002"
    assert parameters["BusinessEventId"] == beside["BusinessEventId"] == event["MessageName"]
    assert "InvoiceId" not in event
    assert re.fullmatch(r"/Date\(\d+\+0000\)/", event["OperationCreatedOn"])


async def test_an_event_can_come_as_a_serialised_string(world: World) -> None:
    await world.reset(form="datacontract")
    [posted] = await world.invoice()
    [message] = await world.messages()
    assert message.body.startswith(WRAPPED)
    text = message.body[len(WRAPPED) :]
    assert int.from_bytes(text[:2], "little") == len(text) - 2
    assert json.loads(text[2:])["InvoiceId"] == posted["invoice"]


async def test_a_burst_arrives_whole_and_in_order(world: World) -> None:
    await world.reset()
    posted = await world.invoice(count=500)
    events = await world.events()
    assert [event["InvoiceId"] for event in events] == [one["invoice"] for one in posted]
    counts = await world.counts()
    assert (counts["emitted"], counts["sent"], counts["pending"]) == (500, 500, 0)


async def test_events_can_come_twice_shuffled_and_late(world: World) -> None:
    await world.reset(duplicate_share=0.3, shuffle=True, delay_ms=100, seed=3)
    posted = await world.invoice(count=100)
    assert world.d365.events.pending
    events = await world.events()
    counts = await world.counts()
    ids = Counter(event["EventId"] for event in events)
    assert counts["duplicated"] == sum(copies == 2 for copies in ids.values()) > 10
    assert len(ids) == 100
    arrived = list(dict.fromkeys(event["InvoiceId"] for event in events))
    assert arrived != [one["invoice"] for one in posted]
    assert sorted(arrived) == sorted(one["invoice"] for one in posted)


async def test_events_can_be_lost_or_switched_off(world: World) -> None:
    await world.reset(lose_share=0.5, seed=2)
    await world.invoice(count=40)
    counts = await world.counts()
    assert 5 < counts["lost"] < 35
    assert len(await world.messages()) == 40 - counts["lost"]
    await world.reset(enabled=False)
    await world.invoice()
    assert await world.messages() == []
    assert (await world.counts())["unsent"] == 1


async def test_a_refused_send_is_tried_again_a_second_later(world: World) -> None:
    await world.reset()
    world.broker.refuse_sends(QUEUE, SERVER_BUSY)
    await world.invoice()
    assert len(await world.messages()) == 1
    assert (await world.counts())["failed"] == 0


async def test_any_other_event_can_be_emitted(world: World) -> None:
    await world.reset()
    given = {"event": "PriceChangedBusinessEvent", "members": {"ItemId": "1000"}}
    await world.app.post("/sandbox/business-events", json=given)
    [event] = await world.events()
    assert (event["BusinessEventId"], event["ItemId"]) == ("PriceChangedBusinessEvent", "1000")
    assert (await world.counts())["by_event"] == {"PriceChangedBusinessEvent": 1}


@pytest.mark.parametrize("wrong", [{"form": "xml"}, {"shuffle": 1}, {"delay": 5}, {"seed": "a"}])
async def test_wrong_settings_are_refused(world: World, wrong: dict[str, Any]) -> None:
    answer = await world.app.put("/sandbox/business-events", json=wrong)
    assert answer.status_code == 400


def _attributes(event: dict[str, Any]) -> dict[str, Any]:
    [parameter] = event["InputParameters"]
    assert parameter["key"] == "Target"
    return {entry["key"]: entry["value"] for entry in parameter["value"]["Attributes"]}


async def test_a_clerk_changing_a_customer_causes_a_data_event(world: World) -> None:
    await world.reset(data_events=True)
    change = {"dataAreaId": "usmf", "CustomerAccount": world.account, "OnHoldStatus": "All"}
    change["CredManCustomerSince"] = "2026-07-30"
    answer = await world.app.patch("/sandbox/state/CustomersV3", json=change)
    assert answer.status_code == 200, answer.text
    [event] = await world.events()
    assert event["MessageName"] == "OnExternalUpdated"
    assert event["PrimaryEntityName"] == "mserp_custcustomerv3entity"
    assert event["PrimaryEntityId"] == event["InputParameters"][0]["value"]["Id"]
    assert event["BusinessEventLegalEntity"] == "usmf"
    shown = _attributes(event)
    assert shown["mserp_customeraccount"] == world.account
    assert shown["mserp_dataareaid"] == "usmf"
    assert shown["mserp_onholdstatus"] == {"Value": 200000002}
    assert shown["mserp_credmancustomersince"] == "/Date(1785412800000)/"
    assert "mserp_addressvalidfrom" not in shown  # empty times are left out
    [row] = (await world.app.get("/sandbox/state/CustomersV3")).json()
    assert row["OnHoldStatus"] == "All"


async def test_what_a_clerk_types_is_validated(world: World) -> None:
    await world.reset(data_events=True)
    change = {"CustomerAccount": world.account, "PaymentTerms": "nope"}
    answer = await world.app.patch("/sandbox/state/CustomersV3", json=change)
    assert answer.status_code == 400
    assert await world.messages() == []


async def test_writes_of_others_are_told_and_own_ones_on_demand(world: World) -> None:
    await world.reset(data_events=True)
    where = f"/data/CustomersV3(dataAreaId='usmf',CustomerAccount='{world.account}')"
    await world.app.patch(where, json={"CreditLimit": 1})
    assert await world.messages() == []
    await world.other.patch(where, json={"CreditLimit": 2})
    await world.other.post("/sandbox/state/CustomersV3", json={"CustomerAccount": "NEW-1"})
    await world.other.delete("/data/CustomersV3(dataAreaId='usmf',CustomerAccount='NEW-1')")
    names = [event["MessageName"] for event in await world.events()]
    assert names == ["OnExternalUpdated", "OnExternalCreated", "OnExternalDeleted"]
    [*_, deleted] = await world.events()
    assert "Attributes" not in deleted["InputParameters"][0]["value"]
    assert deleted["PreEntityImages"][0]["key"] == "PreImage"
    await world.configure(data_events=True, own_changes=True)
    await world.app.patch(where, json={"CreditLimit": 3})
    assert len(await world.messages()) == 4


async def test_a_rolled_back_change_tells_nothing(world: World) -> None:
    await world.reset(data_events=True)
    rows = [{"CustomerAccount": "A"}, {"CustomerAccount": "B", "NoSuchField": 1}]
    answer = await world.app.post("/sandbox/state/CustomersV3", json=rows)
    assert answer.status_code == 400
    assert await world.messages() == []
