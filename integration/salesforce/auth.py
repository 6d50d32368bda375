"""Sign-in with the OAuth JWT bearer or client credentials flow, and the token all calls share.

Salesforce allows about 3,600 sign-ins per user and hour and then locks the user out (Salesforce contract
1.4), so there is one token per process, one sign-in at a time, and after a refusal none for a while.
A token is never revoked: other processes may hold the same session (contract 1.5).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import jwt

from integration.deadline import call_timeout
from integration.errors import AuthenticationFailed, CallContext, SystemTrouble, Unreachable
from integration.salesforce.ids import is_id, to_18
from integration.salesforce.sign_in_errors import sign_in_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.settings import SalesforceSettings

ASSERTION_LIFE = 150  # seconds; 180 is the documented most, the rest is for clocks that differ
SIGN_IN_TIMEOUT = 30.0  # seconds
HOLD_OFF = 60.0  # seconds without a new sign-in after a refusal

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CONTEXT = CallContext("sign in")


@dataclass(frozen=True, slots=True)
class Token:
    """`instance_url` has no trailing slash; the ids have 18 characters, or are None if not told."""

    value: str = field(repr=False)
    instance_url: str
    org_id: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Refusal:
    error: SystemTrouble
    until: float


class TokenSource:
    """The cached token. `clock` gives unix seconds."""

    def __init__(
        self,
        settings: SalesforceSettings,
        http: httpx.AsyncClient,
        *,
        on_call: Callable[[str, int | None, float], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._http = http
        self._on_call = on_call
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._refusal: _Refusal | None = None
        self._attempts = 0

    async def current(self) -> Token:
        """The token, after a sign-in if there is none.

        Raises AuthenticationFailed, Throttled (too many sign-ins; wait long), Unreachable or
        DeadlineReached. Callers that waited for a failing sign-in share its error.
        """
        if self._token:
            return self._token
        attempts_seen = self._attempts
        async with self._lock:
            if self._token:
                return self._token
            refusal = self._refusal
            if refusal and (self._attempts != attempts_seen or self._clock() < refusal.until):
                raise self._again(refusal)
            self._attempts += 1
            self._refusal = None
            try:
                self._token = await self._sign_in()
            except SystemTrouble as error:
                self._remember(error)
                raise
            return self._token

    def invalidate(self, token: Token) -> None:
        """Forgets `token`, unless another call has replaced it already."""
        if self._token is token:
            self._token = None

    def refuse(self, token: Token, error: SystemTrouble) -> None:
        """A token fresh from a sign-in was rejected: another sign-in at once would only count."""
        self.invalidate(token)
        self._remember(error)

    def _remember(self, error: SystemTrouble) -> None:
        hold_off = error.retry_after or HOLD_OFF
        if isinstance(error, Unreachable):
            hold_off = 0  # nothing was counted against us
        self._refusal = _Refusal(error, self._clock() + hold_off)

    def _again(self, refusal: _Refusal) -> SystemTrouble:
        """A new object each time: a raised exception collects the traces of all its raisers."""
        known = refusal.error
        left = refusal.until - self._clock()
        return type(known)(
            known.description,
            reason=known.reason,
            system="salesforce",
            context=known.context,
            retry_after=left if known.retry_after and left > 0 else None,
        )

    async def _sign_in(self) -> Token:
        form = self._form()
        limit = call_timeout(SIGN_IN_TIMEOUT)
        started, status = time.perf_counter(), None
        try:
            async with asyncio.timeout(limit):
                response = await self._http.post(
                    f"{self._settings.login_url}/services/oauth2/token",
                    data=form,
                    headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
                    timeout=httpx.Timeout(limit, connect=min(10.0, limit)),
                    follow_redirects=False,
                )
            status = response.status_code
        except (httpx.RequestError, TimeoutError) as error:
            text = f"the sign-in at Salesforce got no answer ({type(error).__name__})"
            raise Unreachable(text, system="salesforce", context=_CONTEXT) from error
        finally:
            if self._on_call:
                self._on_call("sign in", status, time.perf_counter() - started)
        if status != 200:
            raise sign_in_error(response)
        return self._read(response)

    def _form(self) -> dict[str, str]:
        settings = self._settings
        if settings.auth == "jwt":
            return {"grant_type": _GRANT, "assertion": self._assertion()}
        secret = settings.client_secret
        return {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": secret.get_secret_value() if secret else "",
        }

    def _assertion(self) -> str:
        settings = self._settings
        key = settings.private_key
        claims = {
            "iss": settings.client_id,
            "sub": settings.username,
            "aud": settings.token_audience,  # one string; Salesforce refuses an array
            "exp": int(self._clock()) + ASSERTION_LIFE,
        }
        try:
            return jwt.encode(claims, key.get_secret_value() if key else "", algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise AuthenticationFailed(
                "SALESFORCE_PRIVATE_KEY is not a readable RSA private key in PEM form",
                reason="private-key",
                system="salesforce",
                context=_CONTEXT,
            ) from error

    def _read(self, response: httpx.Response) -> Token:
        try:
            body = response.json()
            value, instance_url = str(body["access_token"]), str(body["instance_url"])
        except (ValueError, KeyError, TypeError) as error:
            text = "the token endpoint answered 200 without a token; is a proxy in between?"
            raise Unreachable(text, system="salesforce", context=_CONTEXT) from error
        scheme = urlsplit(instance_url).scheme
        if scheme != "https" and scheme != urlsplit(self._settings.login_url).scheme:
            raise AuthenticationFailed(
                "the instance URL of the token is not https; the token is not sent there",
                reason="instance-url",
                system="salesforce",
                context=_CONTEXT,
            )
        org_id, user_id = _identity(str(body.get("id", "")))
        return Token(value, instance_url.rstrip("/"), org_id, user_id)


def _identity(url: str) -> tuple[str | None, str | None]:
    """The identity URL ends in `/{organisation}/{user}` (Salesforce contract 1.2)."""
    last = url.split("/")[-2:]
    if len(last) == 2 and all(is_id(part) for part in last):
        return to_18(last[0]), to_18(last[1])
    return None, None
