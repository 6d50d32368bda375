"""5,000 customers with 20,000 open transactions, 5 % of them changed since the last run of the payments job.

Of the 1,000 changes, 600 are invoices paid, 250 paid in part, 150 past due; 250 accounts owe another amount.
What counts are the calls of the second run; the first one fills Salesforce.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.storage.blob import ContainerClient

from bench.calls import Calls, app_process, forget_calls
from bench.result import Row
from integration.jobs.store import JobStore
from integration.state.blobs import BlobState
from sandbox.stack import COMPANY, MASTER_KEY, Sandbox

if TYPE_CHECKING:
    from integration.jobs.state import JobState

CUSTOMERS = 5_000
TRANSACTIONS = 20_000
PROMISE = 60
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Measured:
    """`calls` of the run after the change; `changed` rows it wrote, out of `expected`."""

    calls: Calls
    changed: int
    expected: int
    seconds: float
    first_calls: int
    memory_mb: float


async def rows() -> list[Row]:
    run = await measure()
    return [
        run.calls.row(
            f"API calls for the payment status of {CUSTOMERS:,} customers with {TRANSACTIONS:,} open"
            " transactions, 5 % changed",
            PROMISE,
        ),
        Row("memory of the app's process after it", f"{run.memory_mb:.0f} MB"),
    ]


async def measure(customers: int = CUSTOMERS, transactions: int = TRANSACTIONS) -> Measured:
    """Raises RuntimeError where a job fails or does not write what changed."""
    async with Sandbox(settings={"FLOW_PAYMENTS": "on"}) as sandbox:
        invoices = _invoices(customers, transactions)
        await _fill(sandbox, customers, invoices)
        forget_calls(sandbox)
        await _run(sandbox)
        first = Calls.of(sandbox).total
        changes, expected = _changes(invoices)
        await _post(f"{sandbox.d365.url}/sandbox/state/CustTransBiEntities", changes, sandbox)
        forget_calls(sandbox)
        started = time.monotonic()
        run = await _run(sandbox)
        seconds = time.monotonic() - started
        changed = run.counts.get("changed", 0)
        if changed != expected:
            raise RuntimeError(f"{changed} rows were written, {expected} changed: {run.counts}")
        memory = app_process(sandbox).memory_info().rss / 2**20
        return Measured(Calls.of(sandbox), changed, expected, seconds, first, memory)


def _invoices(customers: int, count: int) -> Rows:
    due = _day(-30)
    return [
        {
            "dataAreaId": COMPANY,
            "SourceKey": 5_637_200_000 + n,
            "AccountNum": f"B{n % customers:06}",
            "Invoice": f"CIV-{n:06}",
            "Voucher": f"ARP-{n:06}",
            "TransType": "Sales",
            "TransDate": _day(10),
            "DueDate": due,
            "CurrencyCode": "USD",
            "AmountCur": 100,
            "AmountMST": 100,
        }
        for n in range(count)
    ]


def _changes(invoices: Rows) -> tuple[Rows, int]:
    """Every 20th invoice, and how many rows of Salesforce differ then."""
    today, rows, accounts = _day(0), [], set()
    for n in range(0, len(invoices), 20):
        row = invoices[n]
        kind = (n // 20) % 20
        if kind < 12:
            settled = {"SettleAmountCur": 100, "SettleAmountMST": 100, "Closed": today}
        elif kind < 17:
            settled = {"SettleAmountCur": 40, "SettleAmountMST": 40}
        else:
            settled = {}
        if settled:
            rows.append({**row, **settled, "LastSettleDate": today})
        else:
            rows.append({**row, "DueDate": _day(1)})
        accounts.add(row["AccountNum"])
    return rows, len(rows) + len(accounts)


async def _fill(sandbox: Sandbox, customers: int, invoices: Rows) -> None:
    salesforce = f"{sandbox.salesforce.url}/sandbox/state"
    names = [f"B{n:06}" for n in range(customers)]
    accounts = [{"Name": name, "D365_Customer_Number__c": name} for name in names]
    await _post(f"{salesforce}/Account?events=false", accounts, sandbox)
    held = [
        {
            "Name": row["Invoice"],
            "D365_Key__c": f"{COMPANY}|sales|{row['Invoice']}|{row['Voucher']}",
        }
        for row in invoices
    ]
    await _post(f"{salesforce}/Invoice__c?events=false", held, sandbox)
    await _post(f"{sandbox.d365.url}/sandbox/state/CustTransBiEntities", invoices, sandbox)


async def _post(url: str, rows: Rows, sandbox: Sandbox) -> None:
    for start in range(0, len(rows), 2_000):
        answer = await sandbox.http.post(url, json=rows[start : start + 2_000], timeout=120)
        answer.raise_for_status()


async def _run(sandbox: Sandbox) -> JobState:
    """Starts the timer by hand and waits for the end of the job."""
    container = ContainerClient.from_connection_string(
        sandbox.storage.connection_string, "integration-state"
    )
    with container:
        jobs = JobStore(BlobState(container))
        before = {run.id for run in await jobs.runs("payments")}
        answer = await sandbox.http.post(
            f"{sandbox.app_url}/admin/functions/sync_payments",
            json={"input": ""},
            headers={"x-functions-key": MASTER_KEY},
        )
        answer.raise_for_status()
        async with asyncio.timeout(600):
            while True:
                new = [run for run in await jobs.runs("payments") if run.id not in before]
                if new and not new[0].is_running:
                    break
                await asyncio.sleep(0.2)
    if new[0].status != "done":
        raise RuntimeError(f"the job failed: {new[0].error}")
    return new[0]


def _day(ago: int) -> str:
    day = datetime.now(UTC).date() - timedelta(days=ago)
    return f"{day.isoformat()}T12:00:00Z"


if __name__ == "__main__":
    print(asyncio.run(measure()))
