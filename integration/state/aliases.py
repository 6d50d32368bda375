"""Customer numbers that count as another number of an account, because two linked accounts were merged.

One small blob per number, so that no two writers meet: `aliases/<company|number>.json` with
{"number","into","account","merged","at"}; numbers are `company|number`. `into` is the number of the account's
own customer; where that became an alias later, the chain is followed.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from integration.state.cached_names import CACHE_SECONDS, CachedNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from integration.state.cached_names import ListedStore

_PREFIX = "aliases/"
_BODY_SECONDS = 600.0  # an alias changes only when its account is merged once more, or comes back
_CHAIN = 10
_TOGETHER = 16  # reads at the same time


@dataclass(frozen=True, slots=True)
class Alias:
    """`account` is the 18-character id of the account that survived, `merged` of the one that did not."""

    number: str
    into: str
    account: str
    merged: str
    at: str


class Aliases:
    """One per process. Raises Unreachable (system storage)."""

    def __init__(
        self,
        store: ListedStore,
        *,
        cache: float = CACHE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._monotonic = monotonic
        self._names = CachedNames(store, _PREFIX, seconds=cache, monotonic=monotonic)
        self._bodies: dict[str, tuple[float, Alias]] = {}

    async def find(self, numbers: Iterable[str]) -> dict[str, Alias]:
        """The alias of each number that is one, with `into` at the end of its chain.

        One listing now and then; nothing else is read for numbers that are none.
        """
        known = await self._names.known()
        found: dict[str, Alias] = {}
        for number in dict.fromkeys(numbers):
            if _name(number) in known and (alias := await self._end(number, known)):
                found[number] = alias
        return found

    async def all(self) -> list[Alias]:
        """Every alias, with `into` at the end of its chain."""
        known = await self._names.known()
        gate = asyncio.Semaphore(_TOGETHER)

        async def load(name: str) -> Alias | None:
            async with gate:
                return await self._load(name)

        loaded = await asyncio.gather(*(load(name) for name in sorted(known)))
        ends = [await self._end(each.number, known) for each in loaded if each]
        return [each for each in ends if each]

    async def read(self, number: str) -> Alias | None:
        """As it is stored now, whatever is remembered."""
        return await self._load(_name(number), fresh=True)

    async def save(self, alias: Alias) -> None:
        """Durable when it returns."""
        name = _name(alias.number)
        await self._store.write(name, json.dumps(asdict(alias)).encode())
        self._names.add(name)
        self._bodies[name] = (self._monotonic(), alias)

    async def drop(self, number: str) -> None:
        """The number belongs to an account of its own again."""
        name = _name(number)
        await self._store.delete(name)
        self._names.remove(name)
        self._bodies.pop(name, None)

    async def _end(self, number: str, known: set[str]) -> Alias | None:
        first = last = await self._load(_name(number))
        seen = {_name(number)}
        while first and last and (name := _name(last.into)) in known:
            if name in seen or len(seen) > _CHAIN:  # a circle leads nowhere
                return None
            seen.add(name)
            following = await self._load(name)
            if following is None:
                break
            last = following
        if first is None or last is None:
            return None
        return Alias(first.number, last.into, last.account, first.merged, first.at)

    async def _load(self, name: str, *, fresh: bool = False) -> Alias | None:
        now = self._monotonic()
        at, alias = self._bodies.get(name, (None, None))
        if alias is not None and at is not None and not fresh and now - at < _BODY_SECONDS:
            return alias
        document = await self._store.read(name)
        if document is None:
            self._bodies.pop(name, None)
            return None
        alias = Alias(**json.loads(document.body))
        self._bodies[name] = (now, alias)
        return alias


def _name(number: str) -> str:
    """F&O compares without regard to case."""
    return f"{_PREFIX}{quote(number.casefold(), safe='')}.json"
