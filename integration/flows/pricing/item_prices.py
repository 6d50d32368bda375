"""`PriceRules.prices_of` for millions of rows: the same answer, with what repeats worked out once.

Where an agreement may count depends on a dozen texts that few rows differ in; they are looked up together.
What is left of a row is its day, its unit and its price. Rows in a form that this does not expect go to the
rules themselves.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from integration.d365.literals import COMPANY
from integration.d365.values import decode_date, decode_decimal
from integration.flows.price_rules import VARIANTS, fold, price_unit, text_in
from integration.mapping.price_books import STANDARD

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from datetime import date

    from integration.flows.flow import Record
    from integration.flows.price_rules import Place, PriceKey, PriceRules

_PLACE_COLUMNS = (
    COMPANY, "ItemCode", "AccountCode", "AccountRelation", "CustomerAccountNumber",
    "PriceCustomerGroupCode", "PriceCurrencyCode", "PriceSiteId", "PriceWarehouseId", *VARIANTS,
)  # fmt: skip
_place_columns = itemgetter(*_PLACE_COLUMNS)
_value_columns = itemgetter(
    "PriceApplicableFromDate", "PriceApplicableToDate", "QuantityUnitySymbol", "Price",
    "SalesPriceQuantity", "FromQuantity", "WillSearchContinue",
)  # fmt: skip
_REMEMBERED = 20_000  # combinations of texts; customers' own prices have the most
_WHOLE = 10**15  # whole numbers below this are written without calculating

Rank = tuple[bool, bool, Decimal | int, Decimal | int]
_Slot = tuple[int, str, int]  # number of the rule, currency, number of the level in it


class _Where(NamedTuple):
    """An agreement's place, by number, with the slots of the rules in which it competes."""

    number: int
    company: str
    no_warehouse: bool
    no_site: bool
    slots: tuple[_Slot, ...]


class ItemPrices:
    """For one day."""

    def __init__(self, rules: PriceRules, today: date) -> None:
        self._rules = rules
        self._today = today
        self._places: dict[object, _Where | str] = {}
        self._of_place: dict[Place, _Where] = {}
        self._days: dict[tuple[object, object], bool] = {}
        self._step = rules.step
        places = -int(rules.step.as_tuple().exponent)
        self._zeros = "." + "0" * places if places else ""

    def prices_of(
        self, products: Sequence[Record], agreements: Sequence[Record], skipped: Counter[str]
    ) -> dict[PriceKey, str]:
        """As `PriceRules.prices_of`, prices as text. Adds the agreements left out to `skipped`."""
        if max(len(self._places), len(self._days)) > _REMEMBERED:
            self._places.clear()
            self._of_place.clear()
            self._days.clear()
        try:
            best = self._best(products, agreements, skipped)
        except (KeyError, TypeError):  # a column is missing, or a value is no text
            prices, left_out = self._rules.prices_of(products, agreements, self._today)
            skipped.update(left_out)
            return {key: str(price) for key, price in prices.items()}
        return self._prices(products, best)

    def _best(
        self, products: Sequence[Record], agreements: Sequence[Record], skipped: Counter[str]
    ) -> dict[_Slot, tuple[Rank, bool]]:
        """The agreement that wins each slot."""
        units = {text_in(row, COMPANY): row["SalesUnitSymbol"] for row in products}
        best: dict[_Slot, tuple[Rank, bool]] = {}
        reasons: list[str] = []
        usable = 0
        used: set[int] = set()
        for row in agreements:
            starts, ends, unit, price, quantity, break_at, goes_on = _value_columns(row)
            effective = self._days.get((starts, ends))
            if effective is None:
                effective = self._is_effective(starts, ends)
            columns = _place_columns(row)
            where = self._places.get(columns) or self._place(columns)
            if isinstance(where, str):
                known = where == "company" or text_in(row, COMPANY) in units
                reasons.append(where if known else "company")
                continue
            number, company, no_warehouse, no_site, slots = where
            if company not in units:
                reasons.append("company")
                continue
            if not effective:
                reasons.append("not-effective")
                continue
            if unit and unit != units[company]:
                unit = fold(unit)
                if unit and unit != fold(units[company]):
                    reasons.append("unit")
                    continue
            if type(price) is not Decimal and type(price) is not int:
                price = decode_decimal(price)
            if quantity != 1:
                price = price / price_unit(row)
            if price < 0:
                reasons.append("negative")
                continue
            if type(break_at) is not int:
                break_at = decode_decimal(break_at)
            usable += 1
            used.add(number)
            rank = (no_warehouse, no_site, break_at, price)
            for slot in slots:
                held = best.get(slot)
                if held is None or rank < held[0]:
                    best[slot] = rank, goes_on == "Yes"
        skipped.update(reasons)
        if usable > len(used):
            skipped["outranked"] += usable - len(used)
        return best

    def _prices(
        self, products: Sequence[Record], best: dict[_Slot, tuple[Rank, bool]]
    ) -> dict[PriceKey, str]:
        found: dict[tuple[int, str], Decimal | int] = {}
        open_: dict[tuple[int, str], bool] = {}  # whether the next level competes
        for number, currency, level in sorted(best):
            (_, _, _, price), goes_on = best[number, currency, level]
            key = (number, currency)
            if key not in found:
                found[key] = price
                open_[key] = goes_on
            elif open_[key]:
                found[key] = min(found[key], price)
                open_[key] = goes_on
        self._add_base_prices(products, found)
        prices: dict[PriceKey, str] = {}
        for number, currency in sorted(found):
            text = self._text(found[number, currency])
            prices[self._rules.rules[number].book, currency] = text
            # Salesforce takes a custom price only beside a standard one (Salesforce contract 7.1).
            prices.setdefault((STANDARD, currency), text)
        return prices

    def _add_base_prices(
        self, products: Sequence[Record], found: dict[tuple[int, str], Decimal | int]
    ) -> None:
        for row in products:
            company = text_in(row, COMPANY)
            currency = self._rules.base_currency(company)
            price = row.get("SalesPrice", 0)
            if type(price) is not Decimal and type(price) is not int:
                price = decode_decimal(price)
            if not currency or price <= 0:  # F&O's empty number is 0
                continue
            if row.get("SalesPriceQuantity", 1) != 1:
                price = price / price_unit(row)
            for number, rule in enumerate(self._rules.rules):
                if rule.company == company and currency in (rule.currencies or (currency,)):
                    found.setdefault((number, currency), price)

    def _text(self, price: Decimal | int) -> str:
        if type(price) is int and price < _WHOLE:
            return f"{price}{self._zeros}"
        return str(Decimal(price).quantize(self._step, ROUND_HALF_UP))

    def _is_effective(self, starts: object, ends: object) -> bool:
        first, last = decode_date(starts), decode_date(ends)
        effective = not ((first and first > self._today) or (last and last < self._today))
        self._days[starts, ends] = effective
        return effective

    def _place(self, columns: tuple[object, ...]) -> _Where | str:
        place = self._rules.place_of(dict(zip(_PLACE_COLUMNS, columns, strict=True)))
        where = place if isinstance(place, str) else self._where(place)
        self._places[columns] = where
        return where

    def _where(self, place: Place) -> _Where:
        known = self._of_place.get(place)
        if known is not None:
            return known
        slots = tuple(
            (number, place.currency, rule.levels.index(place.level))
            for number, rule in enumerate(self._rules.rules)
            if rule.company == place.company
            and place.fits(rule)
            and place.level in rule.levels
            and place.currency in (rule.currencies or (place.currency,))
        )
        company, warehouse, site = place.company, place.warehouse, place.site
        where = _Where(len(self._of_place), company, not warehouse, not site, slots)
        self._of_place[place] = where
        return where
