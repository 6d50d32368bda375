from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import httpx
import pytest

from integration.deadline import deadline
from integration.errors import (
    AuthenticationFailed,
    BudgetSpent,
    DeadlineReached,
    IntegrationError,
    OutcomeUnknown,
    RecordRejected,
    Throttled,
    Unreachable,
)
from integration.salesforce.budget import ApiBudget, read_budget
from integration.salesforce.errors import SessionExpired
from tests.unit.test_salesforce_org import EXPIRED, INSTANCE, FakeOrg, fault, jwt_settings, org

__all__ = ["org"]

ID = "001Aa0000000001IAA"
BUSY = (503, fault("SERVER_UNAVAILABLE"))
LOCKED = (400, fault("UNABLE_TO_LOCK_ROW"))
CONCURRENT = (403, fault("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded."))
DAILY = (403, fault("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
OK = (200, {"Id": ID})


def fast_429() -> httpx.Response:
    return httpx.Response(429, headers={"Retry-After": "0"})


async def test_a_call_carries_token_client_name_and_gzip(org: FakeOrg) -> None:
    org.replies = [OK]
    await org.client(jwt_settings(client_name="acme-sync")).get("Account", ID, ["Id"])
    headers = org.requests[0].headers
    assert headers["authorization"] == "Bearer T1"
    assert headers["sforce-call-options"] == "client=acme-sync"
    assert headers["accept-encoding"] == "gzip"
    assert "content-type" not in headers


async def test_an_expired_session_is_renewed_once_and_the_call_sent_again(org: FakeOrg) -> None:
    org.replies = [EXPIRED, (201, {"id": ID, "success": True, "errors": []})]
    assert await org.client().create("Account", {"Name": "A"}) == ID
    assert [request.headers["authorization"] for request in org.requests] == [
        "Bearer T1",
        "Bearer T2",
    ]
    assert len(org.sign_ins) == 2


async def test_a_session_refused_again_fails_and_does_not_sign_in_over_and_over(
    org: FakeOrg,
) -> None:
    org.replies = [lambda _: httpx.Response(401, json=EXPIRED[1])]
    client = org.client()
    with pytest.raises(SessionExpired):
        await client.get("Account", ID, ["Id"])
    assert (len(org.requests), len(org.sign_ins)) == (2, 2)
    for _ in range(10):
        with pytest.raises(AuthenticationFailed):
            await client.get("Account", ID, ["Id"])
    assert (len(org.requests), len(org.sign_ins)) == (2, 2)


async def test_a_lasting_401_signs_in_no_second_time(org: FakeOrg) -> None:
    org.replies = [
        (401, fault("INVALID_SESSION_ID", "This session is not valid for use with the REST API"))
    ]
    with pytest.raises(AuthenticationFailed):
        await org.client().get("Account", ID, ["Id"])
    assert len(org.sign_ins) == 1


async def test_fifty_calls_with_an_expired_token_share_one_new_sign_in(org: FakeOrg) -> None:
    async def by_token(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.001)
        if request.headers["authorization"] == "Bearer T1":
            return httpx.Response(401, json=EXPIRED[1])
        return httpx.Response(200, json={"Id": ID})

    org.replies = [by_token]
    client = org.client()
    await asyncio.gather(*(client.get("Account", ID, ["Id"]) for _ in range(50)))
    assert len(org.sign_ins) == 2
    assert len(org.requests) == 100


@pytest.mark.parametrize(
    "trouble",
    [BUSY, LOCKED, fast_429, httpx.ReadTimeout("x"), httpx.ConnectError("x"), (502, None)],
)
async def test_a_read_is_repeated_after_a_passing_trouble(org: FakeOrg, trouble: Any) -> None:
    org.replies = [trouble() if callable(trouble) else trouble, OK]
    assert await org.client().get("Account", ID, ["Id"]) == {"Id": ID}
    assert len(org.requests) == 2


@pytest.mark.parametrize(
    "trouble", [LOCKED, fast_429, httpx.ConnectError("x"), httpx.PoolTimeout("x")]
)
async def test_a_create_is_repeated_when_nothing_was_executed(org: FakeOrg, trouble: Any) -> None:
    org.replies = [
        trouble() if callable(trouble) else trouble,
        (201, {"id": ID, "success": True, "errors": []}),
    ]
    assert await org.client().create("Account", {"Name": "A"}) == ID
    assert len(org.requests) == 2


@pytest.mark.parametrize(
    "trouble",
    [
        BUSY,
        (502, None),
        httpx.ReadTimeout("x"),
        httpx.ReadError("x"),
        httpx.WriteError("x"),
        httpx.RemoteProtocolError("x"),
        httpx.Response(200, html="<html>maintenance</html>"),
        (201, {}),
    ],
)
async def test_a_create_without_a_sure_answer_is_unknown_and_not_repeated(
    org: FakeOrg, trouble: Any
) -> None:
    org.replies = [trouble]
    with pytest.raises(OutcomeUnknown):
        await org.client().create("Account", {"Name": "A"})
    assert len(org.requests) == 1


@pytest.mark.parametrize(
    "trouble", [BUSY, httpx.ReadTimeout("x"), httpx.Response(200, html="<html>maintenance</html>")]
)
async def test_an_update_without_answer_is_repeated_and_then_unreachable(
    org: FakeOrg, trouble: Any
) -> None:
    org.replies = [trouble, trouble, trouble]
    with pytest.raises(Unreachable):
        await org.client().update("Account", ID, {"Name": "A"})
    assert len(org.requests) == 3


@pytest.mark.parametrize(
    ("reply", "kind", "retry_after"),
    [
        (CONCURRENT, Throttled, 20),
        (DAILY, BudgetSpent, None),
        (httpx.Response(503, headers={"Retry-After": "120"}), Unreachable, 120),
        ((400, fault("REQUIRED_FIELD_MISSING")), RecordRejected, None),
    ],
)
async def test_what_cannot_mend_itself_soon_is_not_repeated(
    org: FakeOrg, reply: Any, kind: type[IntegrationError], retry_after: float | None
) -> None:
    org.replies = [reply]
    with pytest.raises(IntegrationError) as caught:
        await org.client().update("Account", ID, {"Name": "A"})
    assert type(caught.value) is kind
    assert getattr(caught.value, "retry_after", None) == retry_after
    assert len(org.requests) == 1


async def test_no_repeat_waits_past_the_deadline(org: FakeOrg) -> None:
    org.replies = [httpx.Response(503, headers={"Retry-After": "5"})]
    started = time.monotonic()
    with deadline(4), pytest.raises(Unreachable):
        await org.client().get("Account", ID, ["Id"])
    assert len(org.requests) == 1
    assert time.monotonic() - started < 4


async def test_a_call_ends_at_the_deadline_even_if_bytes_trickle(org: FakeOrg) -> None:
    async def hangs(_: httpx.Request) -> tuple[int, Any]:
        await asyncio.sleep(60)
        return OK

    client = org.client(tries=1)
    await client.tokens.current()
    org.replies = [hangs]
    with deadline(1.1), pytest.raises(Unreachable):
        await client.get("Account", ID, ["Id"])


async def test_a_write_that_could_not_finish_is_not_begun(org: FakeOrg) -> None:
    client = org.client()
    await client.tokens.current()
    with deadline(2.5):
        for call in (
            client.update("Account", ID, {}),
            client.create("Account", {}),
            client.delete("Account", ID),
        ):
            with pytest.raises(DeadlineReached):
                await call
        assert not org.requests
        org.replies = [OK]
        await client.get("Account", ID, ["Id"])


async def test_every_try_is_reported_with_its_status(org: FakeOrg) -> None:
    org.replies = [BUSY, httpx.ReadTimeout("x"), OK]
    await org.client().get("Account", ID, ["Id"])
    name = "get Account"
    assert org.calls == [("sign in", 200), (name, 503), (name, None), (name, 200)]


async def test_the_budget_follows_the_last_answer(org: FakeOrg) -> None:
    client = org.client()
    assert client.budget is None
    info = {"Sforce-Limit-Info": "api-usage=25/100; per-app-api-usage=17/250(appName=x)"}
    org.replies = [httpx.Response(200, json={"Id": ID}, headers=info), OK]
    await client.get("Account", ID, ["Id"])
    await client.get("Account", ID, ["Id"])
    assert client.budget == ApiBudget(25, 100)
    assert client.budget.share_left == 0.75


@pytest.mark.parametrize("text", [None, "", "api-usage=x/y", "per-app-api-usage=17/250(appName=x)"])
def test_an_unreadable_budget_is_none(text: str | None) -> None:
    assert read_budget(text) is None


def test_a_spent_budget_has_no_share_left() -> None:
    assert ApiBudget(120, 100).share_left == 0
    assert ApiBudget(0, 0).share_left == 0


async def test_a_redirect_is_not_followed_with_the_token(org: FakeOrg) -> None:
    org.http.follow_redirects = True
    org.replies = [httpx.Response(302, headers={"Location": "https://evil.example/"})]
    with pytest.raises(IntegrationError) as caught:
        await org.client().get("Account", ID, ["Id"])
    assert caught.value.reason == "http-302"
    assert len(org.requests) == 1


async def test_neither_errors_nor_logs_hold_secrets_or_payloads(
    org: FakeOrg, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "integration")
    org.replies = [BUSY, httpx.ReadTimeout("Jane Doe"), (502, None)]
    with pytest.raises(Unreachable) as caught:
        await org.client().update("Account", ID, {"Name": "Jane Doe"})
    told = str(caught.value) + repr(caught.value) + caplog.text
    assert "update Account" in caplog.text
    for secret in ("Jane", "T1", "PRIVATE", INSTANCE):
        assert secret not in told
