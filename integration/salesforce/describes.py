"""Object descriptions, asked for rarely: they are large and change only when an admin works.

Within `max_age` the cached one is used without a call; after that a conditional request costs one small
answer (304) while nothing has changed (Salesforce contract 2.5).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.errors import ContractError
from integration.salesforce.errors import Effect

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.salesforce.paths import Paths
    from integration.salesforce.transport import Transport


@dataclass(frozen=True, slots=True)
class _Known:
    body: dict[str, Any]
    last_modified: str | None
    fresh_until: float


class Describes:
    """`clock` in seconds; `max_age` seconds without asking."""

    def __init__(
        self,
        transport: Transport,
        paths: Paths,
        *,
        clock: Callable[[], float],
        max_age: float = 300.0,
    ) -> None:
        self._transport = transport
        self._paths = paths
        self._clock = clock
        self._max_age = max_age
        self._known: dict[str, _Known] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, object_name: str) -> dict[str, Any]:
        """Callers that ask at the same time share one call."""
        async with self._asking[object_name]:
            known = self._known.get(object_name)
            if known and self._clock() < known.fresh_until:
                return known.body
            return await self._ask(object_name, known)

    async def _ask(self, object_name: str, known: _Known | None) -> dict[str, Any]:
        conditional = bool(known and known.last_modified)
        answer = await self._transport.request(
            "GET",
            self._paths.describe(object_name),
            operation=f"describe {object_name}",
            effect=Effect.READ,
            headers={"If-Modified-Since": known.last_modified or ""}
            if known and conditional
            else None,
            accept=(304,) if conditional else (),
        )
        body = known.body if known and answer.status == 304 else answer.body
        if not isinstance(body, dict):
            raise ContractError(f"describe {object_name}: no object", system="salesforce")
        # Without Last-Modified the time the server answered serves as well.
        stamp = answer.headers.get("last-modified") or (known.last_modified if known else None)
        stamp = stamp or answer.headers.get("date")
        self._known[object_name] = _Known(body, stamp, self._clock() + self._max_age)
        return body
