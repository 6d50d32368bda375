"""Opportunity → order: exact numbers, nothing cut that counts, every problem in a salesperson's words."""

import os
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.mapping.customisation import load_customisation
from integration.mapping.order_tables import header_table, line_table
from integration.mapping.orders import MappedOrder, OrderMapping, flat, order_mapping
from integration.mapping.registry import Books
from integration.mapping.values import length_of
from integration.settings import OrderSettings
from tests.unit.order_support import orders

OPPORTUNITY = "006Aa0000000001"
EVERYTHING = {
    "po_number_field": "PO__c",
    "delivery_address": "account-shipping",
    "prices_include_tax": "yes",
    "unit_field": "QuantityUnitOfMeasure",
    "units": "Each=ea,Box=box",
    "site": "1",
    "warehouse": "13",
}


def mapping(text: str | None = None, **changes: str) -> OrderMapping:
    return order_mapping(load_customisation(text), orders(**changes), default_company="usmf")


def opportunity(**values: Any) -> dict[str, Any]:
    return {"Id": OPPORTUNITY, "CurrencyIsoCode": "USD", "CloseDate": "2025-02-20", **values}


def item(**values: Any) -> dict[str, Any]:
    return {
        "Id": "00kAa0000000001", "Quantity": 2, "UnitPrice": Decimal("10.10"), "Discount": None,
        "ServiceDate": None, "TotalPrice": Decimal("20.20"), "Product2.Name": "Cabinet",
        "Product2.D365_Item_Number__c": "D0001", "Product2.ProductCode": "CAB-1", **values,
    }  # fmt: skip


def line_of(given: dict[str, Any], **changes: str) -> Any:
    [line] = mapping(**changes).map(opportunity(), [given]).lines
    return line


def test_the_defaults_send_ids_numbers_and_dates() -> None:
    mapped = mapping().map(opportunity(), [item(ServiceDate="2025-04-01", Discount=Decimal("5.5"))])
    assert mapped.problems == ()
    assert mapped.company == "usmf"
    assert mapped.header == {
        "SalesforceOpportunityId": "006Aa0000000001IAA",
        "CurrencyCode": "USD",
        "RequestedShippingDate": "2025-02-20T12:00:00Z",
        "RequestedReceiptDate": "2025-02-20T12:00:00Z",
    }
    assert mapped.lines[0].values == {
        "SalesforceLineId": "00kAa0000000001IAA",
        "ItemNumber": "D0001",
        "OrderedSalesQuantity": Decimal("2.00"),
        "SalesPrice": Decimal("10.10"),
        "SalesPriceQuantity": 1,
        "LineDiscountPercentage": Decimal("5.5"),
        "RequestedShippingDate": "2025-04-01T12:00:00Z",
        "RequestedReceiptDate": "2025-04-01T12:00:00Z",
    }
    assert mapped.lines[0].label == "line 1 (Cabinet)"


def test_the_settings_decide_what_else_is_sent() -> None:
    shipping = {
        "Account.Name": "Acme", "Account.ShippingStreet": "Dock 4", "Account.ShippingCity": "Ulm",
        "Account.ShippingCountry": "Germany", "PO__c": "PO-77",
    }  # fmt: skip
    units = {"Product2.QuantityUnitOfMeasure": "Each"}
    mapped = mapping(**EVERYTHING).map(opportunity(**shipping), [item(**units)])
    assert mapped.all_problems() == []
    assert (
        mapped.header
        | {
            "CustomerRequisitionNumber": "PO-77",
            "ArePricesIncludingSalesTax": "Yes",
            "DefaultShippingSiteId": "1",
            "DefaultShippingWarehouseId": "13",
            "IsDeliveryAddressOrderSpecific": "Yes",
            "DeliveryAddressName": "Acme",
            "DeliveryAddressStreet": "Dock 4",
            "DeliveryAddressCity": "Ulm",
            "DeliveryAddressCountryRegionId": "DEU",
        }
        == mapped.header
    )
    assert mapped.lines[0].values["SalesUnitSymbol"] == "ea"


def test_an_account_without_a_shipping_address_leaves_the_customers_own() -> None:
    mapped = mapping(delivery_address="account-shipping").map(
        opportunity(**{"Account.Name": "Acme", "Account.ShippingCountry": "Germany"}), []
    )
    assert not any(name.startswith(("Delivery", "IsDelivery")) for name in mapped.header)


def test_dates_can_be_left_to_dynamics() -> None:
    mapped = mapping(date_field="none", line_date_field="none").map(opportunity(), [item()])
    fields = {*mapped.header, *mapped.lines[0].values}
    assert not any(name.startswith("Requested") for name in fields)


def test_the_product_code_stands_in_for_an_item_number() -> None:
    assert line_of(item(**{"Product2.D365_Item_Number__c": None})).item == "CAB-1"


@pytest.mark.parametrize(
    ("quantity", "decimals", "ordered"),
    [
        ("1.005", "2", "1.01"),
        ("1.00499999", "2", "1.00"),
        ("2.5", "0", "3"),
        ("0.12345678", "8", "0.12345678"),
        (3, "2", "3.00"),
    ],
)
def test_quantities_round_half_up(quantity: Any, decimals: str, ordered: str) -> None:
    value = quantity if isinstance(quantity, int) else Decimal(quantity)
    line = line_of(item(Quantity=value), quantity_decimals=decimals)
    assert str(line.quantity) == ordered


@pytest.mark.parametrize("quantity", [Decimal("0.004"), 0, None, -1])
def test_a_quantity_that_orders_nothing_is_a_problem(quantity: Any) -> None:
    [problem] = line_of(item(Quantity=quantity)).problems
    assert problem.startswith("line 1 (Cabinet): the quantity rounds to")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"UnitPrice": None}, "UnitPrice is empty"),
        ({"Product2.D365_Item_Number__c": None, "Product2.ProductCode": None}, "names no item"),
        ({"Product2.D365_Item_Number__c": "X" * 21}, "21 characters"),
    ],
)
def test_what_a_line_lacks_is_said(values: dict[str, Any], said: str) -> None:
    assert said in " ".join(line_of(item(**values)).problems)


def test_a_po_number_is_never_cut() -> None:
    mapped = mapping(po_number_field="PO__c").map(opportunity(PO__c="P" * 21), [item()])
    assert "PO__c is 21 characters long" in mapped.all_problems()[0]


def test_an_unknown_unit_is_a_problem() -> None:
    given = item(**{"Product2.QuantityUnitOfMeasure": "Pallet"})
    line = line_of(given, unit_field="QuantityUnitOfMeasure", units="Each=ea")
    assert "Product2.QuantityUnitOfMeasure is not in the table" in line.problems[0]


def test_the_company_follows_the_account() -> None:
    file = '[companies]\nfield = "Entity__c"\ndefault = "usmf"'
    mapped = mapping(file).map(opportunity(**{"Account.Entity__c": "DEMF"}), [item()])
    assert mapped.company == "demf"
    assert "Account.Entity__c" in mapping(file).source_fields(set(), {"Entity__c"})
    wrong = mapping(file).map(opportunity(**{"Account.Entity__c": "too-long"}), [item()])
    assert wrong.company == ""
    assert "no company" in wrong.all_problems()[0]


def test_fields_an_org_lacks_are_not_asked_for() -> None:
    everything = mapping(**EVERYTHING)
    assert "CurrencyIsoCode" not in everything.source_fields(set(), set())
    assert "Account.ShippingCountryCode" not in everything.source_fields(set(), set())
    codes = {"ShippingCountryCode", "ShippingStateCode"}
    assert "Account.ShippingCountryCode" in everything.source_fields({"CurrencyIsoCode"}, codes)


def test_when_it_was_won_is_read_from_dates_and_times() -> None:
    own = mapping(won_date_field="Won__c")
    assert str(own.won_on({"Won__c": "2025-01-31"})) == "2025-01-31"
    assert str(own.won_on({"Won__c": "2025-01-31T23:30:00.000-0200"})) == "2025-02-01"
    assert own.won_on({"Won__c": "soon"}) is own.won_on({}) is None


def test_related_records_become_paths() -> None:
    row = {
        "attributes": {"type": "x"}, "Id": "1", "Lines": {"records": []},
        "Account": {"attributes": {}, "Name": "A", "Owner": {"Name": "B"}}, "Product2": None,
    }  # fmt: skip
    expected = {"Id": "1", "Account.Name": "A", "Account.Owner.Name": "B", "Product2": None}
    assert flat(row) == expected


def test_an_existing_order_is_never_changed_by_a_table() -> None:
    settings = orders(**EVERYTHING)
    rules = (*header_table(settings, Books()).rules, *line_table(settings).rules)
    assert {rule.on for rule in rules} == {"create"}


MAPPING = mapping(**EVERYTHING)
ANYTHING = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=()), max_size=60), st.booleans(),
    st.integers(), st.decimals(), st.lists(st.integers(), max_size=2),
    st.sampled_from(["Germany", "USD", "2025-01-31", "X" * 300, "D*", OPPORTUNITY]),
)  # fmt: skip
LENGTHS = {
    rule.target: rule.length
    for table in (MAPPING.header, MAPPING.lines)
    for rule in table.rules
    if rule.length
}


@given(
    st.dictionaries(st.sampled_from(MAPPING.source_fields({"CurrencyIsoCode"}, set())), ANYTHING),
    st.lists(st.dictionaries(st.sampled_from(MAPPING.line_fields()), ANYTHING), max_size=2),
)
def test_any_record_maps_or_says_why_not(
    record: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    mapped = MAPPING.map(record, lines)
    assert isinstance(mapped, MappedOrder)
    assert repr(MAPPING.map(record, lines)) == repr(mapped)
    for values in (mapped.header, *(line.values for line in mapped.lines)):
        assert not any(isinstance(value, float) for value in values.values())
        for name, value in values.items():
            if name in LENGTHS and isinstance(value, str):
                assert length_of(value) <= LENGTHS[name]
    assert all(isinstance(text, str) and text for text in mapped.all_problems())


@given(
    st.decimals("0.01", 10**9, allow_nan=False, places=8),
    st.decimals(0, 10**12, allow_nan=False, places=8),
    st.decimals(0, 100, allow_nan=False, places=2),
)
def test_numbers_stay_exact(quantity: Decimal, price: Decimal, discount: Decimal) -> None:
    line = line_of(item(Quantity=quantity, UnitPrice=price, Discount=discount))
    assert line.values["SalesPrice"] == price
    assert line.values["LineDiscountPercentage"] == discount
    assert abs(line.quantity - quantity) <= Decimal("0.005")
    assert line.quantity.as_tuple().exponent == -2


def test_the_cut_over_has_no_default_and_must_be_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ORDER"):
            monkeypatch.delenv(name)
    for values in ({}, {"ORDERS_SINCE": "soon"}):
        with pytest.raises(ValueError, match="ORDERS_SINCE"):
            OrderSettings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["Each", "Each=", "=ea", "Each=ea,Box"])
def test_units_are_pairs(text: str) -> None:
    with pytest.raises(ValueError, match="pairs such as"):
        orders(units=text)
