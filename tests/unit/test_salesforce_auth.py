from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
from pydantic import SecretStr

from integration.deadline import deadline
from integration.errors import (
    AuthenticationFailed,
    DeadlineReached,
    IntegrationError,
    Throttled,
    Unreachable,
)
from integration.salesforce.auth import Token, TokenSource
from tests.unit.test_salesforce_org import (
    INSTANCE,
    ORG_ID,
    USER_ID,
    FakeOrg,
    jwt_settings,
    org,
    rsa_key,
)

__all__ = ["org"]


class Clock:
    def __init__(self) -> None:
        self.now = 1_750_000_000.7

    def __call__(self) -> float:
        return self.now


def source(org: FakeOrg, clock: Clock | None = None, **settings: Any) -> TokenSource:
    return TokenSource(jwt_settings(**settings), org.http, clock=clock or Clock())


def form(request: httpx.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


async def test_the_assertion_is_signed_and_short_lived(org: FakeOrg) -> None:
    clock = Clock()
    token = await source(org, clock, login_url="https://test.salesforce.com").current()
    sent = form(org.sign_ins[0])
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(
        sent["assertion"],
        rsa_key().public_key(),
        algorithms=["RS256"],
        audience="https://test.salesforce.com",
        options={"verify_exp": False},
    )
    assert isinstance(claims["exp"], int)
    assert 0 < claims["exp"] - clock.now <= 180
    assert claims == {
        "iss": "CK",
        "sub": "sync@acme.example",
        "aud": "https://test.salesforce.com",
        "exp": claims["exp"],
    }
    assert token == Token("T1", INSTANCE, ORG_ID, USER_ID)
    assert "T1" not in repr(token)


async def test_client_credentials_travel_in_the_form(org: FakeOrg) -> None:
    settings = {
        "auth": "client_credentials",
        "client_secret": SecretStr("CS"),
        "login_url": "https://acme.my.salesforce.com",
    }
    await source(org, **settings).current()
    assert str(org.sign_ins[0].url) == "https://acme.my.salesforce.com/services/oauth2/token"
    assert form(org.sign_ins[0]) == {
        "grant_type": "client_credentials",
        "client_id": "CK",
        "client_secret": "CS",
    }


async def test_fifty_callers_share_one_sign_in(org: FakeOrg) -> None:
    async def slow(_: httpx.Request) -> tuple[int, Any]:
        await asyncio.sleep(0.01)
        return 200, org.token_answer()

    org.sign_in_handler = slow
    tokens = source(org)
    found = await asyncio.gather(*(tokens.current() for _ in range(50)))
    assert len(org.sign_ins) == 1
    assert {token.value for token in found} == {"T1"}


async def test_fifty_callers_share_one_refusal(org: FakeOrg) -> None:
    async def slow(_: httpx.Request) -> tuple[int, Any]:
        await asyncio.sleep(0.01)
        return 400, {"error": "invalid_grant"}

    org.sign_in_handler = slow
    tokens = source(org)
    found = await asyncio.gather(*(tokens.current() for _ in range(50)), return_exceptions=True)
    assert len(org.sign_ins) == 1
    assert {type(error) for error in found} == {AuthenticationFailed}
    assert len({id(error) for error in found}) == 50


async def test_a_caller_that_gives_up_does_not_hold_up_the_others(org: FakeOrg) -> None:
    started = asyncio.Event()

    async def first_hangs(_: httpx.Request) -> tuple[int, Any]:
        if len(org.sign_ins) == 1:
            started.set()
            await asyncio.sleep(60)
        return 200, org.token_answer()

    org.sign_in_handler = first_hangs
    tokens = source(org)
    first = asyncio.create_task(tokens.current())
    await started.wait()
    second = asyncio.create_task(tokens.current())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).value == "T2"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_only_the_token_in_use_can_be_invalidated(org: FakeOrg) -> None:
    tokens = source(org)
    old = await tokens.current()
    tokens.invalidate(old)
    new = await tokens.current()
    tokens.invalidate(old)
    assert await tokens.current() is new
    assert len(org.sign_ins) == 2


async def test_after_a_refusal_no_sign_in_follows_for_a_while(org: FakeOrg) -> None:
    clock = Clock()
    tokens = source(org, clock)
    org.sign_in_replies = [(400, {"error": "invalid_grant", "error_description": "x"})]
    for _ in range(5):
        with pytest.raises(AuthenticationFailed):
            await tokens.current()
    assert len(org.sign_ins) == 1
    clock.now += 61
    assert (await tokens.current()).value == "T2"


async def test_too_many_sign_ins_are_waited_out(org: FakeOrg) -> None:
    clock = Clock()
    tokens = source(org, clock)
    refusal = {"error": "invalid_grant", "error_description": "login rate exceeded"}
    org.sign_in_replies = [(400, refusal)]
    with pytest.raises(Throttled) as caught:
        await tokens.current()
    assert caught.value.retry_after == 1800
    clock.now += 1000
    with pytest.raises(Throttled) as caught:
        await tokens.current()
    assert caught.value.retry_after == pytest.approx(800)
    assert len(org.sign_ins) == 1
    clock.now += 801
    assert await tokens.current()


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (400, ("invalid_grant", "user hasn't approved this consumer"), AuthenticationFailed, "pre-authorise"),
        (400, ("invalid_grant", "audience is invalid"), AuthenticationFailed, "SALESFORCE_AUDIENCE"),
        (400, ("invalid_grant", "invalid assertion"), AuthenticationFailed, "SALESFORCE_PRIVATE_KEY"),
        (400, ("invalid_grant", "authentication failure"), AuthenticationFailed, "SALESFORCE_USERNAME"),
        (400, ("invalid_grant", "request not supported on this domain"), AuthenticationFailed, "My Domain"),
        (400, ("unsupported_grant_type", "grant type not supported"), AuthenticationFailed, "enable"),
        (400, ("invalid_client_id", "unknown client"), AuthenticationFailed, "SALESFORCE_CLIENT_ID"),
        (401, ("invalid_client", "invalid client credentials"), AuthenticationFailed, "SALESFORCE_CLIENT_ID"),
        (400, ("inactive_user", "user is inactive"), AuthenticationFailed, "activate"),
        (400, ("inactive_org", "organization is inactive"), AuthenticationFailed, "organisation"),
        (400, ("invalid_grant", None), AuthenticationFailed, "SALESFORCE_LOGIN_URL"),
        (400, ("rate_limit_exceeded", "slow down"), Throttled, "too many sign-ins"),
        (429, None, Throttled, "too many sign-ins"),
        (404, None, AuthenticationFailed, "SALESFORCE_LOGIN_URL"),
        (503, None, Unreachable, "503"),
        (500, ("server_error", "oops"), Unreachable, "server_error"),
    ],
)  # fmt: skip
async def test_each_refusal_says_what_to_do(
    org: FakeOrg, status: int, body: Any, kind: type[IntegrationError], says: str
) -> None:
    answer = httpx.Response(status, html="<html>nothing</html>")
    if body:
        code, text = body
        answer = httpx.Response(
            status, json={"error": code} | ({"error_description": text} if text else {})
        )
    org.sign_in_replies = [answer]
    with pytest.raises(IntegrationError) as caught:
        await source(org).current()
    assert type(caught.value) is kind
    assert says in caught.value.description
    assert caught.value.system == "salesforce"


@pytest.mark.parametrize(
    "reply",
    [
        httpx.ConnectError("no route"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
        httpx.Response(200, html="<html>welcome to the hotel</html>"),
        httpx.Response(200, json=["?"]),
        httpx.Response(200, json={"access_token": "x"}),
    ],
)
async def test_no_usable_answer_means_unreachable_and_the_next_call_tries_again(
    org: FakeOrg, reply: Any
) -> None:
    tokens = source(org)
    org.sign_in_replies = [reply]
    with pytest.raises(Unreachable):
        await tokens.current()
    assert (await tokens.current()).value == "T2"


async def test_a_token_is_not_sent_to_an_instance_without_tls(org: FakeOrg) -> None:
    org.sign_in_replies = [(200, {"access_token": "x", "instance_url": "http://acme.example"})]
    with pytest.raises(AuthenticationFailed, match="https"):
        await source(org).current()


async def test_an_unreadable_key_names_its_setting_and_not_its_content(org: FakeOrg) -> None:
    with pytest.raises(AuthenticationFailed, match="SALESFORCE_PRIVATE_KEY") as caught:
        await source(org, private_key="-----BEGIN secret words-----").current()
    assert "secret words" not in caught.value.description
    assert not org.sign_ins


async def test_no_sign_in_starts_without_time_and_none_outlives_the_deadline(org: FakeOrg) -> None:
    async def hangs(_: httpx.Request) -> tuple[int, Any]:
        await asyncio.sleep(60)
        return 200, {}

    tokens = source(org)
    with deadline(0.5), pytest.raises(DeadlineReached):
        await tokens.current()
    assert not org.sign_ins
    org.sign_in_handler = hangs
    with deadline(1.5), pytest.raises(Unreachable):
        await tokens.current()
