from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.salesforce.encoding import segment, to_json
from integration.salesforce.soql import condition, in_list, literal, select

UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", "\\": "\\"}
NAIVE = datetime(2025, 1, 1, tzinfo=UTC).replace(tzinfo=None)
texts = st.text(st.characters(exclude_categories=["Cs"]))


def read_string(text: str) -> str:
    """What SOQL reads: a quoted string with the escapes of the guide; anything else fails."""
    match = re.fullmatch(r"'((?:[^'\\]|\\['\\nrtbf])*)'", text, re.DOTALL)
    assert match, text
    return re.sub(r"\\(.)", lambda found: UNESCAPED[found[1]], match[1])


@given(texts)
def test_a_string_literal_reads_back_and_cannot_end_early(value: str) -> None:
    assert read_string(literal(value)) == value


@given(st.lists(texts, min_size=1, max_size=5))
def test_an_in_list_holds_as_many_literals_as_values(values: list[str]) -> None:
    inner = in_list("Name", values).removeprefix("Name IN (").removesuffix(")")
    assert [read_string(f"'{part}'") for part in split_literals(inner)] == values


def split_literals(inner: str) -> list[str]:
    parts = re.findall(r"'((?:[^'\\]|\\.)*)'(?:,|$)", inner, re.DOTALL)
    assert ",".join(f"'{part}'" for part in parts) == inner
    return parts


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-1e12, max_value=1e12)
)
def test_a_number_has_no_exponent_and_keeps_its_value(value: Decimal) -> None:
    assert Decimal(literal(value)) == value
    assert "e" not in literal(value).lower()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (1e22, "10000000000000000000000"),
        (0.1, "0.1"),
        (Decimal("23.10"), "23.10"),
        (date(2025, 1, 31), "2025-01-31"),
        (datetime(2025, 1, 31, 10, tzinfo=UTC), "2025-01-31T10:00:00Z"),
        (datetime(2025, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "2025-01-31T10:00:00Z"),
        (datetime(2025, 1, 31, 10, 0, 0, 123456, tzinfo=UTC), "2025-01-31T10:00:00.123Z"),
        ("O'Neil \\ Sons", "'O\\'Neil \\\\ Sons'"),
    ],
)
def test_each_kind_of_value_has_its_literal(value: object, text: str) -> None:
    assert literal(value) == text  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, Decimal("NaN"), NAIVE, "\ud800"])
def test_a_value_without_literal_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        literal(value)  # type: ignore[arg-type]


def test_select_joins_its_parts() -> None:
    text = select(
        "Account",
        ["Id", "Owner.Name"],
        where=[condition("Name", "=", "A"), in_list("Id", ["1", "2"])],
        order_by=["SystemModstamp DESC", "Id"],
        limit=10,
    )
    assert text == (
        "SELECT Id,Owner.Name FROM Account WHERE (Name = 'A') AND (Id IN ('1','2'))"
        " ORDER BY SystemModstamp DESC,Id LIMIT 10"
    )
    assert (
        select("Account", ["Id"], where="Id != null") == "SELECT Id FROM Account WHERE Id != null"
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda: select("Account WHERE", ["Id"]),
        lambda: select("Account", ["Id FROM User"]),
        lambda: select("Account", []),
        lambda: select("Account", ["Id"], order_by=["Id; DROP"]),
        lambda: select("Account", ["Id"], order_by=["Id SIDEWAYS"]),
        lambda: in_list("Id", []),
        lambda: condition("Id", "OR", "x"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_name_does_not_become_soql(build) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError):
        build()


@given(texts.filter(bool))
def test_a_path_segment_stays_one_segment(value: str) -> None:
    encoded = segment(value)
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]+", encoded)
    assert encoded not in (".", "..")
    assert unquote(encoded) == value


def test_the_key_of_the_contract_is_encoded_as_measured() -> None:
    assert segment("A/B C+é#1") == "A%2FB%20C%2B%C3%A9%231"


def test_json_bodies_hold_dates_and_decimals() -> None:
    body = {
        "Day": date(2025, 1, 31),
        "At": datetime(2025, 1, 31, 10, tzinfo=UTC),
        "Price": Decimal("23.10"),
        "Count": Decimal("3.00"),
        "Gone": None,
    }
    assert (
        to_json(body)
        == b'{"Day":"2025-01-31","At":"2025-01-31T10:00:00Z","Price":23.10,"Count":3,"Gone":null}'
    )


@pytest.mark.parametrize("value", [Decimal("NaN"), NAIVE])
def test_a_value_without_json_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        to_json({"x": value})


@pytest.mark.parametrize("value", [0.1, math.nan])
def test_a_float_is_refused_because_it_is_not_exact(value: float) -> None:
    with pytest.raises(TypeError):
        to_json({"x": value})


def test_an_amount_of_eighteen_digits_keeps_every_cent() -> None:
    assert to_json({"x": Decimal("1234567890123456.78")}) == b'{"x":1234567890123456.78}'
