"""What a flow must say so that the engine can converge its records.

Adding a flow is adding one module with a class of this shape. The methods that take many records make
few calls; those that take one record make none. Errors: a batch method may raise for all its records or
return an error for one; a record method raises a RecordError.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.errors import RecordNeedsReview, SystemName
    from integration.flows.outcomes import Moved, Skipped
    from integration.mapping.tables import Change
    from integration.recovery.decisions import EndState, FailurePolicy

Record = dict[str, Any]
Wanted = TypeVar("Wanted")
Current = TypeVar("Current")


@dataclass(frozen=True, slots=True)
class Write:
    """What must be written to the target: `values` by field name, `key` and `etag` for an update."""

    operation: Literal["create", "update"]
    values: Record
    key: Record = field(default_factory=dict)
    etag: str | None = None
    differences: tuple[Change, ...] = ()


class Flow(Protocol, Generic[Wanted, Current]):
    name: str
    policy: FailurePolicy
    systems: tuple[SystemName, ...]

    async def read(self, keys: list[str]) -> Mapping[str, Record | Skipped | Moved | Exception]:
        """The current source records. A key left out is `Skipped("not-found")`."""

    def root_of(self, record: Record) -> str:
        """The business key whose bucket must handle this record."""

    def wanted(self, record: Record) -> Wanted | Skipped:
        """Maps the source record to what the target should hold. Raises RecordRejected."""

    async def find(self, wanted: Mapping[str, Wanted]) -> Mapping[str, Current | Exception | None]:
        """The matching target records; None (or a key left out) where there is none."""

    def compare(self, wanted: Wanted, current: Current | None) -> Write | Skipped | Moved | None:
        """The difference, None when in step. Raises RecordNeedsReview where a person must decide.

        Moved where nothing is to be done here, and another record is to be handled instead.
        """

    async def write(
        self, changes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Skipped | Moved | Exception]:
        """Writes and returns what the target answered per key (empty for an update).

        Skipped where it turned out only now that the record is not to be written; Moved where all is written
        and another record is to be handled next.
        """

    def back(self, record: Record, written: Record | None, current: Current | None) -> Record:
        """Fields that must be written back to the source record; empty when it holds them already."""

    async def write_back(self, fields: Mapping[str, Record]) -> Mapping[str, Exception]:
        """Writes them and returns the errors by key."""

    def unresolved(
        self, record: Record, written: Record | None, current: Current | None
    ) -> RecordNeedsReview | None:
        """What a person must decide although everything was written, write-back included; None if nothing.

        Asked last, so that what was made is known on both sides before it is reported.
        """
        return None

    async def ended(self, key: str, end: EndState) -> None:
        """Tells people where they work that this record needs them; nothing by default.

        Called before the record is kept as a dead letter. May raise: the record is kept all the same.
        """
        return

    async def kept(self, key: str, end: EndState) -> None:
        """The record is kept now: what is to be reported once may be noted as reported. May raise."""
        return
