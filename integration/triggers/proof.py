"""Proves that a call came from the company's own Salesforce organisation (Salesforce contract 8).

The function key is checked by the host before any of this runs. JSON from Apex is signed over the raw
body; Flow cannot sign and shows a static secret; SOAP is told apart by the organisation's id and,
where configured, by its client certificate.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

from integration.salesforce.ids import is_id, to_18

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.settings import WebhookSettings

SIGNATURE = "x-integration-signature"
TIMESTAMP = "x-integration-timestamp"
SECRET = "x-integration-secret"  # noqa: S105 - a header's name
CERTIFICATE = "x-arr-clientcert"  # set by the Azure front end after the TLS handshake


class NotProven(Exception):
    """401: no proof or a wrong one."""


class WrongOrganisation(Exception):
    """403: proven, but not one of ours."""


def prove_json(settings: WebhookSettings, headers: Mapping[str, str], body: bytes) -> None:
    """HMAC-SHA256 over `timestamp.body`, or the static secret where that is switched on."""
    static = headers.get(SECRET)
    if static is not None:
        expected = settings.static_secret
        if expected is None:
            raise NotProven(f"{SECRET} is not accepted here (WEBHOOK_STATIC_SECRET is not set)")
        if not hmac.compare_digest(static.encode(), expected.get_secret_value().encode()):
            raise NotProven(f"{SECRET} is wrong")
        return
    timestamp, signature = headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
    if not timestamp or not signature:
        raise NotProven(f"{TIMESTAMP} and {SIGNATURE} are needed")
    try:
        skew = abs(time.time() - float(timestamp))
    except ValueError as error:
        raise NotProven(f"{TIMESTAMP} must be unix seconds") from error
    if not skew <= settings.clock_skew:
        raise NotProven(f"{TIMESTAMP} is more than {settings.clock_skew:.0f} s off")
    signed = timestamp.encode() + b"." + body
    for secret in settings.secrets:
        digest = hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest()
        if hmac.compare_digest(f"v1={digest}".encode(), signature.encode()):
            return
    raise NotProven(f"{SIGNATURE} does not fit the body")


def prove_certificate(settings: WebhookSettings, headers: Mapping[str, str]) -> None:
    """Compares the client certificate's SHA-1 or SHA-256 thumbprint, where thumbprints are set."""
    if not settings.client_thumbprints:
        return
    try:
        der = base64.b64decode(headers.get(CERTIFICATE, ""), validate=True)
    except ValueError as error:
        raise NotProven("the client certificate is unreadable") from error
    if not der:
        raise NotProven("a client certificate is needed")
    thumbprints = {hashlib.sha1(der).hexdigest(), hashlib.sha256(der).hexdigest()}  # noqa: S324
    allowed = {print_.replace(":", "").lower() for print_ in settings.client_thumbprints}
    if not thumbprints & allowed:
        raise NotProven("the client certificate is not one of ours")


def check_organisation(allowed: tuple[str, ...], org_id: str | None, *, required: bool) -> None:
    """`required`: SOAP must name an allowed organisation; signed JSON may leave it out."""
    if org_id is None and not required:
        return
    if not allowed:
        if required:
            raise WrongOrganisation("SALESFORCE_ORG_IDS is not set, so no organisation is allowed")
        return
    if org_id not in {to_18(given) for given in allowed if is_id(given)}:
        raise WrongOrganisation("the organisation is not in SALESFORCE_ORG_IDS")
