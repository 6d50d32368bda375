"""The Entra stand-in against azure-identity itself and against raw requests (F&O contract 1.2, 1.3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential

from sandbox.d365 import D365StandIn
from sandbox.entra import EntraStandIn
from sandbox.entra.certificates import application_certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TENANT = "5b0d2c8e-3a41-4c1c-9b34-0f6f0b8a1a77"
CLIENT = "0f6c8d1e-52c1-4f4b-8f1b-6f0a4f3f7c11"
SECRET = "s3cret~value"
RESOURCE = "https://contoso.operations.dynamics.com"


@pytest.fixture
async def entra() -> AsyncIterator[EntraStandIn]:
    async with EntraStandIn(TENANT, {CLIENT: SECRET}) as running:
        yield running


def _identity_options(entra: EntraStandIn) -> dict[str, Any]:
    return {
        "authority": entra.url,
        "disable_instance_discovery": True,
        "connection_verify": entra.ca_file,
        "retry_total": 0,
    }


async def test_azure_identity_gets_a_token_with_a_secret(entra: EntraStandIn) -> None:
    credential = ClientSecretCredential(TENANT, CLIENT, SECRET, **_identity_options(entra))
    with credential:
        token = await asyncio.to_thread(credential.get_token, f"{RESOURCE}/.default")
    claims = entra.verify(token.token)
    assert claims["aud"] == RESOURCE
    assert claims["tid"] == TENANT
    assert claims["appid"] == CLIENT
    assert claims["oid"]


@pytest.mark.parametrize("send_chain", [False, True])
async def test_azure_identity_gets_a_token_with_a_certificate(
    entra: EntraStandIn, send_chain: bool
) -> None:
    certificate, key = application_certificate("integration")
    entra.register_certificate(CLIENT, certificate)
    credential = CertificateCredential(
        TENANT,
        CLIENT,
        certificate_data=certificate + key,
        send_certificate_chain=send_chain,
        **_identity_options(entra),
    )
    with credential:
        token = await asyncio.to_thread(credential.get_token, f"{RESOURCE}/.default")
    assert entra.verify(token.token)["appid"] == CLIENT


async def test_an_unregistered_certificate_is_refused(entra: EntraStandIn) -> None:
    certificate, key = application_certificate("stranger")
    credential = CertificateCredential(
        TENANT, CLIENT, certificate_data=certificate + key, **_identity_options(entra)
    )
    with credential, pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        await asyncio.to_thread(credential.get_token, f"{RESOURCE}/.default")


@pytest.fixture
async def client(entra: EntraStandIn) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(entra.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as http:
        yield http


def _form(**changes: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scope": f"{RESOURCE}/.default",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_secret": ""}, 401, 7000218),
        ({"client_id": "unknown"}, 400, 700016),
        ({"scope": RESOURCE}, 400, 1002012),
        ({"grant_type": "password"}, 400, 70003),
    ],
)
async def test_refusals_carry_the_aadsts_code(
    client: httpx.AsyncClient, changes: dict[str, str], status: int, code: int
) -> None:
    answer = await client.post(f"/{TENANT}/oauth2/v2.0/token", data=_form(**changes))
    assert answer.status_code == status
    assert answer.json()["error_codes"] == [code]
    assert answer.json()["error_description"].startswith(f"AADSTS{code}: ")


async def test_an_unknown_tenant_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/other/oauth2/v2.0/token", data=_form())
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])


async def test_the_first_version_answers_numbers_as_strings(client: httpx.AsyncClient) -> None:
    form = {**_form(), "resource": RESOURCE}
    body = (await client.post(f"/{TENANT}/oauth2/token", data=form)).json()
    assert body["expires_in"] == "3599"
    assert body["resource"] == RESOURCE
    assert jwt.decode(body["access_token"], options={"verify_signature": False})["aud"] == RESOURCE


async def test_a_doubled_slash_in_the_scope_yields_an_audience_with_a_slash(
    client: httpx.AsyncClient, entra: EntraStandIn
) -> None:
    form = _form(scope=f"{RESOURCE}//.default")
    body = (await client.post(f"/{TENANT}/oauth2/v2.0/token", data=form)).json()
    assert entra.verify(body["access_token"])["aud"] == f"{RESOURCE}/"


async def test_an_expired_secret_and_faults_are_switched_by_http(client: httpx.AsyncClient) -> None:
    await client.put("/sandbox/settings", json={"expired_apps": [CLIENT]})
    answer = await client.post(f"/{TENANT}/oauth2/v2.0/token", data=_form())
    assert answer.json()["error_codes"] == [7000222]
    await client.put("/sandbox/settings", json={"expired_apps": []})
    await client.post("/sandbox/faults", json={"match": {"path": "token"}, "status": 503})
    assert (await client.post(f"/{TENANT}/oauth2/v2.0/token", data=_form())).status_code == 503
    assert (await client.post(f"/{TENANT}/oauth2/v2.0/token", data=_form())).status_code == 200
    calls = (await client.get("/sandbox/calls")).json()
    assert calls["by_operation"] == {"POST oauth2/v2.0/token": 2}


async def test_a_token_from_azure_identity_opens_the_environment(entra: EntraStandIn) -> None:
    async with D365StandIn(entra=entra) as d365:
        credential = ClientSecretCredential(TENANT, CLIENT, SECRET, **_identity_options(entra))
        with credential:
            token = await asyncio.to_thread(credential.get_token, f"{d365.url}/.default")
        async with httpx.AsyncClient(base_url=d365.url) as http:
            path = "/api/services/UserSessionService/AifUserSessionService/GetUserSessionInfo"
            headers = {"authorization": f"Bearer {token.token}"}
            answer = await http.post(path, headers=headers)
    assert (answer.status_code, answer.json()["Company"]) == (200, "usmf")
