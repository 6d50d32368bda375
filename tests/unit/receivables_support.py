"""The flows from F&O to Salesforce with the real clients, over ASGI, on both stand-ins."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.errors import RecordNeedsReview
from integration.flows.context import FlowContext
from integration.flows.customer_accounts import CustomerFlow
from integration.flows.engine import converge
from integration.flows.invoices import InvoiceFlow
from integration.mapping.customisation import load_customisation
from integration.state.aliases import Aliases
from integration.state.intents import CreateIntents
from sandbox.web import Fault
from tests.contract.d365_standin import BASE
from tests.unit.account_support import BUCKET
from tests.unit.flow_support import error_of
from tests.unit.standins_support import (
    d365_client,
    new_d365,
    new_salesforce,
    salesforce_client,
    settings_for,
)
from tests.unit.state_support import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.flows.outcomes import Outcome

NUMBER = "D365_Customer_Number__c"
TODAY = date(2026, 8, 20)


class BothSystems:
    """Both stand-ins with the two flows between them."""

    invoices: InvoiceFlow
    customers: CustomerFlow
    http: dict[str, httpx.AsyncClient]
    store: MemoryStore

    def __init__(self, *, picklists: bool = False) -> None:
        self.salesforce = new_salesforce(state_country_picklists=picklists)
        self.d365 = new_d365()

    async def run(self, *keys: str, dry: bool = False) -> dict[str, Outcome]:
        """Of invoices or customers, as the keys say."""
        flow: Any = self.customers if keys[0].count("|") == 1 else self.invoices
        return await converge(flow, dict.fromkeys(keys, BUCKET), dry=dry)

    @property
    def calls(self) -> tuple[int, int]:
        """To Salesforce and to F&O, tokens and describes included; asking starts the count anew."""
        counted = self.salesforce.control.calls.total(), self.d365.control.calls.total()
        self.salesforce.control.calls.clear()
        self.d365.control.calls.clear()
        return counted

    def fault(self, system: str, **fault: Any) -> None:
        getattr(self, system).control.faults.append(Fault.from_json(fault))

    async def put(self, entity_set: str, *rows: dict[str, Any]) -> None:
        answer = await self.http["d365"].post(
            f"{BASE}/sandbox/state/{entity_set}", json=[{"dataAreaId": "usmf", **r} for r in rows]
        )
        assert answer.is_success, answer.text

    async def found(self, entity_set: str) -> list[dict[str, Any]]:
        answer = await self.http["d365"].get(f"{BASE}/sandbox/state/{entity_set}")
        data = answer.json()
        return list(data["value"] if isinstance(data, dict) else data)

    async def insert(self, name: str, *rows: dict[str, Any]) -> list[str]:
        url = f"http://salesforce.test/sandbox/state/{name}?events=false"
        answer = await self.http["salesforce"].post(url, json=list(rows))
        assert answer.is_success, answer.text
        return list(answer.json()["ids"])

    async def rows(self, name: str) -> list[dict[str, Any]]:
        answer = await self.http["salesforce"].get(f"http://salesforce.test/sandbox/state/{name}")
        return list(answer.json())

    async def edit(self, name: str, key: str, **fields: Any) -> None:
        url = f"http://salesforce.test/sandbox/state/{name}/{key}?events=false"
        (await self.http["salesforce"].patch(url, json=fields)).raise_for_status()

    async def account(self, number: str | None = None, **fields: Any) -> str:
        row = {"Name": "Acme", "CurrencyIsoCode": "USD", **fields}
        return (await self.insert("Account", row | ({NUMBER: number} if number else {})))[0]

    async def customer(self, number: str, account: str = "", **fields: Any) -> str:
        """The key of its hint."""
        row = {
            "CustomerAccount": number,
            "SalesforceAccountId": account,
            "OrganizationName": "Acme",
            "PartyType": "Organization",
            "CustomerGroupId": "30",
            "SalesCurrencyCode": "USD",
            **fields,
        }
        await self.put("CustomersV3", row)
        return f"{row.get('dataAreaId', 'usmf')}|{number}"

    async def sales_invoice(self, number: str, lines: int = 2, **fields: Any) -> str:
        """Of customer C-1, with its transaction; the key of its hint."""
        company = fields.pop("dataAreaId", "usmf")
        voucher, due = fields.pop("voucher", f"V-{number}"), fields.pop("due", "2026-09-30")
        open_amount = fields.pop("open_amount", None)
        key = {
            "dataAreaId": company,
            "InvoiceNumber": number,
            "InvoiceDate": "2026-08-01T12:00:00Z",
            "LedgerVoucher": voucher,
        }
        header = {
            **key, "InvoiceCustomerAccountNumber": "C-1", "CurrencyCode": "USD",
            "TotalInvoiceAmount": 100.1 * lines, "TotalTaxAmount": 0, **fields,
        }  # fmt: skip
        total = header["TotalInvoiceAmount"]
        await self.put("SalesInvoiceHeadersV2", header)
        await self.put(
            "SalesInvoiceV2Lines",
            *(
                {
                    **key, "LineCreationSequenceNumber": line, "ProductNumber": f"I-{line}",
                    "ProductName": f"Item {line}", "InvoicedQuantity": 2, "SalesPrice": 50.05,
                    "LineAmount": 100.1, "CurrencyCode": header["CurrencyCode"],
                }
                for line in range(1, lines + 1)
            ),
        )  # fmt: skip
        await self.transaction(
            number, total, dataAreaId=company, Voucher=voucher, DueDate=f"{due}T12:00:00Z",
            CurrencyCode=header["CurrencyCode"],
            SettleAmountCur=0 if open_amount is None else total - open_amount,
        )  # fmt: skip
        return f"{company}|sales|{number}"

    async def transaction(self, invoice: str, amount: float, **fields: Any) -> None:
        row = {
            "SourceKey": self.d365.environment.store.new_record_id(), "AccountNum": "C-1",
            "Invoice": invoice, "TransType": "Sales", "AmountCur": amount, **fields,
        }  # fmt: skip
        await self.put("CustTransBiEntities", row)


@asynccontextmanager
async def both_systems(
    mapping: str | None = None, *, picklists: bool = False, **settings: str
) -> AsyncIterator[BothSystems]:
    """`settings` of the app by their names."""
    world = BothSystems(picklists=picklists)
    given = settings_for(world.salesforce, **settings)
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(world.d365.app)) as d365_http,
        httpx.AsyncClient(transport=httpx.ASGITransport(world.salesforce.app)) as salesforce_http,
    ):
        world.http = {"d365": d365_http, "salesforce": salesforce_http}
        d365 = d365_client(given, d365_http)
        salesforce = salesforce_client(given, salesforce_http)
        world.store = MemoryStore()
        intents = CreateIntents(world.store, quarantine=timedelta(minutes=15))
        context = FlowContext(
            given, load_customisation(mapping), salesforce, d365, intents,
            aliases=Aliases(world.store, cache=0),
        )  # fmt: skip
        world.invoices = InvoiceFlow(context, today=lambda: TODAY)
        world.customers = CustomerFlow(context)
        yield world
        await d365.close()


@pytest.fixture
async def world() -> AsyncIterator[BothSystems]:
    async with both_systems() as world:
        yield world


@pytest.fixture
async def creating() -> AsyncIterator[BothSystems]:
    async with both_systems(CUSTOMERS_WITHOUT_ACCOUNT="create") as world:
        yield world


async def review(world: BothSystems, key: str) -> str:
    """Why a person has to decide about this customer."""
    error = error_of((await world.run(key))[key])
    assert isinstance(error, RecordNeedsReview), error
    return error.reason


async def account(world: BothSystems, key: str) -> dict[str, Any]:
    (row,) = [row for row in await world.rows("Account") if row["Id"] == key]
    return row


async def invoice(world: BothSystems, number: str = "CIV-1") -> dict[str, Any]:
    (row,) = [row for row in await world.rows("Invoice__c") if row["Name"] == number]
    return row
