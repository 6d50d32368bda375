"""Whatever arrives at the webhook is understood or refused as a whole; nothing else can happen."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.errors import ContractError
from integration.salesforce.events import Received, read_json, read_outbound_message
from integration.salesforce.ids import is_id
from tests.unit.account_support import account_id
from tests.unit.trigger_support import envelope, notification, outbound_message

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=20)
    | st.sampled_from(["Account", "Contact", account_id(1), account_id(1)[:15], "001*", "a,b"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)
ENVELOPES = st.fixed_dictionaries(
    {}, optional={name: JSON | st.just(value) for name, value in envelope().items()}
)
HEADERS = st.fixed_dictionaries(
    {"entityName": JSON, "transactionKey": JSON, "recordIds": JSON},
    optional={"sequenceNumber": JSON, "changeType": JSON},
)
PLATFORM = st.fixed_dictionaries(
    {"Record_Ids__c": JSON},
    optional={"Entity__c": JSON, "EventUuid": JSON, "Parent_Id__c": JSON},
)
PAYLOADS = st.fixed_dictionaries({"ChangeEventHeader": HEADERS | JSON}) | PLATFORM | JSON
EVENTS = st.fixed_dictionaries({"payload": PAYLOADS}, optional={"event": JSON}) | PAYLOADS
BODIES = (
    ENVELOPES | st.lists(ENVELOPES, max_size=3) | EVENTS | st.fixed_dictionaries({"data": EVENTS})
)


def check(received: Received) -> None:
    """What was understood can be queued."""
    for event in received.events:
        assert is_id(event.key)
        assert event.root is None or is_id(event.root)
        event.event_id.encode()
        event.object.encode()
    for part in received.unusable:
        part.event_id.encode()
        part.description.encode()
    assert received.org_id is None or is_id(received.org_id)


@given(st.binary(max_size=50) | BODIES.map(lambda data: json.dumps(data).encode()))
def test_json_is_understood_or_refused(body: bytes) -> None:
    try:
        received = read_json(body)
    except ContractError:
        return
    check(received)


@given(BODIES.map(lambda data: json.dumps(data, ensure_ascii=False).encode(errors="surrogatepass")))
def test_json_that_is_not_escaped_is_understood_or_refused(body: bytes) -> None:
    try:
        received = read_json(body)
    except ContractError:
        return
    check(received)


def mutations(original: bytes) -> st.SearchStrategy[bytes]:
    places = st.integers(0, len(original))
    return st.tuples(places, places, st.binary(max_size=5)).map(
        lambda cut: original[: min(cut[0], cut[1])] + cut[2] + original[max(cut[0], cut[1]) :]
    )


SOAP = outbound_message(notification(1, account_id(1)), notification(2, None)).encode()


@given(st.binary(max_size=50) | mutations(SOAP))
def test_an_envelope_is_understood_or_refused(body: bytes) -> None:
    try:
        received = read_outbound_message(body)
    except ContractError:
        return
    assert received.events or received.unusable
    check(received)


def test_an_event_id_is_unique_per_event_and_record() -> None:
    data: list[dict[str, Any]] = [
        envelope(recordIds=[account_id(1), account_id(2)]),
        envelope(eventId="other", recordIds=[account_id(1)]),
    ]
    ids = [event.event_id for event in read_json(json.dumps(data).encode()).events]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("member", ["transactionKey", "entityName"])
def test_half_a_character_is_refused_because_no_message_could_carry_it(member: str) -> None:
    header = {"entityName": "Account", "transactionKey": "t", "recordIds": [account_id(1)]}
    body = json.dumps({"payload": {"ChangeEventHeader": {**header, member: "\ud800"}}})
    with pytest.raises(ContractError):
        read_json(body.encode())
