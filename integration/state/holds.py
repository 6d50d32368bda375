"""Keys that a running load is about to write, so that hints for them wait until it is over.

A data package creates records without looking whether somebody else does so at the same time. So a load
first publishes the keys it may write; whoever handles a hint asks here before it begins, and lets a held one
wait. `holds/index.json` is {owner: {"flow","keys": name of a document|null,"until"}}: a few bytes that are
read again after CACHE_SECONDS, and not even then while nothing is handled. The keys themselves are a document
of sorted 8-byte hashes that never changes under its name; null holds the whole flow.

A load that has published waits CACHE_SECONDS and the length of a batch before it reads the target: every
batch that may not have seen the hold has ended by then.
"""

from __future__ import annotations

import json
import time
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from integration.errors import RecordHeld
from integration.state.blobs import ABSENT, StateConflict
from integration.state.key_index import short_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from integration.state.blobs import Document

CACHE_SECONDS = 3.0
_INDEX = "holds/index.json"
_TRIES = 5


class HoldStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Hold:
    flow: str
    keys: array[int] | None
    until: datetime


class Holds:
    """One per process. Raises Unreachable (system storage), and then nothing may be handled."""

    def __init__(
        self,
        store: HoldStore,
        *,
        cache: float = CACHE_SECONDS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._cache = cache
        self._clock = clock
        self._monotonic = monotonic
        self._read_at: float | None = None
        self._etag = ""
        self._holds: dict[str, _Hold] = {}
        self._documents: dict[str, array[int]] = {}

    async def held(self, flow: str, keys: Collection[str]) -> dict[str, RecordHeld]:
        """Those of the keys that a load holds, with the error they wait with."""
        await self._refresh()
        now = self._clock()
        found: dict[str, RecordHeld] = {}
        for owner, hold in self._holds.items():
            if hold.flow == flow and hold.until > now:
                for key in keys:
                    if hold.keys is None or _holds(hold.keys, short_hash(key)):
                        found[key] = RecordHeld(f"{owner} is writing it; its hint waits")
        return found

    async def publish(
        self, owner: str, flow: str, keys: Iterable[int] | None, until: datetime, *, version: int
    ) -> None:
        """Holds the keys (`short_hash`), or the whole flow; instead of what `owner` held before.

        Durable when it returns. `version` rises with each change of an owner's keys; the same may be
        published twice.
        """
        name = None
        if keys is not None:
            name = f"holds/{owner}/{version:04}"
            await self._store.write(name, array("Q", sorted(keys)).tobytes())
        entry = {"flow": flow, "keys": name, "until": until.isoformat()}
        old = await self._change({owner: entry})
        await self._forget(old.get(owner, {}).get("keys"), name)

    async def release(self, owner: str) -> None:
        """Nothing happens where it holds nothing."""
        old = await self._change({owner: None})
        await self._forget(old.get(owner, {}).get("keys"), None)

    async def extend(self, owner: str, until: datetime) -> None:
        """Lets the hold end at this time by itself."""
        document = await self._store.read(_INDEX)
        entry = json.loads(document.body).get(owner) if document else None
        if entry:
            await self._change({owner: {**entry, "until": until.isoformat()}})

    async def _forget(self, old: str | None, new: str | None) -> None:
        if old and old != new:
            await self._store.delete(old)

    async def _change(self, changes: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
        """Compare-and-swap; returns the index from before. Drops what is over, by hours."""
        for _ in range(_TRIES):
            document = await self._store.read(_INDEX)
            before: dict[str, Any] = json.loads(document.body) if document else {}
            now = self._clock().isoformat()
            valid = {o: e for o, e in before.items() if e["until"] > now or o in changes}
            after = {owner: entry for owner, entry in {**valid, **changes}.items() if entry}
            if after == before:
                return before
            try:
                body = json.dumps(after).encode()
                await self._store.write(
                    _INDEX, body, expected=document.etag if document else ABSENT
                )
            except StateConflict:
                continue
            for owner in before.keys() - after.keys() - changes.keys():
                await self._forget(before[owner]["keys"], None)
            return before
        raise StateConflict(f"{_INDEX} kept changing", system="storage")

    async def _refresh(self) -> None:
        now = self._monotonic()
        if self._read_at is not None and now - self._read_at < self._cache:
            return
        for _ in range(_TRIES):
            document = await self._store.read(_INDEX)
            if document is None:
                self._holds, self._etag = {}, ""
            elif document.etag != self._etag and not await self._load(json.loads(document.body)):
                continue  # changed while it was read
            else:
                self._etag = document.etag
            self._read_at = now  # from before the reading: what was published since may be missing
            return
        raise StateConflict(f"{_INDEX} kept changing", system="storage")

    async def _load(self, index: dict[str, Any]) -> bool:
        documents: dict[str, array[int]] = {}
        holds: dict[str, _Hold] = {}
        for owner, entry in index.items():
            keys = None
            if name := entry["keys"]:
                if name not in self._documents:
                    document = await self._store.read(name)
                    if document is None:
                        return False
                    keys = array("Q")
                    keys.frombytes(document.body)
                else:
                    keys = self._documents[name]
                documents[name] = keys
            holds[owner] = _Hold(entry["flow"], keys, datetime.fromisoformat(entry["until"]))
        self._holds, self._documents = holds, documents
        return True


def _holds(keys: array[int], hashed: int) -> bool:
    place = bisect_left(keys, hashed)
    return place < len(keys) and keys[place] == hashed
