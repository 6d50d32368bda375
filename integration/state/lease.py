"""One holder at a time, for work that must not run twice at once in an environment.

The document `leases/<name>.json` is {"owner","until","left"?}. It is written with ETag compare-and-swap, so
of two takers one wins. A lease whose time is over may be taken by anybody: a crashed holder blocks nothing
for longer than it said it would work.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from integration.state.blobs import ABSENT, StateConflict

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.state.blobs import Document


class LeaseStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds a lease. `left` is not empty where the holder went away while its work still runs
    outside: the id of that work."""

    owner: str
    until: datetime
    left: str = ""
    etag: str = ""


class Lease:
    """Raises StateConflict where others kept writing, Unreachable (system storage)."""

    def __init__(
        self,
        store: LeaseStore,
        name: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._name = f"leases/{name}.json"
        self._clock = clock

    async def take(
        self, owner: str, until: datetime, *, instead_of: Hold | None = None
    ) -> Hold | None:
        """None: `owner` holds it until then, also where it held it before. Otherwise who holds it; that
        may be `owner` itself with work that it left.

        `instead_of` is a hold whose work is known to be over: it is taken although its time is not.
        """
        document = await self._store.read(self._name)
        hold = _hold(document)
        known_over = hold and instead_of and hold.etag == instead_of.etag
        own = hold and hold.owner == owner and not hold.left
        if hold and not own and self._clock() < hold.until and not known_over:
            return hold
        try:
            await self._write(Hold(owner, until), document.etag if document else ABSENT)
        except StateConflict:
            hold = _hold(await self._store.read(self._name))
            if hold is None or hold.owner == owner:
                raise
            return hold
        return None

    async def leave(self, owner: str, work: str) -> None:
        """Goes away from work that runs on: the lease stays until its time or until that work is over."""
        document = await self._store.read(self._name)
        hold = _hold(document)
        if document and hold and hold.owner == owner:
            await self._write(Hold(owner, hold.until, work), document.etag)

    async def release(self, owner: str) -> None:
        """Gives it back; one that somebody else took meanwhile stays."""
        document = await self._store.read(self._name)
        hold = _hold(document)
        if document and hold and hold.owner == owner:
            await self._store.write(self._name, b"{}", expected=document.etag)

    async def _write(self, hold: Hold, etag: str) -> None:
        body = {"owner": hold.owner, "until": hold.until.isoformat()}
        if hold.left:
            body["left"] = hold.left
        await self._store.write(self._name, json.dumps(body).encode(), expected=etag)


def _hold(document: Document | None) -> Hold | None:
    if document is None or not (data := json.loads(document.body)):
        return None
    until = datetime.fromisoformat(data["until"])
    return Hold(data["owner"], until, data.get("left", ""), document.etag)
