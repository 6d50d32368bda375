"""Agreements out of an exported package: sorted into partitions first, then read beside the products.

A partition is a Spool with the agreements of some thousand items that follow each other in F&O's order, so
that products, read by OData in that order, find theirs in one partition after another.
"""

from __future__ import annotations

from collections import defaultdict
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

PARTITION_ITEMS = 4000
_FULL = 100_000  # rows in memory until they are written
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
        self._rows: defaultdict[int, list[list[str]]] = defaultdict(list)
        self._count = 0

    def add(self, records: Iterable[Mapping[str, str]], company: str) -> None:
        """Records by header, of one company. Agreements of items that are not released are left out."""
        place = self._order.place
        for record in records:
            found = place(record["ITEMNUMBER"])
            if found is not None:
                # A package is of one company and does not name it (F&O contract 6.1).
                row = [company, *(record.get(header, "") for header in _HEADERS[1:])]
                self._rows[found // PARTITION_ITEMS].append(row)
                self._count += 1

    @property
    def is_full(self) -> bool:
        return self._count >= _FULL

    async def flush(self) -> None:
        for number, rows in self._rows.items():
            spool = Spool(self._store, partition(self._run, number))
            await spool.put(self.part, encode_rows(rows))
        self.part += bool(self._rows)
        self._rows.clear()
        self._count = 0


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

    async def next(self) -> list[SourceItem]:
        while items := await self._products.next():
            found = []
            for item in items:
                place = self._order.place(item.item)
                if place is None:
                    continue
                if place // PARTITION_ITEMS != self._number:
                    await self._load(place // PARTITION_ITEMS)
                item.agreements = self._agreements.pop(item.item.casefold(), [])
                found.append(item)
            if found:
                return found
        return []

    async def _load(self, number: int) -> None:
        self._number = number
        self._agreements.clear()
        async for body in Spool(self._store, partition(self._run, number)).stream():
            for cells in decode_rows(body):
                record = _record(cells)
                self._agreements[cells[_ITEM].casefold()].append(record)


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
