"""Tokens: one request for many callers, early refresh, replacement, advice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import (
    AzureCliCredential,
    CertificateCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    ManagedIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from integration.d365.auth import TokenSource, build_credential, token_scope
from integration.deadline import deadline
from integration.errors import (
    AuthenticationFailed,
    DeadlineReached,
    Misconfigured,
    Throttled,
    Unreachable,
)
from sandbox.entra import EntraStandIn
from sandbox.entra.certificates import application_certificate
from sandbox.web import Fault
from tests.unit.test_d365_support import FakeCredential, settings

SECRET = {
    "auth": "secret",
    "tenant_id": "00000000-0000-0000-0000-000000000001",
    "client_id": "00000000-0000-0000-0000-000000000002",
    "client_secret": "hush",
}


def source(credential: FakeCredential) -> TokenSource:
    return TokenSource(lambda: credential, "scope")


class Answer:
    def __init__(self, status: int) -> None:
        self.status_code = status
        self.reason = "because"


def refused(message: str, status: int = 401) -> ClientAuthenticationError:
    error = ClientAuthenticationError(message=message)
    error.response = Answer(status)
    return error


def test_the_scope_is_the_host_alone_in_lower_case():
    assert token_scope("https://Contoso.Operations.Dynamics.com/namespaces/AXSF") == (
        "https://contoso.operations.dynamics.com/.default"
    )


async def test_concurrent_callers_share_one_request():
    credential = FakeCredential(seconds=0.05)
    tokens = source(credential)
    assert set(await asyncio.gather(*(tokens.token() for _ in range(20)))) == {"token-1"}
    assert credential.scopes == ["scope"]
    assert await tokens.token() == "token-1"
    assert len(credential.scopes) == 1


async def test_a_token_is_replaced_five_minutes_before_it_ends():
    credential = FakeCredential(lifetime=299)
    tokens = source(credential)
    assert await tokens.token() == "token-1"
    assert await tokens.token() == "token-2"


async def test_a_token_that_still_works_survives_trouble_with_the_sign_in():
    credential = FakeCredential(lifetime=250)
    tokens = source(credential)
    await tokens.token()
    credential.errors = [ServiceRequestError("no route"), ServiceRequestError("no route")]
    assert await tokens.token() == "token-1"
    assert await tokens.token() == "token-1"
    assert len(credential.errors) == 1  # not asked again for every call


async def test_a_refused_token_is_replaced_once_by_a_new_credential():
    built: list[FakeCredential] = []

    def build() -> FakeCredential:
        built.append(FakeCredential())
        return built[-1]

    tokens = TokenSource(build, "scope")
    first = await tokens.token()
    built[0].scopes.append("makes the next name differ")
    await asyncio.gather(*(tokens.replace(first) for _ in range(5)))
    assert built[0].closed
    assert len(built) <= 6
    await tokens.close()
    assert built[-1].closed


async def test_callers_that_met_the_same_refusal_share_the_replacement():
    credential = FakeCredential()
    tokens = TokenSource(lambda: credential, "scope", owns_credential=False)
    refused_token = await tokens.token()
    replaced = await asyncio.gather(*(tokens.replace(refused_token) for _ in range(5)))
    assert set(replaced) == {"token-2"}
    assert len(credential.scopes) == 2
    await tokens.close()
    assert not credential.closed


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (
            refused("AADSTS7000215: Invalid client secret"),
            AuthenticationFailed,
            "D365_CLIENT_SECRET",
        ),
        (refused("AADSTS7000222: expired"), AuthenticationFailed, "expired"),
        (refused("AADSTS700016: not found", 400), AuthenticationFailed, "D365_CLIENT_ID"),
        (refused("something new"), AuthenticationFailed, "D365_TENANT_ID"),
        (CredentialUnavailableError("no identity"), AuthenticationFailed, "managed identity"),
        (refused("AADSTS90033: transient", 503), Unreachable, "503"),
        (refused("AADSTS90055: too many", 429), Throttled, "throttling"),
        (ServiceRequestError("refused"), Unreachable, "D365_AUTHORITY"),
    ],
)
async def test_a_failed_sign_in_says_what_to_do(raised, kind, text):
    with pytest.raises(kind, match=text) as caught:
        await source(FakeCredential(errors=[raised])).token()
    assert caught.value.system == "d365"


async def test_no_token_is_asked_for_without_time_left():
    credential = FakeCredential()
    with deadline(0.5), pytest.raises(DeadlineReached):
        await source(credential).token()
    assert credential.scopes == []


async def test_a_sign_in_that_hangs_ends_with_the_deadline():
    with deadline(1.05), pytest.raises(Unreachable, match="too long"):
        await source(FakeCredential(seconds=1.3)).token()


def self_signed() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    ).decode()


def test_each_way_to_sign_in_has_its_credential(monkeypatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/token")  # as in a function app
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    pem = self_signed().replace("\n", "\\n")  # as an app setting holds it
    certificate = {**SECRET, "auth": "certificate", "certificate": pem}
    cases = [
        (settings(**SECRET), ClientSecretCredential),
        (settings(**certificate), CertificateCredential),
        (settings(auth="managed_identity", client_id="x"), ManagedIdentityCredential),
        (settings(auth="managed_identity"), ManagedIdentityCredential),
    ]
    for configured, kind in cases:
        credential = build_credential(configured)
        assert isinstance(credential, kind)
        credential.close()


def test_at_a_desk_the_identity_is_that_of_the_person(monkeypatch):
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.delenv("MSI_ENDPOINT", raising=False)
    assert isinstance(build_credential(settings(auth="managed_identity")), AzureCliCredential)


def test_a_broken_certificate_is_reported_without_its_text():
    broken = {**SECRET, "auth": "certificate", "certificate": "-----BEGIN secret stuff"}
    with pytest.raises(Misconfigured, match="D365_CERTIFICATE") as caught:
        build_credential(settings(**broken))
    assert "stuff" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.fixture
async def entra(monkeypatch):
    async with EntraStandIn(SECRET["tenant_id"], {SECRET["client_id"]: "hush"}) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", running.ca_file)
        yield running


async def test_azure_identity_signs_in_with_a_secret_and_a_replaced_token_is_a_new_one(entra):
    configured = settings(**SECRET, authority=entra.url)
    tokens = TokenSource(lambda: build_credential(configured), token_scope(configured.base_url))
    first = await tokens.token()
    assert entra.verify(first)["aud"] == "https://contoso.operations.dynamics.com"
    assert await tokens.token() == first
    before = entra.control.calls.total()
    await tokens.replace(first)
    assert entra.control.calls.total() > before
    await tokens.close()


async def test_azure_identity_signs_in_with_a_certificate(entra):
    certificate, key = application_certificate("integration")
    entra.register_certificate(SECRET["client_id"], certificate)
    configured = settings(
        **{**SECRET, "auth": "certificate", "certificate": (key + certificate).decode()},
        authority=entra.url,
    )
    tokens = TokenSource(lambda: build_credential(configured), token_scope(configured.base_url))
    assert entra.verify(await tokens.token())["appid"] == SECRET["client_id"]
    await tokens.close()


async def test_a_wrong_secret_is_named_and_trouble_at_the_sign_in_is_not_blamed_on_it(entra):
    configured = settings(**{**SECRET, "client_secret": "other"}, authority=entra.url)
    tokens = TokenSource(lambda: build_credential(configured), token_scope(configured.base_url))
    with pytest.raises(AuthenticationFailed, match=r"AADSTS7000215.*D365_CLIENT_SECRET"):
        await tokens.token()
    await tokens.close()
    entra.control.faults.append(Fault(status=503, count=None))
    with pytest.raises(Unreachable):
        await tokens.token()
    await tokens.close()


async def test_azure_identity_against_a_closed_port_is_unreachable():
    configured = settings(**SECRET, authority="https://127.0.0.1:9")
    tokens = TokenSource(lambda: build_credential(configured), token_scope(configured.base_url))
    with pytest.raises(Unreachable, match="D365_AUTHORITY"):
        await tokens.token()
    await tokens.close()
