"""The compiled mapping gives what the table gives, for every row, and tells the same rows apart."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.mapping.accounts import OPTIONAL_SOURCES
from integration.mapping.cells import cell_text
from integration.mapping.compiled import CompiledTable
from integration.mapping.contacts import contact_mapping
from integration.mapping.customisation import load_customisation
from integration.mapping.shapes import NEVER, created_of, digest_of, kept_of
from integration.mapping.values import Comparison, TransformError, canonical, same
from tests.unit.mapping_support import FOUR_FIELDS, accounts_of

FILE = (
    """
[companies]
default = "usmf"
"""
    + FOUR_FIELDS
    + """[accounts.fields.Terms]
source = "Terms__c"
transform = "map"
table = { a = "1", b = "2 " }
default = "1"
[accounts.fields.SalesSegmentId]
source = "Segment__c"
transform = "direct"
max_length = 12
[accounts.fields.AddressCity]
transform = "cut(30)"
[accounts.fields.Marker]
value = "fixed "
transform = "constant"
"""
)
ACCOUNTS = accounts_of(FILE).table
CONTACTS = contact_mapping(
    load_customisation(None),
    contact_id_field="SalesforceContactId",
    contact_number_field="D365_Contact_Number__c",
).table
KINDS: dict[str, Any] = {
    "AnnualRevenue": "number", "Vip__c": "checkbox", "IsPersonAccount": "checkbox",
}  # fmt: skip
SAMPLES = ({}, {"IsPersonAccount": True})

WORDS = st.sampled_from(
    [
        "Tölzer & Söhne",
        "Straße 1\nHinterhaus ",
        " ",
        "a" * 300,
        "😀" * 60,
        "x  y\tz",
        "\r\n",
        "San José",
    ]
)
TEXT = st.one_of(st.just(""), WORDS, st.text(max_size=40), st.text("ab \n\xa0Z😀", max_size=70))
VALUES = {
    "Id": st.one_of(st.text("abcXYZ019", min_size=15, max_size=15), st.text(max_size=18)),
    "IsPersonAccount": st.sampled_from(["", "true", "false"]),
    "AnnualRevenue": st.one_of(st.just(""), st.decimals(-(10**9), 10**9, places=4).map(str)),
    "Since__c": st.sampled_from(["", "2025-01-31", "2025-01-31T23:30:00.000Z", "soon"]),
    "Vip__c": st.sampled_from(["true", "false"]),
    "Terms__c": st.sampled_from(["", "a", "B", "c"]),
    "CurrencyIsoCode": st.sampled_from(["", "USD", "eur ", "Euro"]),
    "BillingCountry": st.sampled_from(["", "Germany", "us", "Nowhere", "USA "]),
    "BillingCountryCode": st.sampled_from(["", "DE", "US"]),
    "BillingStateCode": st.sampled_from(["", "CA", "TX"]),
    "BillingState": st.one_of(st.sampled_from(["", "California", "Bayern"]), TEXT),
}


CLEAN = st.text(
    st.one_of(st.characters(exclude_categories=("Cc", "Cs")), st.just("\n")), max_size=120
)
GOOD_VALUES = {
    **VALUES,
    "Id": st.text("abcXYZ019", min_size=15, max_size=15),
    "Name": CLEAN.map(lambda text: "N" + text),
    "LastName": CLEAN.map(lambda text: "N" + text),
    "Since__c": st.sampled_from(["", "2025-01-31", "2025-01-31T23:30:00.000Z"]),
    "Terms__c": st.sampled_from(["", "a"]),
    "Rating": st.text("ab é", max_size=5),
    "Segment__c": st.text("ab \n😀", max_size=6),
    "CurrencyIsoCode": st.sampled_from(["USD", "EUR"]),
    "BillingCountry": st.sampled_from(["Germany", "us", "USA "]),
    "BillingStateCode": st.just(""),
    "BillingState": st.just(""),
}


def rows(
    columns: tuple[str, ...], values: dict[str, Any] = VALUES, other: Any = TEXT
) -> st.SearchStrategy[tuple[str, ...]]:
    return st.tuples(*(values.get(name, other) for name in columns))


COLUMNS = ACCOUNTS.source_fields(OPTIONAL_SOURCES)
PLAIN_COLUMNS = ACCOUNTS.source_fields(())  # an org without currencies, picklists, person accounts
CONTACT_COLUMNS = CONTACTS.source_fields(())
FULL = CompiledTable(ACCOUNTS, COLUMNS, KINDS, SAMPLES)
PLAIN = CompiledTable(ACCOUNTS, PLAIN_COLUMNS, KINDS, SAMPLES)
# Two lines of the file always give a blank at the end, so that the table itself must map every row.
TIDY_ACCOUNTS = accounts_of(FILE.replace('"2 "', '"2"').replace('"fixed "', '"fixed"')).table
TIDY = CompiledTable(TIDY_ACCOUNTS, COLUMNS, KINDS, SAMPLES)
TIDY_PLAIN = CompiledTable(TIDY_ACCOUNTS, PLAIN_COLUMNS, KINDS, SAMPLES)
PERSONS = CompiledTable(CONTACTS, CONTACT_COLUMNS, {})


def check(compiled: CompiledTable, values: tuple[str, ...]) -> bool:
    """Whether the compiled table itself could tell what is kept."""
    shape = compiled.shape_of(values)
    assert shape is not None
    mapped = compiled.table.apply(compiled.record(values))
    [kept], [created] = compiled.kept(shape, [values]), compiled.created(shape, [values])
    names = {problem.field for problem in mapped.problems}
    if kept is not None:
        assert not names & set(shape.targets)
        assert kept == tuple(
            cell_text(mapped.values[name], how)
            for name, how in zip(shape.targets, shape.comparisons, strict=True)
        )
        assert set(shape.targets) == mapped.values.keys()
        digest = compiled.digest_of_texts(shape, kept)
        assert digest == digest_of(shape, [mapped.values[name] for name in shape.targets])
        assert digest == compiled.digest(shape, mapped.values) == kept_of(shape, mapped)[1]
    if created is not None:
        assert not names & set(shape.create_only)
        assert created == created_of(shape, mapped)
        assert set(shape.create_only) == mapped.create_only.keys()
    return kept is not None


@given(rows(COLUMNS))
@settings(deadline=None)
def test_a_compiled_account_is_the_mapped_account(values: tuple[str, ...]) -> None:
    check(FULL, values)
    check(TIDY, values)


@given(rows(PLAIN_COLUMNS))
@settings(deadline=None)
def test_columns_an_org_lacks_are_left_out_in_both(values: tuple[str, ...]) -> None:
    check(PLAIN, values)
    check(TIDY_PLAIN, values)


@given(rows(CONTACT_COLUMNS))
@settings(deadline=None)
def test_a_compiled_contact_is_the_mapped_contact(values: tuple[str, ...]) -> None:
    check(PERSONS, values)


@given(rows(COLUMNS, GOOD_VALUES, CLEAN))
@settings(deadline=None)
def test_a_good_account_never_needs_the_table(values: tuple[str, ...]) -> None:
    assert check(TIDY, values)


@given(rows(PLAIN_COLUMNS, GOOD_VALUES, CLEAN))
@settings(deadline=None)
def test_a_good_account_of_a_plain_org_never_needs_the_table(values: tuple[str, ...]) -> None:
    assert check(TIDY_PLAIN, values)


@given(st.lists(st.one_of(rows(COLUMNS), rows(COLUMNS, GOOD_VALUES, CLEAN)), max_size=6))
@settings(deadline=None)
def test_a_row_is_mapped_alike_alone_and_among_others(batch: list[tuple[str, ...]]) -> None:
    for compiled in (FULL, TIDY):
        shape = compiled.shapes[0]
        mine = [values for values in batch if compiled.shape_of(values) is shape]
        for many in (compiled.kept, compiled.created):
            assert many(shape, mine) == [many(shape, [values])[0] for values in mine]


def test_ordinary_rows_never_need_the_table() -> None:
    row = {
        "Id": "001Aa0000000001IAA", "Name": "Tölzer & Söhne 😀", "BillingStreet": "Marktstraße 1\nHof",
        "BillingCity": "Bad Tölz", "BillingPostalCode": "83646", "BillingCountry": "Germany",
        "CurrencyIsoCode": "EUR", "AnnualRevenue": "1250000.5", "Since__c": "2025-01-31",
        "Vip__c": "true", "IsPersonAccount": "false",
    }  # fmt: skip
    values = tuple(row.get(name, "") for name in COLUMNS)
    shape = TIDY.shape_of(values)
    assert shape is not None
    [kept] = TIDY.kept(shape, [values])
    assert kept is not None
    cells = dict(zip(shape.targets, kept, strict=True))
    assert cells["AnnualVolume"] == "1250000.50"
    assert cells["CustomerSince"] == "2025-01-31"
    assert cells["IsVip"] == "Yes"
    assert TIDY.created(shape, [values]) != [None]


def test_persons_and_organisations_have_other_fields() -> None:
    number = COLUMNS.index("IsPersonAccount")
    shapes = set()
    for told in ("", "true", "false"):
        values = tuple(told if place == number else "" for place in range(len(COLUMNS)))
        shape = FULL.shape_of(values)
        assert shape is not None
        shapes.add((told, "PersonLastName" in shape.targets, "OrganizationName" in shape.targets))
    assert shapes == {("", False, True), ("true", True, False), ("false", False, True)}


VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from(["1", "1.0", Decimal("1.00"), "A ", "a", "2025-01-31", "1900-01-01T12:00:00Z"]),
)  # fmt: skip
COMPARISONS: tuple[Comparison, ...] = ("exact", "ignore-case", "number", "date")


@given(VALUE, VALUE, st.sampled_from(COMPARISONS))
@settings(max_examples=300, deadline=None)
def test_values_are_the_same_where_their_keys_are(
    one: object, other: object, how: Comparison
) -> None:
    try:
        keys = canonical(one, how), canonical(other, how)
    except TransformError:
        assert not same(one, other, how)
        return
    assert same(one, other, how) is (keys[0] == keys[1])


def test_a_customer_that_cannot_be_compared_differs_from_every_account() -> None:
    shape = FULL.shapes[0]
    row = dict.fromkeys(shape.targets, "")
    assert FULL.digest(shape, {**row, "AnnualVolume": "much"}) == NEVER
    assert FULL.digest(shape, {**row, "AnnualVolume": Decimal("5.00")}) == FULL.digest(
        shape, {**row, "AnnualVolume": 5}
    )


@pytest.mark.parametrize("change", ["Name", "BillingCity", "Phone", "Terms__c"])
def test_a_change_of_any_field_changes_the_digest(change: str) -> None:
    row = {"Id": "001Aa0000000001IAA", "Name": "Acme", "Vip__c": "true", "IsPersonAccount": "false"}
    before = tuple(row.get(name, "") for name in COLUMNS)
    after = tuple({**row, change: "b"}.get(name, "") for name in COLUMNS)
    digests = []
    for values in (before, after):
        shape = FULL.shape_of(values)
        assert shape is not None
        mapped = FULL.table.apply(FULL.record(values))
        digests.append(kept_of(shape, mapped)[1])
    assert digests[0] != digests[1]
