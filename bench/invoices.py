"""1,000 sales invoices of 5 lines posted in a burst, their events waiting in the queue when the app starts.

From the start of the app's process until nothing waits; 100 ms per call plus 20 ms per operation inside a
$batch or Collections call, as for the accounts. Every invoice and every line is compared at the end.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.accounts import slow_down
from bench.calls import Calls, app_process, forget_calls
from bench.memory import cpu_seconds
from bench.result import Row
from sandbox import verification
from sandbox.stack import COMPANY, Sandbox

CUSTOMERS = 50
LINES = 5
PRICE = 12.5
PROMISE = 120  # calls to both systems for 1,000 invoices


@dataclass(frozen=True)
class Measured:
    """`seconds` for `records` invoices; `cpu` seconds of the app's process."""

    records: int
    calls: Calls
    seconds: float
    cpu: float


async def rows() -> list[Row]:
    run = await measure()
    return [
        run.calls.row(
            f"API calls for {run.records:,} invoices of {LINES} lines, posted in a burst", PROMISE
        ),
        Row("CPU per invoice", f"{run.cpu / run.records * 1000:.1f} ms"),
    ]


async def measure(records: int = 1000) -> Measured:
    """Raises RuntimeError if an invoice or a line is wrong, missing or doubled at the end."""
    async with Sandbox() as sandbox:
        await sandbox.stop_app()
        await _master_data(sandbox)
        await _orders(sandbox, records)
        wanted = [{"sales_order": _order(number), "tax_percent": 10} for number in range(records)]
        posted = await _post(sandbox, "d365", "post-invoice", wanted)
        await sandbox.d365.events.drained()
        slow_down(sandbox)
        forget_calls(sandbox)
        started = time.monotonic()
        await sandbox.start_app()
        await sandbox.settled(300, quiet=0.2)
        seconds = time.monotonic() - started - 0.2
        cpu = cpu_seconds(app_process(sandbox).pid)
        measured = Measured(records, Calls.of(sandbox), seconds, cpu)
        if wrong := await _differences(sandbox, posted):
            raise RuntimeError(f"{len(wrong)} differences, first: {wrong[0]}")
        return measured


async def _master_data(sandbox: Sandbox) -> None:
    numbers = [f"B-{number:04}" for number in range(CUSTOMERS)]
    accounts = [{"Name": f"Bench {n}", "D365_Customer_Number__c": n} for n in numbers]
    made = await _post(sandbox, "salesforce", "state/Account?events=false", accounts)
    customers = [
        {
            "dataAreaId": COMPANY,
            "CustomerAccount": number,
            "SalesforceAccountId": key,
            "OrganizationName": f"Bench {number}",
            "CustomerGroupId": "10",
            "SalesCurrencyCode": "USD",
        }
        for number, key in zip(numbers, made["ids"], strict=True)
    ]
    await _post(sandbox, "d365", "state/CustomersV3", customers)


async def _orders(sandbox: Sandbox, records: int) -> None:
    headers = [
        {
            "dataAreaId": COMPANY,
            "SalesOrderNumber": _order(number),
            "OrderingCustomerAccountNumber": f"B-{number % CUSTOMERS:04}",
            "InvoiceCustomerAccountNumber": f"B-{number % CUSTOMERS:04}",
            "CurrencyCode": "USD",
            "PaymentTermsName": "Net30",
        }
        for number in range(records)
    ]
    lines = [
        {
            "dataAreaId": COMPANY,
            "InventoryLotId": f"{_order(number)}-{line}",
            "SalesOrderNumber": _order(number),
            "LineNumber": line,
            "LineCreationSequenceNumber": line,
            "ItemNumber": f"BENCH-{(number + line) % 40}",
            "LineDescription": f"Part {line}",
            "OrderedSalesQuantity": line,
            "SalesPrice": PRICE,
            "SalesPriceQuantity": 1,
            "LineAmount": line * PRICE,
            "CurrencyCode": "USD",
        }
        for number in range(records)
        for line in range(1, LINES + 1)
    ]
    await _post(sandbox, "d365", "state/SalesOrderHeadersV2", headers)
    await _post(sandbox, "d365", "state/SalesOrderLinesV3", lines)


def _order(number: int) -> str:
    return f"BO-{number:06}"


async def _post(sandbox: Sandbox, system: str, path: str, data: Any) -> Any:
    base = sandbox.salesforce.url if system == "salesforce" else sandbox.d365.url
    answer = await sandbox.http.post(f"{base}/sandbox/{path}", json=data, timeout=120)
    return answer.raise_for_status().json()


async def _differences(sandbox: Sandbox, posted: list[dict[str, Any]]) -> list[str]:
    invoices = await verification.rows(sandbox, "salesforce", "Invoice__c")
    lines = Counter(
        row["Invoice__c"]
        for row in await verification.rows(sandbox, "salesforce", "Invoice_Line__c")
    )
    by_key = {row["D365_Key__c"]: row for row in invoices}
    found = [] if len(invoices) == len(posted) else [f"{len(invoices)} invoices"]
    for each in posted:
        row = by_key.get(f"{COMPANY}|sales|{each['invoice']}|{each['voucher']}")
        if row is None:
            found.append(f"{each['invoice']} is missing")
            continue
        shown = (row["Amount__c"], row["Due_Date__c"], lines[row["Id"]], bool(row["Account__c"]))
        if shown != (each["amount"], each["due_date"], LINES, True):
            found.append(f"{each['invoice']}: {shown}")
    return found
