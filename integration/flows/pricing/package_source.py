"""Agreements out of an exported package: sorted into partitions first, then read beside the products.

A partition is a Spool with the agreements of some thousand items that follow each other in F&O's order, so
that products, read by OData in that order, find theirs in one partition after another.
"""

from __future__ import annotations

from collections import defaultdict, deque
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from integration.errors import ContractError
from integration.flows.price_rules import AGREEMENT_FIELDS, VARIANTS
from integration.mapping.products import COMPANY, ITEM
from integration.salesforce.bulk_csv import decode_rows, encode_rows
from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.flows.flow import Record
    from integration.flows.pricing.order import Order
    from integration.flows.pricing.source import PriceStream, SourceItem
    from integration.state.spool import PartStore

PARTITION_ITEMS = 2000
_FULL = 8_000_000  # bytes in memory until they are written
COLUMNS = (*AGREEMENT_FIELDS, *VARIANTS)
_HEADERS = tuple(column.upper() for column in COLUMNS)
_ITEM = COLUMNS.index(ITEM)
_NUMBERS = tuple(COLUMNS.index(name) for name in ("Price", "SalesPriceQuantity", "FromQuantity"))


class Partitions:
    """Writes agreements where their items are. `part` is the number of the next part of each Spool."""

    def __init__(self, store: PartStore, run: str, order: Order, part: int) -> None:
        self._store = store
        self._run = run
        self._order = order
        self.part = part
        self._parts: defaultdict[int, bytearray] = defaultdict(bytearray)
        self._size = 0

    def add(self, records: Iterable[Mapping[str, str]], company: str) -> None:
        """Records by header, of one company. Agreements of items that are not released are left out."""
        place = self._order.place
        rows: defaultdict[int, list[list[str]]] = defaultdict(list)
        for record in records:
            found = place(record["ITEMNUMBER"])
            if found is not None:
                # A package is of one company and does not name it (F&O contract 6.1).
                row = [company, *(record.get(header, "") for header in _HEADERS[1:])]
                rows[found // PARTITION_ITEMS].append(row)
        for number, mine in rows.items():  # as text a row takes a tenth of the memory of its cells
            body = encode_rows(mine)
            self._parts[number] += body
            self._size += len(body)

    @property
    def is_full(self) -> bool:
        return self._size >= _FULL

    async def flush(self) -> None:
        for number, body in self._parts.items():
            spool = Spool(self._store, partition(self._run, number))
            await spool.put(self.part, bytes(body))
        self.part += bool(self._parts)
        self._parts.clear()
        self._size = 0


def partition(run: str, number: int) -> str:
    return f"{run}/agreements/{number:06d}"


class PackageStream:
    """Products of another stream, with the agreements of their partition. Items that were not there when
    the order was read have no agreements yet and are left to the next run."""

    def __init__(self, products: PriceStream, store: PartStore, run: str, order: Order) -> None:
        self._products = products
        self._store = store
        self._run = run
        self._order = order
        self._number = -1
        self._agreements: defaultdict[str, list[Record]] = defaultdict(list)
        self._waiting: deque[SourceItem] = deque()

    async def next(self) -> list[SourceItem]:
        """Never items of two partitions at once: a page of products may hold many."""
        found: list[SourceItem] = []
        while self._waiting or (not found and await self._more_products()):
            place = self._order.place(self._waiting[0].item)
            number = self._number if place is None else place // PARTITION_ITEMS
            if number != self._number:
                if found:
                    break
                await self._load(number)
            item = self._waiting.popleft()
            if place is not None:
                item.agreements = self._agreements.pop(item.item.casefold(), [])
                found.append(item)
        return found

    async def _more_products(self) -> bool:
        self._waiting.extend(await self._products.next())
        return bool(self._waiting)

    async def _load(self, number: int) -> None:
        self._agreements.clear()  # before the next ones are read
        found: defaultdict[str, list[Record]] = defaultdict(list)
        async for body in Spool(self._store, partition(self._run, number)).stream():
            for cells in decode_rows(body):
                found[cells[_ITEM].casefold()].append(_record(cells))
        self._number, self._agreements = number, found


def _record(cells: list[str]) -> Record:
    """As OData would have sent it. Raises ContractError for a number that is none."""
    row: dict[str, Any] = dict(zip(COLUMNS, cells, strict=True))
    for place in _NUMBERS:
        try:
            row[COLUMNS[place]] = Decimal(cells[place] or 0)
        except InvalidOperation:
            text = f"a data package with a {COLUMNS[place]} that is no number"
            raise ContractError(text, system="d365") from None
    return row


assert COLUMNS[0] == COMPANY
