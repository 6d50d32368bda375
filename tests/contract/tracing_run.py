"""`python -m tests.contract.tracing_run`: records through the real triggers, and all telemetry of it as JSON.

A process of its own, because providers of telemetry are set once in a process and the app must be loaded
after them, as in Azure. Personal values of the test records stand in `private`, secrets in `secret`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from integration.messaging.hints import Hint, bucket_of
from sandbox.stack import WEBHOOK_SECRET, Sandbox
from tests.contract.telemetry_host import Host, Recording
from tests.end_to_end.order_world import OrderWorld
from tests.end_to_end.world import DOWN

if TYPE_CHECKING:
    from integration.wiring import App

QUICKER = {"RETRY_BASE_DELAY": "0.2", "RETRY_MAX_DELAY": "0.5", "RETRY_CALL_DELAY": "0.05"}
PRIVATE = {
    "Name": "Kwasniewska Feinkost",
    "BillingStreet": "Hinterm Bahndamm 77",
    "BillingCity": "Quakenbrück",
    "BillingPostalCode": "QK49 6ZX",  # no number: one could be part of an id of a span
    "Phone": "+49 5431 998877",
    "Website": "https://kwasniewska.example",
}
PERSON = {
    "FirstName": "Przemysława",
    "LastName": "Kwasniewska-Obermüller",
    "Email": "przemyslawa@kwasniewska.example",
    "Phone": "+49 5431 665544",
    "MailingStreet": "Nebenweg 13b",
    "MailingCity": "Bersenbrück",
}


class Run:
    def __init__(self, sandbox: Sandbox, host: Host) -> None:
        self.world = OrderWorld(sandbox)
        self.host = host
        self.facts: dict[str, Any] = {}

    async def all(self, app: App) -> None:
        buckets = app.settings.app.buckets
        await self.world.stock_price_book()
        await self.one_account_with_a_repeat()
        await self.several_in_one_batch(buckets)
        await self.the_same_record_twice()
        await self.a_hint_in_the_wrong_bucket(buckets)
        await self.a_contact()
        await self.an_order_that_fails(app)
        await self.an_account_that_is_refused()
        self.an_error_nobody_expected()
        await self.a_job(app)

    async def one_account_with_a_repeat(self) -> None:
        key = await self.world.create(events=False, **PRIVATE)
        await self.world.fault("d365", **DOWN)
        trace = await self.host.post(self.world.event(key))
        await self.host.run(until=lambda: any(h["put_backs"] for h in self.world.waiting(key)))
        await self.world.no_faults()
        await self.host.run()
        assert await self.world.customer(key)
        self.facts["account"] = {"key": key, "trace": trace}

    async def several_in_one_batch(self, buckets: int) -> None:
        """Of one bucket, so that one session delivers them together."""
        keys = await self.world.create_many(40, events=False, **PRIVATE)
        by_bucket: defaultdict[str, list[str]] = defaultdict(list)
        for key in keys:
            by_bucket[bucket_of(key, buckets)].append(key)
        together = max(by_bucket.values(), key=len)
        self.facts["several"] = [await self.host.post(self.world.event(key)) for key in together]
        await self.host.run()

    async def the_same_record_twice(self) -> None:
        key = await self.world.create(events=False, **PRIVATE)
        self.facts["twice"] = [await self.host.post(self.world.event(key)) for _ in range(2)]
        await self.host.run()

    async def a_hint_in_the_wrong_bucket(self, buckets: int) -> None:
        """A contact's event names no account, so it is addressed by its own id first."""
        account = await self.world.create(events=False, **PRIVATE)
        key = account
        while bucket_of(key, buckets) == bucket_of(account, buckets):
            [key] = await self.world.insert("Contact", {**PERSON, "AccountId": account})
        event = {**self.world.event(key), "entity": "Contact"}
        self.facts["moved"] = {"key": key, "trace": await self.host.post(event)}
        await self.host.run()

    async def a_contact(self) -> None:
        account = await self.world.create(events=False, **PRIVATE)
        person = {**PERSON, "AccountId": account}
        [key] = await self.world.insert("Contact", person)
        event = {**self.world.event(key), "entity": "Contact", "parentId": account}
        await self.host.post(event)
        await self.host.run()

    async def an_order_that_fails(self, app: App) -> None:
        account = await self.world.create(events=False, **PRIVATE)
        deal = await self.world.win(account, ("D0001", 1, 10), ("NOT-RELEASED", 1, 10))
        trace = await self.host.post(self.world.tell_of(deal, account))
        await self.host.run()
        hint = self._kept(deal)
        await app.queues.send_hints([replace(hint, replay=1)])  # as a person replays it
        await self.host.run()
        self.facts["order"] = {"key": deal, "trace": trace}

    async def an_account_that_is_refused(self) -> None:
        """F&O's own words quote the record."""
        key = await self.world.create(events=False, **{**PRIVATE, "BillingState": "Nowhereland"})
        await self.host.post(self.world.event(key))
        await self.host.run()
        assert self.world.letters(key)

    def an_error_nobody_expected(self) -> None:
        """Its text is not ours, and libraries like to quote what they choke on."""
        from integration import telemetry

        with contextlib.suppress(ValueError), telemetry.span("surprise"):
            raise ValueError(f"cannot read {PRIVATE}")

    async def a_job(self, app: App) -> None:
        from integration.triggers.timers import sync_payments

        await self.host.call(lambda _: sync_payments(None))
        await self.host.run()
        assert await app.jobs.store.runs("payments")

    def _kept(self, key: str) -> Hint:
        return Hint.from_bytes(json.dumps(self.world.letter(key)["hint"]).encode())


async def main() -> dict[str, Any]:
    recording = Recording()
    sandbox = Sandbox(settings=QUICKER)
    try:
        await sandbox.start(app=False)
        os.environ.update(sandbox.env)
        from integration.wiring import get_app

        app = await get_app()
        try:
            async with Host(sandbox) as host:
                run = Run(sandbox, host)
                await run.all(app)
        finally:
            await app.close()
        hosts = {"salesforce": sandbox.salesforce.url, "d365": sandbox.d365.url}
        secret = [
            WEBHOOK_SECRET,
            sandbox.entra.client_secret,
            sandbox.salesforce.private_key_pem.splitlines()[3],
        ]
    finally:
        await sandbox.stop()
    return {
        **run.facts,
        "hosts": hosts,
        "spans": recording.spans(),
        "metrics": recording.metrics(),
        "logs": recording.logs,
        "private": sorted({*PRIVATE.values(), *PERSON.values()}),
        "secret": secret,
    }


if __name__ == "__main__":
    json.dump(asyncio.run(main()), sys.stdout, default=str)
