"""The rows of the items that changed, as parts of CSV in Spools until they are sent.

One Spool per kind of rows, in the order in which they must be sent: products, standard entries, custom ones,
then the standard entries to close. `unseen` are inactive products that may or may not be in Salesforce: they
are looked up, never created. Part n of every Spool is of the same items. Columns as in `Shape`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from integration.flows.pricebook_changes import ENTRY_KEY, Org, WantedItem
from integration.flows.pricing.held import PRODUCT, Plans
from integration.flows.pricing.item_fields import ACTIVE, INACTIVE
from integration.mapping.price_books import STANDARD
from integration.mapping.products import EXTERNAL_ID
from integration.salesforce.bulk_csv import CLEARED, decode_rows, encode_rows, encode_texts
from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from integration.flows.price_rules import PriceKey
    from integration.flows.pricing.item_fields import Cells
    from integration.flows.pricing.mapper import MappedItem
    from integration.state.pushed import Traits
    from integration.state.spool import PartStore

PRODUCTS, STANDARDS, CUSTOMS, CLOSING, UNSEEN = (
    "products",
    "standard",
    "custom",
    "closing",
    "unseen",
)
KINDS = (PRODUCTS, STANDARDS, CUSTOMS, CLOSING, UNSEEN)
FULL = 30_000  # rows in memory: some megabytes, also as a part
Row = tuple[str, ...]
_R = TypeVar("_R")


class Shape(NamedTuple):
    """The columns of the files. An org of one currency has no column for it."""

    product: Sequence[str]
    currencies: bool

    @property
    def entry(self) -> tuple[str, ...]:
        currency = ("CurrencyIsoCode",) if self.currencies else ()
        return (
            ENTRY_KEY,
            "Pricebook2Id",
            f"Product2.{EXTERNAL_ID}",
            *currency,
            "UnitPrice",
            "IsActive",
            "UseStandardPrice",
        )

    def columns(self, kind: str) -> tuple[str, ...]:
        if kind in (PRODUCTS, UNSEEN):
            return tuple(self.product)
        return (ENTRY_KEY, "IsActive") if kind == CLOSING else self.entry


class EntryRows:
    """Rows of price book entries."""

    def __init__(self, org: Org) -> None:
        self._books = org.books
        self._currencies = org.currencies
        self._untouched: Row = ("", "", "") if org.currencies else ("", "")

    def known(self, key: str, price: str) -> Row:
        """Leaves alone what can only be set on creation."""
        return (key, *self._untouched, price, ACTIVE, INACTIVE)

    def new(self, key: str, book: str, item: str, currency: str, price: str) -> Row:
        if self._currencies:
            return (key, self._books[book], item, currency, price, ACTIVE, INACTIVE)
        return (key, self._books[book], item, price, ACTIVE, INACTIVE)

    def closed(self, key: str) -> Row:
        """Of a custom book; it travels with the prices of its kind."""
        return (key, *self._untouched, "", INACTIVE, "")

    def other(self, row: Row) -> Row:
        """The same entry as a new one if it was written as known, and the reverse."""
        key, price = row[0], row[-3]
        if row[1]:
            return self.known(key, price)
        book, item, currency = split_key(key)
        return self.new(key, book, item, currency, price)


class Changes:
    """Writes the parts. `counts` of rows by kind, since the beginning."""

    def __init__(
        self, store: PartStore, run: str, org: Org, *, part: int, full: bool, plans: Plans
    ) -> None:
        self._spools = {kind: Spool(store, f"{run}/{kind}") for kind in KINDS}
        self._products: dict[str, list[Cells]] = {PRODUCTS: [], UNSEEN: []}
        self._prices: dict[str, list[Row]] = {STANDARDS: [], CUSTOMS: [], CLOSING: []}
        self._packed: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
        self._size = 0  # rows
        self._entries = EntryRows(org)
        self._full = full
        self._plans = plans
        self.part = part
        self.counts: Counter[str] = Counter()

    def add(self, mapped: MappedItem, traits: Traits) -> Traits:
        """Returns what Salesforce holds of the item once everything has arrived."""
        if not mapped.is_active:
            self._products[PRODUCTS if PRODUCT in traits else UNSEEN].append(mapped.cells)
            return traits
        item, rows, entries = mapped.item, self._prices, self._entries
        plan = self._plans.of(traits, tuple(mapped.prices))
        self._products[PRODUCTS].append(mapped.cells)
        for (book, currency), price in mapped.prices.items():
            key = f"{book}|{item}|{currency}"
            if (book, currency) in plan.known:
                row = entries.known(key, price)
            else:
                row = entries.new(key, book, item, currency, price)
            rows[STANDARDS if book == STANDARD else CUSTOMS].append(row)
        for book, currency in plan.closing + plan.closed if self._full else plan.closing:
            key = f"{book}|{item}|{currency}"
            if book == STANDARD:
                rows[CLOSING].append((key, INACTIVE))
            else:
                rows[CUSTOMS].append(entries.closed(key))
        return plan.after

    def pack(self) -> None:
        """Makes CSV of what was added. Soon after it: a few hundred rows are still in the processor's cache,
        and take less memory afterwards."""
        for kind, products in self._products.items():
            self._pack(kind, products, encode_rows)
        for kind, prices in self._prices.items():
            self._pack(kind, prices, encode_texts)

    def _pack(self, kind: str, rows: list[_R], encode: Callable[[list[_R]], bytes]) -> None:
        if rows:
            self._packed[kind].append(encode(rows))
            self.counts[kind] += len(rows)
            self._size += len(rows)
            rows.clear()

    @property
    def is_full(self) -> bool:
        """Of what is packed."""
        return self._size >= FULL

    async def flush(self) -> None:
        """Writes what there is as one more part."""
        self.pack()
        for kind, bodies in self._packed.items():
            if bodies:
                await self._spools[kind].put(self.part, b"".join(bodies))
                bodies.clear()
        self.part += self._size > 0
        self._size = 0


def split_key(key: str) -> tuple[str, str, str]:
    """Price book, item and currency; only the item may hold a bar."""
    book, _, rest = key.partition("|")
    item, _, currency = rest.rpartition("|")
    return book, item, currency


async def rows_of(store: PartStore, run: str, kind: str, part: int) -> list[list[str]]:
    """The rows of one part; none where there was nothing of this kind."""
    document = await store.read(f"spool/{run}/{kind}/{part:08d}")
    return list(decode_rows(document.body)) if document else []


async def wanted_items(
    store: PartStore, run: str, part: int, shape: Shape
) -> Iterator[tuple[str, WantedItem]]:
    """The items of one part, each with the kind of its product row, as the Collections path takes them."""
    prices: defaultdict[str, dict[PriceKey, Decimal]] = defaultdict(dict)
    for kind in (STANDARDS, CUSTOMS):
        for row in await rows_of(store, run, kind, part):
            if row[-2] == ACTIVE:
                book, item, currency = split_key(row[0])
                prices[item][book, currency] = Decimal(row[-3])
    found = [(kind, await rows_of(store, run, kind, part)) for kind in (PRODUCTS, UNSEEN)]
    return chain.from_iterable(
        ((kind, wanted_item(shape.product, row, prices)) for row in rows) for kind, rows in found
    )


def wanted_item(
    columns: Iterable[str], cells: Iterable[str | None], prices: dict[str, dict[PriceKey, Decimal]]
) -> WantedItem:
    """From a row of Product2 and the prices by item."""
    fields: dict[str, object] = {
        name: None if cell in (None, CLEARED) else cell
        for name, cell in zip(columns, cells, strict=True)
        if cell != ""
    }
    fields["IsActive"] = fields["IsActive"] == ACTIVE
    item = str(fields[EXTERNAL_ID])
    return WantedItem(item, fields, prices.get(item, {}))
