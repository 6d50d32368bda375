"""docs/mapping.md, made from the tables themselves so that it cannot be out of date.

`python -m integration.mapping.document > docs/mapping.md`; a test compares the two.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from integration.mapping.accounts import account_table
from integration.mapping.contacts import contact_table
from integration.mapping.customer_accounts import customer_account_table
from integration.mapping.customisation import (
    Accounts,
    Companies,
    Countries,
    CustomerGroups,
    CustomerMatch,
    Customisation,
    Defaults,
    FieldEntry,
)
from integration.mapping.invoices import (
    free_text_header,
    free_text_line,
    sales_header,
    sales_line,
)
from integration.mapping.order_tables import header_table, line_table
from integration.mapping.payments import payments_markdown
from integration.mapping.price_books import PriceBook, Prices
from integration.mapping.products import products_markdown
from integration.mapping.registry import KINDS
from integration.settings import OrderSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from integration.mapping.tables import FieldRule, MappingTable

_OWNERS = {"salesforce": "Salesforce", "d365": "F&O"}
_HEAD = """\
# Field mapping

Generated from `integration/mapping` by `python -m integration.mapping.document`; do not edit by hand.

Every field has one owner. A field of Salesforce is written to F&O where the two differ; "creation" means
only when the record is created there. A field of F&O is never written to F&O. An empty Salesforce field
becomes F&O's own empty value, since F&O holds no null. A field that was not read is left alone. A value
that cannot be carried over rejects the record, with one reason that names every such field.
"""
_FILE = """\
## The mapping file

`MAPPING_FILE` names a TOML file with a tenant's own rules. It is read at start; every mistake is reported
at once. `docs/examples/mapping.toml` is a complete example.
"""
_SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("companies", "Which legal entity an account belongs to: field, then country, then default.", Companies),
    ("countries", "What F&O calls the countries.", Countries),
    ("accounts", "Accounts as customers.", Accounts),
    ("accounts.defaults", "Values of new customers that Salesforce does not give.", Defaults),
    ("accounts.customer_groups", "The customer group by an Account field.", CustomerGroups),
    ("accounts.fields.<CustomersV3 field>",
     "Another field, or a built-in one changed: only the keys given change. `[contacts.fields.<ContactPersons"
     " field>]` does the same for contacts.", FieldEntry),
    ("customers", "Which account a customer without Salesforce id is linked to.", CustomerMatch),
    ("prices", "Products and prices for Salesforce; these keys rule the standard price book.", Prices),
    ("prices.books.<Salesforce price book>", "One more price book.", PriceBook),
)  # fmt: skip


def mapping_markdown(table: MappingTable) -> str:
    """The table for people: one line per field."""
    lines = (
        (
            " or ".join(f"`{name}`" for name in rule.sources) or "-",
            f"`{rule.target}`",
            f"`{rule.transform.name}`",
            _OWNERS[rule.owner],
            _written(rule),
            str(rule.length or ""),
            _notes(rule),
        )
        for rule in table.rules
    )
    head = (table.source_object, table.target_entity, "Rule", "Owner", "Written", "Length", "Note")
    return f"## {table.source_object} → {table.target_entity}\n\n{_table(head, lines)}"


def back_markdown(table: MappingTable) -> str:
    """A table whose fields F&O owns: what Salesforce gets of each column."""
    lines = (
        (f"`{rule.target}`", f"`{rule.sources[0]}`", f"`{rule.transform.name}`", _notes(rule))
        for rule in table.rules
    )
    head = (table.target_entity, table.source_object, "Rule", "Note")
    return f"## {table.target_entity} → {table.source_object}\n\n{_table(head, lines)}"


def _written(rule: FieldRule) -> str:
    if not rule.is_written:
        return "never; goes back" if rule.sources else "never"
    return "on creation" if rule.on == "create" else "on difference"


def _notes(rule: FieldRule) -> str:
    parts = (
        "mandatory" if rule.required and rule.is_written else "",
        f"only {rule.condition.name}" if rule.condition else "",
        f"looks at {' or '.join(rule.beside)}" if rule.beside else "",
        rule.note,
    )
    return "; ".join(part for part in parts if part)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = tuple(head)
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def _transforms() -> str:
    rows = ((f"`{kind.signature}`", kind.summary) for kind in KINDS.values())
    return "## Transforms\n\n" + _table(("Transform", "What it does"), rows)


def _section(name: str, purpose: str, model: type[BaseModel]) -> str:
    rows = [
        (f"`{key}`", _default(field.default), field.description)
        for key, field in model.model_fields.items()
        if field.description
    ]
    return f"### `[{name}]`\n\n{purpose}\n\n" + _table(("Key", "Default", "Meaning"), rows)


def _default(value: object) -> str:
    if isinstance(value, dict) and value:
        return ", ".join(f'`{name} = "{each}"`' for name, each in value.items())
    return f"`{value}`" if isinstance(value, str) else ""


def _orders(customisation: Customisation) -> str:
    """With every setting on, so that each line is shown that there can be."""
    everything = OrderSettings.model_construct(
        po_number_field="PO_Number__c",
        delivery_address="account-shipping",
        prices_include_tax="yes",
        unit_field="QuantityUnitOfMeasure",
        site="1",
        warehouse="13",
    )
    return "\n".join(
        (
            mapping_markdown(header_table(everything, customisation.books)),
            mapping_markdown(line_table(everything)),
            "A line whose note names a setting is sent only where that setting asks for it. An order that"
            " exists is never changed.\n",
        )
    )


def render() -> str:
    """The whole page."""
    customisation = Customisation()
    accounts = account_table(customisation, "SalesforceAccountId", "D365_Customer_Number__c")
    contacts = contact_table(customisation, "SalesforceContactId", "D365_Contact_Number__c")
    states = "### `[states.<country>]`\n\nState's name → F&O state id, where the built-in lists do not fit.\n"
    return "\n".join(
        (
            _HEAD,
            mapping_markdown(accounts),
            back_markdown(customer_account_table(accounts)),
            mapping_markdown(contacts),
            *map(
                back_markdown, (sales_header(), sales_line(), free_text_header(), free_text_line())
            ),
            payments_markdown(),
            products_markdown(),
            _orders(customisation),
            "Field names of the custom fields are settings: `D365_SALESFORCE_ID_FIELD`,"
            " `SALESFORCE_CUSTOMER_NUMBER_FIELD`, `D365_SALESFORCE_CONTACT_ID_FIELD`,"
            " `SALESFORCE_CONTACT_NUMBER_FIELD`.\n",
            _transforms(),
            _FILE,
            *(_section(*section) for section in _SECTIONS),
            states,
        )
    )


if __name__ == "__main__":
    sys.stdout.write(render())
