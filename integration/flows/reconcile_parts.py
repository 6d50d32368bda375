"""What reconciliation works with: the two sides, and where its state, ledger and hints are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integration.flows.context import FlowEntry
    from integration.flows.reconcile_counts import Counts
    from integration.flows.reconcile_keys import KeySource
    from integration.messaging.hints import Hint
    from integration.state.blobs import Document
    from integration.state.ledger import LedgerEntry


class Store(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...


class LedgerReader(Protocol):
    async def page(self, after: str, size: int) -> tuple[list[LedgerEntry], str | None]: ...


class HintSender(Protocol):
    async def send_hints(self, hints: Iterable[Hint]) -> None: ...


class DirtyNotes(Protocol):
    async def note(self, flow: str, keys: Iterable[str], *, name: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared: the flows of this app, where their keys come from, and the counts."""

    flows: tuple[FlowEntry, ...]
    sources: tuple[KeySource, ...]
    counts: Counts
