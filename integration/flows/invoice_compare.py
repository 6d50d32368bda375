"""What an invoice in Salesforce lacks or holds otherwise: the rows to upsert, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.flows.invoice_links import ITEM, OPPORTUNITY, ORDER, PRODUCT, Links
from integration.flows.invoice_rows import (
    KEY,
    TO_ACCOUNT,
    TO_INVOICE,
    TO_OPPORTUNITY,
    TO_PRODUCT,
    InvoiceWrite,
)
from integration.mapping.invoices import INVOICE, LINE
from integration.mapping.tables import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.flows.flow import Record
    from integration.flows.invoice_rows import HeldInvoice, WantedInvoice, WantedLine


def compare_invoice(
    wanted: WantedInvoice, held: HeldInvoice | None, links: Links, account_field: str
) -> InvoiceWrite | None:
    """None where Salesforce holds all of it. References are set where their record exists."""
    references = {TO_ACCOUNT: (account_field, wanted.account)}
    if links.has(OPPORTUNITY, wanted.order):
        references[TO_OPPORTUNITY] = (ORDER, wanted.order)
    current = held.record if held else None
    changes = _changes(wanted.table.differences(wanted.mapped, current or {}), current)
    row = {change.field: change.new for change in changes} | _references(references, current)
    if held is None:
        row = {**row, **wanted.start}
    lines: list[tuple[str, Record]] = []
    names = {f"{INVOICE}.{name}": None for name in row}
    for line in wanted.lines:
        if different := _line(line, held, links):
            names |= dict.fromkeys(f"{LINE}.{name}" for name in different)
            if held is None or line.key.casefold() not in held.lines:
                different[TO_INVOICE] = {KEY: wanted.key}  # can be set on creation only
            lines.append((wanted.key, {KEY: line.key, **different}))
    if not row and not lines:
        return None
    return InvoiceWrite(
        "update" if held else "create",
        values=names,
        differences=(
            *(Change(f"{INVOICE}.{each.field}", each.current, each.new) for each in changes),
            *(Change(f"{LINE}.{KEY}", None, line[KEY]) for _, line in lines),
        ),
        invoices=({KEY: wanted.key, **row},) if row else (),
        lines=tuple(lines),
    )


def _line(wanted: WantedLine, held: HeldInvoice | None, links: Links) -> Record:
    current = held.lines.get(wanted.key.casefold()) if held else None
    changes = _changes(wanted.table.differences(wanted.mapped, current or {}), current)
    row = {change.field: change.new for change in changes}
    if links.has(PRODUCT, wanted.item):
        row |= _references({TO_PRODUCT: (ITEM, wanted.item)}, current)
    return row


def _changes(found: list[Change], current: Record | None) -> list[Change]:
    """A new record is sent without its empty fields."""
    return found if current is not None else [each for each in found if each.new is not None]


def _references(wanted: Mapping[str, tuple[str, str]], current: Record | None) -> Record:
    """`{"Account__r": {"D365_Customer_Number__c": "US-000123"}}` where the record points elsewhere."""
    found: Record = {}
    for relation, (name, value) in wanted.items():
        parent: Any = (current or {}).get(relation)
        if not parent or str(parent.get(name) or "").casefold() != value.casefold():
            found[relation] = {name: value}
    return found
