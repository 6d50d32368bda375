"""The payment job with the real clients, over ASGI, on both stand-ins; blob storage and clock in memory."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from integration.flows.payments import PaymentJob, build_payment_job
from integration.mapping.customisation import load_customisation
from integration.settings import PaymentSettings
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

NUMBER = "D365_Customer_Number__c"
TODAY = datetime(2026, 8, 20, 10, 15, tzinfo=UTC)


class Cut(httpx.AsyncBaseTransport):
    """Loses the answer of one call, `at` calls from now, after the stand-in has done it."""

    def __init__(self, app: Any) -> None:
        self._inner = httpx.ASGITransport(app)
        self.at = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        if "/sandbox/" not in request.url.path:
            self.at -= 1
            if self.at == 0:
                await answer.aread()
                raise httpx.ReadError("the connection was cut", request=request)
        return answer


@asynccontextmanager
async def payments(mapping: str | None = None, **settings: Any) -> AsyncIterator[PaymentWorld]:
    """`settings` of the payments group, and `flow` for FLOW_PAYMENTS."""
    world = PaymentWorld()
    d365_http = httpx.AsyncClient(transport=world.cuts["d365"])
    salesforce_http = httpx.AsyncClient(transport=world.cuts["salesforce"])
    async with d365_http, salesforce_http:
        plain = settings_for(world.salesforce, FLOW_PAYMENTS=settings.pop("flow", "on"))
        given = plain.model_copy(update={"payments": PaymentSettings(**settings)})
        d365 = d365_client(given, d365_http)
        salesforce = salesforce_client(given, salesforce_http)
        world.http = salesforce_http
        world.d365_http = d365_http
        world.job = build_payment_job(
            given, load_customisation(mapping), salesforce, d365, world.store,
            clock=lambda: world.now,
        )  # fmt: skip
        yield world
        await d365.close()


class PaymentWorld:
    job: PaymentJob
    http: httpx.AsyncClient
    d365_http: httpx.AsyncClient

    def __init__(self) -> None:
        self.salesforce, self.d365 = new_salesforce(), new_d365()
        self.cuts = {"salesforce": Cut(self.salesforce.app), "d365": Cut(self.d365.app)}
        self.store = MemoryStore()
        self.now = TODAY
        self._keys = itertools.count(5637144576)

    # Runs

    async def run(self, **params: Any) -> Counter[str]:
        """One job to its end, an hour later than the one before; its counts."""
        counts: Counter[str] = Counter()
        position: dict[str, Any] = params
        for _ in range(300):
            progress = await self.job.step(position)
            counts.update(progress.counts)
            self.failures = progress.failures
            if progress.done:
                self.now += timedelta(hours=1)
                return counts
            position = progress.position
        raise AssertionError("the job does not end")

    def take_calls(self) -> tuple[int, int]:
        """To Salesforce and to F&O, tokens included; asking starts the count anew."""
        counted = self.salesforce.control.calls.total(), self.d365.control.calls.total()
        self.salesforce.control.calls.clear()
        self.d365.control.calls.clear()
        return counted

    # F&O

    async def transactions(self, *rows: dict[str, Any]) -> None:
        url = "http://d365.test/sandbox/state/CustTransBiEntities"
        (await self.d365_http.post(url, json=list(rows))).raise_for_status()

    def invoice(
        self, customer: str, number: str, amount: float, due: str, **fields: Any
    ) -> dict[str, Any]:
        return {
            "dataAreaId": "usmf", "SourceKey": next(self._keys), "AccountNum": customer,
            "Invoice": number, "Voucher": f"V-{number}", "TransType": "Sales",
            "TransDate": "2026-07-01T12:00:00Z", "DueDate": f"{due}T12:00:00Z",
            "CurrencyCode": "USD", "AmountCur": amount, "AmountMST": amount, **fields,
        }  # fmt: skip

    def payment(self, customer: str, amount: float, day: str, **fields: Any) -> dict[str, Any]:
        return {
            "dataAreaId": "usmf", "SourceKey": next(self._keys), "AccountNum": customer,
            "Voucher": f"P-{day}", "TransType": "Payment", "TransDate": f"{day}T12:00:00Z",
            "CurrencyCode": "USD", "AmountCur": -amount, "AmountMST": -amount, **fields,
        }  # fmt: skip

    def settled(self, row: dict[str, Any], day: str, amount: float | None = None) -> dict[str, Any]:
        """The row with so much of it settled, all by default."""
        paid = row["AmountCur"] if amount is None else amount
        closed = {"Closed": f"{day}T12:00:00Z"} if paid == row["AmountCur"] else {}
        return {
            **row, "SettleAmountCur": paid, "SettleAmountMST": paid,
            "LastSettleDate": f"{day}T12:00:00Z", **closed,
        }  # fmt: skip

    # Salesforce

    async def insert(self, name: str, *rows: dict[str, Any]) -> list[str]:
        url = f"http://salesforce.test/sandbox/state/{name}?events=false"
        answer = await self.http.post(url, json=list(rows))
        answer.raise_for_status()
        return list(answer.json()["ids"])

    async def account(self, number: str, **fields: Any) -> str:
        return (await self.insert("Account", {"Name": number, NUMBER: number, **fields}))[0]

    async def held_invoice(self, number: str, kind: str = "sales", **fields: Any) -> str:
        key = f"usmf|{kind}|{number}|V-{number}"
        return (await self.insert("Invoice__c", {"Name": number, "D365_Key__c": key, **fields}))[0]

    async def edit(self, name: str, key: str, **fields: Any) -> None:
        """As a person in Salesforce."""
        url = f"http://salesforce.test/sandbox/state/{name}/{key}?events=false"
        (await self.http.patch(url, json=fields)).raise_for_status()

    async def validation_rules(self, *rules: dict[str, str]) -> None:
        url = "http://salesforce.test/sandbox/validation-rules"
        (await self.http.put(url, json=list(rules))).raise_for_status()

    async def rows(self, name: str) -> list[dict[str, Any]]:
        answer = await self.http.get(f"http://salesforce.test/sandbox/state/{name}")
        answer.raise_for_status()
        return list(answer.json())

    async def amounts(self, number: str) -> tuple[Any, Any, Any, Any]:
        """Open, overdue, paid, last payment of an account."""
        (row,) = [row for row in await self.rows("Account") if row.get(NUMBER) == number]
        names = ("Open_Amount", "Overdue_Amount", "Paid_Amount", "Last_Payment_Date")
        found = [row.get(f"D365_{name}__c") for name in names]
        return found[0], found[1], found[2], found[3]

    async def status(self, number: str) -> tuple[Any, Any]:
        """Status and open amount of an invoice."""
        (row,) = [row for row in await self.rows("Invoice__c") if row["Name"] == number]
        return row.get("Status__c"), row.get("Open_Amount__c")
