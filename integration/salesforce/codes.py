"""Salesforce error codes sorted by what can be done about them (Salesforce contract 2.11).

A code decides first, the HTTP status only where the code is unknown or missing: the same code comes with
400, 403 or inside a 200 depending on the resource.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.salesforce.faults import Fault


class Kind(enum.IntEnum):
    """In order of precedence when an answer holds several faults: what concerns the whole system first,
    then what no repetition mends, last what other rows caused."""

    EXPIRED = 1  # the session; a new token mends it
    SIGN_IN = 2
    BUDGET = 3
    THROTTLED = 4
    DOWN = 5  # refused before execution
    MISCONFIGURED = 6
    LOCATOR = 7
    AMBIGUOUS = 8
    DUPLICATE = 9
    REJECTED = 10
    UNSURE = 11  # may have been executed
    APEX_LIMIT = 12  # a governor limit of the transaction: fewer rows may pass
    BUSY = 13


_CODES: dict[Kind, tuple[str, ...]] = {
    Kind.SIGN_IN: ("INVALID_AUTH_HEADER", "INVALID_OPERATION_WITH_EXPIRED_PASSWORD"),
    Kind.BUDGET: ("EXCEEDEDQUOTA",),  # the daily batches of the Bulk APIs
    Kind.THROTTLED: ("TOO_MANY_APEX_REQUESTS",),
    Kind.DOWN: (
        "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE",
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
        "ORG_IN_MAINTENANCE",
        "PLATFORM_EVENT_PUBLISHING_UNAVAILABLE",
    ),
    Kind.MISCONFIGURED: (
        "API_CURRENTLY_DISABLED",
        "API_DISABLED_FOR_ORG",
        "FUNCTIONALITY_NOT_ENABLED",
        "INVALID_ENTITY_FOR_UPSERT",
        "INVALID_FIELD",
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "INVALID_TYPE",
        "METHOD_NOT_ALLOWED",
        "ORG_LOCKED",
        "STORAGE_LIMIT_EXCEEDED",
        "TXN_SECURITY_NO_ACCESS",
        "UNSUPPORTED_API_VERSION",
    ),
    Kind.LOCATOR: ("INVALID_QUERY_LOCATOR",),
    Kind.AMBIGUOUS: ("DUPLICATE_EXTERNAL_ID",),
    Kind.DUPLICATE: ("DUPLICATE_VALUE", "DUPLICATES_DETECTED"),
    Kind.UNSURE: (
        "OPERATION_TOO_LARGE",
        "QUERY_TIMEOUT",
        "QUERY_TOO_COMPLICATED",
        "REQUEST_RUNNING_TOO_LONG",
        "SERVER_UNAVAILABLE",
        "UNKNOWN_EXCEPTION",
    ),
    Kind.BUSY: (
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE",
        "PROCESSING_HALTED",
        "RECORD_IN_USE_BY_WORKFLOW",
        "UNABLE_TO_LOCK_ROW",
    ),
}
_BY_CODE = {code: kind for kind, codes in _CODES.items() for code in codes}
# In a read the query or the body is ours; in a write a value of the record can cause them.
_OURS_IN_A_READ = {
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
    "INSUFFICIENT_ACCESS_OR_READONLY",
    "INVALID_QUERY_FILTER_OPERATOR",
    "JSON_PARSER_ERROR",
    "MALFORMED_QUERY",
}
# A 401 that a new token does not mend; repeating it would never end (Salesforce contract 1.5).
_LASTING_401 = ("not attached to Agent", "not valid for use with the REST API")
_BY_STATUS = {
    401: Kind.EXPIRED,
    408: Kind.UNSURE,
    412: Kind.BUSY,
    429: Kind.THROTTLED,
}
_WRONG_ADDRESS_OR_RIGHT = {403, 404, 405, 410, 414, 415, 420, 428, 431}
_GOVERNOR = re.compile(r"System\.LimitException|\bToo many (?!records)|TOO_MANY_|CPU time limit")


def kind_of(fault: Fault, status: int | None, *, reading: bool) -> Kind:
    """`status` is None for a row inside a collection's answer."""
    code, message = fault.code, fault.message
    if code in ("INVALID_SESSION_ID", "LOGIN_OAUTH_INVALID_TOKEN"):
        return Kind.SIGN_IN if any(text in message for text in _LASTING_401) else Kind.EXPIRED
    if code == "REQUEST_LIMIT_EXCEEDED":  # two limits, told apart by their text alone
        return Kind.THROTTLED if "concurrent" in message.lower() else Kind.BUDGET
    if is_missing_parent(fault):
        return Kind.REJECTED
    if code == "NOT_FOUND" and message.startswith("Provided external ID field"):
        return Kind.MISCONFIGURED
    if code in _BY_CODE:
        return _BY_CODE[code]
    if "UNABLE_TO_LOCK_ROW" in message:  # a trigger or a flow met the lock
        return Kind.BUSY
    if _GOVERNOR.search(message):
        return Kind.APEX_LIMIT
    if reading and code in _OURS_IN_A_READ:
        return Kind.MISCONFIGURED
    if status == 401:
        return Kind.SIGN_IN
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Kind.UNSURE if status and status >= 500 else Kind.REJECTED


def kind_of_status(status: int | None) -> Kind:
    """For an answer without a readable code: a gateway's page, an empty body."""
    if status is None:
        return Kind.REJECTED
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return Kind.UNSURE
    if status < 400 or status in _WRONG_ADDRESS_OR_RIGHT:
        return Kind.MISCONFIGURED
    return Kind.REJECTED


def is_missing_parent(fault: Fault) -> bool:
    """The one INVALID_FIELD that concerns a record: its parent's external id is not there."""
    return fault.code == "INVALID_FIELD" and fault.message.startswith("Foreign key external ID")
