"""Access tokens: signed here, verified by the resource stand-ins with the same key.

Claims follow F&O contract 1.2: `aud` is the resource exactly as asked for (so a doubled slash in the
scope yields an audience with a trailing slash, which F&O refuses), `tid`, `oid`, `appid`.
"""

from __future__ import annotations

import base64
import time
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

KEY_ID = "sandbox-entra-1"
_NAMESPACE = uuid.UUID("6e3c3f0c-9a0e-4f57-8a0c-2d1c5b7c1f11")


class TokenIssuer:
    """Signs RS256 access tokens of one tenant and checks them again."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public_key = self._key.public_key()

    def issue(self, client_id: str, audience: str, *, lifetime: int = 3599, **claims: Any) -> str:
        """A token for `client_id`; `claims` replace standard ones, a value of None removes one."""
        now = int(time.time())
        payload: dict[str, Any] = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self.tenant_id}/",
            "iat": now,
            "nbf": now - 5,
            "exp": now + lifetime,
            "appid": client_id,
            "appidacr": "1",
            "azp": client_id,
            "idtyp": "app",
            "oid": str(uuid.uuid5(_NAMESPACE, f"{self.tenant_id}/{client_id}")),
            "tid": self.tenant_id,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
            **claims,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": KEY_ID})

    def verify(self, token: str) -> dict[str, Any]:
        """Claims of a token this tenant signed and that has not expired.

        The audience is left to the resource: only it knows its own name.
        Raises `jwt.InvalidTokenError`.
        """
        claims: dict[str, Any] = jwt.decode(
            token,
            self.public_key,
            algorithms=["RS256"],
            options={"verify_aud": False, "require": ["exp", "aud", "tid"]},
        )
        return claims

    def key_set(self) -> dict[str, Any]:
        numbers = self.public_key.public_numbers()
        return {
            "keys": [
                {
                    "kty": "RSA",
                    "use": "sig",
                    "kid": KEY_ID,
                    "alg": "RS256",
                    "n": _base64url(numbers.n),
                    "e": _base64url(numbers.e),
                }
            ]
        }


def _base64url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
