"""What was done about records that were deleted or merged in Salesforce.

* `gone/<Object>/<Id>.json`: {"told"}: the state of the record (its SystemModstamp) that was reported, so that
  each deletion is reported once, however often its event comes.
* `marks/<Object>/<Id>.json`: what the app set in F&O because of a deletion, and what was there before. Only
  with this is it ever taken back. {"stamp","phase","values":{field:[before,set]},"holder","reason","at"}

A mark is noted before it is set: `setting`, then `set`; before it is taken back `lifting`, then it is
forgotten. So a crash in between is seen by the next attempt.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from integration.state.cached_names import CACHE_SECONDS, CachedNames

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.state.cached_names import ListedStore

_TOLD, _MARKS = "gone/", "marks/"


@dataclass(frozen=True, slots=True)
class Mark:
    """`stamp` tells one deletion of a record from another; `values`: field → (before, set); `holder` is the
    F&O record in words; `at` ISO 8601 in UTC."""

    stamp: str
    phase: Literal["setting", "set", "lifting"]
    values: dict[str, tuple[str, str]]
    holder: str
    reason: str
    at: str


class GoneNotes:
    """One per process. Raises Unreachable (system storage)."""

    def __init__(
        self,
        store: ListedStore,
        *,
        cache: float = CACHE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._names = CachedNames(store, _MARKS, seconds=cache, monotonic=monotonic)

    async def told(self, object_name: str, key: str) -> str:
        """The stamp of what was reported; empty where nothing was."""
        document = await self._store.read(_name(_TOLD, object_name, key))
        return str(json.loads(document.body)["told"]) if document else ""

    async def tell(self, object_name: str, key: str, stamp: str) -> None:
        body = json.dumps({"told": stamp}).encode()
        await self._store.write(_name(_TOLD, object_name, key), body)

    async def may_be_marked(self, object_name: str, key: str) -> bool:
        """False may be some seconds old."""
        return _name(_MARKS, object_name, key) in await self._names.known()

    async def mark(self, object_name: str, key: str) -> Mark | None:
        document = await self._store.read(_name(_MARKS, object_name, key))
        if document is None:
            return None
        data = json.loads(document.body)
        values = {field: (before, new) for field, (before, new) in data["values"].items()}
        return Mark(**{**data, "values": values})

    async def save(self, object_name: str, key: str, mark: Mark) -> None:
        """Durable when it returns."""
        name = _name(_MARKS, object_name, key)
        await self._store.write(name, json.dumps(asdict(mark)).encode())
        self._names.add(name)

    async def forget(self, object_name: str, key: str) -> None:
        name = _name(_MARKS, object_name, key)
        await self._store.delete(name)
        self._names.remove(name)


def _name(prefix: str, object_name: str, key: str) -> str:
    return f"{prefix}{object_name}/{key}.json"
