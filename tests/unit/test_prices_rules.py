"""Which price an item has in which book and currency."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.flows.price_rules import PriceRules
from integration.mapping.customisation import load_customisation
from tests.unit.price_support import FOUR_BOOKS

TODAY = date(2026, 7, 31)
FILE = '\n[prices]\nbase_currencies = { usmf = "USD", demf = "EUR" }\n' + FOUR_BOOKS


def rules(text: str = FILE) -> PriceRules:
    return PriceRules(load_customisation(text).prices, "USMF")


def product(**fields: Any) -> dict[str, Any]:
    return {"dataAreaId": "usmf", "ItemNumber": "A1", "SalesUnitSymbol": "ea",
            "SalesPrice": Decimal(0), "SalesPriceQuantity": Decimal(1), **fields}  # fmt: skip


def row(price: str | int, **fields: Any) -> dict[str, Any]:
    return {"dataAreaId": "usmf", "ItemNumber": "A1", "ItemCode": "Table", "AccountCode": "All",
            "Price": Decimal(price), "SalesPriceQuantity": Decimal(1), "PriceCurrencyCode": "USD",
            "FromQuantity": Decimal(0), "QuantityUnitySymbol": "ea", "WillSearchContinue": "No",
            "PriceApplicableFromDate": "1900-01-01T12:00:00Z",
            "PriceApplicableToDate": "1900-01-01T12:00:00Z", **fields}  # fmt: skip


def group(price: str | int, **fields: Any) -> dict[str, Any]:
    return row(price, AccountCode="GroupId", PriceCustomerGroupCode="Deal", **fields)


def customer(price: str | int, number: str = "US-001", **fields: Any) -> dict[str, Any]:
    return row(price, AccountCode="Table", CustomerAccountNumber=number, **fields)


def of(*rows: dict[str, Any], products: list[dict[str, Any]] | None = None, text: str = FILE):
    prices, skipped = rules(text).prices_of(products or [product()], rows, TODAY)
    return {f"{book} {currency}": str(price) for (book, currency), price in prices.items()}, skipped


def test_the_base_price_is_the_fallback_and_its_unit_counts() -> None:
    prices, _ = of(products=[product(SalesPrice=Decimal("250"), SalesPriceQuantity=Decimal(100))])
    assert set(prices.values()) == {"2.50"}
    assert "standard USD" in prices
    prices, _ = of(row(9), products=[product(SalesPrice=Decimal(250))])
    assert prices["standard USD"] == "9.00"


def test_without_its_currency_no_base_price_is_guessed() -> None:
    assert of(products=[product(SalesPrice=Decimal(5))], text="")[0] == {}


def test_a_price_is_divided_by_its_unit_exactly_and_rounded_half_up() -> None:
    prices, _ = of(row("2.675", SalesPriceQuantity=Decimal(1)))
    assert prices["standard USD"] == "2.68"  # a float would give 2.67
    prices, _ = of(row(1, SalesPriceQuantity=Decimal(3)))
    assert prices["standard USD"] == "0.33"
    prices, _ = of(row(1, SalesPriceQuantity=Decimal(0)))
    assert prices["standard USD"] == "1.00"


def test_customer_comes_before_group_before_all() -> None:
    prices, _ = of(row(10), group(9), customer(8))
    assert prices["standard USD"] == "10.00"
    assert prices["Dealers USD"] == "9.00"
    assert prices["Key USD"] == "8.00"
    assert of(row(10), customer(8))[0]["Dealers USD"] == "10.00"


@pytest.mark.parametrize(("goes_on", "expected"), [("Yes", "7.00"), ("No", "9.00")])
def test_a_cheaper_price_of_the_next_level_counts_where_the_search_goes_on(
    goes_on: str, expected: str
) -> None:
    prices, _ = of(row(7), group(9, WillSearchContinue=goes_on))
    assert prices["Dealers USD"] == expected


def test_the_lowest_quantity_break_wins_then_the_lowest_price() -> None:
    prices, skipped = of(
        row(10, FromQuantity=Decimal(1)), row(6, FromQuantity=Decimal(50)),
        row(11, FromQuantity=Decimal(1)),
    )  # fmt: skip
    assert prices["standard USD"] == "10.00"
    assert skipped["outranked"] == 2


@pytest.mark.parametrize(
    ("starts", "ends", "counts"),
    [
        ("2026-07-31", "2026-07-31", True),
        ("2026-08-01", None, False),
        (None, "2026-07-30", False),
        ("2026-07-01", "2154-12-31T23:59:59Z", True),
        (None, None, True),
    ],
)
def test_only_prices_of_today_count(starts: str | None, ends: str | None, counts: bool) -> None:
    dates = {}
    for name, day in (("From", starts), ("To", ends)):
        if day:
            dates[f"PriceApplicable{name}Date"] = day if "T" in day else f"{day}T12:00:00Z"
    prices, skipped = of(row(10, **dates))
    assert ("standard USD" in prices) is counts
    assert skipped["not-effective"] == (0 if counts else 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"ProductColorId": "RED"}, "variant"),
        ({"ProductVersionId": "V2"}, "variant"),
        ({"PriceSiteId": "9"}, "place"),
        ({"PriceWarehouseId": "91"}, "place"),
        ({"QuantityUnitySymbol": "box"}, "unit"),
        ({"ItemCode": "GroupId"}, "not-one-item"),
        ({"Price": Decimal(-1)}, "negative"),
        ({"dataAreaId": "frrt"}, "company"),
        ({"AccountCode": "Table", "CustomerAccountNumber": "US-999"}, "customer"),
        ({"AccountCode": "GroupId", "PriceCustomerGroupCode": "VIP"}, "group"),
    ],
)
def test_rows_no_rule_maps_are_left_out_with_their_reason(
    fields: dict[str, Any], reason: str
) -> None:
    prices, skipped = of(row(10, **fields))
    assert prices == {}
    assert dict(skipped) == {reason: 1}


def test_a_currency_no_rule_wants_is_left_out() -> None:
    text = '[prices]\ncurrencies = ["EUR"]'
    prices, skipped = of(row(1), row(2, PriceCurrencyCode="EUR"), text=text)
    assert prices == {"standard EUR": "2.00"}
    assert dict(skipped) == {"currency": 1}


def test_a_rule_that_names_a_place_takes_its_prices_first() -> None:
    prices, _ = of(row(10), row(9, PriceSiteId="2"), row(8, PriceSiteId="2", PriceWarehouseId="24"))
    assert prices["Shop USD"] == "8.00"
    assert prices["standard USD"] == "10.00"


def test_a_book_of_another_company_takes_its_prices() -> None:
    both = [product(), product(dataAreaId="demf", SalesPrice=Decimal(20))]
    prices, _ = of(row(10), products=both)
    assert prices["Germany EUR"] == "20.00"
    assert prices["standard EUR"] == "20.00"  # Salesforce takes no custom price without one
    assert prices["standard USD"] == "10.00"


def test_codes_are_compared_as_f_and_o_does() -> None:
    prices, _ = of(row(9, AccountCode="GroupId", AccountRelation="deal ", PriceCurrencyCode="usd"))
    assert prices["Dealers USD"] == "9.00"


agreements = st.builds(
    row,
    st.decimals(0, 10**9, places=4),
    AccountCode=st.sampled_from(["All", "GroupId", "Table"]),
    AccountRelation=st.sampled_from(["DEAL", "US-001", "x", ""]),
    PriceCurrencyCode=st.sampled_from(["USD", "EUR", ""]),
    SalesPriceQuantity=st.decimals(0, 1000, places=2),
    FromQuantity=st.decimals(0, 10, places=0),
    ProductColorId=st.sampled_from(["", "", "R"]),
    WillSearchContinue=st.sampled_from(["Yes", "No"]),
)


@given(st.lists(agreements, max_size=8), st.randoms())
def test_the_order_of_the_rows_changes_nothing_and_every_price_has_its_places(
    rows: list[dict[str, Any]], random: Any
) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, skipped = rules().prices_of([product()], rows, TODAY)
    other, skipped_too = rules().prices_of([product()], shuffled, TODAY)
    assert one == other
    assert skipped == skipped_too
    assert all(isinstance(p, Decimal) and p.as_tuple().exponent == -2 for p in one.values())
    for book, currency in one:
        assert ("standard", currency) in one, book
