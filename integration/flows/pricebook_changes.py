"""Which rows to write so that Salesforce holds what it should: pure comparisons (Salesforce contract 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from integration.errors import RecordRejected
from integration.mapping.price_books import STANDARD
from integration.mapping.products import EXTERNAL_ID
from integration.mapping.values import same

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from integration.flows.flow import Record
    from integration.flows.price_rules import PriceKey
    from integration.flows.pricebook_reader import Entry

ENTRY_KEY = "D365_Key__c"


@dataclass(frozen=True, slots=True)
class WantedItem:
    """What Salesforce should hold. `fields` of Product2; entries are left alone while it is inactive."""

    item: str
    fields: Record
    prices: Mapping[PriceKey, Decimal]
    digest: str = ""

    @property
    def is_active(self) -> bool:
        return bool(self.fields["IsActive"])

    @property
    def rows(self) -> int:
        """About the most rows that a push of it writes."""
        return 1 + len(self.prices)


@dataclass(frozen=True, slots=True)
class EntryWrite:
    """`values` with an Id are an update, without one an insert."""

    item: str
    book: str
    currency: str
    values: Record

    @property
    def key(self) -> str:
        return f"{self.book}|{self.item}|{self.currency}"

    @property
    def is_insert(self) -> bool:
        return "Id" not in self.values


@dataclass(slots=True)
class EntryWrites:
    """In the order in which they must go: a custom price needs an active standard one beside it."""

    standard: list[EntryWrite] = field(default_factory=list)
    custom: list[EntryWrite] = field(default_factory=list)
    closing: list[EntryWrite] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Org:
    """`books`: rule's name → id; `currencies`: whether the org has several."""

    books: Mapping[str, str]
    currencies: bool

    def place(self, key: PriceKey) -> tuple[str, str]:
        book, currency = key
        return self.books[book], currency if self.currencies else ""


def product_changes(wanted: Record, current: Record) -> Record:
    """The fields of Product2 that differ."""
    return {
        name: value
        for name, value in wanted.items()
        if name != EXTERNAL_ID and not same(current.get(name), value, "exact")
    }


def check_currencies(items: Iterable[WantedItem], org: Org) -> None:
    """Raises RecordRejected where an org of one currency should take prices in several."""
    found = sorted({currency for each in items for _, currency in each.prices})
    if not org.currencies and len(found) > 1:
        raise RecordRejected(
            f"the org has one currency, the prices have {', '.join(found)}; name it in [prices] currencies",
            reason="currencies",
            system="salesforce",
        )


def add_entry_writes(
    writes: EntryWrites,
    each: WantedItem,
    product_id: str,
    existing: Mapping[tuple[str, str], Entry],
    org: Org,
) -> None:
    """What the entries of one active item need."""
    wanted = {org.place(key) for key in each.prices}
    for key, price in each.prices.items():
        book, currency = key
        current = existing.get(org.place(key))
        if current is None:
            values = _new_entry(each.item, key, price, product_id, org)
        else:
            values = _entry_changes(current, f"{book}|{each.item}|{currency}", price)
        if values:
            phase = writes.standard if book == STANDARD else writes.custom
            phase.append(EntryWrite(each.item, book, currency, values))
    names = {book_id: name for name, book_id in org.books.items()}
    for (book_id, currency), entry in existing.items():
        # One that a person made and that no rule knows is theirs.
        if (book_id, currency) not in wanted and entry.active and entry.key:
            phase = writes.closing if names[book_id] == STANDARD else writes.custom
            values = {"Id": entry.id, "IsActive": False}
            phase.append(EntryWrite(each.item, names[book_id], currency, values))


def _new_entry(item: str, key: PriceKey, price: Decimal, product_id: str, org: Org) -> Record:
    book, currency = key
    values: Record = {
        ENTRY_KEY: f"{book}|{item}|{currency}",
        "Pricebook2Id": org.books[book],
        "Product2Id": product_id,
        "UnitPrice": price,
        "IsActive": True,
        "UseStandardPrice": False,
    }
    return {**values, "CurrencyIsoCode": currency} if org.currencies else values


def _entry_changes(current: Entry, key: str, price: Decimal) -> Record:
    values: Record = {}
    if current.follows_standard:
        values |= {"UseStandardPrice": False, "UnitPrice": price}
    elif current.price != price:
        values["UnitPrice"] = price
    if not current.active:
        values["IsActive"] = True
    if current.key != key:  # made by a person: taken over
        values[ENTRY_KEY] = key
    return {"Id": current.id, **values} if values else {}
