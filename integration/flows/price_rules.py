"""Which price an item has in each price book and currency today: a pure function (F&O contract 5.7).

Trade agreements come first: the customer's own, then its price group's, then those for all. Within a level
the most specific place, the lowest quantity break and the lowest unit price win; `WillSearchContinue` lets
the next level compete. Without an agreement the item's base price counts, where its currency is known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from integration.d365.values import decode_date, decode_decimal
from integration.mapping.price_books import STANDARD
from integration.mapping.products import COMPANY

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
        given = (
            self.customer and f"customer {self.customer}",
            self.group and f"group {self.group}",
        )
        return (*(level for level in given if level), "all")


@dataclass(frozen=True, slots=True)
class Agreement:
    """A usable row. `level` as in `BookRule.levels`; `price` for one unit."""

    company: str
    level: str
    currency: str
    price: Decimal
    break_at: Decimal
    site: str
    warehouse: str
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
                    _fold(book.group),
                    _fold(book.customer),
                    book.currencies,
                    _fold(book.site),
                    _fold(book.warehouse),
                )
                for name, book in prices.books.items()
            ),
        )
        self.companies = tuple(dict.fromkeys(rule.company for rule in self.rules))
        self._base = {name.lower(): currency for name, currency in prices.base_currencies.items()}
        self._step = Decimal(1).scaleb(-prices.decimals)

    def prices_of(
        self, products: Sequence[Record], agreements: Iterable[Record], today: date
    ) -> tuple[dict[PriceKey, Decimal], Counter[str]]:
        """One item: its product row per company, its agreements → its prices, and the agreements left
        out by reason. Raises ContractError for a value of the wrong type."""
        released = {_text(row, COMPANY): row for row in products}
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
        places = Counter(
            (row.company, row.level, row.currency, row.site, row.warehouse) for row in usable
        )
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
                prices[rule.book, currency] = price.quantize(self._step, ROUND_HALF_UP)
        return prices

    def _base_price(self, company: str, product: Record) -> tuple[str, Decimal] | None:
        currency, price = self._base.get(company), decode_decimal(product.get("SalesPrice", 0))
        if not currency or price <= 0:  # F&O's empty number is 0
            return None
        return currency, price / _price_unit(product)

    def _read(self, row: Record, released: dict[str, Record], today: date) -> Agreement | str:
        """The agreement, or why it is no price of a Salesforce price book."""
        company, currency = _text(row, COMPANY), str(row.get("PriceCurrencyCode") or "").upper()
        level, site = _level(row), _text(row, "PriceSiteId")
        warehouse = _text(row, "PriceWarehouseId")
        starts, ends = (decode_date(row.get(f"PriceApplicable{end}Date")) for end in ("From", "To"))
        of_company = [rule for rule in self.rules if rule.company == company]
        if company not in released or not of_company:
            return "company"
        if _text(row, "ItemCode") not in ("", "table"):
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
        if (starts and starts > today) or (ends and ends < today):
            return "not-effective"
        unit = _text(row, "QuantityUnitySymbol")
        if unit and unit != _text(released[company], "SalesUnitSymbol"):
            return "unit"
        price = decode_decimal(row.get("Price", 0)) / _price_unit(row)
        if price < 0:
            return "negative"
        return Agreement(
            company,
            level,
            currency,
            price,
            decode_decimal(row.get("FromQuantity", 0)),
            site,
            warehouse,
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
    match _text(row, "AccountCode"):
        case "table":
            return (
                f"customer {_text(row, 'CustomerAccountNumber') or _text(row, 'AccountRelation')}"
            )
        case "groupid":
            return f"group {_text(row, 'PriceCustomerGroupCode') or _text(row, 'AccountRelation')}"
        case _:
            return "all"


def _price_unit(row: Record) -> Decimal:
    """How many units the price is for; F&O takes 0 as 1."""
    return decode_decimal(row.get("SalesPriceQuantity", 1)) or Decimal(1)


def _text(row: Record, name: str) -> str:
    return _fold(row.get(name))


def _fold(value: object) -> str:
    return str(value or "").rstrip().casefold()
