"""The one place where Salesforce's answers become the app's errors (Salesforce contract 2.11).

`reason` is the Salesforce code as it is, so that an operator can look it up. Two rules make repeating
safe: `Unreachable` and `Throttled` for a call that creates mean that nothing was executed, and everything
less sure is `OutcomeUnknown`.
"""

from __future__ import annotations

import enum
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from integration.errors import (
    AuthenticationFailed,
    BudgetSpent,
    CallContext,
    IntegrationError,
    Misconfigured,
    OutcomeUnknown,
    RecordBusy,
    RecordNeedsReview,
    RecordRejected,
    SystemTrouble,
    Throttled,
    Unreachable,
)
from integration.salesforce.codes import Kind, is_missing_parent, kind_of, kind_of_status
from integration.salesforce.faults import Fault, describe, read_faults

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

APEX_LIMIT = "apex-limit"
PARENT_NOT_FOUND = "parent-not-found"
CONCURRENT_CALLS_WAIT = 20.0  # seconds, Salesforce contract 11.4

_MISSING_FIELD = re.compile(r"No such column '([\w.]+)'")


class Effect(enum.Enum):
    """What a call does, hence what its repetition would do."""

    READ = "read"
    REPEATABLE = "repeatable"  # PATCH by id or external id, DELETE: twice is as once
    ONCE = "once"  # POST that creates: twice is two records


class DuplicateRecord(RecordRejected):
    """A unique field or a duplicate rule refused the record. `existing_ids` (18 characters) may be empty.

    `reason` is DUPLICATE_VALUE (unique field) or DUPLICATES_DETECTED (duplicate rule).
    """

    existing_ids: tuple[str, ...] = ()


class AmbiguousKey(RecordNeedsReview):
    """Several rows hold the external id; nothing was written. `existing_ids` as far as named."""

    reason = "several-records-share-the-key"
    existing_ids: tuple[str, ...] = ()


class SessionExpired(AuthenticationFailed):
    """The token is no longer valid; one new sign-in is worth a try. Nothing was executed."""

    reason = "INVALID_SESSION_ID"


class QueryLocatorExpired(Unreachable):
    """The next page is gone: run the query again from its start."""

    reason = "INVALID_QUERY_LOCATOR"


_SYSTEM: dict[Kind, type[SystemTrouble]] = {
    Kind.EXPIRED: SessionExpired,
    Kind.SIGN_IN: AuthenticationFailed,
    Kind.BUDGET: BudgetSpent,
    Kind.THROTTLED: Throttled,
    Kind.DOWN: Unreachable,
    Kind.MISCONFIGURED: Misconfigured,
    Kind.LOCATOR: QueryLocatorExpired,
}
_RECORD: dict[Kind, type[IntegrationError]] = {
    Kind.AMBIGUOUS: AmbiguousKey,
    Kind.DUPLICATE: DuplicateRecord,
    Kind.REJECTED: RecordRejected,
    Kind.APEX_LIMIT: RecordBusy,
    Kind.BUSY: RecordBusy,
}


def answer_error(
    status: int, body: object, headers: Mapping[str, str], *, operation: str, effect: Effect
) -> IntegrationError:
    """The error for an HTTP answer that is not a success. `body` is parsed JSON, or text."""
    context = CallContext(operation, status, headers.get("x-sfdc-request-id"))
    if status == 300:
        return _ambiguous(body, context)
    faults = read_faults(body)
    wait = read_retry_after(headers.get("retry-after"), headers.get("date"))
    return _translate(faults, status, effect, context, wait)


def row_error(
    errors: object, *, operation: str, effect: Effect = Effect.REPEATABLE
) -> IntegrationError:
    """The error of one row of a collection, from its `errors` array. A hiccup of one row is `RecordBusy`."""
    return _translate(read_faults(errors), None, effect, CallContext(operation), None)


def lost_answer(cause: str, *, operation: str, effect: Effect, sent: bool) -> IntegrationError:
    """The error for a call without an answer. `sent` is False only when nothing can have left."""
    context = CallContext(operation)
    if sent and effect is Effect.ONCE:
        text = f"{operation}: sent, but no answer came ({cause}); it may have been executed"
        return OutcomeUnknown(text, system="salesforce", context=context)
    text = f"{operation}: Salesforce did not answer ({cause})"
    return Unreachable(text, system="salesforce", context=context)


def read_retry_after(value: str | None, date: str | None = None) -> float | None:
    """Seconds from a `Retry-After` in either of its two forms; a date is measured from the answer's own
    `Date`, so that clocks need not agree."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    until, now = _http_date(value), _http_date(date)
    return max(0.0, (until - now).total_seconds()) if until and now else None


def _http_date(value: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(value) if value else None
    except ValueError:
        return None


def _ambiguous(body: object, context: CallContext) -> AmbiguousKey:
    urls = [url for url in body if isinstance(url, str)] if isinstance(body, list) else []
    found = tuple(url.rpartition("/")[2] for url in urls)
    text = f"{context.operation}: {len(found)} records share the external id"
    error = AmbiguousKey(f"{text}: {', '.join(found[:10])}", system="salesforce", context=context)
    error.existing_ids = found
    return error


def _translate(
    faults: list[Fault],
    status: int | None,
    effect: Effect,
    context: CallContext,
    wait: float | None,
) -> IntegrationError:
    reading = effect is Effect.READ
    kind, fault = min(
        ((kind_of(fault, status, reading=reading), fault) for fault in faults),
        key=lambda pair: pair[0],
        default=(kind_of_status(status), None),
    )
    text = f"{context.operation}: {_told(kind, fault, faults, status)}"
    reason = _reason(kind, fault, status)
    if kind is Kind.UNSURE:
        if effect is Effect.ONCE and status is not None:
            return OutcomeUnknown(text, system="salesforce", context=context)
        if status is None:
            return RecordBusy(text, reason=reason, system="salesforce", context=context)
        return _system(Unreachable, text, reason, context, wait)
    if kind in _SYSTEM:
        if kind is Kind.THROTTLED and fault and fault.code == "REQUEST_LIMIT_EXCEEDED":
            wait = wait or CONCURRENT_CALLS_WAIT
        return _system(_SYSTEM[kind], text, reason, context, wait)
    error = _RECORD[kind](text, reason=reason, system="salesforce", context=context)
    if isinstance(error, DuplicateRecord | AmbiguousKey) and fault:
        error.existing_ids = fault.existing_ids
    return error


def _system(
    error: type[SystemTrouble], text: str, reason: str, context: CallContext, wait: float | None
) -> SystemTrouble:
    return error(text, reason=reason, system="salesforce", context=context, retry_after=wait)


def _reason(kind: Kind, fault: Fault | None, status: int | None) -> str:
    if kind is Kind.APEX_LIMIT:
        return APEX_LIMIT
    if fault is None:
        return f"http-{status}" if status else "no-reason-given"
    return PARENT_NOT_FOUND if is_missing_parent(fault) else fault.code


def _told(kind: Kind, fault: Fault | None, faults: list[Fault], status: int | None) -> str:
    if fault is None:
        return f"HTTP {status} without a readable reason" if status else "no reason given"
    told = describe([fault, *(other for other in faults if other is not fault)])
    # The message of a query starts with the query, so the name it is about could be cut off.
    missing = _MISSING_FIELD.search(fault.message)
    if kind is Kind.MISCONFIGURED and missing:
        return f"field {missing[1]} is missing or hidden from the integration user. {told}"
    return told
