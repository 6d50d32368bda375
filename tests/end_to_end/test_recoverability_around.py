"""Salesforce, Entra, storage and Service Bus in trouble, and messages that nobody understands."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING

import httpx
import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob import ContainerClient

from sandbox import topology
from sandbox.servicebus.options import SERVER_BUSY
from sandbox.web import Fault
from tests.end_to_end.world import DOWN

if TYPE_CHECKING:
    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE_FULL = "amqp:resource-limit-exceeded"  # the SDK does not repeat it by itself
# Without a body of its own such a fault is UNABLE_TO_LOCK_ROW.
LOCKED = {
    "match": {"method": "PATCH", "path": "sobjects/Account/"},
    "status": 400,
    "inner": True,
}


async def test_an_ended_session_costs_one_sign_in(world: World) -> None:
    key = await world.create_settled()
    await world.put("salesforce", "sessions/expire", None, method="POST")
    await world.change(key, Phone="+49 8041 222")
    await world.settled()
    assert (await world.customer(key))["PrimaryContactPhone"] == "+49 8041 222"
    assert len(world.salesforce.to("oauth2/token")) == 1
    assert world.letters(key) == []


async def test_a_locked_row_is_tried_again(world: World) -> None:
    await world.fault("salesforce", **LOCKED, count=2)
    key = await world.create()
    await world.settled()
    assert await world.is_in_step(key)
    assert len(world.salesforce.rows_to_salesforce()) == 3
    assert len(world.d365.writes_to_d365()) == 1


async def test_a_row_that_stays_locked_is_a_dead_letter_after_four_attempts(world: World) -> None:
    await world.fault("salesforce", **LOCKED, count=None)
    key = await world.create()
    await world.settled(60)
    letter = world.letter(key)
    assert (letter["kind"], letter["reason"]) == ("failed", "UNABLE_TO_LOCK_ROW")
    assert letter["hint"]["attempt"] == 4
    assert letter["description"].startswith("failed 4 times, last: ")
    assert len(await world.customers(key)) == 1
    await world.no_faults()
    await world.tell(key)
    await world.settled()
    number = (await world.customer(key))["CustomerAccount"]
    assert (await world.account(key))["D365_Customer_Number__c"] == number


async def test_a_spent_call_budget_is_waited_for(world: World) -> None:
    await world.put("salesforce", "quota", {"max": 1000, "used": 1000})
    keys = await world.create_many(3)
    await world.until(lambda: any(hint["put_backs"] >= 2 for hint in world.waiting(*keys)))
    assert {hint["attempt"] for hint in world.waiting(*keys)} == {1}
    await world.put("salesforce", "quota", {"max": 1000, "used": 0})
    await world.settled()
    assert await world.is_in_step(*keys)


async def test_salesforce_in_maintenance_is_waited_for(world: World) -> None:
    await world.fault("salesforce", **DOWN)
    keys = await world.create_many(3)
    await world.until(lambda: any(hint["put_backs"] >= 2 for hint in world.waiting(*keys)))
    assert {hint["attempt"] for hint in world.waiting(*keys)} == {1}
    await world.no_faults()
    await world.settled()
    assert await world.is_in_step(*keys)


async def test_entra_down_is_waited_for(world: World) -> None:
    world.sandbox.entra.control.faults.append(Fault(**DOWN))
    await world.restart()  # a process that holds no token yet
    keys = await world.create_many(2)
    await world.until(lambda: any(hint["put_backs"] >= 2 for hint in world.waiting(*keys)))
    assert {hint["attempt"] for hint in world.waiting(*keys)} == {1}
    await world.no_faults()
    await world.settled()
    assert await world.is_in_step(*keys)


async def test_an_expired_secret_fills_no_dead_letters(world: World) -> None:
    application = world.sandbox.entra.apps[world.sandbox.entra.client_id]
    await world.restart()
    application.expired_secrets, application.secrets = application.secrets, set()
    keys = await world.create_many(2)
    await world.until(lambda: any(hint["put_backs"] >= 2 for hint in world.waiting(*keys)))
    assert world.letters(*keys) == []
    application.secrets, application.expired_secrets = application.expired_secrets, set()
    await world.settled()
    assert await world.is_in_step(*keys)


async def test_without_storage_nothing_is_created_and_nothing_lost(world: World) -> None:
    await world.create_settled()
    await world.sandbox.storage.stop()
    try:
        key = await world.create()
        await world.until(lambda: any(hint["put_backs"] for hint in world.waiting(key)), 60)
        assert {hint["attempt"] for hint in world.waiting(key)} == {1}
        assert await world.customers(key) == []
        assert world.d365.writes_to_d365() == []
    finally:
        await start_storage_again(world)
    await world.settled(60)
    assert await world.is_in_step(key)


async def start_storage_again(world: World) -> None:
    storage = world.sandbox.storage
    storage._port = httpx.URL(storage.url).port or 0
    await storage.start()
    text = storage.connection_string
    with ContainerClient.from_connection_string(text, "integration-state") as container:
        container.create_container()  # Azurite forgets it in memory, Azure does not


async def test_an_event_that_service_bus_refuses_is_sent_again_by_salesforce(world: World) -> None:
    await world.sandbox.subscribe("Account", kind="outbound-message")
    try:
        world.sandbox.broker.refuse_sends(topology.CHANGES, QUEUE_FULL, 2)
        key = await world.create()
        await world.settled()
        state = (await world.sandbox.http.get(_deliveries(world))).json()
    finally:
        await world.sandbox.subscribe("Account", kind="json")
    assert state["rejected"] >= 1
    assert state["last_error"] == "HTTP 503"
    assert await world.is_in_step(key)


async def test_a_busy_service_bus_delays_a_retry_and_loses_none(world: World) -> None:
    await world.fault("d365", **DOWN)
    key = await world.create()
    await world.until(lambda: bool(world.waiting(key)))
    world.sandbox.broker.refuse_sends(topology.CHANGES, SERVER_BUSY, 2)
    await asyncio.sleep(1)
    await world.no_faults()
    await world.settled()
    assert await world.is_in_step(key)


@pytest.mark.parametrize("body", [b"not a hint", b'{"v": 1, "key": 7}', b"\xff\xfe", b"[]"])
async def test_what_nobody_can_read_is_kept_as_it_came(world: World, body: bytes) -> None:
    await world.sandbox.send_raw(body, session="bucket-003")
    await world.settled()
    kept = [
        letter
        for letter in world.sandbox.dead_letters()
        if letter["body"] and base64.b64decode(letter["body"]) == body
    ]
    assert [(letter["kind"], letter["reason"]) for letter in kept] == [
        ("undecodable", "undecodable")
    ]


async def test_a_hint_of_a_newer_release_waits_for_it_and_is_then_kept(world: World) -> None:
    body = json.dumps({"v": 99, "key": "of a newer release"}).encode()
    text = world.sandbox.broker.connection_string
    async with (
        ServiceBusClient.from_connection_string(text) as client,
        client.get_queue_sender(topology.CHANGES) as sender,
    ):
        message = ServiceBusMessage(body, session_id="bucket-001", message_id="newer")
        await sender.send_messages(message)
        await world.until(lambda: bool(_scheduled(world)))
        (waiting,) = _scheduled(world)
        assert waiting.message_id == "newer+v1"
        assert waiting.scheduled_at is not None
        assert 55 < (waiting.scheduled_at - waiting.enqueued_at).total_seconds() <= 60
        await sender.cancel_scheduled_messages(waiting.sequence_number)
        message = ServiceBusMessage(body, session_id="bucket-001", message_id="newer+v4")
        await sender.send_messages(message)
        await world.settled()
    (letter,) = [
        letter
        for letter in world.sandbox.dead_letters()
        if letter["reason"] == "unknown-hint-version"
    ]
    assert letter["kind"] == "undecodable"
    assert base64.b64decode(letter["body"]) == body


def _scheduled(world: World) -> list:
    messages = world.sandbox.broker.peek(topology.CHANGES)
    return [message for message in messages if message.state == "scheduled"]


def _deliveries(world: World) -> str:
    return f"{world.sandbox.salesforce.url}/sandbox/deliveries"
