"""What holds for every record: the mapping is total, lengths hold, and it settles."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.errors import RecordRejected
from integration.mapping import codes, transforms
from integration.mapping.accounts import OPTIONAL_SOURCES
from integration.mapping.registry import KINDS, Options, build
from integration.mapping.tables import FieldProblem
from integration.mapping.values import TransformError, cut_to, length_of, same
from tests.unit.mapping_support import FOUR_FIELDS, accounts_of

FILE = (
    """
[companies]
field = "Entity__c"
by_country = { DE = "demf" }
"""
    + FOUR_FIELDS
    + """[accounts.fields.Terms]
source = "Terms__c"
transform = "map"
table = { a = "1", b = "2" }
default = "1"
[accounts.fields.OnHoldStatus]
source = "Hold__c"
owner = "d365"
"""
)
MAPPING = accounts_of(FILE)
FIELDS = MAPPING.source_fields(OPTIONAL_SOURCES)
IDS = st.text("abcxyzABCXYZ0189", min_size=15, max_size=15)
TEXT = st.text(st.characters(exclude_categories=()), max_size=300)  # half characters as well
ANYTHING = st.one_of(
    st.none(), TEXT, st.booleans(), st.integers(), st.floats(), st.decimals(),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
    st.sampled_from(["Deutschland", "US", "California", "EUR", "2025-01-31", "9" * 5000]),
)  # fmt: skip
RECORDS = st.dictionaries(st.sampled_from(FIELDS), ANYTHING)
GOOD_TEXT = st.one_of(st.none(), TEXT)
GOOD_RECORDS = st.fixed_dictionaries(
    {
        "Id": IDS,
        "Name": TEXT.map(lambda text: "N" + text),
        "CurrencyIsoCode": st.sampled_from(["USD", "eur"]),
        "BillingStreet": GOOD_TEXT,
        "BillingCity": GOOD_TEXT,
        "BillingPostalCode": GOOD_TEXT,
        "BillingState": st.one_of(st.none(), st.sampled_from(["Texas", "CA", "Bayern"])),
        "BillingCountry": st.one_of(st.none(), st.sampled_from(["US", "Deutschland", "España"])),
        "Phone": GOOD_TEXT,
        "Website": GOOD_TEXT,
        "AnnualRevenue": st.one_of(
            st.none(), st.decimals(-(10**15), 10**15, allow_nan=False, places=4)
        ),
        "Since__c": st.one_of(st.none(), st.dates().map(str)),
        "Vip__c": st.booleans(),
        "Terms__c": st.sampled_from([None, "a", "B"]),
    }
)


@given(RECORDS)
def test_any_record_is_mapped_or_rejected_and_nothing_else(record: dict[str, object]) -> None:
    mapped = MAPPING.table.apply(record)
    for rule in MAPPING.table.rules:
        value = {**mapped.values, **mapped.create_only}.get(rule.target)
        if isinstance(value, str) and rule.length:
            assert length_of(value) <= rule.length
            value.encode()  # no half character is left
    company = MAPPING.companies.find(record)
    for_creation = {rule.target for rule in MAPPING.table.rules if rule.on == "create"}
    always = [problem for problem in mapped.problems if problem.field not in for_creation]
    if always or isinstance(company, FieldProblem):
        with pytest.raises(RecordRejected) as rejected:
            MAPPING.map(record)
        assert rejected.value.reason == "mapping"
        assert all(problem.field in str(rejected.value) for problem in mapped.problems)
    else:
        assert MAPPING.map(record).company == company == company.lower()
        assert (MAPPING.map(record).creation_rejection() is None) is (not mapped.problems)
        assert 1 <= len(company) <= 4


@given(GOOD_RECORDS)
def test_a_customer_that_equals_the_mapping_has_no_differences(record: dict[str, object]) -> None:
    mapped = MAPPING.table.apply(record)
    assert mapped.problems == []
    assert None not in mapped.values.values()
    assert MAPPING.table.differences(mapped, mapped.values) == []
    as_kept = {
        name: value + "  " if isinstance(value, str) and "T12:00" not in value else value
        for name, value in mapped.values.items()
    }
    assert MAPPING.table.differences(mapped, as_kept) == []
    assert MAPPING.table.apply(record) == mapped


@given(RECORDS, RECORDS)
def test_comparing_with_any_customer_finds_only_owned_fields(
    record: dict[str, object], current: dict[str, object]
) -> None:
    mapped = MAPPING.table.apply(record)
    changed = {change.field for change in MAPPING.table.differences(mapped, current)}
    owned = {r.target for r in MAPPING.table.rules if r.is_written and r.on == "always"}
    assert changed <= owned
    assert "OnHoldStatus" not in changed
    MAPPING.table.apply_back(current)


@given(ANYTHING, ANYTHING, st.sampled_from(sorted(KINDS)))
def test_a_transform_answers_or_refuses_in_both_directions(
    value: object, beside: object, kind: str
) -> None:
    call = {"cut": "cut(7)", "cut_lines": "cut_lines(7)", "decimal": "decimal(3)"}.get(kind, kind)
    transform = build(call, Options(table={"a": "b"}, value="c"))
    for run in (lambda: transform.forward(value, beside), lambda: transform.back(value)):
        result: object = None
        with contextlib.suppress(TransformError):  # any other exception fails the test
            result = run()
        assert not isinstance(result, float)


@given(TEXT, st.integers(1, 300))
def test_cutting_twice_is_cutting_once(text: str, length: int) -> None:
    once = transforms.cut(length).forward(text)
    assert transforms.cut(length).forward(once) == once
    assert transforms.cut_lines(length).forward(transforms.cut_lines(length).forward(text)) == (
        transforms.cut_lines(length).forward(text)
    )
    assert length_of(cut_to(text, length)) <= length


@given(IDS)
def test_an_id_has_18_characters_and_ignoring_case_loses_nothing(short: str) -> None:
    id18 = str(codes.salesforce_id().forward(short))
    assert len(id18) == 18
    assert id18.startswith(short)
    assert codes.salesforce_id().forward(id18) == id18
    swapped = str(codes.salesforce_id().forward(short.swapcase()))
    assert (swapped.lower() == id18.lower()) == (short == short.swapcase())


@given(st.decimals(-(10**16), 10**16, allow_nan=False, places=8), st.integers(0, 6))
def test_decimals_are_exact_and_rounded_half_up(number: Decimal, places: int) -> None:
    rounded = transforms.decimal_(places).forward(number)
    assert isinstance(rounded, Decimal)
    assert abs(rounded - number) * 2 <= Decimal(1).scaleb(-places)
    assert -rounded.as_tuple().exponent == places
    assert transforms.decimal_(places).forward(str(number)) == rounded


@given(st.decimals(-(10**6), 10**6, allow_nan=False, places=6))
def test_a_float_from_json_is_read_as_it_was_written(number: Decimal) -> None:
    assert transforms.decimal_(6).forward(float(number)) == number


@given(ANYTHING, st.sampled_from(["exact", "ignore-case", "number", "date"]))
@settings(max_examples=200)
def test_comparison_is_total_and_symmetric(value: object, comparison: str) -> None:
    for other in (None, "", "abc", Decimal(1), "2025-01-31"):
        assert same(value, other, comparison) == same(other, value, comparison)
