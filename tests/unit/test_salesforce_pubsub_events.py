"""Change events from bytes that are put together by hand, so that no decoder checks itself."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.errors import ContractError
from integration.salesforce.pubsub.events import Schema, field_names

ACCOUNT = "001Aa0000000001IAA"
USER = "005Aa0000000001IAA"
KINDS = [
    "CREATE", "UPDATE", "DELETE", "UNDELETE",
    "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW", "SNAPSHOT",
]  # fmt: skip
STRINGS = {"type": "array", "items": "string"}
HEADER: dict[str, Any] = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": STRINGS},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": KINDS}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": STRINGS},
        {"name": "diffFields", "type": STRINGS},
        {"name": "changedFields", "type": STRINGS},
    ],
}
ADDRESS = {
    "type": "record",
    "name": "Address",
    "fields": [
        {"name": name, "type": ["null", "string"]} for name in ("Street", "City", "PostalCode")
    ],
}
FIELDS: list[dict[str, Any]] = [
    {"name": "ChangeEventHeader", "type": HEADER},
    {"name": "Name", "type": ["null", "string"]},
    {"name": "Phone", "type": ["null", "string"]},
    {"name": "AnnualRevenue", "type": ["null", "double"]},
    {"name": "BillingAddress", "type": ["null", "string", ADDRESS]},
]
SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "AccountChangeEvent",
        "namespace": "com.sforce.eventbus",
        "fields": FIELDS,
    }
)


def number(value: int) -> bytes:
    """Avro: zigzag, seven bits at a time, lowest first."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def text(value: str) -> bytes:
    raw = value.encode()
    return number(len(raw)) + raw


def texts(values: list[str]) -> bytes:
    if not values:
        return number(0)
    return number(len(values)) + b"".join(map(text, values)) + number(0)


def event(
    *,
    ids: list[str] | None = None,
    kind: str = "UPDATE",
    origin: str = "com/salesforce/api/rest/62.0;client=SomeTool",
    changed: list[str] | None = None,
    number_of_commit: int = 1_100_583_868_458,
) -> bytes:
    header = (
        text("Account")
        + texts([ACCOUNT] if ids is None else ids)
        + number(KINDS.index(kind))
        + text(origin)
        + text("0000654a-b07c-5852-d65f-47dc5ecd631d")
        + number(1)
        + number(1_735_689_600_000)
        + number(number_of_commit)
        + text(USER)
        + texts([])
        + texts([])
        + texts(changed or [])
    )
    # Name: null; Phone: text; AnnualRevenue: null; BillingAddress: the record branch with a city.
    address = number(2) + number(0) + number(1) + text("Köln") + number(0)
    return header + number(0) + number(1) + text("+1 555") + number(0) + address


def test_an_update_says_what_changed_of_which_record_and_who_did_it() -> None:
    change = Schema(SCHEMA).change(event(changed=["0x04", "4-0x02"]))
    assert change.object == "Account"
    assert change.kind == "UPDATE"
    assert change.ids == (ACCOUNT,)
    assert change.changed == ("Phone", "BillingAddress.City")
    assert change.user == USER
    assert change.client == "SomeTool"
    assert change.at == datetime(2025, 1, 1, tzinfo=UTC)
    assert change.event_id == "0000654a-b07c-5852-d65f-47dc5ecd631d/1"
    assert not change.gap


def test_a_commit_number_beyond_53_bits_and_an_origin_without_client_are_read() -> None:
    change = Schema(SCHEMA).change(event(origin="", number_of_commit=2**60 + 1))
    assert change.client == ""


@pytest.mark.parametrize("kind", ["CREATE", "UPDATE", "DELETE", "UNDELETE"])
def test_a_gap_event_names_its_record_but_not_what_changed(kind: str) -> None:
    change = Schema(SCHEMA).change(event(kind=f"GAP_{kind}"))
    assert (change.kind, change.ids, change.gap) == (kind, (ACCOUNT,), True)


@pytest.mark.parametrize(
    ("kind", "ids"), [("GAP_OVERFLOW", []), ("GAP_OVERFLOW", [ACCOUNT]), ("UPDATE", ["001*"])]
)
def test_an_overflow_and_a_wildcard_name_no_record(kind: str, ids: list[str]) -> None:
    change = Schema(SCHEMA).change(event(kind=kind, ids=ids))
    assert (change.ids, change.gap) == ((), True)


def test_many_records_of_one_transaction_are_one_event_with_ids_of_18_characters() -> None:
    change = Schema(SCHEMA).change(event(ids=["001Aa0000000001", ACCOUNT.replace("1I", "2I")[:15]]))
    assert len(change.ids) == 2
    assert change.ids[0] == ACCOUNT


def test_the_bitmap_of_the_contract_names_its_positions() -> None:
    fields = [{"name": str(position), "type": "string"} for position in range(40)]
    assert field_names(["0x650004E0"], fields) == ["5", "6", "7", "10", "24", "26", "29", "30"]


def test_a_bitmap_beyond_the_schema_is_no_readable_event() -> None:
    with pytest.raises(ContractError, match="field 9 of 5"):
        Schema(SCHEMA).change(event(changed=["0x200"]))


@given(st.sets(st.integers(0, 200)))
def test_every_set_of_positions_survives_its_bitmap(positions: set[int]) -> None:
    fields = [{"name": str(position), "type": "string"} for position in range(201)]
    mask = f"0x{sum(1 << position for position in positions):X}"
    assert field_names([mask], fields) == [str(position) for position in sorted(positions)]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_event_raise_nothing_but_that(payload: bytes) -> None:
    with contextlib.suppress(ContractError):
        Schema(SCHEMA).change(payload)  # any other error fails the test


@pytest.mark.parametrize("schema", ["", "{}", "[]", '{"type":"record","name":"X"}', '"string"'])
def test_a_schema_that_is_none_is_said_so(schema: str) -> None:
    with pytest.raises(ContractError, match="schema"):
        Schema(schema)
