"""The seam between reading prices and everything after it: whole items in an order of F&O's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from integration.flows.flow import Record
    from integration.flows.pricing.report import Report
    from integration.jobs.job import Position


@dataclass(slots=True)
class SourceItem:
    """`rows`: the item in each company that has it; `stopped`: the companies that do not sell it now.

    `unread`: it is there, and nothing of it has changed since the last run.
    """

    item: str
    rows: list[Record] = field(default_factory=list)
    agreements: list[Record] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    unread: bool = False

    @property
    def is_bound(self) -> bool:
        """Whether a range can end with it: F&O takes `*` for a wildcard (F&O contract 2.2)."""
        return "*" not in self.item


class PriceStream(Protocol):
    async def next(self) -> list[SourceItem]:
        """The following items, each whole; none at the end. May be called again after an error."""


class PriceSource(Protocol):
    """What the job does before its scan, and what the scan reads; the phases as in `reading`."""

    async def decide(self, position: Position, report: Report) -> Position: ...
    async def order(self, position: Position, report: Report) -> Position: ...
    async def exports(self, position: Position, report: Report) -> Position: ...
    async def names(self, position: Position, report: Report) -> Position: ...

    async def open(self, position: Position, after: str, until: str | None) -> PriceStream:
        """The items after one key, up to and including another (None: to the end)."""

    async def finished(self, position: Position) -> None:
        """The run has ended well."""
