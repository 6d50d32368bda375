"""The webhook: what is taken in, from each of the forms in which Salesforce tells of changes."""

import json
from typing import Any

import pytest

from tests.unit.account_support import A, account_id
from tests.unit.trigger_support import (
    MemoryQueues,
    envelope,
    is_ack,
    notification,
    outbound_message,
    post_json,
    post_soap,
    problem_of,
    queues,
)

__all__ = ["queues"]  # the fixture


@pytest.mark.parametrize("count", [1, 2, 100])
async def test_every_notification_becomes_a_hint_and_all_are_acknowledged(
    queues: MemoryQueues, count: int
) -> None:
    sent = [notification(number, account_id(number)) for number in range(count)]
    assert is_ack(await post_soap(outbound_message(*sent)))
    assert [hint.key for hint in queues.hints] == [account_id(number) for number in range(count)]
    assert queues.hints[0].event_id == "04lAa0000000000IAA"
    assert len({hint.message_id for hint in queues.hints}) == count


async def test_a_notification_without_data_is_kept_and_acknowledged_with_the_others(
    queues: MemoryQueues,
) -> None:
    soap = outbound_message(notification(1, None), notification(2, A), notification(3, None))
    assert is_ack(await post_soap(soap))
    assert [hint.key for hint in queues.hints] == [A]
    assert [letter.kind for letter in queues.letters] == ["undecodable"] * 2
    assert [letter.body for letter in queues.letters] == [
        b"04lAa0000000001IAA",
        b"04lAa0000000003IAA",
    ]
    assert len({letter.message_id for letter in queues.letters}) == 2


async def test_an_envelope_without_a_notification_is_kept_and_not_sent_back(
    queues: MemoryQueues,
) -> None:
    assert is_ack(await post_soap(outbound_message()))
    assert len(queues.letters) == 1


async def test_a_notification_that_names_no_object_is_kept(queues: MemoryQueues) -> None:
    nameless = notification(1, A).replace('xsi:type="sf:Account"', "")
    assert is_ack(await post_soap(outbound_message(nameless)))
    assert not queues.hints
    assert len(queues.letters) == 1


async def test_objects_that_no_flow_handles_are_counted_and_left(queues: MemoryQueues) -> None:
    response = await post_json(
        [envelope(), envelope(entity="Lead", recordIds=["00QAa0000000001IAA"])]
    )
    assert json.loads(response.get_body()) == {"accepted": 1, "ignored": 1}
    assert is_ack(await post_soap(outbound_message(notification(1, "00QAa0000000001IAA", "Lead"))))
    assert [hint.object for hint in queues.hints] == ["Account"]


async def test_a_list_of_events_is_taken_in_with_their_parents(queues: MemoryQueues) -> None:
    contact = "003Aa0000000001IAA"
    response = await post_json(
        [envelope(recordIds=[A[:15]]), envelope(entity="Contact", recordIds=[contact], parentId=A)]
    )
    assert json.loads(response.get_body()) == {"accepted": 2, "ignored": 0}
    assert [(hint.object, hint.key, hint.root) for hint in queues.hints] == [
        ("Account", A, A),
        ("Contact", contact, A),
    ]


async def test_a_contact_of_unknown_account_goes_by_its_own_id(queues: MemoryQueues) -> None:
    await post_json(envelope(entity="Contact", recordIds=["003Aa0000000001IAA"]))
    assert queues.hints[0].root is None


def change_event(**header: Any) -> dict[str, Any]:
    """Salesforce contract 5.1."""
    return {
        "schema": "aBcD123",
        "payload": {
            "ChangeEventHeader": {
                "entityName": "Account",
                "recordIds": [A],
                "changeType": "UPDATE",
                "transactionKey": "0000654a-b07c-5852-d65f-47dc5ecd631d",
                "sequenceNumber": 1,
                **header,
            },
            "Phone": "+1 555",
        },
        "event": {"replayId": 18098167},
    }


@pytest.mark.parametrize("wrapped", [True, False])
async def test_change_data_capture_is_understood(queues: MemoryQueues, wrapped: bool) -> None:
    event = change_event()
    data = {"data": event, "channel": "/data/AccountChangeEvent"} if wrapped else event
    assert (await post_json(data)).status_code == 202
    [hint] = queues.hints
    assert hint.event_id == f"0000654a-b07c-5852-d65f-47dc5ecd631d/1/{A}"


@pytest.mark.parametrize(
    "header", [{"recordIds": ["001*"]}, {"recordIds": [], "changeType": "GAP_OVERFLOW"}]
)
async def test_a_change_event_without_usable_ids_is_kept_for_a_person(
    queues: MemoryQueues, header: dict[str, Any]
) -> None:
    response = await post_json(change_event(**header))
    assert json.loads(response.get_body()) == {"accepted": 0, "ignored": 0}
    assert len(queues.letters) == 1
    assert "Account" in queues.letters[0].description


def platform_event(**payload: Any) -> dict[str, Any]:
    return {
        "data": {
            "payload": {"Entity__c": "Contact", "Record_Ids__c": "003Aa0000000001IAA", **payload},
            "event": {"EventUuid": "uuid-1", "replayId": 7},
        }
    }


async def test_a_platform_event_is_understood(queues: MemoryQueues) -> None:
    data = platform_event(
        Record_Ids__c="003Aa0000000001IAA, 003Aa0000000002IAA", Parent_Id__c=A[:15]
    )
    assert (await post_json(data)).status_code == 202
    assert [(hint.key, hint.root) for hint in queues.hints] == [
        ("003Aa0000000001IAA", A),
        ("003Aa0000000002IAA", A),
    ]


async def test_every_unusable_id_is_kept_and_none_passes_for_a_double(
    queues: MemoryQueues,
) -> None:
    await post_json(platform_event(Record_Ids__c="one,003Aa0000000001IAA,two"))
    assert len(queues.hints) == 1
    assert len({letter.message_id for letter in queues.letters}) == 2


@pytest.mark.parametrize(
    "payload", [{"Entity__c": None}, {"Record_Ids__c": 5}, {"Parent_Id__c": 5}, {"Entity__c": []}]
)
async def test_a_wrong_platform_event_is_refused(
    queues: MemoryQueues, payload: dict[str, Any]
) -> None:
    problem_of(await post_json(platform_event(**payload)), 400)
