"""An F&O answer that is no success, as one of the app's errors. The only place that knows status codes.

Table: F&O contract 2.8 (shapes and texts) and 4.2 (throttling). The texts are matched on substrings; the
status alone does not tell a missing record from a broken rule, both are 400.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from integration.d365.values import json_loads
from integration.errors import (
    AuthenticationFailed,
    CallContext,
    ContractError,
    IntegrationError,
    Misconfigured,
    OutcomeUnknown,
    RecordBusy,
    RecordRejected,
    Throttled,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class RecordMissing(RecordRejected):
    """No record has this key in any company."""

    reason = "missing"


class RecordExists(RecordRejected):
    """A create met a record with the same key: read it and update (F&O contract 10)."""

    reason = "exists"


class EtagConflict(RecordBusy):
    """The record changed since it was read: read and compare again."""

    reason = "etag-conflict"


@dataclass(frozen=True, slots=True)
class Call:
    """What the translation must know about a call besides the answer."""

    operation: str  # "PATCH CustomersV3": for logs and metrics, holds no key
    safe_to_repeat: bool  # a read, or an action without effect
    names_record: bool = False  # the URL holds a key, so 404 may mean the record
    is_action: bool = False  # X++ code behind an action or service: its exceptions are status 500


_PARTS = re.compile(r"(?:^|;)\s*(?:Info|Warning|Error):\s*")
_CHECKS = re.compile(r"validate(?:Field|Write|Delete) failed on (field|data source) '([^']*)'")
_CANCELED = "Update has been canceled"


def translate(
    status: int,
    body: bytes | str,
    headers: Mapping[str, str],
    call: Call,
    *,
    throttle_cap: float,
    request_id: str | None = None,
) -> IntegrationError:
    """The error for an answer with a status of 300 or more; `headers` with case-insensitive lookup."""
    context = CallContext(call.operation, status, request_id, headers.get("ms-dyn-aid"))
    answer = _read(body)
    where = f"{call.operation} was answered {status}"
    text = answer.text[:2000] or where
    if status == 429:
        return Throttled(
            f"F&O is throttling: {text}",
            system="d365",
            context=context,
            retry_after=retry_after(headers.get("retry-after"), throttle_cap),
        )
    if status == 401:
        return AuthenticationFailed(
            "F&O refused the token. The client id must be listed on the page Microsoft Entra ID"
            " applications of F&O, the tenant must be the environment's, and D365_BASE_URL must be"
            " the environment's own URL",
            system="d365",
            context=context,
        )
    if status == 403:
        return Misconfigured(
            f"{where}: the F&O user mapped to this app lacks the right. {answer.text[:500]}".strip(),
            reason="forbidden",
            system="d365",
            context=context,
        )
    if status == 412:
        return EtagConflict("the record changed since it was read", system="d365", context=context)
    if status == 428:
        return Misconfigured(
            f"{where}: F&O demands If-Match here, set D365_USE_ETAG=true",
            system="d365",
            context=context,
        )
    if status in (400, 404, 409, 422, 500) and (error := _by_text(answer, text, call)):
        error.context = context
        return error
    if status == 404:
        if call.names_record and not answer.is_route and not answer.is_html:
            return RecordMissing("no record has this key", system="d365", context=context)
        return Misconfigured(
            f"{where}: F&O does not know this address; check D365_BASE_URL, the name of the entity"
            " set and its key fields",
            reason="unknown-route",
            system="d365",
            context=context,
        )
    if status >= 500 or status == 408:
        if call.safe_to_repeat:
            return Unreachable(f"{where}: {answer.text[:500]}", system="d365", context=context)
        return OutcomeUnknown(
            f"{where}; the write may have happened. {answer.text[:500]}".strip(),
            system="d365",
            context=context,
        )
    if status < 400 or status in (405, 413, 414, 415) or answer.is_html:
        return Misconfigured(
            f"{where}, which F&O itself does not do here; check D365_BASE_URL",
            reason="unexpected-answer",
            system="d365",
            context=context,
        )
    return RecordRejected(text, reason="validation", system="d365", context=context)


def retry_after(value: str | None, cap: float) -> float | None:
    """Seconds of a Retry-After header (a number or an HTTP date), 0 to `cap`; None when unusable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), cap)


def clean_infolog(message: str) -> str:
    """`Write failed … Infolog: Warning: A; Warning: validateField failed on field 'T.F'.` → `A (T.F)`."""
    _, found, log = message.partition("Infolog:")
    if not found:
        return message.strip()
    places = [match.group(2) for match in _CHECKS.finditer(log)]
    parts = [part.strip() for part in _PARTS.split(log)]
    parts = [re.sub(r"[.;]{2,}$", ".", part) for part in parts if part]
    useful = [part for part in parts if not _CHECKS.match(part) and _CANCELED not in part]
    if not useful:
        return "; ".join(parts) or message.strip()
    text = "; ".join(dict.fromkeys(useful))
    return f"{text} ({', '.join(dict.fromkeys(places))})" if places else text


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str = ""
    exception: str = ""  # all .NET exception types met, outermost first
    is_route: bool = False
    is_service: bool = False
    is_html: bool = False


def _read(body: bytes | str) -> _Answer:
    try:
        data = json_loads(body)
    except ContractError:
        start = body[:200].decode("utf-8-sig", "replace") if isinstance(body, bytes) else body[:200]
        return _Answer(is_html=start.lstrip().startswith("<"))
    if isinstance(data, str):
        return _Answer(text=data)
    if not isinstance(data, dict):
        return _Answer()
    error = data.get("error")
    if isinstance(error, dict):
        return _odata_error(error)
    message = str(data.get("Message") or "")
    inner = str(data.get("ExceptionMessage") or "")  # custom services (F&O contract 8)
    return _Answer(
        text=clean_infolog(inner or message),
        exception=str(data.get("ExceptionType") or ""),
        is_service=bool(inner),
        is_route="No HTTP resource was found" in message or "No route data" in message,
    )


def _odata_error(error: dict[str, Any]) -> _Answer:
    """The deepest message is the useful one, the outer one is a constant (F&O contract 2.8)."""
    message = str(error.get("message") or "")
    kinds: list[str] = []
    inner = error.get("innererror")
    while isinstance(inner, dict):
        message = str(inner.get("message") or message)
        kinds.append(str(inner.get("type") or ""))
        inner = inner.get("internalexception")
    return _Answer(text=clean_infolog(message), exception=" ".join(kinds))


def _by_text(answer: _Answer, text: str, call: Call) -> IntegrationError | None:
    """The cases where the text decides, whatever of 400 and 500 came with it."""
    low = text.lower()
    if "no resources were found when selecting for update" in low:
        return RecordMissing("no record has this key in any company", system="d365")
    if "update conflict" in low:
        return RecordBusy(text, reason="update-conflict", system="d365")
    if "already exists" in low:
        return RecordExists(text, system="d365")
    if "does not exist on type" in low or "could not find a property named" in low:
        return Misconfigured(text, reason="unknown-property", system="d365")
    if "is not found in the related table" in low:
        return RecordRejected(text, reason="foreign-key", system="d365")
    failed_in_code = (
        answer.is_service
        or "InvalidOperationException" in answer.exception
        or "exception occurred while executing action" in low
    )
    if call.is_action and failed_in_code:
        return RecordRejected(text, reason="action", system="d365")
    return None
