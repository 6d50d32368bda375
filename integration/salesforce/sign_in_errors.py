"""What a refused sign-in means and what to do about it (Salesforce contract 1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.errors import (
    AuthenticationFailed,
    CallContext,
    SystemTrouble,
    Throttled,
    Unreachable,
)
from integration.salesforce.errors import read_retry_after
from integration.salesforce.faults import read_faults

if TYPE_CHECKING:
    import httpx

LOGIN_RATE_WAIT = 1800.0  # seconds; the allowance is per hour, and each try counts

# Text in the description, or the error itself where none is given -> what a person has to do.
_ADVICE = (
    (
        "hasn't approved this consumer",
        "pre-authorise the integration user for the app (permission set or profile), and check that"
        " SALESFORCE_LOGIN_URL and SALESFORCE_USERNAME belong to the same org",
    ),
    (
        "audience is invalid",
        "set SALESFORCE_AUDIENCE: https://login.salesforce.com for production,"
        " https://test.salesforce.com for a sandbox",
    ),
    (
        "invalid assertion",
        "the certificate of the app must belong to SALESFORCE_PRIVATE_KEY, and the clock must be right",
    ),
    (
        "not supported on this domain",
        "client credentials work on the My Domain only:"
        " set SALESFORCE_LOGIN_URL to https://<name>.my.salesforce.com",
    ),
    (
        "authentication failure",
        "check SALESFORCE_USERNAME and the login IP ranges of the integration user",
    ),
    (
        "grant type not supported",
        "enable the flow in the app's OAuth settings, and use an https SALESFORCE_LOGIN_URL",
    ),
    ("unsupported_grant_type", "enable the flow in the app's OAuth settings"),
    ("invalid_client", "check SALESFORCE_CLIENT_ID and the secret or certificate of the app"),
    ("inactive_user", "activate the integration user in Salesforce"),
    ("inactive_org", "the organisation is locked or deleted; check SALESFORCE_LOGIN_URL"),
)
_TEMPORARY = {"server_error", "temporarily_unavailable", "SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION"}


def sign_in_error(response: httpx.Response) -> SystemTrouble:
    """The error for any answer of the token endpoint but 200."""
    status = response.status_code
    context = CallContext("sign in", status)
    faults = read_faults(_body(response))
    code = faults[0].code if faults else ""
    message = faults[0].message if faults else ""
    wait = read_retry_after(response.headers.get("retry-after"), response.headers.get("date"))
    told = f"{code}: {message}".removesuffix(": ")[:500] or "no readable reason"
    text = f"Salesforce refused the sign-in with HTTP {status} ({told})"
    if "login rate exceeded" in message or code == "rate_limit_exceeded" or status == 429:
        return Throttled(
            f"{text}: too many sign-ins in an hour; other programs may use the same user",
            reason="login-rate",
            system="salesforce",
            context=context,
            retry_after=max(wait or 0.0, LOGIN_RATE_WAIT),
        )
    if status >= 500 or code in _TEMPORARY:
        return Unreachable(text, system="salesforce", context=context, retry_after=wait)
    known = message or code
    advice = next((advice for sign, advice in _ADVICE if sign in known), None)
    if advice is None:
        advice = next((advice for sign, advice in _ADVICE if sign in code), None)
    return AuthenticationFailed(
        f"{text}: {advice or 'check SALESFORCE_LOGIN_URL and the SALESFORCE_ credentials'}",
        reason=code or f"http-{status}",
        system="salesforce",
        context=context,
    )


def _body(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None
