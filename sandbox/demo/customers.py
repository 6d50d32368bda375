"""What F&O's people decide about customers reaches the accounts."""

from __future__ import annotations

from sandbox import verification
from sandbox.demo.invoices import EARLY_CUSTOMER
from sandbox.demo.scene import Scene

TERMS = ("Net10", "Net30", "Net45")


class CustomerScene(Scene):
    """The credit review of the year: limits and terms of all customers, two on hold. The customer that only
    F&O knows is left alone."""

    title = "customers back"
    trigger = "data events of F&O"
    flows = ("customers",)

    async def run(self) -> None:
        stage = self.stage
        await stage.d365("PUT", "business-events", {"data_events": True})
        customers = await stage.rows("d365", "CustomersV3")
        changes = [
            {
                "dataAreaId": row["dataAreaId"],
                "CustomerAccount": row["CustomerAccount"],
                "CreditLimit": stage.dice.randrange(100, 5_000_000) / 100,
                "PaymentTerms": stage.dice.choice(TERMS),
                **({"OnHoldStatus": "Invoice"} if number < 2 else {}),
            }
            for number, row in enumerate(customers)
        ]
        await stage.d365("PATCH", "state/CustomersV3", changes)
        await stage.settled()

    async def problems(self) -> list[str]:
        stage = self.stage
        found = await verification.account_differences(stage.sandbox)
        customers = await stage.customers()
        holds = [row for row in customers.values() if row["OnHoldStatus"] == "Invoice"]
        if len(holds) != 2 or EARLY_CUSTOMER not in {
            row["CustomerAccount"] for row in customers.values()
        }:
            found.append("the credit review did not happen in F&O")
        return found + self.counted(records=60, synced=59, skipped=1)
