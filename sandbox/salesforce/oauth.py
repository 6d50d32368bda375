"""Log-in: JWT bearer and client credentials, sessions with sliding expiry, user info, revocation.

The assertion's RS256 signature is verified with the public key the org holds for the client, and so
are `iss`, `sub`, `aud` and `exp` (Salesforce contracts 1.2 to 1.5). A session ends after two hours
without use; using it starts them again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import jwt

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PUBLIC_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")


class OAuthError(Exception):
    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.body = {"error": error, "error_description": description}


@dataclass
class Session:
    user_id: str
    expires_at: float


@dataclass
class Client:
    """The connected app: what the org knows about the integration."""

    client_id: str
    client_secret: str
    public_key_pem: str


@dataclass
class Authority:
    """Issues and checks access tokens of one org."""

    org_id: str
    client: Client
    run_as: str
    """Id of the user whom the client credentials flow logs in."""
    session_seconds: float = 7200
    longest_assertion: float = 300
    logins_per_hour: int = 3600
    sessions: dict[str, Session] = field(default_factory=dict)
    _logins: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def token(
        self, form: dict[str, str], authorization: str, base_url: str, users: dict[str, Any]
    ) -> dict[str, str]:
        """Answers a token request; `users` maps user names to User rows. Raises OAuthError."""
        grant = form.get("grant_type")
        if grant == JWT_BEARER:
            user_id = self._user_of_assertion(form.get("assertion", ""), base_url, users)
            return self._issue(user_id, base_url)
        if grant == "client_credentials":
            self._check_secret(form, authorization)
            return self._issue(self.run_as, base_url, signed=True)
        raise OAuthError("unsupported_grant_type", "grant type not supported")

    def user_of(self, token: str) -> str | None:
        """The user of a live token, whose life this call renews."""
        session = self.sessions.get(token)
        if session is None or session.expires_at <= time.monotonic():
            self.sessions.pop(token, None)
            return None
        session.expires_at = time.monotonic() + self.session_seconds
        return session.user_id

    def revoke(self, token: str) -> bool:
        return self.sessions.pop(token, None) is not None

    def _user_of_assertion(self, assertion: str, base_url: str, users: dict[str, Any]) -> str:
        if not assertion:
            raise OAuthError("invalid_request", "assertion parameter is required")
        try:
            claims = jwt.decode(
                assertion,
                self.client.public_key_pem,
                algorithms=["RS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_sub": False},
            )
        except jwt.PyJWTError as exc:
            raise OAuthError("invalid_grant", "invalid assertion") from exc
        if claims.get("iss") != self.client.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if claims.get("aud") not in (*PUBLIC_AUDIENCES, base_url):
            raise OAuthError("invalid_grant", "audience is invalid")
        left = _seconds(claims.get("exp")) - time.time()
        if not 0 < left <= self.longest_assertion:
            raise OAuthError("invalid_grant", "invalid assertion")
        user = users.get(str(claims.get("prn") or claims.get("sub")))
        if user is None:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        if not user["IsActive"]:
            raise OAuthError("inactive_user", "user is inactive")
        return str(user["Id"])

    def _check_secret(self, form: dict[str, str], authorization: str) -> None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.lower().startswith("basic "):
            try:
                text = base64.b64decode(authorization[6:], validate=True).decode()
            except ValueError as exc:
                raise OAuthError("invalid_client", "invalid client credentials") from exc
            client_id, _, secret = text.partition(":")
            client_id, secret = unquote_plus(client_id), unquote_plus(secret)
        if client_id != self.client.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(secret.encode(), self.client.client_secret.encode()):
            raise OAuthError("invalid_client", "invalid client credentials")

    def _issue(self, user_id: str, base_url: str, *, signed: bool = False) -> dict[str, str]:
        logins, moment = self._logins[user_id], time.monotonic()
        while logins and logins[0] < moment - 3600:
            logins.popleft()
        if len(logins) >= self.logins_per_hour:
            raise OAuthError("invalid_grant", "login rate exceeded")
        logins.append(moment)
        token = f"{self.org_id[:15]}!{secrets.token_urlsafe(48)}"
        self.sessions[token] = Session(user_id, moment + self.session_seconds)
        answer = {
            "access_token": token,
            "scope": "api",
            "instance_url": base_url,
            "id": f"{base_url}/id/{self.org_id}/{user_id}",
            "token_type": "Bearer",
        }
        if signed:
            issued_at = str(int(time.time() * 1000))
            text = (answer["id"] + issued_at).encode()
            digest = hmac.new(self.client.client_secret.encode(), text, hashlib.sha256).digest()
            answer |= {"issued_at": issued_at, "signature": base64.b64encode(digest).decode()}
        return answer


def _seconds(value: Any) -> float:
    """`exp` is a number or a numeric string (simple-salesforce sends text)."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
