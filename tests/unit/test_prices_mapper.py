"""The fast ways through the price rules and the product table give what the rules and the table give."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.errors import ContractError, RecordRejected
from integration.flows.price_rules import VARIANTS, PriceRules
from integration.flows.pricing.held import NOTHING, Plans
from integration.flows.pricing.item_fields import ItemFields
from integration.flows.pricing.item_prices import ItemPrices
from integration.flows.pricing.mapper import ItemMapper
from integration.flows.pricing.source import SourceItem
from integration.mapping.customisation import load_customisation
from integration.mapping.products import ProductMapping
from tests.unit.price_support import FOUR_BOOKS

TODAY = date(2026, 7, 31)
FILE = (
    """
[prices]
base_currencies = { usmf = "USD", demf = "EUR" }
inactive = { ProductLifecycleStateId = ["Obsolete"] }
product_fields = { Family = "ProductGroupId" }
"""
    + FOUR_BOOKS
)
EMPTY = dict.fromkeys(VARIANTS, "")

days = st.sampled_from(
    ["1900-01-01T12:00:00Z", "2026-07-30T12:00:00Z", "2026-07-31T12:00:00Z",
     "2026-08-01T12:00:00Z", "2154-12-31T23:59:59Z"]
)  # fmt: skip
money = st.one_of(st.integers(-1, 10**6), st.decimals(-1, 10**6, places=4))
quantities = st.one_of(st.sampled_from([0, 1, Decimal(1), Decimal("2.5")]), st.integers(0, 300))
agreements = st.fixed_dictionaries(
    {
        "dataAreaId": st.sampled_from(["usmf", "USMF", "demf", "frrt"]),
        "ItemCode": st.sampled_from(["Table", "Table", "", "GroupId"]),
        "AccountCode": st.sampled_from(["All", "GroupId", "Table"]),
        "AccountRelation": st.sampled_from(["DEAL", "US-001", "x", ""]),
        "CustomerAccountNumber": st.sampled_from(["US-001", "us-002", ""]),
        "PriceCustomerGroupCode": st.sampled_from(["Deal ", "VIP", ""]),
        "Price": money,
        "SalesPriceQuantity": quantities,
        "PriceCurrencyCode": st.sampled_from(["USD", "usd", "EUR", ""]),
        "FromQuantity": quantities,
        "QuantityUnitySymbol": st.sampled_from(["ea", "EA ", "box", "", " "]),
        "PriceApplicableFromDate": days,
        "PriceApplicableToDate": days,
        "PriceSiteId": st.sampled_from(["", "", "2", "3"]),
        "PriceWarehouseId": st.sampled_from(["", "", "24", "25"]),
        "WillSearchContinue": st.sampled_from(["Yes", "No"]),
        "ProductColorId": st.sampled_from(["", "", "", "R"]),
        "RecordId": st.integers(1, 10**9),
    }
).map(lambda row: EMPTY | row)  # fmt: skip
products = st.lists(
    st.fixed_dictionaries(
        {
            "dataAreaId": st.sampled_from(["usmf", "demf"]),
            "SalesUnitSymbol": st.sampled_from(["ea", "Ea", "box", ""]),
            "SalesPrice": money,
            "SalesPriceQuantity": quantities,
        }
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda row: row["dataAreaId"],
)


@pytest.mark.parametrize("text", [FILE, FILE.replace("[prices]", "[prices]\ndecimals = 0")])
@settings(max_examples=400, deadline=None)
@given(products=products, rows=st.lists(agreements, max_size=8))
def test_the_fast_way_gives_what_the_rules_give(
    text: str, products: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    rules = PriceRules(load_customisation(text).prices, "usmf")
    expected, left_out = rules.prices_of(products, rows, TODAY)
    fast = ItemPrices(rules, TODAY)
    for _ in range(2):  # the second time from what it remembers
        skipped: Counter[str] = Counter()
        found = fast.prices_of(products, rows, skipped)
        assert found == {key: str(price) for key, price in expected.items()}
        assert +skipped == left_out


def test_rows_without_a_column_go_to_the_rules() -> None:
    rules = PriceRules(load_customisation(FILE).prices, "usmf")
    skipped: Counter[str] = Counter()
    product = {"dataAreaId": "usmf", "SalesUnitSymbol": "ea"}
    row = {"dataAreaId": "usmf", "Price": Decimal(5), "PriceCurrencyCode": "USD"}
    found = ItemPrices(rules, TODAY).prices_of([product], [row], skipped)
    assert found["standard", "USD"] == "5.00"


@pytest.mark.parametrize("price", ["12", None, True, 1.5])
def test_a_price_that_is_no_exact_number_is_no_price(price: object) -> None:
    rules = PriceRules(load_customisation(FILE).prices, "usmf")
    product = {"dataAreaId": "usmf", "SalesUnitSymbol": "ea", "SalesPrice": 0}
    row = {**EMPTY, "dataAreaId": "usmf", "ItemCode": "", "AccountCode": "All", "Price": price,
           "AccountRelation": "", "CustomerAccountNumber": "", "PriceCustomerGroupCode": "",
           "SalesPriceQuantity": 1, "PriceCurrencyCode": "USD", "FromQuantity": 0, "PriceSiteId": "",
           "QuantityUnitySymbol": "", "PriceApplicableFromDate": "", "PriceApplicableToDate": "",
           "PriceWarehouseId": "", "WillSearchContinue": "No"}  # fmt: skip
    with pytest.raises(ContractError):
        ItemPrices(rules, TODAY).prices_of([product], [row], Counter())


texts = st.one_of(
    st.sampled_from(["", " ", "A1", "Pümpe", "x" * 256, "ä" * 255, "😀" * 200, "a\nb", " a", "a ", "\t"]),
    st.text(max_size=30),
    st.none(),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    row=st.fixed_dictionaries(
        {
            "ItemNumber": st.one_of(st.sampled_from(["A1", " A", "A ", "x" * 21, "Ä1"]), texts),
            "ProductSearchName": texts,
            "SearchName": texts,
            "ProductNumber": texts,
            "ProductGroupId": texts,
            "ProductLifecycleStateId": st.sampled_from(["", "obsolete ", "Live"]),
        }
    ),
    missing=st.sampled_from(["", "SearchName", "ProductGroupId", "ItemNumber"]),
    stopped=st.booleans(),
)
def test_the_cells_of_an_item_are_what_the_table_says(
    row: dict[str, Any], missing: str, *, stopped: bool
) -> None:
    row = {name: value for name, value in row.items() if name != missing} | {"dataAreaId": "USMF"}
    prices = load_customisation(FILE).prices
    mapping, fields = ProductMapping(prices), ItemFields(prices)
    stops = {"usmf"} if stopped else set()
    try:
        expected = mapping.map([row], [] if stopped else [row])
    except RecordRejected:
        with pytest.raises(RecordRejected):
            fields.cells([row], stops)
        return
    cells = dict(zip(fields.columns, fields.cells([row], stops), strict=True))
    assert cells.pop("IsActive") == ("true" if expected.pop("IsActive") else "false")
    assert {name: cell for name, cell in cells.items() if cell != ""} == expected


def mapper() -> ItemMapper:
    prices = load_customisation(FILE).prices
    return ItemMapper(prices, PriceRules(prices, "usmf"), TODAY)


def source(**fields: Any) -> SourceItem:
    row = {"dataAreaId": "usmf", "ItemNumber": "A1", "ProductNumber": "A1", "SearchName": "",
           "ProductSearchName": "Pump", "ProductGroupId": "", "ProductLifecycleStateId": "",
           "SalesPrice": 10, "SalesPriceQuantity": 1, "SalesUnitSymbol": "ea"}  # fmt: skip
    return SourceItem("A1", [row | fields])


@pytest.mark.parametrize(
    "fields",
    [
        {"SalesPrice": 11},
        {"ProductSearchName": "Pumps"},
        {"ProductGroupId": "G"},
        {"ProductLifecycleStateId": "Obsolete"},
    ],
)
def test_whatever_is_sent_changes_the_fingerprint(fields: dict[str, Any]) -> None:
    before = mapper().map(source(), Counter()).digest()
    assert mapper().map(source(), Counter()).digest() == before
    assert mapper().map(source(**fields), Counter()).digest() != before


def test_an_inactive_item_has_no_prices() -> None:
    mapped = mapper().map(source(ProductLifecycleStateId="Obsolete"), Counter())
    assert (mapped.is_active, mapped.prices) == (False, {})


def test_a_plan_knows_the_entries_and_those_to_close() -> None:
    usd, eur, book = ("standard", "USD"), ("standard", "EUR"), ("A book", "USD")
    plans = Plans()
    first = plans.of(NOTHING, (usd, eur))
    assert (first.known, first.closing) == (frozenset(), ())
    second = plans.of(first.after, (usd, book))
    assert second.known == {usd}
    assert (second.closing, second.closed) == ((eur,), ())
    third = plans.of(second.after, (usd,))
    assert (third.closing, third.closed) == ((book,), (eur,))
    back = plans.of(third.after, (eur, usd))
    assert back.known == {eur, usd}
    assert (back.closing, back.closed) == ((), (book,))
