"""The webhook over HTTP: who may call, what it answers, and that a promise is kept by Service Bus first."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import topology
from sandbox.salesforce.notifications import Notification, is_ack, soap
from sandbox.stack import FUNCTION_KEY, signed

if TYPE_CHECKING:
    import httpx

    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRANGER = "00DAa0000000999AAA"
XML = {"content-type": "text/xml; charset=UTF-8", "soapaction": '""'}
QUEUE_FULL = "amqp:resource-limit-exceeded"


async def call(world: World, body: bytes, headers: dict[str, str], **params: str) -> httpx.Response:
    url = f"{world.sandbox.app_url}/api/salesforce/events"
    return await world.sandbox.http.post(url, content=body, headers=headers, params=params)


async def call_json(world: World, event: Any, **headers: str) -> httpx.Response:
    body = json.dumps(event).encode()
    return await call(world, body, {"content-type": "application/json", **signed(body), **headers})


def outbound_message(world: World, keys: list[str], org: str | None = None) -> bytes:
    """What Salesforce sends, of an organisation of choice."""
    stand_in = world.sandbox.salesforce.org
    notifications = [Notification(f"04l{uuid.uuid4().hex[:15]}", key) for key in keys]
    obj = stand_in.schema.objects["Account"]
    message = soap(stand_in, obj, "04k000000000001AAA", ["Name"], notifications, "https://x.test")
    return message.replace(stand_in.id.encode(), org.encode()) if org else message


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    return answer.status_code, problem["detail"]


async def test_without_the_function_key_nothing_is_taken(world: World) -> None:
    body = json.dumps(world.event("001Aa0000000001AAA")).encode()
    headers = {"content-type": "application/json", **signed(body)}
    del headers["x-functions-key"]
    before = world.totals()
    assert (await call(world, body, headers)).status_code == 401
    assert (await call(world, body, headers, code="wrong")).status_code == 401
    assert (await call(world, b"<x/>", XML)).status_code == 401
    assert world.totals() == before


async def test_json_needs_a_signature_that_fits_and_is_fresh(world: World) -> None:
    event = world.event("001Aa0000000001AAA")
    body = json.dumps(event).encode()
    plain = {"content-type": "application/json", "x-functions-key": FUNCTION_KEY}
    before = world.totals()
    wrong = [
        (plain, "are needed"),
        ({**plain, **signed(body, secret="another secret")}, "does not fit the body"),
        ({**plain, **signed(body + b" ")}, "does not fit the body"),
        ({**plain, **signed(body, at=time.time() - 301)}, "more than 300 s off"),
        ({**plain, **signed(body, at=time.time() + 310)}, "more than 300 s off"),
        ({**plain, "x-integration-secret": "sandbox-webhook-secret"}, "is not accepted here"),
    ]
    for headers, text in wrong:
        status, detail = problem_of(await call(world, body, headers))
        assert status == 401
        assert text in detail
    assert world.totals() == before


async def test_another_organisation_is_forbidden(world: World) -> None:
    event = {**world.event("001Aa0000000001AAA"), "orgId": STRANGER}
    message = outbound_message(world, ["001Aa0000000001AAA"], STRANGER)
    before = world.totals()
    assert problem_of(await call_json(world, event))[0] == 403
    assert problem_of(await call(world, message, XML, code=FUNCTION_KEY))[0] == 403
    assert world.totals() == before


async def test_a_body_above_a_megabyte_is_refused(world: World) -> None:
    answer = await call_json(world, {**world.event("001Aa0000000001AAA"), "x": "y" * 1_000_000})
    assert problem_of(answer) == (413, "the body is larger than 1000000 bytes")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_refused(world: World, kind: str) -> None:
    body = json.dumps(world.event("001Aa0000000001AAA")).encode()
    answer = await call(world, body, {**signed(body), "content-type": kind})
    assert problem_of(answer)[0] == 415


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"recordIds": []}, "recordIds"),
        ({"recordIds": ["not an id"]}, "recordIds.0"),
        ({"entity": "Account; DROP"}, "entity"),
        ({"eventId": ""}, "eventId"),
        ({"changeType": "EXPLODE"}, "changeType"),
    ],
)
async def test_a_wrong_member_is_named(world: World, change: dict[str, Any], text: str) -> None:
    answer = await call_json(world, {**world.event("001Aa0000000001AAA"), **change})
    status, detail = problem_of(answer)
    assert status == 400
    assert text in detail


@pytest.mark.parametrize(
    "body",
    [
        b"<not closed",
        b"<html/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
    ],
)
async def test_xml_that_is_no_outbound_message_is_refused(world: World, body: bytes) -> None:
    assert problem_of(await call(world, body, XML, code=FUNCTION_KEY))[0] == 400


async def test_only_post_is_served(world: World) -> None:
    url = f"{world.sandbox.app_url}/api/salesforce/events?code={FUNCTION_KEY}"
    assert (await world.sandbox.http.get(url)).status_code == 404


async def test_accepted_and_ignored_are_counted(world: World) -> None:
    keys = await world.create_many(2, events=False)
    other = {**world.event("500Aa0000000001AAA"), "entity": "Case"}
    answer = await call_json(world, [world.event(*keys), other])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "ignored": 1})
    await world.settled()
    assert await world.is_in_step(*keys)


async def test_a_hundred_notifications_are_on_the_queue_when_they_are_acknowledged(
    world: World,
) -> None:
    keys = await world.create_many(100, events=False)
    world.sandbox.broker.pause(topology.CHANGES)
    answer = await call(world, outbound_message(world, keys), XML, code=FUNCTION_KEY)
    kept = {hint["key"] for hint in world.waiting(*keys)}
    assert answer.status_code == 200
    assert is_ack(answer.content)
    assert answer.headers["content-type"].startswith("text/xml")
    assert kept == set(keys)
    world.sandbox.broker.resume(topology.CHANGES)
    await world.settled()
    assert await world.is_in_step(*keys)


async def test_no_acknowledgement_while_service_bus_takes_only_a_part(world: World) -> None:
    keys = await world.create_many(20, events=False)
    message = outbound_message(world, keys)
    world.sandbox.broker.refuse_sends(topology.CHANGES, QUEUE_FULL, 1)
    answer = await call(world, message, XML, code=FUNCTION_KEY)
    assert problem_of(answer)[0] == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert not is_ack(answer.content)
    again = await call(world, message, XML, code=FUNCTION_KEY)  # as Salesforce does
    assert is_ack(again.content)
    await world.settled()
    assert await world.is_in_step(*keys)


async def test_a_json_caller_is_told_to_come_again(world: World) -> None:
    world.sandbox.broker.refuse_sends(topology.CHANGES, QUEUE_FULL, 1)
    key = await world.create(events=False)
    answer = await world.sandbox.post_event(world.event(key))
    assert problem_of(answer)[0] == 503
    assert world.waiting(key) == []
    await world.tell(key)
    await world.settled()
    assert await world.is_in_step(key)


async def test_a_notification_without_a_record_is_acknowledged_and_kept(world: World) -> None:
    known = await world.create(events=False)
    message = outbound_message(world, [known, "001Aa0000GONEAAIA0"])  # the second was deleted
    before = len(world.sandbox.dead_letters())
    answer = await call(world, message, XML, code=FUNCTION_KEY)
    assert is_ack(answer.content)
    await world.settled()
    assert await world.is_in_step(known)
    letters = world.sandbox.dead_letters()[before:]
    assert [(letter["kind"], letter["reason"]) for letter in letters] == [
        ("undecodable", "no-record-id")
    ]


async def test_fifty_callers_at_once_are_all_served(world: World) -> None:
    keys = await world.create_many(50, events=False)
    answers = await asyncio.gather(*(world.sandbox.post_event(world.event(key)) for key in keys))
    assert {answer.status_code for answer in answers} == {202}
    await world.settled()
    assert await world.is_in_step(*keys)


async def test_health_needs_no_key_and_tells_nothing(world: World) -> None:
    answer = await world.sandbox.http.get(f"{world.sandbox.app_url}/api/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
