"""What customers owe and have paid is shown on accounts and invoices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.demo.invoices import EARLY_CUSTOMER
from sandbox.demo.logbook import counts_of
from sandbox.demo.scene import Scene
from sandbox.verification.reading import exact
from sandbox.verification.receivables import payment_differences

if TYPE_CHECKING:
    from sandbox.demo.stage import Stage


class PaymentScene(Scene):
    """One invoice is paid whole, one in part, one is overdue; Salesforce is away for some calls."""

    title = "payment status"
    trigger = "timer sync_payments"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._customers: set[str] = set()
        self._outage = 0

    async def run(self) -> None:
        stage = self.stage
        paid, partly = stage.posted[2:4]
        payments = [
            {**_of(paid), "amount": paid["amount"]},
            {**_of(partly), "amount": float(round(exact(partly["amount"]) / 3, 2))},
        ]
        await stage.d365("POST", "post-payment", payments)
        await stage.faults(
            "salesforce", {"match": {"path": "composite"}, "status": 503, "body": {}, "count": 2}
        )
        ended, seconds = await stage.timer("sync_payments", "payments")
        [fault] = await stage.salesforce("GET", "faults", None)
        self._outage = fault["fired"]
        await stage.faults("salesforce")
        counts = counts_of(ended)
        own = self.own
        own.synced = sum(counts.get(name, 0) for name in ("changed", "already-equal", "unchanged"))
        own.skipped = sum(n for name, n in counts.items() if name.startswith("skipped:"))
        own.dead_letters = counts.get("failed", 0)
        own.records = own.synced + own.skipped + own.dead_letters
        own.slowest = seconds
        self._customers = {one["customer"] for one in stage.posted} - {EARLY_CUSTOMER}

    async def problems(self) -> list[str]:
        """The status of each invoice is checked with the invoices."""
        found = await payment_differences(self.stage.sandbox, self._customers)
        statuses = {row["Status__c"] for row in await self.stage.rows("salesforce", "Invoice__c")}
        if statuses != {"Open", "Paid", "Partly Paid", "Overdue"}:
            found.append(f"the invoices are {sorted(statuses)}, not of every status")
        if self._outage != 2:
            found.append(f"Salesforce was away for {self._outage} calls, should be 2")
        # The early customer and its invoice are not in Salesforce yet.
        return found + self.counted(skipped=2, dead_letters=0)


def _of(posted: dict[str, object]) -> dict[str, object]:
    return {name: posted[name] for name in ("company", "customer", "invoice")}
