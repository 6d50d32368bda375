"""What a load must know of the records it carries: all that differs between accounts and contacts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from integration.d365.packages import Column, PackageTable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from integration.d365.filters import Filter
    from integration.flows.flow import Flow, Record, Write
    from integration.flows.loads.findings import Findings
    from integration.state.key_index import IndexPart, KeyIndex, KeySet

Operation = Literal["create", "update"]


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One row for a package: target fields and their texts. `alike` are words for what it is; of two new
    rows with one of them in common the flow decides."""

    company: str
    operation: Operation
    columns: tuple[str, ...]
    cells: Sequence[str]
    alike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What a comparison looks up: the target's records, keys that the flow must look at, and the keys of
    the load (None: all). `spelled`: the index holds values as a data package spells them, so only equal
    ones say something."""

    index: KeyIndex
    doubtful: KeySet
    keys: KeySet | None
    spelled: bool = False


class LoadDefinition(Protocol):
    """`entity` is the DMF label, `entity_set` the OData name; `id_field` and `number` are fields of the
    target, `number_field` one of the Salesforce `object`. `number_is_drawn`: F&O gives new records theirs.
    `back_is_number`: nothing but the number goes back to Salesforce."""

    kind: str
    flow: Flow[Any, Any]
    object: str
    entity: str
    entity_set: str
    id_field: str
    number: str
    number_field: str
    number_is_drawn: bool
    back_is_number: bool
    table: WholeTable | None

    def company_of(self, wanted: Any, current: Any) -> str | None:
        """Where the record belongs; None if that is not known yet."""

    def row_of(self, wanted: Any, write: Write) -> LoadRow | None:
        """What the flow would write, as a row; None for what the flow must do itself."""

    def back_value(self, row: Record) -> str:
        """The number in a row of the target as Salesforce holds it."""


class WholeTable(Protocol):
    """Compares whole tables: source rows against an index of the target."""

    async def prepare(self) -> WholeRun:
        """Reads what it needs to know of the organisation."""

    async def doubtful(self) -> Collection[str]:
        """Keys without a record of their own that may have one all the same: the flow must look."""


class WholeRun(Protocol):
    """For one step. `select`: fields of the target, `filter`: its rows, `columns`: those of the source.

    `signature` changes with the mapping: an index is of no use to another one. `companies` are all that
    records of the target may be in; None where nobody can tell.
    """

    select: tuple[str, ...]
    filter: Filter | None
    columns: tuple[str, ...]
    digests: int
    signature: str
    companies: tuple[str, ...] | None

    def index(self, row: Record, part: IndexPart) -> None:
        """Adds a row of the target."""

    def judge(
        self,
        rows: Sequence[Sequence[str]],
        known: Known,
        findings: Findings,
        company: str | None,
    ) -> None:
        """Decides what is clear; everything else is to be looked at by the flow."""


def header(field: str) -> str:
    """A field's column in a data file (F&O contract 6.4)."""
    return field.upper()


def package_table(
    definition: LoadDefinition, operation: str, columns: Sequence[str]
) -> PackageTable:
    """The number of new records is drawn by F&O, in packages of creates alone (F&O contract 6.3)."""
    drawn = operation == "create" and definition.number_is_drawn
    return PackageTable(
        definition.entity,
        tuple(
            Column(header(field), auto_generated=drawn and field == definition.number)
            for field in columns
        ),
        (header(definition.id_field),),
    )
