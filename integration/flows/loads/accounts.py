"""The load of accounts: what a customer needs of a package, and the comparison of whole tables.

What `account_rows` does not find clear goes to the flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.flows.accounts import OBJECT, WantedCustomer
from integration.flows.customers import ENTITY_SET, NUMBER, Match
from integration.flows.gone.holders import watched_of_customers
from integration.flows.gone.merges import Merges
from integration.flows.loads.account_rows import CustomerRun
from integration.flows.loads.definition import LoadDefinition, LoadRow, WholeRun, WholeTable
from integration.flows.loads.rows import RowWriter, kinds_of
from integration.flows.match_book import Approved
from integration.flows.numbers import qualified
from integration.flows.reading import key_of
from integration.jobs.kinds import LOAD_ACCOUNTS
from integration.mapping.accounts import AccountMapping, account_mapping
from integration.mapping.compiled import CompiledTable

if TYPE_CHECKING:
    from collections.abc import Collection

    from integration.flows.context import FlowContext
    from integration.flows.flow import Flow, Record, Write

ENTITY = "Customers V3"
_SAMPLES: tuple[dict[str, object], ...] = ({}, {"IsPersonAccount": True})


class AccountLoad(LoadDefinition):
    kind = LOAD_ACCOUNTS
    object = OBJECT
    entity = ENTITY
    entity_set = ENTITY_SET
    number = NUMBER
    back_is_number = True

    def __init__(self, context: FlowContext, flow: Flow[Any, Any]) -> None:
        """`flow` is the account flow, or what wraps it."""
        settings = context.settings
        self.flow: Flow[Any, Any] = flow
        self.id_field = settings.d365.salesforce_id_field
        self.number_field = settings.salesforce.customer_number_field
        self.number_is_drawn = settings.app.customer_numbering == "sequence"
        mapping = account_mapping(
            context.customisation,
            default_company=settings.d365.company,
            salesforce_id_field=self.id_field,
            customer_number_field=self.number_field,
        )
        self._one_company = mapping.companies.is_single_company
        self._rows = RowWriter(mapping.table)
        self.table: WholeTable | None = _Customers(context, self, mapping)

    def company_of(self, wanted: WantedCustomer, current: Match | None) -> str | None:
        return wanted.company

    def row_of(self, wanted: WantedCustomer, write: Write) -> LoadRow | None:
        create = write.operation == "create"
        number = str((write.values if create else write.key).get(NUMBER, ""))
        columns, cells = self._rows.row(
            wanted.account.mapped, create=create, first={NUMBER: number}
        )
        return LoadRow(wanted.company, write.operation, columns, cells)

    def back_value(self, row: Record) -> str:
        return self.number_of(*key_of(row, ENTITY_SET, NUMBER))

    def number_of(self, company: str, number: str) -> str:
        return qualified(company, number, one_company=self._one_company)


class _Customers(WholeTable):
    def __init__(self, context: FlowContext, load: AccountLoad, mapping: AccountMapping) -> None:
        self._context = context
        self._load = load
        self._mapping = mapping
        self._known: tuple[tuple[str, ...], CompiledTable] | None = None

    async def doubtful(self) -> Collection[str]:
        """Accounts into which others were merged, whose customers may be theirs."""
        merges = Merges(self._context.salesforce, OBJECT, self._load.number_field)
        return await merges.all_survivors()

    async def prepare(self) -> WholeRun:
        described = await self._context.salesforce.describe(OBJECT)
        fields = described["fields"]
        available = frozenset(field["name"] for field in fields)
        named = self._load.number_field
        wanted = ("Id", named, *self._mapping.source_fields(available))
        columns = tuple(dict.fromkeys(wanted))
        if self._known is None or self._known[0] != columns:
            kinds = kinds_of(fields)
            samples = _SAMPLES if "IsPersonAccount" in available else _SAMPLES[:1]
            self._known = columns, CompiledTable(self._mapping.table, columns, kinds, samples)
        matches = self._context.matches
        book = await matches.approved() if matches else Approved()
        watched = watched_of_customers(self._context)
        return CustomerRun(self._load, self._mapping, self._known[1], book, watched)
