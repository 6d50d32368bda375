"""Events per second through the webhook: signed, checked, durable in Service Bus before the answer."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from bench.calls import app_process
from bench.memory import cpu_seconds
from bench.result import Row
from sandbox.salesforce.ids import to_18
from sandbox.stack import Sandbox

CALLS = 1000
AT_ONCE = 20


async def rows() -> list[Row]:
    """The flow is parked for a quarter of an hour, so that little but the webhook is measured."""
    async with Sandbox(settings={"FLOW_ACCOUNTS": "off", "RETRY_MAX_DELAY": "900"}) as sandbox:
        app = app_process(sandbox).pid
        await _post(sandbox, 20)
        before = cpu_seconds(app)
        started = time.monotonic()
        await _post(sandbox, CALLS)
        seconds = time.monotonic() - started
        cpu = cpu_seconds(app) - before
    return [
        Row(
            f"events per second through the webhook, {AT_ONCE} at once",
            f"{CALLS / seconds:.0f} ({cpu / CALLS * 1000:.1f} ms CPU per event)",
        )
    ]


async def _post(sandbox: Sandbox, count: int) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        event = {
            "eventId": str(uuid4()),
            "orgId": sandbox.salesforce.org_id,
            "entity": "Account",
            "changeType": "UPDATE",
            "recordIds": [to_18(f"001{number + 1:012d}")],
        }
        async with gate:
            answer = await sandbox.post_event(event)
        if answer.status_code != 202:
            raise RuntimeError(f"the webhook answered {answer.status_code}: {answer.text}")

    await asyncio.gather(*(one(number) for number in range(count)))
