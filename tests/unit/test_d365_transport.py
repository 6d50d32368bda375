"""Repeats, deadlines, tokens and headers of one call to F&O."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from integration.d365.literals import Key
from integration.deadline import deadline
from integration.errors import (
    AuthenticationFailed,
    DeadlineReached,
    IntegrationError,
    OutcomeUnknown,
    Throttled,
    Unreachable,
)
from tests.unit.test_d365_support import (
    BASE,
    CUSTOMER,
    FakeCredential,
    FakeServer,
    client_for,
    reply,
)

KEY = Key(dataAreaId="usmf", CustomerAccount="US-001")


async def test_a_read_is_repeated_after_trouble_and_a_write_is_not():
    server = FakeServer(reply(503), httpx.ReadTimeout("slow"), reply(200, CUSTOMER))
    with client_for(server) as client:
        assert await client.get("CustomersV3", KEY)
    assert len(server.requests) == 3
    ids = {request.headers["x-ms-client-request-id"] for request in server.requests}
    assert len(ids) == 3
    for failure in (reply(503), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")):
        server = FakeServer(failure)
        with client_for(server) as client, pytest.raises(OutcomeUnknown) as caught:
            await client.create("CustomersV3", {"dataAreaId": "usmf"})
        assert len(server.requests) == 1
        assert caught.value.context.request_id


async def test_a_read_gives_up_after_its_tries():
    server = FakeServer(reply(503))
    with client_for(server, tries=2) as client, pytest.raises(Unreachable):
        await client.get("CustomersV3", KEY)
    assert len(server.requests) == 2


async def test_a_write_that_could_not_connect_did_not_happen():
    with (
        client_for(FakeServer(httpx.ConnectError("refused"))) as client,
        pytest.raises(Unreachable, match="nothing was sent"),
    ):
        await client.create("CustomersV3", {"dataAreaId": "usmf"})


async def test_a_throttled_write_is_repeated_after_the_servers_wait():
    server = FakeServer(reply(429, retry_after="0.2"), reply(429), reply(201, CUSTOMER))
    started = time.monotonic()
    with client_for(server, throttle_fallback=0.1) as client:
        await client.create("CustomersV3", {"dataAreaId": "usmf"})
    assert len(server.requests) == 3
    # 0.2 from the server, then the fallback doubled once.
    assert time.monotonic() - started >= 0.4


async def test_a_wait_that_does_not_fit_the_deadline_is_handed_up_at_once():
    server = FakeServer(reply(429, retry_after="60"))
    started = time.monotonic()
    with client_for(server) as client, deadline(30), pytest.raises(Throttled) as caught:
        await client.create("CustomersV3", {"dataAreaId": "usmf"})
    assert time.monotonic() - started < 5
    assert caught.value.retry_after == 60
    assert len(server.requests) == 1


async def test_the_servers_wait_is_capped_and_unknown_when_missing():
    for headers, seconds in (({"retry_after": "900"}, 40), ({}, None)):
        with (
            client_for(FakeServer(reply(429, **headers)), tries=1, throttle_cap=40) as client,
            pytest.raises(Throttled) as caught,
        ):
            await client.get("CustomersV3", KEY)
        assert caught.value.retry_after == seconds


async def test_a_write_is_not_begun_with_too_little_time_but_a_read_is():
    server = FakeServer(reply(200, CUSTOMER))
    with client_for(server) as client, deadline(3):
        assert await client.get("CustomersV3", KEY)
        with pytest.raises(DeadlineReached):
            await client.create("CustomersV3", {"dataAreaId": "usmf"})
    assert len(server.requests) == 1


async def test_a_call_ends_with_its_own_time_out():
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return reply(200, CUSTOMER)

    with client_for(never, call_timeout=0.05, tries=1) as client:
        with pytest.raises(OutcomeUnknown):
            await client.update("CustomersV3", KEY, {"NameAlias": "x"})
        with pytest.raises(Unreachable):
            await client.get("CustomersV3", KEY)


async def test_a_refused_token_is_replaced_once_even_for_a_write():
    credential = FakeCredential()
    server = FakeServer(reply(401), reply(201, CUSTOMER))
    with client_for(server, credential=credential) as client:
        await client.create("CustomersV3", {"dataAreaId": "usmf"})
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer token-1", "Bearer token-2"]
    assert credential.scopes == [f"{BASE}/.default"] * 2
    server = FakeServer(reply(401))
    with client_for(server) as client, pytest.raises(AuthenticationFailed):
        await client.get("CustomersV3", KEY)
    assert len(server.requests) == 2


async def test_affinity_cookies_are_never_sent_back():
    server = FakeServer(reply(200, CUSTOMER, set_cookie="ApplicationGatewayAffinity=abc; path=/"))
    with client_for(server) as client:
        await client.get("CustomersV3", KEY)
        await client.get("CustomersV3", KEY)
    assert len(server.requests) == 2
    assert "cookie" not in server.requests[1].headers


async def test_no_more_calls_at_once_than_allowed():
    running = most = 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return reply(200, CUSTOMER)

    with client_for(slow, max_concurrent_calls=3) as client:
        await asyncio.gather(*(client.get("CustomersV3", KEY) for _ in range(10)))
    assert most == 3


async def test_waiting_for_a_free_connection_ends_with_the_deadline():
    entered = asyncio.Event()
    leave = asyncio.Event()

    async def held(_: httpx.Request) -> httpx.Response:
        entered.set()
        await leave.wait()
        return reply(200, CUSTOMER)

    with client_for(held, max_concurrent_calls=1) as client:
        first = asyncio.create_task(client.get("CustomersV3", KEY))
        await entered.wait()
        with deadline(0.05), pytest.raises(DeadlineReached):
            await client.get("CustomersV3", KEY)
        leave.set()
        assert await first


async def test_every_call_is_reported_with_operation_status_and_seconds():
    seen: list[tuple[str, int | None, float]] = []
    server = FakeServer(reply(503), httpx.ReadError("cut"), reply(200, CUSTOMER))
    with client_for(server, on_call=lambda *call: seen.append(call)) as client:
        await client.get("CustomersV3", KEY)
    assert [call[:2] for call in seen] == [
        ("GET CustomersV3", 503),
        ("GET CustomersV3", None),
        ("GET CustomersV3", 200),
    ]
    assert all(call[2] >= 0 for call in seen)


async def test_a_success_that_is_no_json_came_from_something_in_between():
    page = httpx.Response(200, content=b"<html>maintenance</html>")
    with client_for(FakeServer(page), tries=1) as client:
        with pytest.raises(Unreachable):
            await client.get("CustomersV3", KEY)
        with pytest.raises(OutcomeUnknown):
            await client.create("CustomersV3", {"dataAreaId": "usmf"})


async def test_errors_hold_neither_token_nor_payload():
    for failure in (reply(500, {"x": 1}), httpx.ReadTimeout("slow"), reply(403), reply(401)):
        with (
            client_for(FakeServer(failure), tries=1) as client,
            pytest.raises(IntegrationError) as caught,
        ):
            await client.create("CustomersV3", {"OrganizationName": "Confidential Ltd"})
        assert "token-1" not in repr(caught.value)
        assert "Confidential" not in repr(caught.value)
