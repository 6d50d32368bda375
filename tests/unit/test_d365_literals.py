"""Literals, keys, filters, exact numbers, empty values."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import unquote
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.d365.filters import URL_LIMIT, any_of, chunk_any_of, eq, ge, gt, le, lt, ne
from integration.d365.literals import Enum, Key, literal, yes_no
from integration.d365.odata import Query, Urls
from integration.d365.values import (
    decode_date,
    decode_datetime,
    decode_decimal,
    decode_display_value,
    decode_guid,
    decode_text,
    json_dumps,
    json_loads,
)
from integration.errors import ContractError, Misconfigured, RecordRejected

TEXT = st.text().filter(lambda text: "*" not in text)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False).filter(
    lambda number: abs(number.adjusted()) <= 40
)
BASE = "https://contoso.operations.dynamics.com"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("O'Brien", "'O''Brien'"),
        ("", "''"),
        (5637144589, "5637144589"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.10"), "0.10"),
        (True, "true"),
        (yes_no(True), "Microsoft.Dynamics.DataEntities.NoYes'Yes'"),
        (
            Enum("CustVendorBlocked", "All"),
            "Microsoft.Dynamics.DataEntities.CustVendorBlocked'All'",
        ),
        (date(2026, 7, 30), "2026-07-30T12:00:00Z"),
        (datetime(2026, 7, 30, 8, 58, 53, tzinfo=UTC), "2026-07-30T08:58:53Z"),
        (
            datetime(2026, 7, 30, 1, 0, tzinfo=timezone(timedelta(hours=2))),
            "2026-07-29T23:00:00Z",
        ),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_each_type_has_its_own_literal(value, text):
    assert literal(value) == text


def test_a_wildcard_in_a_compared_text_is_refused_for_its_record():
    with pytest.raises(RecordRejected, match="wildcard"):
        eq("CustomerAccount", "US-*")
    with pytest.raises(RecordRejected):
        Key(dataAreaId="usmf", CustomerAccount="*")


def test_a_time_without_zone_and_a_float_are_programming_errors():
    with pytest.raises(TypeError):
        literal(datetime.fromisoformat("2026-01-01"))
    with pytest.raises(TypeError):
        literal(1.5)
    with pytest.raises(TypeError):
        json_dumps({"CreditLimit": 1.5})


@given(TEXT, TEXT)
def test_a_key_comes_back_from_percent_decoding_as_it_was(company, account):
    encoded = Key(Company=company, ItemNumber=account).encoded()
    url = httpx.URL(f"{BASE}/data/X({encoded})?cross-company=true")
    path = url.raw_path.decode("ascii").partition("?")[0]
    assert path == f"/data/X({encoded})"
    assert encoded.count("/") == 0
    # Doubled quotes are the only ones inside; the parts are divided where a single one ends a text.
    first, second = encoded.split(",")
    values = [unquote(part.partition("=")[2])[1:-1] for part in (first, second)]
    assert [value.replace("''", "'") for value in values] == [company, account]


@given(TEXT)
def test_a_filter_comes_back_from_percent_decoding_as_it_was(text):
    condition = eq("Name", text)
    url = httpx.URL(f"{BASE}/data/X?{Query(filter=condition).encoded()}")
    query = url.raw_path.decode("ascii").partition("?")[2]
    options = dict(option.split("=", 1) for option in query.split("&"))
    assert unquote(options["$filter"]) == condition.text
    assert options["cross-company"] == "true"
    assert "+" not in options["$filter"]
    assert "#" not in query


@given(DECIMALS)
def test_decimals_keep_every_digit_in_both_directions(number):
    text = json_dumps({"n": number})
    assert "e" not in text.lower()
    back = json_loads(text)["n"]
    assert Decimal(back) == number
    assert json.loads(text, parse_float=Decimal, parse_int=Decimal)["n"] == number


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_what_the_standard_library_reads(value):
    assert json.loads(json_dumps(value)) == value


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1E+999999"])
def test_numbers_that_f_and_o_cannot_hold_are_refused_for_their_record(number):
    with pytest.raises(RecordRejected):
        json_dumps({"CreditLimit": Decimal(number)})


def test_body_values_are_dates_at_noon_and_enum_names():
    body = {"D": date(2026, 7, 30), "E": yes_no(False), "G": UUID(int=1), "B": True, "L": (1, "ü")}
    assert json.loads(json_dumps(body)) == {
        "D": "2026-07-30T12:00:00Z",
        "E": "No",
        "G": "00000000-0000-0000-0000-000000000001",
        "B": True,
        "L": [1, "ü"],
    }


def test_keys_keep_leading_blanks_and_leave_numbers_bare():
    assert Key(ItemNumber=" RFI").encoded() == "ItemNumber='%20RFI'"
    assert Key(n="O'B/C&D").encoded() == "n='O%27%27B%2FC%26D'"
    assert Key(dataAreaId="DAT", InvoiceIdentifier=56371).encoded() == (
        "dataAreaId='dat',InvoiceIdentifier=56371"
    )
    assert Key(InvoiceDate=date(2026, 7, 30)).encoded() == "InvoiceDate=2026-07-30T12:00:00Z"


def test_keys_are_equal_whatever_the_order_and_the_case_of_the_company():
    one = Key(dataAreaId="USMF", CustomerAccount="1")
    assert one == Key(CustomerAccount="1", dataAreaId="usmf")
    assert len({one, Key(CustomerAccount="1", dataAreaId="usmf")}) == 1
    assert one != Key(dataAreaId="usmf", CustomerAccount="2")
    assert one["CustomerAccount"] == "1"
    assert one.parts["dataAreaId"] == "usmf"


def test_a_key_field_without_value_is_the_records_fault():
    with pytest.raises(RecordRejected, match="CustomerAccount"):
        Key.of({"dataAreaId": "usmf"}, "dataAreaId", "CustomerAccount")
    with pytest.raises(TypeError):
        Key()


@pytest.mark.parametrize(
    ("key", "record", "same"),
    [
        (Key(CustomerAccount="us-001 "), {"CustomerAccount": "US-001"}, True),
        (Key(CustomerAccount="US-001"), {"CustomerAccount": "US-0010"}, False),
        (Key(CustomerAccount="US-001"), {"Name": "without its key"}, True),
        (Key(CustomerAccount=" US"), {"CustomerAccount": "US"}, False),
        (Key(Id=5), {"Id": 5}, True),
        (Key(Id=5), {"Id": 6}, False),
        (Key(Day=date(2026, 7, 30)), {"Day": "2026-07-30T12:00:00Z"}, True),
        (Key(At=datetime(2026, 7, 30, tzinfo=UTC)), {"At": "2026-07-30T00:00:00Z"}, True),
        (Key(Guid=UUID(int=3)), {"Guid": str(UUID(int=3)).upper()}, True),
    ],
)
def test_a_record_is_compared_with_the_key_asked_for(key, record, same):
    assert key.matches(record) is same


def test_filters_combine_with_grouping():
    either = eq("A", 1) | ne("B", "x")
    assert str(either & gt("C", Decimal("1.50"))) == "((A eq 1 or B ne 'x') and C gt 1.50)"
    assert str(ge("A", 1) & lt("A", 3)) == "(A ge 1 and A lt 3)"
    assert str(le("Nav/Field", 1)) == "Nav/Field le 1"
    assert eq("A", "a&b c").encoded == "A%20eq%20'a%26b%20c'"


def test_enums_are_compared_only_for_equality():
    assert str(ne("OnHoldStatus", Enum("CustVendorBlocked", "No"))).endswith("'No'")
    with pytest.raises(TypeError):
        gt("OnHoldStatus", Enum("CustVendorBlocked", "No"))


@pytest.mark.parametrize("name", ["A eq 1 or B", "", "A&$top", "a-b"])
def test_a_name_that_is_none_is_a_configuration_problem(name):
    with pytest.raises(Misconfigured):
        eq(name, 1)


def test_any_of_is_a_chain_because_in_is_unknown_to_f_and_o():
    assert str(any_of("A", ["x", "y"])) == "(A eq 'x' or A eq 'y')"
    assert str(any_of("A", ["x"])) == "A eq 'x'"
    with pytest.raises(ValueError, match="at least one"):
        any_of("A", [])


@given(
    st.lists(st.integers(), max_size=150),
    st.sampled_from([None, eq("dataAreaId", "usmf")]),
    st.integers(1, 120),
)
def test_chunks_hold_each_value_once_and_no_more_than_allowed(values, also, most):
    chunks = [str(chunk) for chunk in chunk_any_of("Id", values, also=also, most=most)]
    found = [re.findall(r"Id eq (-?\d+)", chunk) for chunk in chunks]
    assert [int(text) for chunk in found for text in chunk] == list(dict.fromkeys(values))
    assert all(len(chunk) <= most for chunk in found)
    assert all(also is None or chunk.startswith(f"({also} and ") for chunk in chunks)


@given(st.lists(TEXT, max_size=150), st.integers(1, 120))
def test_chunks_of_any_text_fit_the_url(values, most):
    chunks = chunk_any_of("SalesforceAccountId", values, also=eq("dataAreaId", "usmf"), most=most)
    assert all(len(chunk.encoded) <= URL_LIMIT - 2_000 for chunk in chunks)


def test_long_values_are_spread_over_several_urls():
    values = [f"{number:06}" + "ü" * 100 for number in range(40)]
    chunks = list(chunk_any_of("Name", values))
    assert len(chunks) > 3
    assert all(len(chunk.encoded) <= 6_000 for chunk in chunks)
    assert list(chunk_any_of("Name", [])) == []


@pytest.mark.parametrize(
    ("link", "url"),
    [
        (
            "https://gateway.internal:8443/data/CustomersV3?cross-company=true&$skiptoken=a%2Fb",
            f"{BASE}/data/CustomersV3?cross-company=true&$skiptoken=a%2Fb",
        ),
        (
            "https://other/namespaces/AXSF/data/CustomersV3?$skip=10000",
            f"{BASE}/data/CustomersV3?$skip=10000&cross-company=true",
        ),
        ("CustomersV3?$skip=2", f"{BASE}/data/CustomersV3?$skip=2&cross-company=true"),
        ("/data/CustomersV3", f"{BASE}/data/CustomersV3?cross-company=true"),
    ],
)
def test_next_links_stay_on_the_configured_host_and_in_all_companies(link, url):
    assert Urls(BASE).next_page(link) == url


def test_a_next_link_out_of_data_is_refused():
    with pytest.raises(ContractError):
        Urls(BASE).next_page("https://elsewhere/evil?x=1")


def test_empty_values_of_f_and_o_are_none():
    assert decode_date("1900-01-01T12:00:00Z") is None
    assert decode_datetime("1900-01-01T00:00:00Z") is None
    assert decode_text("") is None
    assert decode_date("") is None
    assert decode_guid("00000000-0000-0000-0000-000000000000") is None


def test_values_of_f_and_o_are_decoded():
    assert decode_date("2026-07-30T12:00:00Z") == date(2026, 7, 30)
    assert decode_datetime("2026-07-30T08:58:53Z") == datetime(2026, 7, 30, 8, 58, 53, tzinfo=UTC)
    assert decode_text(" A") == " A"
    assert decode_decimal(json_loads("0.1000")) == Decimal("0.1")
    assert decode_decimal(7) == Decimal(7)
    assert decode_display_value("DAT\\-000011") == "DAT-000011"
    assert decode_display_value("a\\\\b") == "a\\b"
    assert decode_guid(str(UUID(int=9))) == UUID(int=9)


@pytest.mark.parametrize(
    ("decode", "value"),
    [
        (decode_date, 5),
        (decode_date, "soon"),
        (decode_datetime, "2026-07-30T08:58:53"),
        (decode_datetime, 7),
        (decode_text, 5),
        (decode_decimal, "5"),
        (decode_decimal, True),
        (decode_guid, "x"),
        (json_loads, b"<html>"),
        (json_loads, "NaN"),
        (json_loads, b"\xff\xfe\x00"),
    ],
)
def test_values_that_cannot_be_understood_are_a_contract_error_without_the_value(decode, value):
    with pytest.raises(ContractError) as caught:
        decode(value)
    assert "soon" not in str(caught.value)
