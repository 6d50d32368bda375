"""How an application proves itself at the token endpoint: secret or signed assertion.

Refusals carry the AADSTS codes real clients and operators look for.
"""

from __future__ import annotations

import base64
import hmac
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Refused(Exception):
    """An OAuth error answer."""

    def __init__(self, status: int, error: str, code: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.error = error
        self.code = code
        self.text = text


@dataclass
class Application:
    """One app registration. A secret moved to `expired_secrets` is refused with its own code."""

    client_id: str
    secrets: set[str] = field(default_factory=set)
    expired_secrets: set[str] = field(default_factory=set)
    certificates: list[x509.Certificate] = field(default_factory=list)

    def add_certificate(self, pem: bytes) -> None:
        self.certificates.append(x509.load_pem_x509_certificate(pem))

    def authenticate(self, form: Mapping[str, str], audiences: set[str]) -> None:
        """Checks the credential of a token request; raises `Refused`."""
        if form.get("client_assertion"):
            if form.get("client_assertion_type") != ASSERTION_TYPE:
                raise Refused(400, "invalid_request", 90014, "client_assertion_type is missing.")
            self._verify_assertion(form["client_assertion"], audiences)
            return
        secret = form.get("client_secret")
        if not secret:
            text = (
                "The request body must contain the following parameter: "
                "'client_assertion' or 'client_secret'."
            )
            raise Refused(401, "invalid_client", 7000218, text)
        if _among(secret, self.expired_secrets):
            text = f"The provided client secret keys for app '{self.client_id}' are expired."
            raise Refused(401, "invalid_client", 7000222, text)
        if not _among(secret, self.secrets):
            text = (
                "Invalid client secret provided. Ensure the secret being sent in the request is the"
                f" client secret value, not the client secret ID, for app '{self.client_id}'."
            )
            raise Refused(401, "invalid_client", 7000215, text)

    def _verify_assertion(self, assertion: str, audiences: set[str]) -> None:
        try:
            header = jwt.get_unverified_header(assertion)
        except jwt.InvalidTokenError as error:
            raise Refused(
                400, "invalid_request", 50027, f"JWT token is invalid: {error}"
            ) from error
        certificate = next((c for c in self.certificates if _matches(c, header)), None)
        if certificate is None:
            text = (
                "The certificate with identifier used to sign the client assertion is not"
                " registered on application."
            )
            raise Refused(401, "invalid_client", 700027, text)
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            jwt.decode(
                assertion,
                key,
                algorithms=["RS256", "PS256"],
                audience=sorted(audiences),
                issuer=self.client_id,
                subject=self.client_id,
                options={"require": ["exp", "iss", "sub", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            text = "Client assertion is not within its valid time range."
            raise Refused(401, "invalid_client", 700024, text) from error
        except jwt.InvalidSignatureError as error:
            text = "Client assertion failed signature validation."
            raise Refused(401, "invalid_client", 700027, text) from error
        except jwt.InvalidTokenError as error:
            text = f"Client assertion is not valid: {error}"
            raise Refused(401, "invalid_client", 700023, text) from error


def _among(secret: str, known: set[str]) -> bool:
    return any(hmac.compare_digest(secret.encode(), candidate.encode()) for candidate in known)


def _matches(certificate: x509.Certificate, header: Mapping[str, str]) -> bool:
    """Compares the thumbprint header: `x5t#S256` with PS256, `x5t` (SHA-1) with RS256."""
    given = header.get("x5t#S256")
    digest = certificate.fingerprint(
        hashes.SHA256() if given else hashes.SHA1()  # SHA-1 only names the certificate here
    )
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return (given or header.get("x5t", "")).rstrip("=") == expected


def refusal_answer(refusal: Refused) -> JSONResponse:
    """Entra's error body."""
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    timestamp = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    return JSONResponse(
        {
            "error": refusal.error,
            "error_description": f"AADSTS{refusal.code}: {refusal.text} Trace ID: {trace}"
            f" Correlation ID: {correlation} Timestamp: {timestamp}",
            "error_codes": [refusal.code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={refusal.code}",
        },
        status_code=refusal.status,
    )
