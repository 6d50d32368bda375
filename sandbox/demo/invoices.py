"""Invoices that F&O posts appear in Salesforce."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.demo.scene import Scene
from sandbox.verification.receivables import invoice_differences

if TYPE_CHECKING:
    from sandbox.demo.stage import Row

EARLY_CUSTOMER = "D-0001"  # known to F&O only, until the reconciliation


class InvoiceScene(Scene):
    """Events come twice and out of order; one invoice comes before its account and ends in the ledger."""

    title = "invoices"
    trigger = "business events of F&O"
    flows = ("invoices",)

    async def run(self) -> None:
        stage = self.stage
        rules = {"duplicate_share": 0.5, "shuffle": True, "delay_ms": 200, "seed": stage.seed}
        await stage.d365("PUT", "business-events", rules)
        headers = await stage.rows("d365", "SalesOrderHeadersV2")
        numbers = {row["SalesforceOpportunityId"]: row["SalesOrderNumber"] for row in headers}
        first, second, third = (numbers[deal] for deal in stage.orders)
        customers = await stage.customers()
        payer = customers[stage.accounts[0]]["CustomerAccount"]
        late = (datetime.now(UTC).date() - timedelta(days=90)).isoformat()
        freight = [
            {"text": "Freight", "quantity": 3, "price": 20.5},
            {"text": "Set-up", "amount": 30},
        ]
        await self._early_customer()
        await self._post(
            {"sales_order": first, "tax_percent": 10},
            {"sales_order": second, "date": late},
            {"sales_order": third, "tax_percent": 19},
            {"customer": payer, "lines": freight, "tax_percent": 20, "currency": "EUR"},
            {"customer": EARLY_CUSTOMER, "amount": 99.9},
        )
        await self._post({"sales_order": first, "credit_note": True, "lines": [{"line": 1}]})
        await stage.settled()
        await stage.d365("PUT", "business-events", {})

    async def _post(self, *given: Row) -> None:
        self.stage.posted += await self.stage.d365("POST", "post-invoice", list(given))

    async def _early_customer(self) -> None:
        row: dict[str, Any] = {
            "dataAreaId": "usmf",
            "CustomerAccount": EARLY_CUSTOMER,
            "OrganizationName": "Early Bird Inc.",
            "PartyType": "Organization",
            "CustomerGroupId": "10",
            "SalesCurrencyCode": "USD",
        }
        await self.stage.d365("POST", "state/CustomersV3", row)

    async def problems(self) -> list[str]:
        """The one in the ledger has come with the reconciliation."""
        found = await invoice_differences(self.stage.sandbox, self.stage.posted)
        return found + self.counted(records=6, synced=5, ledger=1)
