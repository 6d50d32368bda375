"""Agreements out of an exported package: sorted into partitions first, then read beside the products.

A partition is a Spool with the agreements of some thousand items that follow each other in F&O's order, so
that products, read by OData in that order, find theirs in one partition after another. An agreement waits
as one line of text: that takes a tenth of the memory and time of its cells.
"""

from __future__ import annotations

from collections import defaultdict, deque
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from integration.d365.literals import COMPANY
from integration.errors import ContractError
from integration.flows.price_rules import AGREEMENT_FIELDS, VARIANTS
from integration.mapping.products import ITEM
from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from integration.flows.flow import Record
    from integration.flows.pricing.order import Order
    from integration.flows.pricing.source import PriceStream, SourceItem
    from integration.state.spool import PartStore

PARTITION_ITEMS = 10_000
_TOGETHER = 1000  # items handed on at once
_FULL = 16_000_000  # characters in memory until they are written
COLUMNS = (*AGREEMENT_FIELDS, *VARIANTS)
_ITEM = COLUMNS.index(ITEM)
_NUMBERS = tuple(COLUMNS.index(name) for name in ("Price", "SalesPriceQuantity", "FromQuantity"))
_CELL, _LINE = "\x1f", "\x1e"  # the separators of ASCII: no key or code holds them


class Partitions:
    """Writes agreements where their items are. `part` is the number of the next part of each Spool.

    `headers` are the columns of a row: a package is of one company and does not name it (F&O contract 6.1).
    """

    headers = tuple(column.upper() for column in COLUMNS[1:])

    def __init__(self, store: PartStore, run: str, order: Order, part: int) -> None:
        self._store = store
        self._run = run
        self._order = order
        self.part = part
        self._lines: defaultdict[int, list[str]] = defaultdict(list)
        self._size = 0

    def add(self, rows: Iterable[tuple[str, ...]], company: str) -> None:
        """Rows of one company. Agreements of items that are not released are left out."""
        place = self._order.place
        for row in rows:
            found = place(row[_ITEM - 1])
            if found is not None:
                line = _line(company, row)
                self._lines[found // PARTITION_ITEMS].append(line)
                self._size += len(line)

    @property
    def is_full(self) -> bool:
        return self._size >= _FULL

    async def flush(self) -> None:
        for number, lines in self._lines.items():
            spool = Spool(self._store, partition(self._run, number))
            await spool.put(self.part, _LINE.join(lines).encode(errors="replace"))
        self.part += bool(self._lines)
        self._lines.clear()
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
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        self._waiting: deque[SourceItem] = deque()

    async def next(self) -> list[SourceItem]:
        """Never so many that their agreements fill the memory: a page of products may hold many."""
        found: list[SourceItem] = []
        while self._waiting or (not found and await self._more_products()):
            place = self._order.place(self._waiting[0].item)
            number = self._number if place is None else place // PARTITION_ITEMS
            if found and (number != self._number or len(found) == _TOGETHER):
                break
            if number != self._number:
                await self._load(number)
            item = self._waiting.popleft()
            if place is not None:
                lines = self._lines.pop(item.item.casefold(), ())
                item.agreements = [_record(line) for line in lines]
                found.append(item)
        return found

    async def _more_products(self) -> bool:
        self._waiting.extend(await self._products.next())
        return bool(self._waiting)

    async def _load(self, number: int) -> None:
        self._lines.clear()  # before the next ones are read
        found: defaultdict[str, list[str]] = defaultdict(list)
        async for body in Spool(self._store, partition(self._run, number)).stream():
            for line in body.decode().split(_LINE):
                found[line.split(_CELL, _ITEM + 1)[_ITEM].casefold()].append(line)
        self._number, self._lines = number, found


def _line(company: str, row: Sequence[str]) -> str:
    line = _CELL.join((company, *row))
    if line.count(_CELL) != len(row) or _LINE in line:
        plain = str.maketrans({_CELL: " ", _LINE: " "})
        line = _CELL.join((company, *(cell.translate(plain) for cell in row)))
    return line


def _record(line: str) -> Record:
    """As OData would have sent it. Raises ContractError for a number that is none."""
    cells: list[Any] = line.split(_CELL)
    for place in _NUMBERS:
        try:
            cells[place] = Decimal(cells[place] or 0)
        except InvalidOperation:
            text = f"a data package with a {COLUMNS[place]} that is no number"
            raise ContractError(text, system="d365") from None
    return dict(zip(COLUMNS, cells, strict=True))


assert COLUMNS[0] == COMPANY
