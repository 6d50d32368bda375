"""Reconciliation finds what lost events have left behind, and has it repaired."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from azure.storage.blob import ContainerClient

from sandbox.demo.invoices import EARLY_CUSTOMER
from sandbox.demo.logbook import counts_of
from sandbox.demo.scene import Scene
from sandbox.salesforce.generate import generate_accounts

if TYPE_CHECKING:
    from sandbox.demo.stage import Row, Stage

_STATE = "integration-state"


class ReconcileScene(Scene):
    """Nobody is told of: two changed accounts, a changed customer, a new account whose customer F&O has
    already and whose invoice waits in the ledger."""

    title = "reconciliation"
    trigger = "timer reconcile, twice"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.report: Row = {}
        self.again: Row = {}
        self.text = ""
        self._lost: list[str] = []

    async def run(self) -> None:
        stage = self.stage
        await stage.d365("PUT", "business-events", {"data_events": True, "lose_share": 1})
        first, second, third = stage.dice.sample(stage.accounts[:50], 3)
        await stage.update("Account", first, events=False, Phone="+49 8041 99")
        await stage.update("Account", second, events=False, BillingStreet="Am Kanal 7\n2. Stock")
        customer = (await stage.customers())[third]
        key = {name: customer[name] for name in ("dataAreaId", "CustomerAccount")}
        await stage.d365("PATCH", "state/CustomersV3", {**key, "CreditLimit": 4711.5})
        [row] = generate_accounts(1, stage.seed + 2)
        early = {
            **row,
            "Name": "Early Bird Inc.",
            "CurrencyIsoCode": "USD",
            "D365_Customer_Number__c": EARLY_CUSTOMER,
        }
        [new] = await stage.insert("Account", early, events=False)
        stage.accounts.append(new)
        await stage.settled()
        # From here on F&O tells of everything again, of what the app writes too.
        await stage.d365("PUT", "business-events", {"data_events": True, "own_changes": True})
        self._lost = [first, second, new, f"usmf|{key['CustomerAccount']}"]
        self.report, self.text = await self._reconcile()
        entities = self.report["entities"].values()
        self.own.synced = sum(each["in_step"] + each["repaired"] for each in entities)
        self.own.synced += self.report["ledger"]["hinted"]
        self.own.skipped = sum(sum(each["skipped"].values()) for each in entities)
        self.own.review = sum(sum(each["unclear"].values()) for each in entities)
        self.own.dead_letters = sum(len(each["not_repaired"]) for each in entities)
        self.again, _ = await self._reconcile()

    async def _reconcile(self) -> tuple[Row, str]:
        """The report as JSON and as text, when everything that it set off is over."""
        stage, since = self.stage, self.stage.log.mark()
        ended, seconds = await stage.timer("reconcile", "reconcile")
        drift = await stage.log.wait_for("drift report", since)
        name, connection = drift.get("report"), stage.sandbox.storage.connection_string
        text = await asyncio.to_thread(_blob, connection, name)
        body = await asyncio.to_thread(_blob, connection, name.replace(".txt", ".json"))
        report = json.loads(body)
        for kind in report["jobs"]:
            await stage.log.wait_for("job ended", since, kind=kind)
        await stage.settled()
        if not self.report:
            self.own.records = counts_of(ended)["compared"] + report["ledger"]["entries"]
        self.own.slowest = max(self.own.slowest, seconds)
        return report, text

    async def problems(self) -> list[str]:
        if not self.again:
            return ["there are no two reports"]
        found: list[str] = []
        entities = self.report["entities"]
        different = {each["key"] for e in entities.values() for each in e["differences"]}
        found += [f"{key}: not found to be different" for key in self._lost if key not in different]
        for name, entity in entities.items():
            if not entity["complete"]:
                found.append(f"{name}: not compared to the end")
            for key in set(entity["not_repaired"]) - set(self.stage.refused_accounts):
                found.append(f"{name} {key}: not repaired")
        for name, entity in self.again["entities"].items():
            for each in entity["differences"]:
                if each["key"] not in self.stage.refused_accounts:
                    found.append(f"{name} {each['key']}: different in a second run")
        if self.again["ledger"]["entries"]:
            found.append("the ledger is not empty in a second run")
        if self.report["ledger"]["hinted"] != 1:
            found.append(f"the ledger is {self.report['ledger']}, should have had one record")
        if self.report["not_compared"]:
            found.append(f"not compared: {self.report['not_compared']}")
        return found

    def summary(self) -> str:
        """Of the second run, for people."""
        entities = self.again.get("entities", {}).values()
        compared, different = (
            sum(each[name] for each in entities) for name in ("compared", "differing")
        )
        known = set(self.stage.refused_accounts)
        refused = [d for each in entities for d in each["differences"] if d["key"] in known]
        return (
            f"A second run: {compared} compared, {different} different, of which {len(refused)} F&O"
            " keeps refusing."
        )


def _blob(connection: str, name: str) -> str:
    with ContainerClient.from_connection_string(connection, _STATE) as container:
        return container.download_blob(name).readall().decode()
