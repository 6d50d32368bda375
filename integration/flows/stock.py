"""Flow 5, the stock check: reads stock from F&O while a person in Salesforce waits for the answer.

It writes nothing, so it needs neither queue nor engine. F&O sums the stock when asked, which takes seconds
(F&O contract 5.7), and one quote asks for the same items many times: answers are kept for some seconds, and
questions for an item that is being read share that read. Whatever happens there is an answer before
Salesforce gives up (10 s, Salesforce contract 5.3).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.d365.batch import Operation
from integration.d365.filters import Filter, chunk_any_of, eq
from integration.d365.literals import COMPANY
from integration.d365.odata import Query
from integration.deadline import deadline, remaining
from integration.errors import ContractError, DeadlineReached, Throttled, Unreachable
from integration.flows.stock_levels import (
    ITEM,
    QUANTITIES,
    SITE,
    UNIT,
    WAREHOUSE,
    ItemStock,
    item_stock,
    same_item,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from integration.d365.client import D365Client
    from integration.settings import Settings

PRODUCTS = "ReleasedProductsV2"
ON_HAND = "WarehousesOnHandV2"
_SELECT = {
    PRODUCTS: (COMPANY, ITEM, UNIT),
    ON_HAND: (COMPANY, ITEM, SITE, WAREHOUSE, *QUANTITIES.values()),
}
_MOST_KEPT = 10_000  # answers, a few kB each at most


@dataclass(frozen=True, slots=True)
class Place:
    """Where stock is asked for; company in lower case."""

    company: str
    site: str | None = None
    warehouse: str | None = None


Key = tuple[Place, str]
Levels = dict[Key, ItemStock | None]  # None: F&O knows no such item


class StockCheck:
    """One per process, for one event loop."""

    def __init__(
        self,
        client: D365Client,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._clock = clock
        self._timeout = settings.app.stock_timeout
        self._keep_seconds = settings.app.stock_cache
        self._terms = settings.d365.filter_terms
        self._throttle_fallback = settings.d365.throttle_fallback
        self._kept: OrderedDict[Key, tuple[float, ItemStock | None]] = OrderedDict()
        self._running: dict[Key, asyncio.Future[Levels]] = {}
        self._closed_until = 0.0
        self._slots = asyncio.Semaphore(settings.app.stock_calls)

    async def levels(self, place: Place, items: Sequence[str]) -> list[ItemStock | None]:
        """One answer for each item in order; None where F&O knows no such item in the company.

        Raises the errors of the F&O client, Unreachable where it does not answer in time, and Throttled
        with `retry_after` set. An item with `*` is RecordRejected: F&O would match other items.
        """
        wanted = {(place, same_item(item)): item.rstrip() for item in items}
        found: Levels = {}
        with deadline(self._timeout):
            while missing := {key: item for key, item in wanted.items() if key not in found}:
                self._forget_old()
                found |= {key: self._kept[key][1] for key in missing if key in self._kept}
                others = {self._running[key] for key in missing if key in self._running}
                mine = {
                    key: item
                    for key, item in missing.items()
                    if key not in found and key not in self._running
                }
                if mine:
                    found |= await self._read_for_all(place, mine)
                for read in others:
                    found |= await _share(read)
        return [found[place, same_item(item)] for item in items]

    async def _read_for_all(self, place: Place, items: Mapping[Key, str]) -> Levels:
        """Reads, and lets everybody share who asks for one of these items meanwhile."""
        if (left := self._closed_until - self._clock()) > 0:
            raise Throttled("F&O asked for a pause", system="d365", retry_after=left)
        read: asyncio.Future[Levels] = asyncio.get_running_loop().create_future()
        self._running |= dict.fromkeys(items, read)
        try:
            levels = await self._read(place, items)
        except Exception as error:
            if isinstance(error, Throttled):
                self._pause(error)
            read.set_exception(error)
            read.exception()  # perhaps nobody shares it, which is no reason to complain
            raise
        else:
            read.set_result(levels)
            self._keep(levels)
            return levels
        finally:
            read.cancel()  # only where this call was cancelled: those who share it read again
            for key in items:
                del self._running[key]

    async def _read(self, place: Place, items: Mapping[Key, str]) -> Levels:
        """One $batch: which of the items exist, and their stock."""
        reads = [
            Operation("GET", name, query=Query(filter=each, select=_SELECT[name]))
            for name, also in (
                (PRODUCTS, eq(COMPANY, place.company)),
                (ON_HAND, _where(place)),
            )
            for each in chunk_any_of(
                ITEM, items.values(), also=also, most=max(1, self._terms - str(also).count(" eq "))
            )
        ]
        try:
            # Waiting for a slot and the sign-in count as well.
            async with asyncio.timeout(remaining()), self._slots:
                results = await self._client.batch(reads)
        except TimeoutError as error:
            raise Unreachable("F&O did not answer in time", system="d365") from error
        products: dict[str, dict[str, Any]] = {}
        stock: dict[str, list[dict[str, Any]]] = {}
        for operation, result in zip(reads, results, strict=True):
            if result.error is not None:
                raise result.error
            for row in result.body["value"]:
                number = row.get(ITEM)
                if not isinstance(number, str):
                    raise ContractError(f"a row has no {ITEM}", system="d365")
                if operation.entity_set == PRODUCTS:
                    products[same_item(number)] = row
                else:
                    stock.setdefault(same_item(number), []).append(row)
        return {
            key: item_stock(products[key[1]], stock.get(key[1], ()), place.company)
            if key[1] in products
            else None
            for key in items
        }

    def _pause(self, error: Throttled) -> None:
        """Nobody asks F&O before its time: questions while it throttles lengthen that (contract 4.2)."""
        if error.retry_after is None:
            error.retry_after = self._throttle_fallback
        self._closed_until = self._clock() + error.retry_after

    def _keep(self, levels: Levels) -> None:
        if self._keep_seconds > 0:
            until = self._clock() + self._keep_seconds
            for key, level in levels.items():
                self._kept[key] = (until, level)
                self._kept.move_to_end(key)

    def _forget_old(self) -> None:
        """All are kept equally long, so the first are the oldest."""
        now = self._clock()
        while self._kept:
            key, (until, _) = next(iter(self._kept.items()))
            if until > now and len(self._kept) <= _MOST_KEPT:
                return
            del self._kept[key]


async def _share(read: asyncio.Future[Levels]) -> Levels:
    """What another call is reading; nothing where that was cancelled."""
    done, _ = await asyncio.wait((read,), timeout=remaining())
    if not done:
        raise DeadlineReached("F&O is still being read")
    return {} if read.cancelled() else read.result()


def _where(place: Place) -> Filter:
    where = eq(COMPANY, place.company)
    for column, value in ((SITE, place.site), (WAREHOUSE, place.warehouse)):
        if value:
            where &= eq(column, value)
    return where
