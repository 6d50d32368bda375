from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.salesforce.ids import is_id, object_prefix, to_18

ALNUM = string.ascii_letters + string.digits
shorts = st.text(ALNUM, min_size=15, max_size=15)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        # Each suffix character worked out by hand: bit k is set where character k of the five is a capital.
        ("001000000000000", "001000000000000AAA"),
        ("001Aa0000000001", "001Aa0000000001IAA"),  # block 1: only the fourth -> 8 -> I
        ("00DAa0000000001", "00DAa0000000001MAA"),  # third and fourth -> 4 + 8 = 12 -> M
        ("ABCDEFGHIJKLMNO", "ABCDEFGHIJKLMNO555"),  # all -> 31 -> 5
        ("aBcDeFgHiJ00000", "aBcDeFgHiJ00000KVA"),  # 2+8=10 -> K; 1+4+16=21 -> V
        (
            "00130000000ikPc",
            "00130000000ikPcAAI",
        ),  # block 3 "0ikPc": the fourth -> 8 -> I, order kept
    ],
)
def test_the_suffix_follows_from_the_capitals(short: str, long: str) -> None:
    assert to_18(short) == long
    assert to_18(long) == long


@pytest.mark.parametrize(
    "text",
    [
        "",
        "001",
        "001Aa00000000010",
        "001Aa000000001é",
        "001Aa0000000001 ",
        "001Aa0000000001\n",
        "٠٠١000000000000",
    ],
)
def test_what_has_another_length_or_character_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a Salesforce id"):
        to_18(text)
    assert not is_id(text)


@pytest.mark.parametrize("text", ["001Aa0000000001ZAA", "001Aa00000000019AA", "001Aa0000000001IA!"])
def test_a_suffix_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        to_18(text)


@given(shorts)
def test_the_long_form_keeps_the_short_one_and_is_stable(short: str) -> None:
    long = to_18(short)
    assert long[:15] == short
    assert to_18(long) == long


@given(shorts)
def test_an_id_whose_case_was_lost_is_restored(short: str) -> None:
    long = to_18(short)
    assert to_18(long.upper()) == long
    assert to_18(long.lower()) == long


@given(shorts, shorts)
def test_ids_that_differ_in_case_alone_differ_without_case_too(one: str, other: str) -> None:
    assert (to_18(one).lower() == to_18(other).lower()) == (one == other)
    twin = one.swapcase()
    assert (to_18(one).lower() == to_18(twin).lower()) == (one == twin)


def test_the_prefix_names_the_object() -> None:
    assert object_prefix("001Aa0000000001IAA") == "001"
