"""Which price an item has in each price book and currency today: a pure function (F&O contract 5.7).

Trade agreements come first: the customer's own, then its price group's, then those for all. Within a level
the most specific place, the lowest quantity break and the lowest unit price win; `WillSearchContinue` lets
the next level compete. Without an agreement the item's base price counts, where its currency is known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

from integration.d365.literals import COMPANY
from integration.d365.values import decode_date, decode_decimal
from integration.mapping.price_books import STANDARD

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from integration.flows.flow import Record
    from integration.mapping.price_books import Prices

AGREEMENT_FIELDS = (
    "dataAreaId", "RecordId", "ItemNumber", "ItemCode", "AccountCode", "AccountRelation",
    "CustomerAccountNumber", "PriceCustomerGroupCode", "Price", "SalesPriceQuantity",
    "PriceCurrencyCode", "FromQuantity", "QuantityUnitySymbol", "PriceApplicableFromDate",
    "PriceApplicableToDate", "PriceSiteId", "PriceWarehouseId", "WillSearchContinue",
)  # fmt: skip
VARIANTS = (
    "ProductConfigurationId", "ProductColorId", "ProductSizeId", "ProductStyleId",
    "ProductVersionId",
)  # fmt: skip
PriceKey = tuple[str, str]  # price book, currency


@dataclass(frozen=True, slots=True)
class BookRule:
    """Texts as F&O compares them: without regard to case."""

    book: str
    company: str
    group: str = ""
    customer: str = ""
    currencies: tuple[str, ...] = ()
    site: str = ""
    warehouse: str = ""

    @property
    def levels(self) -> tuple[str, ...]:
        given = (("customer", self.customer), ("group", self.group))
        return (*(f"{level} {code}" for level, code in given if code), "all")


class Place(NamedTuple):
    """Which prices an agreement competes with. `level` as in `BookRule.levels`."""

    company: str
    level: str
    currency: str
    site: str
    warehouse: str

    def fits(self, rule: BookRule) -> bool:
        return self.site in ("", rule.site) and self.warehouse in ("", rule.warehouse)


@dataclass(frozen=True, slots=True)
class Agreement:
    """A usable row; `price` for one unit."""

    company: str
    level: str
    currency: str
    site: str
    warehouse: str
    price: Decimal
    break_at: Decimal
    goes_on: bool

    def fits(self, rule: BookRule) -> bool:
        return self.site in ("", rule.site) and self.warehouse in ("", rule.warehouse)

    @property
    def rank(self) -> tuple[bool, bool, Decimal, Decimal]:
        """The smallest wins: warehouse before site before any place, then break, then price."""
        return (not self.warehouse, not self.site, self.break_at, self.price)


class PriceRules:
    def __init__(self, prices: Prices, default_company: str) -> None:
        """`default_company` is the setting D365_COMPANY."""
        company = (prices.company or default_company).lower()
        self.rules = (
            BookRule(STANDARD, company, currencies=prices.currencies),
            *(
                BookRule(
                    name,
                    book.company or company,
                    fold(book.group),
                    fold(book.customer),
                    book.currencies,
                    fold(book.site),
                    fold(book.warehouse),
                )
                for name, book in prices.books.items()
            ),
        )
        self.companies = tuple(dict.fromkeys(rule.company for rule in self.rules))
        self._base = {name.lower(): currency for name, currency in prices.base_currencies.items()}
        self.step = Decimal(1).scaleb(-prices.decimals)

    def prices_of(
        self, products: Sequence[Record], agreements: Iterable[Record], today: date
    ) -> tuple[dict[PriceKey, Decimal], Counter[str]]:
        """One item: its product row per company, its agreements → its prices, and the agreements left
        out by reason. Raises ContractError for a value of the wrong type."""
        released = {text_in(row, COMPANY): row for row in products}
        skipped: Counter[str] = Counter()
        usable: list[Agreement] = []
        for row in agreements:
            found = self._read(row, released, today)
            if isinstance(found, str):
                skipped[found] += 1
            else:
                usable.append(found)
        prices: dict[PriceKey, Decimal] = {}
        for rule in self.rules:
            if rule.company in released:
                prices |= self._of_book(rule, usable, released[rule.company])
        for (book, currency), price in list(prices.items()):
            # Salesforce takes a custom price only beside a standard one (Salesforce contract 7.1).
            if book != STANDARD and (STANDARD, currency) not in prices:
                prices[STANDARD, currency] = price
        # A higher quantity break, or a second price of the same rank.
        places = Counter((r.company, r.level, r.currency, r.site, r.warehouse) for r in usable)
        skipped["outranked"] += sum(places.values()) - len(places)
        return prices, +skipped

    def _of_book(
        self, rule: BookRule, usable: list[Agreement], product: Record
    ) -> dict[PriceKey, Decimal]:
        mine = [row for row in usable if row.company == rule.company and row.fits(rule)]
        base = self._base_price(rule.company, product)
        currencies = rule.currencies or tuple(
            dict.fromkeys([row.currency for row in mine] + ([base[0]] if base else []))
        )
        prices: dict[PriceKey, Decimal] = {}
        for currency in currencies:
            price = _best(rule, [row for row in mine if row.currency == currency])
            if price is None and base and base[0] == currency:
                price = base[1]
            if price is not None:
                prices[rule.book, currency] = price.quantize(self.step, ROUND_HALF_UP)
        return prices

    def _base_price(self, company: str, product: Record) -> tuple[str, Decimal] | None:
        currency, price = self._base.get(company), decode_decimal(product.get("SalesPrice", 0))
        if not currency or price <= 0:  # F&O's empty number is 0
            return None
        return currency, price / price_unit(product)

    def place_of(self, row: Record) -> Place | str:
        """Where the agreement may count, or why it is no price of a Salesforce price book. Says nothing of
        the item, the day, the unit and the price."""
        company, currency = text_in(row, COMPANY), str(row.get("PriceCurrencyCode") or "").upper()
        level, site = _level(row), text_in(row, "PriceSiteId")
        warehouse = text_in(row, "PriceWarehouseId")
        of_company = [rule for rule in self.rules if rule.company == company]
        if not of_company:
            return "company"
        if text_in(row, "ItemCode") not in ("", "table"):
            return "not-one-item"
        if any(row.get(name) for name in VARIANTS):
            return "variant"
        at_level = [rule for rule in of_company if level in rule.levels]
        if not at_level:
            return level.split(" ")[0]  # "customer" or "group"
        if not any(site in ("", r.site) and warehouse in ("", r.warehouse) for r in at_level):
            return "place"
        if not currency or not any(currency in (r.currencies or (currency,)) for r in at_level):
            return "currency"
        return Place(company, level, currency, site, warehouse)

    def base_currency(self, company: str) -> str | None:
        return self._base.get(company)

    def _read(self, row: Record, released: dict[str, Record], today: date) -> Agreement | str:
        """The agreement, or why it is no price of a Salesforce price book."""
        starts, ends = (decode_date(row.get(f"PriceApplicable{end}Date")) for end in ("From", "To"))
        if text_in(row, COMPANY) not in released:
            return "company"
        place = self.place_of(row)
        if isinstance(place, str):
            return place
        if (starts and starts > today) or (ends and ends < today):
            return "not-effective"
        unit = text_in(row, "QuantityUnitySymbol")
        if unit and unit != text_in(released[place.company], "SalesUnitSymbol"):
            return "unit"
        price = decode_decimal(row.get("Price", 0)) / price_unit(row)
        if price < 0:
            return "negative"
        return Agreement(
            *place,
            price,
            decode_decimal(row.get("FromQuantity", 0)),
            row.get("WillSearchContinue") == "Yes",
        )


def _best(rule: BookRule, rows: list[Agreement]) -> Decimal | None:
    best: Decimal | None = None
    for level in rule.levels:
        found = min(
            (row for row in rows if row.level == level), key=lambda row: row.rank, default=None
        )
        if found is None:
            continue
        best = found.price if best is None else min(best, found.price)
        if not found.goes_on:
            break
    return best


def _level(row: Record) -> str:
    match text_in(row, "AccountCode"):
        case "table":
            return f"customer {text_in(row, 'CustomerAccountNumber') or text_in(row, 'AccountRelation')}"
        case "groupid":
            return (
                f"group {text_in(row, 'PriceCustomerGroupCode') or text_in(row, 'AccountRelation')}"
            )
        case _:
            return "all"


def price_unit(row: Record) -> Decimal:
    """How many units the price is for; F&O takes 0 as 1."""
    return decode_decimal(row.get("SalesPriceQuantity", 1)) or Decimal(1)


def text_in(row: Record, name: str) -> str:
    return fold(row.get(name))


def fold(value: object) -> str:
    return str(value or "").rstrip().casefold()
