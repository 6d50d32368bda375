"""ReleasedProductsV2 → Product2, and the table [prices] of the mapping file."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.errors import ConfigurationError, RecordRejected
from integration.mapping.customisation import load_customisation
from integration.mapping.products import ProductMapping
from integration.mapping.values import length_of


def mapping(text: str = "") -> ProductMapping:
    return ProductMapping(load_customisation(text).prices)


def row(**fields: Any) -> dict[str, Any]:
    return {"dataAreaId": "usmf", "ItemNumber": "A1", "ProductNumber": "A1",
            "ProductSearchName": "Pump", "SearchName": "", "ProductLifecycleStateId": "",
            **fields}  # fmt: skip


def test_every_field_of_a_product() -> None:
    assert mapping().map([row()], [row()]) == {
        "D365_Item_Number__c": "A1", "ProductCode": "A1", "Name": "Pump", "IsActive": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"ProductSearchName": "", "SearchName": "Second"}, "Second"),
        ({"ProductSearchName": ""}, "A1"),
        ({"ProductSearchName": "x" * 300}, "x" * 255),
    ],
)
def test_a_product_always_has_a_name(fields: dict[str, str], name: str) -> None:
    one = row(**fields)
    assert mapping().map([one], [one])["Name"] == name


def test_an_item_number_keeps_its_case() -> None:
    one = row(ItemNumber="aB-1")
    assert mapping().map([one], [one])["D365_Item_Number__c"] == "aB-1"


@pytest.mark.parametrize("item", [" A1", "A1 ", ""])
def test_an_item_number_that_salesforce_would_change_is_rejected(item: str) -> None:
    one = row(ItemNumber=item)
    with pytest.raises(RecordRejected):
        mapping().map([one], [one])


INACTIVE = '[prices]\ninactive = { ProductLifecycleStateId = ["Obsolete", "EOL"] }'


@pytest.mark.parametrize(
    ("states", "sold", "active"),
    [
        (["Obsolete"], 1, False), (["obsolete "], 1, False), (["Active"], 1, True),
        (["Obsolete", "Active"], 2, True), (["EOL", "Obsolete"], 2, False), (["Active"], 0, False),
    ],
)  # fmt: skip
def test_a_product_is_active_while_a_company_sells_it(
    states: list[str], sold: int, active: bool
) -> None:
    rows = [row(ProductLifecycleStateId=state) for state in states]
    assert mapping(INACTIVE).map(rows, rows[:sold])["IsActive"] is active


def test_a_further_field_comes_from_the_mapping_file() -> None:
    found = mapping('[prices]\nproduct_fields = { Family = "ProductGroupId" }')
    assert "ProductGroupId" in found.source_fields()
    assert "Family" in found.target_fields()
    assert found.map([row(ProductGroupId="Pumps")], [row()])["Family"] == "Pumps"
    assert found.map([row(ProductGroupId="")], [row()])["Family"] is None


@given(
    st.fixed_dictionaries(
        {
            "ItemNumber": st.text(max_size=30),
            "ProductSearchName": st.text(max_size=300),
            "SearchName": st.text(max_size=30),
            "ProductNumber": st.text(max_size=80),
        }
    )
)
def test_the_mapping_is_total_and_keeps_every_length(fields: dict[str, str]) -> None:
    one = row(**fields)
    try:
        mapped = mapping().map([one], [one])
    except RecordRejected:
        return
    assert length_of(str(mapped["Name"])) <= 255
    assert length_of(str(mapped["D365_Item_Number__c"])) <= 20
    assert mapped == mapping().map([one], [one])
    assert mapped["Name"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('time_zone = "Mars/Base"', "not a time zone"),
        ("decimals = 9", "less than or equal to 4"),
        ('currencies = ["eur"]', "three capital letters"),
        ('product_fields = { Name = "SearchName" }', "set by the app"),
        ("books = { Standard = {} }", "takes its keys from [prices]"),
        ('books = { "a|b" = {} }', "rename the price book"),
        ('books = { A = {}, "a " = {} }', "keep one"),
        ('books = { A = { grupp = "x" } }', "unknown key"),
        ('base_currencies = { toolong = "USD" }', "company"),
    ],
)
def test_mistakes_in_the_mapping_file_are_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_customisation(f"[prices]\n{text}")
    assert "prices" in str(error.value)
    assert problem in str(error.value)


def test_the_day_is_that_of_the_time_zone() -> None:
    late = datetime(2026, 7, 31, 23, 30, tzinfo=UTC)
    assert load_customisation("").prices.today(late) == date(2026, 7, 31)
    berlin = load_customisation('[prices]\ntime_zone = "Europe/Berlin"').prices
    assert berlin.today(late) == date(2026, 8, 1)
