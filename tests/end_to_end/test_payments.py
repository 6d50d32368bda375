"""Flow 7 through the real timer function: what F&O posts is what Salesforce shows."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from azure.storage.blob import ContainerClient

from integration.jobs.store import JobStore
from integration.state.blobs import BlobState
from sandbox.stack import MASTER_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.jobs.state import JobState
    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Payments:
    """`running`: the world of the module."""

    def __init__(self, world: World, jobs: JobStore) -> None:
        self.world = world
        self.jobs = jobs

    async def sync(self) -> JobState:
        """Runs the timer by hand and waits for the job it started."""
        before = {run.id for run in await self.jobs.runs("payments")}
        sandbox = self.world.sandbox
        answer = await sandbox.http.post(
            f"{sandbox.app_url}/admin/functions/sync_payments",
            json={"input": ""},
            headers={"x-functions-key": MASTER_KEY},
        )
        assert answer.status_code == 202
        async with asyncio.timeout(40):
            while True:
                new = [r for r in await self.jobs.runs("payments") if r.id not in before]
                if new and not new[0].is_running:
                    return new[0]
                await asyncio.sleep(0.1)

    async def customer(self) -> str:
        number = f"P{uuid.uuid4().hex[:8].upper()}"
        await self.world.add_customer(CustomerAccount=number, PaymentTerms="Net30")
        fields = {"D365_Customer_Number__c": number}
        await self.world.create(events=False, **fields)
        return number

    async def post(self, customer: str, amount: float, date: str = "") -> dict[str, Any]:
        """A free text invoice; the invoice flow brings it to Salesforce."""
        body = {"customer": customer, "amount": amount, "date": date, "company": "usmf"}
        posted: dict[str, Any] = await self.world.put("d365", "post-invoice", body, method="POST")
        async with asyncio.timeout(20):
            while True:
                if await self._held(posted):
                    break
                await asyncio.sleep(0.1)
        await self.world.settled()
        return posted

    async def _held(self, posted: dict[str, Any]) -> list[dict[str, Any]]:
        return await self.world._rows("salesforce", "Invoice__c", Name=posted["invoice"])

    async def pay(self, customer: str, invoice: str, amount: float) -> None:
        body = {"customer": customer, "invoice": invoice, "amount": amount, "company": "usmf"}
        await self.world.put("d365", "post-payment", body, method="POST")

    async def amounts(self, number: str) -> tuple[Any, ...]:
        (row,) = await self.world._rows("salesforce", "Account", D365_Customer_Number__c=number)
        names = ("Open_Amount", "Overdue_Amount", "Paid_Amount", "Last_Payment_Date")
        return tuple(row.get(f"D365_{name}__c") for name in names)

    async def status(self, posted: dict[str, Any]) -> tuple[Any, Any]:
        (row,) = await self._held(posted)
        return row.get("Status__c"), row.get("Open_Amount__c")


@pytest_asyncio.fixture(loop_scope="module")
async def payments(world: World) -> AsyncIterator[Payments]:
    container = ContainerClient.from_connection_string(
        world.sandbox.storage.connection_string, "integration-state"
    )
    with container:
        yield Payments(world, JobStore(BlobState(container)))


def day(ago: int = 0) -> str:
    return (datetime.now(UTC).date() - timedelta(days=ago)).isoformat()


async def test_posting_and_paying_in_dynamics_shows_in_salesforce(payments: Payments) -> None:
    customer = await payments.customer()
    fresh, late = await payments.post(customer, 100), await payments.post(customer, 40, day(60))
    assert (await payments.sync()).status == "done"
    assert await payments.amounts(customer) == (140, 40, 0, None)
    assert await payments.status(fresh) == ("Open", 100)
    assert await payments.status(late) == ("Overdue", 40)
    await payments.pay(customer, late["invoice"], 40)
    await payments.pay(customer, fresh["invoice"], 30.5)
    run = await payments.sync()
    assert run.status == "done"
    assert await payments.amounts(customer) == (69.5, 0, 70.5, day())
    assert await payments.status(fresh) == ("Partly Paid", 69.5)
    assert await payments.status(late) == ("Paid", 0)


async def test_a_run_without_changes_writes_nothing(payments: Payments) -> None:
    customer = await payments.customer()
    await payments.post(customer, 10)
    await payments.sync()
    payments.world.forget_calls()
    run = await payments.sync()
    assert run.counts.get("changed", 0) == 0
    assert payments.world.salesforce.rows_to_salesforce() == []
    assert payments.world.d365.writes_to_d365() == []


async def test_an_outage_of_salesforce_is_waited_out(payments: Payments) -> None:
    customer = await payments.customer()
    await payments.post(customer, 11)
    fault = {"path": "composite", "status": 503, "count": 4}
    await payments.world.fault("salesforce", **fault)
    run = await payments.sync()
    assert run.status == "done"
    assert (await payments.amounts(customer))[0] == 11
