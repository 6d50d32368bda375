"""Tokens for F&O: azure-identity behind an asynchronous cache that asks once, early enough.

azure-identity's asynchronous classes need another HTTP library, so the synchronous ones run in a thread.
It also keeps its own cache; a token that F&O refused is only replaced when the credential is built anew.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from integration.deadline import call_timeout
from integration.errors import (
    AuthenticationFailed,
    IntegrationError,
    Misconfigured,
    Throttled,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.settings import D365Settings

REFRESH_EARLY = 300  # seconds before expiry (F&O contract 1.2)
TOKEN_TIMEOUT = 30.0
_RETRY_PAUSE = 30  # seconds until the next try while the old token still works


class Token(Protocol):
    @property
    def token(self) -> str: ...
    @property
    def expires_on(self) -> int: ...


class Credential(Protocol):
    """What azure-identity's credentials have in common."""

    def get_token(self, *scopes: str) -> Token: ...


def token_scope(base_url: str) -> str:
    """F&O refuses an audience with a path, a trailing slash or capitals (F&O contract 1.2)."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc.lower()}/.default"


def build_credential(settings: D365Settings) -> Credential:
    """The azure-identity credential that the settings name. Raises Misconfigured.

    The library is imported here: it is slow to load and not every invocation needs it.
    """
    from azure import identity

    from integration.identity import credential

    if settings.auth == "managed_identity":
        return credential(settings.client_id or None)
    host = urlsplit(settings.authority).netloc
    options: dict[str, Any] = {
        "authority": settings.authority,
        # Only Microsoft's own hosts know the discovery end point; another authority is trusted as given.
        "disable_instance_discovery": ".microsoftonline." not in f".{host}.",
        "connection_timeout": 10,
        "read_timeout": 20,
        "retry_total": 1,
    }
    try:
        if settings.auth == "certificate":
            return identity.CertificateCredential(
                settings.tenant_id or "",
                settings.client_id or "",
                certificate_data=_secret(settings.certificate).encode(),
                **options,
            )
        return identity.ClientSecretCredential(
            settings.tenant_id or "",
            settings.client_id or "",
            _secret(settings.client_secret),
            **options,
        )
    except ValueError:
        # No cause: a message of the PEM parser could quote the key.
        raise Misconfigured(
            "the F&O credential cannot be built: check D365_TENANT_ID, D365_AUTHORITY (https only)"
            " and, with D365_AUTH=certificate, that D365_CERTIFICATE holds certificate and key as PEM",
            reason="credential",
            system="d365",
        ) from None


def _secret(value: Any) -> str:
    return value.get_secret_value() if value is not None else ""


class TokenSource:
    """One token for all callers; concurrent callers wait for one request (single flight)."""

    def __init__(
        self, build: Callable[[], Credential], scope: str, *, owns_credential: bool = True
    ) -> None:
        self._owns_credential = owns_credential
        self._build = build
        self._scope = scope
        self._credential: Credential | None = None
        self._token: Token | None = None
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """A token valid for some minutes. Raises AuthenticationFailed, Unreachable, Throttled,
        Misconfigured or DeadlineReached."""
        if self._token and time.time() < self._fresh_until:
            return self._token.token
        async with self._lock:
            if self._token and time.time() < self._fresh_until:
                return self._token.token
            try:
                return await self._fetch()
            except IntegrationError:
                if self._token is None or self._token.expires_on - time.time() < _RETRY_PAUSE:
                    raise
                self._fresh_until = time.time() + _RETRY_PAUSE
                return self._token.token

    async def replace(self, refused: str) -> str:
        """Another token than `refused`, which F&O answered with 401."""
        async with self._lock:
            if self._token and self._token.token != refused:
                return self._token.token
            await self._close_credential()
            self._token = None
            return await self._fetch()

    async def close(self) -> None:
        async with self._lock:
            await self._close_credential()
            self._token = None

    async def _fetch(self) -> str:
        try:
            async with asyncio.timeout(call_timeout(TOKEN_TIMEOUT)):
                token = await asyncio.to_thread(self._request)
        except TimeoutError as error:
            raise Unreachable("the sign-in to F&O took too long", system="d365") from error
        self._token = token
        self._fresh_until = token.expires_on - REFRESH_EARLY
        return token.token

    def _request(self) -> Token:
        from azure.core.exceptions import AzureError

        if self._credential is None:
            self._credential = self._build()
        try:
            return self._credential.get_token(self._scope)
        except AzureError as error:
            raise _sign_in_error(error) from error

    async def _close_credential(self) -> None:
        close = getattr(self._credential, "close", None)
        self._credential = None
        if close is not None and self._owns_credential:
            await asyncio.to_thread(close)


_ADVICE = {
    "AADSTS7000215": "D365_CLIENT_SECRET is wrong (use the secret's value, not its id)",
    "AADSTS7000222": "the client secret has expired: create a new one and set D365_CLIENT_SECRET",
    "AADSTS700016": "D365_CLIENT_ID is not known in the tenant D365_TENANT_ID",
    "AADSTS700027": "the certificate is not registered with the app or has expired",
    "AADSTS90002": "D365_TENANT_ID is not a tenant",
    "AADSTS500011": "D365_BASE_URL is no F&O environment of the tenant D365_TENANT_ID",
}


def _sign_in_error(error: Exception) -> IntegrationError:
    from azure.core.exceptions import (
        ClientAuthenticationError,
        ServiceRequestError,
        ServiceResponseError,
    )

    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 429:
        return Throttled("Entra is throttling the sign-in", system="d365")
    # azure-identity wraps a lost connection and msal's 5xx in the class that also means a refusal.
    cause = error.__cause__
    lost = isinstance(cause, (ServiceRequestError, ServiceResponseError)) or (
        type(cause).__name__ == "MsalServiceError"  # msal has no types to import it with
    )
    if lost or not isinstance(error, ClientAuthenticationError) or (status or 0) >= 500:
        return Unreachable(
            f"the sign-in service cannot be reached ({type(error).__name__}, status {status});"
            " check D365_AUTHORITY and the network",
            system="d365",
        )
    found = re.search(r"AADSTS\d+", str(error))
    code = found.group() if found else type(error).__name__
    advice = _ADVICE.get(
        code,
        "check D365_AUTH, D365_TENANT_ID, D365_CLIENT_ID and its secret or certificate; with a managed"
        " identity, that it is assigned to this app, or `az login` on your own computer",
    )
    return AuthenticationFailed(f"no token for F&O ({code}): {advice}", system="d365")
