"""The mapping tables in effect, by the object of a hint: for `explain` and for the dry run of `sync`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from integration.mapping.accounts import account_table
from integration.mapping.contacts import contact_table
from integration.mapping.customer_accounts import customer_account_table
from integration.mapping.customisation import Customisation
from integration.mapping.invoices import free_text_header, free_text_line, sales_header, sales_line
from integration.mapping.order_tables import header_table, line_table
from integration.mapping.products import product_table

if TYPE_CHECKING:
    from integration.mapping.tables import FieldRule, MappingTable
    from integration.settings import Settings


@dataclass(frozen=True, slots=True)
class Effective:
    """`back`: the table's lines are read from right to left, from F&O to Salesforce."""

    table: MappingTable
    standard: MappingTable
    back: bool = False

    @property
    def title(self) -> str:
        pair = (self.table.source_object, self.table.target_entity)
        return " → ".join(reversed(pair) if self.back else pair)

    def origin(self, rule: FieldRule) -> Literal["mapping file", ""]:
        """Where a line differs from what everybody has."""
        return "" if _facts(rule) in map(_facts, self.standard.rules) else "mapping file"

    @property
    def removed(self) -> list[str]:
        """Targets that the mapping file leaves alone."""
        kept = {rule.target for rule in self.table.rules}
        return sorted({rule.target for rule in self.standard.rules} - kept)


def _facts(rule: FieldRule) -> tuple[object, ...]:
    """What tells two lines apart; transforms hold functions, which never are equal."""
    return (
        rule.sources, rule.target, rule.transform.name, rule.owner, rule.on, rule.length,
        rule.required, rule.comparison, rule.beside, rule.transform.empty,
    )  # fmt: skip


def effective(settings: Settings, customisation: Customisation, name: str) -> list[Effective]:
    """Of the object with this name as hints have it; none for one without a table."""
    of, everybody = _tables(settings, customisation), _tables(settings, Customisation())
    return [
        Effective(table, standard, back)
        for (table, back), (standard, _) in zip(
            of.get(name, []), everybody.get(name, []), strict=True
        )
    ]


def _tables(
    settings: Settings, customisation: Customisation
) -> dict[str, list[tuple[MappingTable, bool]]]:
    d365, salesforce = settings.d365, settings.salesforce
    accounts = account_table(
        customisation, d365.salesforce_id_field, salesforce.customer_number_field
    )
    customers = (customer_account_table(accounts), True)
    contacts = contact_table(
        customisation, d365.salesforce_contact_id_field, salesforce.contact_number_field
    )
    return {
        "Account": [(accounts, False), customers],
        "Customer": [customers],
        "Contact": [(contacts, False)],
        "Opportunity": [
            (header_table(settings.orders, customisation.books), False),
            (line_table(settings.orders), False),
        ],
        "SalesInvoice": [(sales_header(), True), (sales_line(), True)],
        "FreeTextInvoice": [(free_text_header(), True), (free_text_line(), True)],
        "Product": [(product_table(customisation.prices), False)],
    }
