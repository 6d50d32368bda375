"""The load of contacts: every one is judged by `ContactFlow` itself, two thousand at a time.

Whether a contact is new depends on its account's customer and on persons that look like it, so no index
of one table could tell. What is saved are the writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.d365.literals import COMPANY
from integration.flows.contact_duplicates import EMAIL, FIRST, LAST, PARTY
from integration.flows.contact_persons import ENTITY_SET, NUMBER, PersonMatch
from integration.flows.contacts import OBJECT, WantedPerson, WithoutCustomer
from integration.flows.loads.definition import LoadDefinition, LoadRow, WholeTable
from integration.flows.loads.rows import RowWriter
from integration.flows.numbers import qualified
from integration.flows.reading import key_of
from integration.jobs.kinds import LOAD_CONTACTS
from integration.mapping.contacts import contact_mapping

if TYPE_CHECKING:
    from integration.flows.context import FlowContext
    from integration.flows.flow import Flow, Record, Write

ENTITY = "Contact persons V2"


class ContactLoad(LoadDefinition):
    kind = LOAD_CONTACTS
    object = OBJECT
    entity = ENTITY
    entity_set = ENTITY_SET
    number = NUMBER
    number_is_drawn = True
    table: WholeTable | None = None

    def __init__(self, context: FlowContext, flow: Flow[Any, Any]) -> None:
        """`flow` is the contact flow, or what wraps it."""
        settings = context.settings
        self.flow: Flow[Any, Any] = flow
        self.id_field = settings.d365.salesforce_contact_id_field
        self.number_field = settings.salesforce.contact_number_field
        mapping = contact_mapping(
            context.customisation,
            contact_id_field=self.id_field,
            contact_number_field=self.number_field,
        )
        owned = [r for r in mapping.table.rules if not r.is_written and r.sources]
        self.back_is_number = len(owned) <= 1
        companies = context.customisation.company_rule(settings.d365.company)
        self._one_company = companies.is_single_company
        self._rows = RowWriter(mapping.table)

    def company_of(self, wanted: WantedPerson, current: PersonMatch | None) -> str | None:
        match = getattr(current, "current", current)  # perhaps with what a deletion left
        customer = match.customer if match else None
        return customer.company if customer else None

    def row_of(self, wanted: WantedPerson, write: Write) -> LoadRow | None:
        if isinstance(write, WithoutCustomer):
            return None
        if write.operation == "update":
            first = {NUMBER: str(write.key[NUMBER])}
            columns, cells = self._rows.row(wanted.mapped, create=False, first=first)
            return LoadRow(str(write.key[COMPANY]), "update", columns, cells)
        party = str(write.values[PARTY])
        first = {NUMBER: "", PARTY: party}
        columns, cells = self._rows.row(wanted.mapped, create=True, first=first)
        company = str(write.values[COMPANY])
        return LoadRow(company, "create", columns, cells, _alike(party, write.values))

    def back_value(self, row: Record) -> str:
        company, number = key_of(row, ENTITY_SET, NUMBER)
        return qualified(company, number, one_company=self._one_company)


def _alike(party: str, values: Record) -> tuple[str, ...]:
    """At least what `contact_duplicates.are_alike` compares: the e-mail, and the name."""
    email, first, last = (
        str(values.get(name) or "").strip().casefold() for name in (EMAIL, FIRST, LAST)
    )
    words = (f"{party}|{email}",) if email else ()
    return (*words, f"{party}|{first}|{last}")
