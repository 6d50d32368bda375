"""1,000 changed accounts, half of them new, whose hints wait in the queue; beside one-by-one code.

Both ways meet the same stand-ins with the same latency: 100 ms per call plus 20 ms per operation inside a
$batch or Collections call. The naive way is measured on 100 accounts and scaled.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import psutil
from azure.servicebus.aio import ServiceBusClient

from bench.calls import Calls, app_process, forget_calls
from bench.memory import cpu_seconds
from bench.result import Row
from integration.messaging.hints import Hint
from integration.messaging.service_bus import Queues
from sandbox import verification
from sandbox.salesforce.generate import generate_accounts
from sandbox.stack import COMPANY, Sandbox

PROMISE = 80  # calls to both systems for 1,000 accounts
PER_CALL_MS = 100
PER_OPERATION_MS = 20
NAIVE_SAMPLE = 100


@dataclass(frozen=True)
class Measured:
    """`seconds` for `records`; `cpu` seconds of the process that did it."""

    records: int
    calls: Calls
    seconds: float
    cpu: float
    memory_mb: float

    def scaled(self, records: int) -> Measured:
        factor = records / self.records
        return Measured(
            records,
            self.calls.times(factor),
            self.seconds * factor,
            self.cpu * factor,
            self.memory_mb,
        )


async def rows(records: int = 1000) -> list[Row]:
    app, naive = await measure(records)
    speed = naive.seconds / app.seconds
    return [
        app.calls.row(
            f"API calls for {records} changed accounts, half new",
            PROMISE,
            naive=f"{naive.calls.total}",
        ),
        Row(
            "their wall time, from the start of the app's process",
            f"{app.seconds:.1f} s",
            f"{naive.seconds:.0f} s ({speed:.0f} times)",
            "≥ 20 times faster",
            speed >= 20,
        ),
        Row("CPU per account", f"{app.cpu / app.records * 1000:.1f} ms"),
        Row("memory of the app's process at the end", f"{app.memory_mb:.0f} MB"),
    ]


async def measure(records: int = 1000) -> tuple[Measured, Measured]:
    """(the app, the naive way scaled to `records`). Raises RuntimeError if a field is wrong at the end."""
    async with Sandbox() as sandbox:
        half = records // 2
        rows = generate_accounts(records + NAIVE_SAMPLE, seed=11)
        known = await _insert(sandbox, rows[:half])
        sample = await _insert(sandbox, rows[records : records + NAIVE_SAMPLE // 2])
        await _enqueue(sandbox, known + sample)
        await sandbox.settled(120)
        await sandbox.stop_app()
        keys = known + await _insert(sandbox, rows[half:records])
        sample += await _insert(sandbox, rows[records + NAIVE_SAMPLE // 2 :])
        for key in known + sample[: NAIVE_SAMPLE // 2]:
            await _change(sandbox, key)
        await _enqueue(sandbox, keys)
        slow_down(sandbox)
        app = await _app(sandbox, len(keys))
        naive = await _naive(sandbox, sample)
        if wrong := await verification.differences(sandbox):
            raise RuntimeError(f"{len(wrong)} differences, first: {wrong[0]}")
        return app, naive.scaled(records)


async def _app(sandbox: Sandbox, records: int) -> Measured:
    """From the start of the host until nothing waits: cold start and connections included."""
    forget_calls(sandbox)
    started = time.monotonic()
    await sandbox.start_app()
    await sandbox.settled(300, quiet=0.2)
    seconds = time.monotonic() - started - 0.2
    process = app_process(sandbox)
    return Measured(
        records,
        Calls.of(sandbox),
        seconds,
        cpu_seconds(process.pid),
        process.memory_info().rss / 2**20,
    )


async def _naive(sandbox: Sandbox, keys: list[str]) -> Measured:
    """One read, one lookup, one write and, for a new customer, one write-back per account."""
    forget_calls(sandbox)
    http = sandbox.http
    salesforce = {"Authorization": f"Bearer {await salesforce_token(sandbox)}"}
    d365 = {"Authorization": f"Bearer {await _d365_token(sandbox)}"}
    base = f"{sandbox.salesforce.url}/services/data/v62.0/sobjects/Account"
    customers = f"{sandbox.d365.url}/data/CustomersV3"
    started, cpu = time.monotonic(), time.process_time()
    for key in keys:
        account = (await http.get(f"{base}/{key}", headers=salesforce)).json()
        condition = quote(f"SalesforceAccountId eq '{key}'")
        found = await http.get(f"{customers}?cross-company=true&$filter={condition}", headers=d365)
        existing = found.json()["value"]
        values = verification.expected_customer(account, COMPANY)
        if existing:
            number = existing[0]["CustomerAccount"]
            url = (
                f"{customers}(dataAreaId='{COMPANY}',CustomerAccount='{number}')?cross-company=true"
            )
            changes = {k: v for k, v in values.items() if existing[0][k] != v}
            (await http.patch(url, json=changes, headers=d365)).raise_for_status()
            continue
        filled = {name: value for name, value in values.items() if value}
        created = await http.post(f"{customers}?cross-company=true", json=filled, headers=d365)
        created.raise_for_status()
        back = {"D365_Customer_Number__c": created.json()["CustomerAccount"]}
        (await http.patch(f"{base}/{key}", json=back, headers=salesforce)).raise_for_status()
    return Measured(
        len(keys),
        Calls.of(sandbox),
        time.monotonic() - started,
        time.process_time() - cpu,  # the stand-ins' share included: they run in this process
        psutil.Process().memory_info().rss / 2**20,
    )


async def salesforce_token(sandbox: Sandbox) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.salesforce.client_id,
        "client_secret": sandbox.salesforce.client_secret,
    }
    answer = await sandbox.http.post(f"{sandbox.salesforce.url}/services/oauth2/token", data=form)
    return str(answer.raise_for_status().json()["access_token"])


async def _d365_token(sandbox: Sandbox) -> str:
    return sandbox.entra.issue_token(sandbox.entra.client_id, sandbox.d365.url)


async def _insert(sandbox: Sandbox, rows: list[dict[str, Any]]) -> list[str]:
    url = f"{sandbox.salesforce.url}/sandbox/state/Account"
    answer = await sandbox.http.post(url, json=rows, params={"events": "false"})
    return list(answer.raise_for_status().json()["ids"])


async def _change(sandbox: Sandbox, key: str) -> None:
    url = f"{sandbox.salesforce.url}/sandbox/state/Account/{key}"
    fields = {"Phone": f"+44 20 {key[-6:]}", "BillingCity": "Sankt Pölten"}
    answer = await sandbox.http.patch(url, json=fields, params={"events": "false"})
    answer.raise_for_status()


async def _enqueue(sandbox: Sandbox, keys: list[str]) -> None:
    client = ServiceBusClient.from_connection_string(sandbox.broker.connection_string)
    queues = Queues(client, buckets=16)
    now = datetime.now(UTC)
    await queues.send_hints(
        Hint(
            source="salesforce",
            object="Account",
            key=key,
            root=key,
            event_id=str(uuid.uuid4()),
            seen_at=now,
        )
        for key in keys
    )
    await queues.close()


def slow_down(sandbox: Sandbox) -> None:
    for system in (sandbox.salesforce, sandbox.d365):
        system.control.per_call_ms = PER_CALL_MS
        system.control.per_operation_ms = PER_OPERATION_MS
