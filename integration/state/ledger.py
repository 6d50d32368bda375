"""The reconciliation ledger: records that could not be delivered and that reconciliation takes up again.

One small blob per record, so that no two writers meet: `ledger/<flow>/<key>.json` with
{"flow","source","object","key","company","root","reason","description","attempts","since","at"}.
A record leaves the ledger when a later handling brings it in step.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.state.blobs import Document


class BlobStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """Times are ISO 8601 in UTC; `since` is the first failure, `at` the last."""

    flow: str
    source: str
    object: str
    key: str
    company: str | None
    root: str | None
    reason: str
    description: str
    attempts: int
    since: str
    at: str


class Ledger:
    def __init__(self, store: BlobStore) -> None:
        self._store = store

    async def record(self, entry: LedgerEntry) -> None:
        """Keeps the time of the first failure where the record is in the ledger already."""
        name = _name(entry.flow, entry.key)
        known = await self._store.read(name)
        data = asdict(entry)
        if known is not None:
            before = json.loads(known.body)
            data["since"] = before["since"]
            data["attempts"] += before["attempts"]
        await self._store.write(name, json.dumps(data).encode())

    async def settle(self, flow: str, key: str) -> None:
        """The record is in step; nothing happens where it was not in the ledger."""
        await self._store.delete(_name(flow, key))

    async def entries(self, flow: str | None = None) -> AsyncIterator[LedgerEntry]:
        prefix = f"ledger/{flow}/" if flow else "ledger/"
        async for name in self._store.names(prefix):
            document = await self._store.read(name)
            if document is not None:  # settled meanwhile
                yield LedgerEntry(**json.loads(document.body))

    async def page(self, after: str, size: int) -> tuple[list[LedgerEntry], str | None]:
        """Up to `size` entries behind the one named `after`, and the name to go on from; None at the end."""
        found: list[LedgerEntry] = []
        async for name in self._store.names("ledger/"):  # in the order of the names
            if name <= after:
                continue
            if len(found) == size:
                return found, after
            document = await self._store.read(name)
            after = name
            if document is not None:  # settled meanwhile
                found.append(LedgerEntry(**json.loads(document.body)))
        return found, None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _name(flow: str, key: str) -> str:
    return f"ledger/{flow}/{quote(key, safe='')}.json"
