"""The webhook: who may call, what is taken in, and what the caller is told."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import azure.functions as func
import pytest
from defusedxml.ElementTree import fromstring

import integration.wiring
from integration.errors import Unreachable
from tests.unit.account_support import account_id
from tests.unit.trigger_support import (
    ORG,
    SECRET,
    MemoryQueues,
    app_with,
    envelope,
    notification,
    outbound_message,
    post,
    post_json,
    post_soap,
    signed,
    webhook_settings,
)

A = account_id(1)
OTHER_ORG = "00DBb0000000002MAA"


@pytest.fixture
def queues() -> Iterator[MemoryQueues]:
    queues = MemoryQueues()
    before = integration.wiring._app
    integration.wiring._app = app_with(webhook_settings(), queues)
    yield queues
    integration.wiring._app = before


def configure(queues: MemoryQueues, **webhook: Any) -> None:
    integration.wiring._app = app_with(webhook_settings(**webhook), queues)


def problem_of(response: func.HttpResponse, status: int) -> str:
    assert response.status_code == status, response.get_body()
    assert response.mimetype == "application/problem+json"
    data = json.loads(response.get_body())
    assert data["status"] == status
    assert data["title"]
    return str(data["detail"])


def is_ack(response: func.HttpResponse) -> bool:
    assert response.status_code == 200, response.get_body()
    assert response.mimetype == "text/xml"
    ack = fromstring(response.get_body()).find(".//{http://soap.sforce.com/2005/09/outbound}Ack")
    return ack is not None and ack.text == "true"


# Who may call


async def test_a_signed_event_is_accepted(queues: MemoryQueues) -> None:
    response = await post_json(envelope())
    assert response.status_code == 202
    assert json.loads(response.get_body()) == {"accepted": 1, "ignored": 0}
    [hint] = queues.hints
    assert (hint.source, hint.object, hint.key, hint.root) == ("salesforce", "Account", A, A)
    assert hint.event_id == f"{envelope()['eventId']}/{A}"
    assert hint.trace == "00-trace-span-01"
    assert (hint.attempt, hint.put_backs, hint.replay) == (1, 0, 0)


async def test_an_unsigned_event_is_refused(queues: MemoryQueues) -> None:
    response = await post(json.dumps(envelope()).encode(), "application/json")
    assert "x-integration-signature" in problem_of(response, 401)
    assert not queues.hints


@pytest.mark.parametrize(
    "headers",
    [
        {"x-integration-signature": "v1=00"},
        {"x-integration-signature": "ünlesbar"},
        {"x-integration-timestamp": "1700000000"},
        {"x-integration-timestamp": "now"},
        {"x-integration-timestamp": "nan"},
        {"x-integration-timestamp": "inf"},
        {"x-integration-timestamp": ""},
    ],
)
async def test_a_wrong_signature_or_time_is_refused(
    queues: MemoryQueues, headers: dict[str, str]
) -> None:
    problem_of(await post_json(envelope(), **headers), 401)
    assert not queues.hints


async def test_a_changed_body_is_refused(queues: MemoryQueues) -> None:
    body = json.dumps(envelope()).encode()
    response = await post(body + b" ", "application/json", signed(body))
    assert "does not fit" in problem_of(response, 401)


@pytest.mark.parametrize(("off", "status"), [(-290, 202), (290, 202), (-310, 401), (310, 401)])
async def test_a_signature_holds_for_five_minutes(
    queues: MemoryQueues, off: float, status: int
) -> None:
    import time

    body = json.dumps(envelope()).encode()
    response = await post(body, "application/json", signed(body, at=time.time() + off))
    assert response.status_code == status


async def test_during_a_rotation_both_secrets_count(queues: MemoryQueues) -> None:
    configure(queues, WEBHOOK_SECRETS="new,old")
    body = json.dumps(envelope()).encode()
    for secret, status in (("new", 202), ("old", 202), ("older", 401)):
        response = await post(body, "application/json", signed(body, secret=secret))
        assert response.status_code == status


async def test_without_any_secret_nothing_is_accepted(queues: MemoryQueues) -> None:
    configure(queues, WEBHOOK_SECRETS="")
    body = json.dumps(envelope()).encode()
    response = await post(body, "application/json", signed(body, secret=""))
    assert response.status_code == 401


async def test_a_static_secret_counts_only_where_it_is_switched_on(queues: MemoryQueues) -> None:
    body = json.dumps(envelope()).encode()
    shown = {"x-integration-secret": "flow-secret"}
    assert "WEBHOOK_STATIC_SECRET" in problem_of(await post(body, "application/json", shown), 401)
    configure(queues, static_secret="flow-secret")
    assert (await post(body, "application/json", shown)).status_code == 202
    wrong = await post(body, "application/json", {"x-integration-secret": "guess"})
    assert "is wrong" in problem_of(wrong, 401)


async def test_another_organisation_is_refused(queues: MemoryQueues) -> None:
    problem_of(await post_json(envelope(orgId=OTHER_ORG)), 403)
    problem_of(await post_soap(outbound_message(notification(1, A), org=OTHER_ORG)), 403)
    assert not queues.hints
    assert not queues.letters


async def test_the_organisation_may_have_fifteen_characters(queues: MemoryQueues) -> None:
    assert (await post_json(envelope(orgId=ORG[:15]))).status_code == 202


async def test_soap_is_refused_where_no_organisation_is_allowed(queues: MemoryQueues) -> None:
    settings = webhook_settings()
    nobody = settings.salesforce.model_copy(update={"org_ids": ()})
    integration.wiring._app = app_with(settings.model_copy(update={"salesforce": nobody}), queues)
    response = await post_soap(outbound_message(notification(1, A)))
    assert "SALESFORCE_ORG_IDS" in problem_of(response, 403)


async def test_an_allowed_organisation_that_is_no_id_allows_nobody(queues: MemoryQueues) -> None:
    settings = webhook_settings()
    typo = settings.salesforce.model_copy(update={"org_ids": ("00DAa0000000001ZZZ",)})
    integration.wiring._app = app_with(settings.model_copy(update={"salesforce": typo}), queues)
    problem_of(await post_soap(outbound_message(notification(1, A))), 403)


async def test_soap_may_need_a_client_certificate(queues: MemoryQueues) -> None:
    der = b"certificate"
    sha1 = hashlib.sha1(der).hexdigest().upper()
    colons = ":".join(sha1[at : at + 2] for at in range(0, 40, 2))
    configure(queues, client_thumbprints=colons)
    soap = outbound_message(notification(1, A))
    assert is_ack(await post_soap(soap, **{"X-ARR-ClientCert": base64.b64encode(der).decode()}))
    for header in ("", "%%%", base64.b64encode(b"other").decode()):
        problem_of(await post_soap(soap, **{"X-ARR-ClientCert": header}), 401)
    problem_of(await post_soap(soap), 401)


# What is refused for its form


async def test_another_content_type_is_refused(queues: MemoryQueues) -> None:
    assert "text/plain" in problem_of(await post(b"hello", "text/plain"), 415)


async def test_a_body_that_is_too_large_is_refused_unread(queues: MemoryQueues) -> None:
    configure(queues, max_bytes=1000)
    problem_of(await post(b"x" * 1001, "text/xml"), 413)
    problem_of(await post(b"x" * 1001, "application/json"), 413)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "empty list"),
        ({}, "eventId"),
        (5, "body"),
        (None, "body"),
        (envelope(recordIds=[]), "recordIds"),
        (envelope(recordIds=["001"]), "recordIds.0"),
        (envelope(recordIds=[A] * 201), "recordIds"),
        (envelope(entity="Account; drop"), "entity"),
        (envelope(changeType="MERGE"), "changeType"),
        (envelope(orgId="acme"), "orgId"),
        ([envelope(), envelope(orgId=OTHER_ORG)], "several organisations"),
    ],
)
async def test_a_wrong_json_is_refused_and_the_member_is_named(
    queues: MemoryQueues, data: Any, named: str
) -> None:
    assert named in problem_of(await post_json(data), 400)
    assert not queues.hints


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_bytes_that_are_no_json_are_refused(queues: MemoryQueues, body: bytes) -> None:
    assert "not JSON" in problem_of(await post(body, "application/json", signed(body)), 400)


@pytest.mark.parametrize(
    "envelope_text",
    [
        "",
        "<a>",
        "<a/>",
        outbound_message(notification(1, A), org=""),
        outbound_message(notification(1, A), prologue="<!DOCTYPE x>"),
        outbound_message(notification(1, A), prologue='<!DOCTYPE x [<!ENTITY e "boom">]>'),
        outbound_message(
            notification(1, A), prologue='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        ),
        outbound_message(notification(1, A)).replace("UTF-8", "klingon"),
        outbound_message(notification(1, A)).replace("UTF-8", "UTF-7"),
    ],
)
async def test_an_unreadable_or_dangerous_envelope_is_refused(
    queues: MemoryQueues, envelope_text: str
) -> None:
    detail = problem_of(await post_soap(envelope_text), 400)
    assert "passwd" not in detail
    assert not queues.hints


# What is taken in


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


# When the app cannot


@pytest.mark.parametrize("soap", [True, False])
async def test_what_cannot_be_queued_is_not_acknowledged(queues: MemoryQueues, soap: bool) -> None:
    queues.error = Unreachable("no broker", system="service_bus")
    response = await (
        post_soap(outbound_message(notification(1, A))) if soap else post_json(envelope())
    )
    problem_of(response, 503)
    assert response.headers["Retry-After"] == "30"


async def test_an_app_without_settings_says_so_without_details(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(integration.wiring, "_app", None)
    for name in ("SALESFORCE_CLIENT_ID", "D365_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    detail = problem_of(await post_json(envelope()), 503)
    assert detail == "the app is not configured"
    assert "D365_BASE_URL" in caplog.text


async def test_neither_secrets_nor_payloads_reach_the_log(
    queues: MemoryQueues, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    await post_soap(outbound_message(notification(1, A)))
    await post_json(envelope())
    await post(b'{"x":"Acme"}', "application/json")
    assert "Acme" not in caplog.text
    assert SECRET not in caplog.text
