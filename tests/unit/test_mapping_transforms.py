"""Each transform, by table: what goes in, what F&O gets, what is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from integration.mapping import codes, transforms
from integration.mapping.registry import KINDS, Options, build
from integration.mapping.values import Comparison, TransformError, cut_to, length_of, same


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("direct", "  Acme GmbH  ", "  Acme GmbH"),
        ("direct", "a\r\nb\rc", "a\nb\nc"),
        ("direct", "nul\x00 and half \ud83d", "nul and half \ufffd"),
        ("cut(5)", "Acme GmbH", "Acme"),
        ("cut(9)", "Acme GmbH", "Acme GmbH"),
        ("cut(20)", "two\nlines", "two lines"),
        ("cut(3)", "ab😀", "ab"),
        ("cut(4)", "ab😀", "ab😀"),
        ("cut_lines(250)", "Main St 1  \r\nFloor 2\n\n", "Main St 1\nFloor 2"),
        ("cut_lines(5)", "1234\n678", "1234"),
        ("upper", "de123", "DE123"),
        ("currency", " usd ", "USD"),
        ("phone", "+1  (425)\t555-0100 ", "+1 (425) 555-0100"),
        ("phone(4)", "123456", "1234"),
        ("url", " https://example.com/a ", "https://example.com/a"),
        ("url", "x" * 300, "x" * 255),
        ("decimal(2)", 1.005, Decimal("1.01")),
        ("decimal(2)", "2.675", Decimal("2.68")),
        ("decimal(2)", Decimal("-2.675"), Decimal("-2.68")),
        ("decimal(2, half_even)", Decimal("2.665"), Decimal("2.66")),
        ("decimal(2, down)", Decimal("2.669"), Decimal("2.66")),
        ("decimal(0)", 12, Decimal("12")),
        ("decimal(2)", Decimal("123456789012345678.12345678"), Decimal("123456789012345678.12")),
        ("no_yes", True, "Yes"),
        ("no_yes", False, "No"),
        ("date", "2025-01-31", "2025-01-31T12:00:00Z"),
        ("date", "2025-01-31T23:30:00.000-0200", "2025-02-01T12:00:00Z"),
        ("country", "Deutschland", "DEU"),
        ("salesforce_id", "001A000001abcde", "001A000001abcdeIAA"),
        ("salesforce_id", "001A000001abcdeIAA", "001A000001abcdeIAA"),
        ("state", "Bayern", "Bayern"),
        ("state", "Nordrhein-Westfalen", "Nordrhein-"),
    ],
)
def test_a_value_is_carried_over(name: str, value: object, expected: object) -> None:
    result = build(name).forward(value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize("value", [None, "", "   "])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("direct", ""),
        ("cut(3)", ""),
        ("cut_lines(3)", ""),
        ("upper", ""),
        ("country", ""),
        ("state", ""),
        ("currency", ""),
        ("phone", ""),
        ("url", ""),
        ("salesforce_id", ""),
        ("decimal(2)", Decimal(0)),
        ("no_yes", "No"),
        ("date", "1900-01-01T12:00:00Z"),
    ],
)
def test_an_empty_value_becomes_the_empty_value_of_f_and_o(
    name: str, value: object, expected: object
) -> None:
    assert build(name).forward(value) == expected


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("direct", 5, "is a number, not text"),
        ("cut(3)", True, "is a checkbox, not text"),
        ("direct", {"city": "x"}, "is an object, not text"),
        ("currency", "EURO", "not a currency code"),
        ("currency", "12€", "not a currency code"),
        ("decimal(2)", "12,50", "is not a number"),
        ("decimal(2)", float("nan"), "is not a number"),
        ("decimal(2)", "1e400", "too many digits"),
        ("decimal(2)", True, "is a checkbox, not a number"),
        ("no_yes", "true", "is text, not a checkbox"),
        ("date", "31.01.2025", "is not a date"),
        ("date", "2025-02-30", "is not a date"),
        ("date", 20250131, "is not a date"),
        ("country", "Atlantis", "'Atlantis' is not a known country"),
        ("salesforce_id", "001", "is not a Salesforce id"),
    ],
)
def test_what_cannot_be_carried_over_is_refused_with_a_remedy(
    name: str, value: object, problem: str
) -> None:
    with pytest.raises(TransformError) as refused:
        build(name).forward(value)
    assert problem in refused.value.problem
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("value", "country", "expected"),
    [
        ("California", "US", "CA"),
        ("california ", "United States", "CA"),
        ("ca", "USA", "CA"),
        ("Québec", "Canada", "QC"),
        ("New South Wales", "Australia", "NSW"),
        ("Western Australia", "AU", "WA"),
        ("Washington", "US", "WA"),
        ("São Paulo", "Brasil", "SP"),
        ("X1", "US", "X1"),
        ("Bayern", "DE", "Bayern"),
        ("California", None, "California"),
        ("Noord-Holland", "Nederland", "Noord-Holl"),
        ("California", "Atlantis", "California"),
        ("California", 7, "California"),
    ],
)
def test_a_state_becomes_its_code_where_the_country_lists_its_states(
    value: str, country: object, expected: str
) -> None:
    assert codes.state().forward(value, country) == expected


def test_an_unknown_state_of_a_country_that_lists_them_is_refused_rather_than_cut() -> None:
    with pytest.raises(TransformError, match="not a state of US") as refused:
        codes.state().forward("Calyfornia Republic", "USA")
    assert "Calyfornia" not in str(refused.value)


def test_a_table_is_looked_up_without_regard_to_case() -> None:
    transform = build("map", Options(table={"30 days": "Net30", "true": "Yes"}))
    assert transform.forward(" 30 DAYS ") == "Net30"
    assert transform.forward(True) == "Yes"
    with pytest.raises(TransformError, match="not in the table"):
        transform.forward("60 days")
    assert transforms.mapped({"a": "1"}, fallback="0").forward("b") == "0"
    assert transforms.mapped({"a": "1"}, fallback="0").forward(None) == "0"


def test_a_constant_ignores_the_record_and_a_default_fills_what_is_empty() -> None:
    assert transforms.constant("en-US").forward("anything") == "en-US"
    filled = transforms.default("USD", codes.currency())
    assert (filled.forward(None), filled.forward("eur")) == ("USD", "EUR")
    assert transforms.default("x", transforms.direct()).forward("\x00") == "x"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("direct", "US-001", "US-001"),
        ("direct", "", None),
        ("decimal(2)", Decimal("12.3"), Decimal("12.30")),
        ("decimal(2)", 0, Decimal("0.00")),
        ("no_yes", "Yes", True),
        ("no_yes", "No", False),
        ("date", "2025-01-31T12:00:00Z", "2025-01-31"),
        ("date", "1900-01-01T12:00:00Z", None),
    ],
)
def test_a_value_of_f_and_o_goes_back_with_empty_as_null(
    name: str, value: object, expected: object
) -> None:
    assert build(name).back(value) == expected


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("shout", "unknown transform"),
        ("cut", r"write cut\(length\)"),
        ("cut(0)", "from 1 to 4000"),
        ("cut(a)", "not a whole number"),
        ("cut(1, 2)", "2 argument"),
        ("decimal(2, up)", "not one of half_up"),
        ("direct; import os", "unknown transform"),
        ("", "unknown transform"),
    ],
)
def test_a_wrong_transform_name_says_what_would_be_right(call: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        build(call)


def test_every_registered_transform_is_documented() -> None:
    assert all(kind.summary.endswith(".") for kind in KINDS.values())


@pytest.mark.parametrize(
    ("current", "new", "comparison", "equal"),
    [
        (None, "", "exact", True),
        ("Acme  ", "Acme", "exact", True),
        ("a\r\nb", "a\nb", "exact", True),
        ("acme", "Acme", "exact", False),
        ("usmf", "USMF", "ignore-case", True),
        ("en-us", "en-US", "ignore-case", True),
        (12.5, Decimal("12.50"), "number", True),
        ("12.5", Decimal("12.50"), "number", True),
        (0, Decimal("0.00"), "number", True),
        (None, Decimal(0), "number", False),
        (Decimal("0.1"), 0.1, "number", True),
        ("2025-01-31T12:00:00Z", "2025-01-31", "date", True),
        ("2025-01-30T12:00:00Z", "2025-01-31", "date", False),
        ("1900-01-01T12:00:00Z", None, "date", True),
        ("No", "Yes", "exact", False),
        ("not a number", Decimal(1), "number", False),
    ],
)
def test_values_are_compared_as_f_and_o_keeps_them(
    current: object, new: object, comparison: Comparison, equal: bool
) -> None:
    assert same(current, new, comparison) is equal


def test_length_counts_utf_16_units_and_no_character_is_halved() -> None:
    assert length_of("a😀") == 3
    assert cut_to("😀😀", 3) == "😀"
