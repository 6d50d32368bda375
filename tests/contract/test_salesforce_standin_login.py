"""Log-in, sessions and quota of the Salesforce stand-in (Salesforce contract 1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

import jwt
import pytest

from sandbox.salesforce.server import new_key
from tests.contract.salesforce_standin import BASE, JWT_BEARER, connect, key, standin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from sandbox.salesforce import SalesforceStandIn

__all__ = ["key", "standin"]  # the fixtures


@pytest.fixture
async def client(standin: SalesforceStandIn) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(standin) as client:
        yield client


async def log_in(client: httpx.AsyncClient, assertion: str) -> httpx.Response:
    form = {"grant_type": JWT_BEARER, "assertion": assertion}
    return await client.post("/services/oauth2/token", data=form)


async def bearer(client: httpx.AsyncClient, standin: SalesforceStandIn) -> dict[str, str]:
    token = (await log_in(client, standin.assertion())).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


async def test_a_signed_assertion_is_exchanged_for_a_token_of_the_user(standin, client):
    answer = (await log_in(client, standin.assertion())).json()
    assert answer["instance_url"] == BASE
    assert answer["token_type"] == "Bearer"
    assert answer["id"].split("/")[-2:] == [standin.org_id, standin.org.users.integration]
    assert "refresh_token" not in answer
    assert "expires_in" not in answer
    who = await client.get(
        "/services/oauth2/userinfo",
        headers={"Authorization": f"Bearer {answer['access_token']}"},
    )
    assert who.json()["organization_id"] == standin.org_id
    assert who.json()["preferred_username"] == standin.username
    identity = await client.get(
        answer["id"], params={"format": "json", "oauth_token": answer["access_token"]}
    )
    assert identity.json()["user_id"] == standin.org.users.integration


@pytest.mark.parametrize("exp", [lambda: int(time.time()) + 290, lambda: str(int(time.time()) + 9)])
async def test_exp_may_be_a_number_or_a_numeric_string(standin, client, exp):
    assert (await log_in(client, standin.assertion(exp=exp()))).status_code == 200


async def test_the_own_url_is_an_audience_too(standin, client):
    assert (await log_in(client, standin.assertion(aud=BASE))).status_code == 200


@pytest.mark.parametrize(
    ("claims", "error", "description"),
    [
        ({"aud": ["https://login.salesforce.com"]}, "invalid_grant", "audience is invalid"),
        ({"aud": "login.salesforce.com"}, "invalid_grant", "audience is invalid"),
        ({"exp": 1}, "invalid_grant", "invalid assertion"),
        ({"exp": int(time.time()) + 3600}, "invalid_grant", "invalid assertion"),
        ({"exp": None}, "invalid_grant", "invalid assertion"),
        ({"iss": "other"}, "invalid_client_id", "client identifier invalid"),
        ({"sub": "nobody@x.example"}, "invalid_grant", "user hasn't approved this consumer"),
    ],
)
async def test_a_wrong_claim_is_refused_with_its_reason(
    standin, client, claims, error, description
):
    answer = await log_in(client, standin.assertion(**claims))
    assert answer.status_code == 400
    assert answer.json() == {"error": error, "error_description": description}


async def test_an_assertion_signed_with_another_key_is_refused(standin, client):
    claims = jwt.decode(standin.assertion(), options={"verify_signature": False})
    answer = await log_in(client, jwt.encode(claims, new_key(), algorithm="RS256"))
    assert answer.json() == {"error": "invalid_grant", "error_description": "invalid assertion"}


async def test_an_assertion_signed_with_a_shared_secret_is_refused(standin, client):
    claims = jwt.decode(standin.assertion(), options={"verify_signature": False})
    answer = await log_in(client, jwt.encode(claims, "x" * 40, algorithm="HS256"))
    assert answer.json()["error_description"] == "invalid assertion"


async def test_an_inactive_user_cannot_log_in(standin, client):
    headers = await bearer(client, standin)
    users = standin.org.users
    url = f"/services/data/v62.0/sobjects/User/{users.clerk}"
    await client.patch(url, json={"IsActive": False}, headers=headers)
    answer = await log_in(client, standin.assertion(sub=standin.clerk_username))
    assert answer.json()["error"] == "inactive_user"


async def test_an_unknown_grant_type_is_refused(client):
    answer = await client.post("/services/oauth2/token", data={"grant_type": "password"})
    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize("basic", [True, False])
async def test_client_credentials_log_in_the_run_as_user(standin, client, basic):
    form = {"grant_type": "client_credentials"}
    auth = None
    if basic:
        auth = (standin.client_id, standin.client_secret)
    else:
        form |= {"client_id": standin.client_id, "client_secret": standin.client_secret}
    answer = (await client.post("/services/oauth2/token", data=form, auth=auth)).json()
    text = (answer["id"] + answer["issued_at"]).encode()
    digest = hmac.new(standin.client_secret.encode(), text, hashlib.sha256).digest()
    assert answer["signature"] == base64.b64encode(digest).decode()


async def test_a_wrong_client_secret_is_refused(standin, client):
    form = {"grant_type": "client_credentials", "client_id": standin.client_id}
    answer = await client.post("/services/oauth2/token", data={**form, "client_secret": "x"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


async def test_too_many_logins_of_one_user_are_refused(standin, client):
    standin.authority.logins_per_hour = 2
    answers = [await log_in(client, standin.assertion()) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 400]
    assert answers[2].json()["error_description"] == "login rate exceeded"


async def test_an_expired_session_is_answered_with_the_array_clients_parse(standin, client):
    headers = await bearer(client, standin)
    assert (await client.get("/services/data/v62.0/limits", headers=headers)).status_code == 200
    await client.post("/sandbox/sessions/expire")
    answer = await client.get("/services/data/v62.0/limits", headers=headers)
    assert answer.status_code == 401
    assert answer.json() == [
        {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
    ]


async def test_use_renews_a_session_and_idleness_ends_it(standin, client):
    headers = await bearer(client, standin)
    session = next(iter(standin.authority.sessions.values()))
    session.expires_at = time.monotonic() + 5
    assert (await client.get("/services/data/v62.0/limits", headers=headers)).status_code == 200
    assert session.expires_at > time.monotonic() + 7000
    session.expires_at = time.monotonic() - 1
    assert (await client.get("/services/data/v62.0/limits", headers=headers)).status_code == 401


async def test_a_revoked_token_is_no_longer_accepted(standin, client):
    headers = await bearer(client, standin)
    token = headers["Authorization"].removeprefix("Bearer ")
    assert (await client.post("/services/oauth2/revoke", data={"token": token})).status_code == 200
    assert (await client.get("/services/data/v62.0/limits", headers=headers)).status_code == 401
    assert (await client.post("/services/oauth2/revoke", data={"token": token})).status_code == 400


async def test_the_older_oauth_scheme_is_accepted_and_others_are_not(standin, client):
    token = (await bearer(client, standin))["Authorization"].removeprefix("Bearer ")
    url = "/services/data/v62.0/limits"
    old = await client.get(url, headers={"Authorization": f"OAuth {token}"})
    assert old.status_code == 200
    odd = await client.get(url, headers={"Authorization": f"Token {token}"})
    assert (odd.status_code, odd.json()[0]["errorCode"]) == (401, "INVALID_AUTH_HEADER")
    assert (await client.get(url)).status_code == 401


async def test_calls_are_counted_to_the_quota_and_refused_beyond_it(standin, client):
    headers = await bearer(client, standin)
    await client.put("/sandbox/quota", json={"max": 10, "used": 8})
    url = "/services/data/v62.0/limits"
    used = [(await client.get(url, headers=headers)).headers["sforce-limit-info"] for _ in range(2)]
    assert used == ["api-usage=9/10", "api-usage=10/10"]
    answer = await client.get(url, headers=headers)
    assert answer.status_code == 403
    assert answer.json() == [
        {"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}
    ]
    assert answer.headers["sforce-limit-info"] == "api-usage=10/10"


async def test_the_version_list_needs_no_session_and_costs_no_call(standin, client):
    answer = await client.get("/services/data")
    newest = {"version": "62.0", "url": "/services/data/v62.0", "label": "Winter '25"}
    assert newest in answer.json()
    assert "sforce-limit-info" not in answer.headers
