"""Which caller is this: checks the Entra token and maps the application to a user (contract 1.2, 1.4)."""

from __future__ import annotations

import time
from typing import Any, Protocol

import jwt

from sandbox.d365.messages import Session

CACHE_LIMIT = 1000


class TokenVerifier(Protocol):
    """What F&O needs of Entra; `sandbox.entra.EntraStandIn` fits."""

    tenant_id: str

    def verify(self, token: str) -> dict[str, Any]: ...


class Unauthorized(Exception):
    """Answered with 401."""


class Authenticator:
    """`applications`: client id → default company of the user it is mapped to."""

    def __init__(self, entra: TokenVerifier, applications: dict[str, str]) -> None:
        self._entra = entra
        self.applications = applications
        self._verified: dict[str, dict[str, Any]] = {}

    def session(self, authorization: str, base_url: str, own_url: str | None) -> Session:
        """`own_url`: the address the stand-in was started with, a valid audience besides `base_url`.

        Raises `Unauthorized`.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("no bearer token")
        claims = self._claims(token.strip())
        # Exactly the environment URL: a trailing slash or capitals are refused (contract 1.2)
        if claims["aud"] not in {base_url.lower(), (own_url or base_url).lower()}:
            raise Unauthorized("audience")
        if claims["tid"] != self._entra.tenant_id:
            raise Unauthorized("tenant")
        if not claims.get("oid"):
            raise Unauthorized("no service principal")
        client_id = claims.get("appid") or claims.get("azp") or ""
        company = self.applications.get(client_id)
        if company is None:
            raise Unauthorized("application is not registered")
        return Session(client_id, f"app-{client_id[:8]}", company, base_url)

    def _claims(self, token: str) -> dict[str, Any]:
        """Signature checks are remembered, expiry is not."""
        claims = self._verified.get(token)
        if claims is None:
            try:
                claims = self._entra.verify(token)
            except jwt.InvalidTokenError as error:
                raise Unauthorized(str(error)) from error
            if len(self._verified) >= CACHE_LIMIT:
                self._verified.clear()
            self._verified[token] = claims
        if claims["exp"] <= time.time():
            raise Unauthorized("expired")
        return claims
