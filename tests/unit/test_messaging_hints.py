"""The message that travels: stable, versioned, and never believed without a look."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.errors import ContractError
from integration.messaging.hints import Hint, UnknownHintVersion, bucket_of, session_of

SEEN = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
HINTS = st.builds(
    Hint,
    source=st.sampled_from(["salesforce", "d365"]),
    object=TEXT,
    key=TEXT,
    event_id=TEXT,
    seen_at=st.datetimes(timezones=ZONES),
    root=st.none() | TEXT,
    company=st.none() | TEXT,
    attempt=st.integers(1, 10**9),
    put_backs=st.integers(0, 10**9),
    replay=st.integers(0, 10**9),
    trace=st.none() | TEXT,
)


def hint(**changes: Any) -> Hint:
    values: dict[str, Any] = {
        "source": "salesforce",
        "object": "Account",
        "key": "001Aa0000000001IAA",
        "event_id": "event",
        "seen_at": SEEN,
    }
    return Hint(**{**values, **changes})


def body(**changes: Any) -> bytes:
    return json.dumps({**hint().to_json(), **changes}).encode()


@given(HINTS)
def test_a_hint_comes_back_as_it_was(given_hint: Hint) -> None:
    assert Hint.from_bytes(given_hint.to_bytes()) == given_hint


def test_the_body_has_the_documented_members() -> None:
    assert json.loads(hint(root="001Aa0000000002IAA", trace="00-a-b-01").to_bytes()) == {
        "v": 1,
        "source": "salesforce",
        "object": "Account",
        "key": "001Aa0000000001IAA",
        "root": "001Aa0000000002IAA",
        "company": None,
        "attempt": 1,
        "put_backs": 0,
        "replay": 0,
        "event_id": "event",
        "seen_at": "2025-03-01T12:30:00+00:00",
        "trace": "00-a-b-01",
    }


def test_members_of_a_newer_release_are_ignored_and_missing_counts_are_the_first() -> None:
    data = {**hint().to_json(), "priority": "high", "nested": {"a": [1]}}
    for name in ("attempt", "put_backs", "replay", "root", "company", "trace"):
        del data[name]
    assert Hint.from_bytes(json.dumps(data).encode()) == hint()


@pytest.mark.parametrize("version", [0, 2, 10**9])
def test_another_version_is_told_from_garbage(version: int) -> None:
    with pytest.raises(UnknownHintVersion) as caught:
        Hint.from_bytes(body(v=version))
    assert caught.value.reason == "unknown-hint-version"


@pytest.mark.parametrize(
    "wrong",
    [
        {"v": None}, {"v": "1"}, {"v": True}, {"v": 1.5}, {"v": {"a": "secret"}},
        {"source": "sap"}, {"source": ["salesforce"]}, {"object": ""}, {"object": 5},
        {"key": None}, {"key": {}}, {"key": "\ud800"}, {"event_id": []}, {"root": 7},
        {"root": ["001"]}, {"root": "\udfff"}, {"company": 1}, {"trace": {}},
        {"attempt": 0}, {"attempt": True}, {"attempt": "1"}, {"attempt": 1.0},
        {"put_backs": -1}, {"replay": None}, {"seen_at": "yesterday"},
        {"seen_at": "2025-03-01T12:00:00"}, {"seen_at": 5},
    ],
)  # fmt: skip
def test_a_wrong_member_is_a_contract_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractError) as caught:
        Hint.from_bytes(body(**wrong))
    assert not isinstance(caught.value, UnknownHintVersion)
    assert "secret" not in str(caught.value)
    assert "yesterday" not in str(caught.value)


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"1", b"\xff\xfe", b"{", b"[" * 100_000, b'{"v":1}', b"9" * 5000]
)
def test_other_bytes_are_a_contract_error(raw: bytes) -> None:
    with pytest.raises(ContractError):
        Hint.from_bytes(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
MEMBERS = st.fixed_dictionaries(
    {"v": st.just(1) | JSON},
    optional={
        name: JSON | st.just(value) for name, value in hint().to_json().items() if name != "v"
    },
)


@given(st.binary() | MEMBERS.map(lambda data: json.dumps(data).encode()))
def test_bytes_from_outside_are_a_hint_or_a_contract_error(raw: bytes) -> None:
    try:
        read = Hint.from_bytes(raw)
    except ContractError:
        return
    # What was accepted can be worked with.
    assert len(read.message_id) <= 128
    assert Hint.from_bytes(read.to_bytes()) == read
    assert session_of(read, 16).startswith("bucket-")


@given(HINTS)
def test_message_ids_fit_the_broker_and_differ_for_every_delivery(given_hint: Hint) -> None:
    deliveries = [
        given_hint,
        given_hint.later(uses_attempt=True),
        given_hint.later(uses_attempt=False),
        given_hint.later(uses_attempt=True).later(uses_attempt=False),
        given_hint.moved_to("other").later(uses_attempt=False),
        hint(event_id=given_hint.event_id, replay=given_hint.replay + 1),
    ]
    ids = {one.message_id for one in deliveries}
    assert len(ids) == len(deliveries)
    assert all(len(one) <= 128 for one in ids)


def test_the_message_id_of_a_delivery_never_depends_on_the_record() -> None:
    assert hint(key="a").message_id == hint(key="b").message_id == "event:1:0:0"


def test_a_moved_hint_keeps_its_event_and_gets_its_new_root() -> None:
    moved = hint(attempt=3).moved_to("001Aa0000000009IAA", "001Aa0000000009IAA")
    assert (moved.key, moved.root) == ("001Aa0000000009IAA", "001Aa0000000009IAA")
    assert (moved.attempt, moved.put_backs, moved.event_id) == (3, 1, "event")
    assert hint().moved_to("001Aa0000000009IAA").key == hint().key


@pytest.mark.parametrize(
    ("root", "buckets", "bucket"),
    [
        ("001Aa0000000001IAA", 16, "bucket-006"),
        ("001Aa0000000002IAA", 16, "bucket-011"),
        ("001Aa0000000001IAA", 52, "bucket-010"),
        ("Müller|usmf", 16, "bucket-008"),
        ("anything", 1, "bucket-000"),
    ],
)
def test_a_bucket_is_the_same_in_every_release(root: str, buckets: int, bucket: str) -> None:
    assert bucket_of(root, buckets) == bucket


def test_the_session_follows_from_the_root_or_else_the_key() -> None:
    assert session_of(hint(), 16) == bucket_of("001Aa0000000001IAA", 16)
    assert session_of(hint(root="r"), 16) == bucket_of("r", 16)


def test_all_buckets_are_used_evenly() -> None:
    used = [bucket_of(f"001Aa{number:010}AAA", 16) for number in range(1600)]
    counts = {bucket: used.count(bucket) for bucket in set(used)}
    assert len(counts) == 16
    assert max(counts.values()) < 160
