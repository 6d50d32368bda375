"""Streams the accounts without a number and the customers without a Salesforce id, and keeps what matching
needs of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.cli.problems import CommandFailed
from integration.d365.filters import eq
from integration.d365.literals import COMPANY
from integration.flows.account_matching import OpenAccount, OpenCustomer
from integration.flows.customers import ENTITY_SET, NUMBER
from integration.flows.sources import available_fields
from integration.mapping.accounts import account_mapping
from integration.mapping.tables import FieldProblem
from integration.salesforce.soql import condition, select

if TYPE_CHECKING:
    from integration.wiring import App


class OpenRecords:
    def __init__(self, app: App, tax_field: str | None, customer_tax_field: str) -> None:
        settings = app.settings
        self._app = app
        self._id_field = settings.d365.salesforce_id_field
        self._number_field = settings.salesforce.customer_number_field
        self._mapping = account_mapping(
            app.customisation,
            default_company=settings.d365.company,
            salesforce_id_field=self._id_field,
            customer_number_field=self._number_field,
        )
        self._customer_tax = customer_tax_field
        mapped = (
            rule.sources[0]
            for rule in self._mapping.table.rules
            if rule.target == customer_tax_field and rule.sources
        )
        self._tax = tax_field or next(mapped, None)

    async def accounts(self) -> list[OpenAccount]:
        """Those that are to become customers and whose company the rule can tell."""
        available = await available_fields(self._app.salesforce, "Account")
        if self._tax and self._tax not in available:
            raise CommandFailed(
                f"Account has no field {self._tax} that the integration user can see",
                "correct --tax-field, or the mapping file, or the user's field permissions",
            )
        columns = ("Id", "Name", "AccountNumber", "BillingPostalCode", self._tax or "Id")
        company_columns = (
            *self._mapping.companies.source_fields(available),
            *({"IsPersonAccount"} & available),
        )
        query = select(
            "Account",
            tuple(dict.fromkeys((*columns, *company_columns))),
            where=condition(self._number_field, "=", None),
            order_by=("Id",),
        )
        found = []
        async for row in self._app.salesforce.query(query):
            company = self._mapping.companies.find(row)
            if self._mapping.skip_reason(row) or isinstance(company, FieldProblem):
                continue
            tax = _text(row.get(self._tax)) if self._tax else ""
            found.append(
                OpenAccount(
                    row["Id"],
                    _text(row["Name"]),
                    company,
                    _text(row.get("AccountNumber")),
                    _text(row.get("BillingPostalCode")),
                    tax,
                )
            )
        return found

    async def customers(self) -> list[OpenCustomer]:
        tax = (self._customer_tax,) if self._tax else ()
        rows = self._app.d365.query(
            ENTITY_SET,
            filter=eq(self._id_field, ""),
            select=(COMPANY, NUMBER, "OrganizationName", "AddressZipCode", *tax),
        )
        return [
            OpenCustomer(
                _text(row[COMPANY]).lower(),
                _text(row[NUMBER]),
                _text(row.get("OrganizationName")),
                _text(row.get("AddressZipCode")),
                _text(row.get(self._customer_tax)) if self._tax else "",
            )
            async for row in rows
        ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
