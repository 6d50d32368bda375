"""A scripted organisation at the transport, which the other Salesforce tests talk to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from inspect import isawaitable
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from integration.salesforce.client import SalesforceClient
from integration.salesforce.repeats import CallRetries
from integration.settings import SalesforceSettings

ORG_ID = "00DAa0000000001MAA"
USER_ID = "005Aa0000000001IAA"
INSTANCE = "https://acme.my.salesforce.com"
EXPIRED = (401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])

Reply = httpx.Response | tuple[int, Any] | Exception
Handler = Callable[[httpx.Request], Reply | Awaitable[Reply]]


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem() -> str:
    return (
        rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    )


def jwt_settings(**changes: Any) -> SalesforceSettings:
    values = {"client_id": "CK", "username": "sync@acme.example", "private_key": pem(), **changes}
    return SalesforceSettings(**values)


class FakeOrg:
    """Answers sign-ins itself and everything else from `replies`, first come first served; a callable
    reply stays and answers all that follows. Tokens are T1, T2, ..."""

    def __init__(self, *replies: Reply | Handler) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []
        self.sign_ins: list[httpx.Request] = []
        self.sign_in_replies: list[Reply] = []
        self.sign_in_handler: Handler | None = None
        self.calls: list[tuple[str, int | None]] = []
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/services/oauth2/token":
            self.sign_ins.append(request)
            if self.sign_in_handler:
                return await _response(self.sign_in_handler(request))
            if self.sign_in_replies:
                return await _response(self.sign_in_replies.pop(0))
            return httpx.Response(200, json=self.token_answer())
        self.requests.append(request)
        if not self.replies:
            raise AssertionError(f"nothing scripted for {request.method} {request.url}")
        reply = self.replies[0] if callable(self.replies[0]) else self.replies.pop(0)
        return await _response(reply(request) if callable(reply) else reply)

    def token_answer(self) -> dict[str, str]:
        return {
            "access_token": f"T{len(self.sign_ins)}",
            "scope": "api",
            "instance_url": INSTANCE,
            "id": f"https://login.salesforce.com/id/{ORG_ID}/{USER_ID}",
            "token_type": "Bearer",
        }

    def client(
        self, settings: SalesforceSettings | None = None, *, tries: int = 3, **options: Any
    ) -> SalesforceClient:
        return SalesforceClient(
            settings or jwt_settings(),
            self.http,
            retries=CallRetries(tries, 0.001),
            on_call=lambda operation, status, seconds: self.calls.append((operation, status)),
            **options,
        )

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


async def _response(reply: Reply | Awaitable[Reply]) -> httpx.Response:
    if isawaitable(reply):
        reply = await reply
    if isinstance(reply, Exception):
        raise reply
    if isinstance(reply, tuple):
        status, body = reply
        return httpx.Response(status) if body is None else httpx.Response(status, json=body)
    return reply


def fault(code: str, message: str = "", **more: Any) -> list[dict[str, Any]]:
    return [{"message": message, "errorCode": code, "fields": [], **more}]


@pytest.fixture
async def org() -> AsyncIterator[FakeOrg]:
    fake = FakeOrg()
    yield fake
    await fake.http.aclose()


async def test_identity_is_read_from_the_instance_with_18_character_ids(org: FakeOrg) -> None:
    org.replies = [
        (
            200,
            {
                "organization_id": ORG_ID[:15],
                "user_id": USER_ID,
                "preferred_username": "sync@acme.example",
            },
        )
    ]
    identity = await org.client().identity()
    assert (identity.org_id, identity.user_id) == (ORG_ID, USER_ID)
    assert str(org.requests[0].url) == f"{INSTANCE}/services/oauth2/userinfo"
