"""The table of Salesforce contract 2.11: every code, in every place it occurs, becomes the right error."""

from __future__ import annotations

import pytest

from integration.errors import (
    AuthenticationFailed,
    BudgetSpent,
    IntegrationError,
    Misconfigured,
    OutcomeUnknown,
    RecordBusy,
    RecordNeedsReview,
    RecordRejected,
    Throttled,
    Unreachable,
)
from integration.salesforce.errors import (
    AmbiguousKey,
    DuplicateRecord,
    Effect,
    QueryLocatorExpired,
    SessionExpired,
    answer_error,
    read_retry_after,
    row_error,
)
from integration.salesforce.repeats import is_repeatable
from tests.unit.test_salesforce_org import fault

READ, REPEATABLE, ONCE = Effect.READ, Effect.REPEATABLE, Effect.ONCE
SEEN = "001Aa0000000001IAA"


def error_of(
    status: int, body: object, effect: Effect = REPEATABLE, **headers: str
) -> IntegrationError:
    return answer_error(status, body, headers, operation="op", effect=effect)


# status, code, message -> the error of a read, a repeatable write, a creating write
R, B, M, T = RecordRejected, RecordBusy, Misconfigured, Throttled
D, U, X, S, A = DuplicateRecord, Unreachable, OutcomeUnknown, SessionExpired, AuthenticationFailed
TABLE = [
    (400, "INVALID_FIELD", "No such column 'foo' on sobject of type Bar", M, M, M),
    (400, "INVALID_FIELD", "Foreign key external ID: x not found for field K__c in entity A", R, R, R),
    (400, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: X.", M, M, M),
    (400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", R, R, R),
    (400, "STRING_TOO_LONG", "Account Name: data value too large", R, R, R),
    (400, "MALFORMED_ID", "id value of incorrect type", R, R, R),
    (400, "MALFORMED_QUERY", "unexpected token", M, R, R),
    (400, "INVALID_TYPE", "sObject type 'X' is not supported", M, M, M),
    (400, "JSON_PARSER_ERROR", "Cannot deserialize", M, R, R),
    (400, "INVALID_QUERY_FILTER_OPERATOR", "", M, R, R),
    (400, "DUPLICATE_VALUE", f"duplicates value on record with id: {SEEN}", D, D, D),
    (400, "DUPLICATES_DETECTED", "Use one of these records?", D, D, D),
    (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "no", R, R, R),
    (400, "FIELD_INTEGRITY_EXCEPTION", "no", R, R, R),
    (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "trigger failed", R, R, R),
    (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "x: UNABLE_TO_LOCK_ROW, unable", B, B, B),
    (400, "CANNOT_EXECUTE_FLOW_TRIGGER", "x: UNABLE_TO_LOCK_ROW, unable", B, B, B),
    (400, "CANNOT_EXECUTE_FLOW_TRIGGER", "flow failed", R, R, R),
    (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "System.LimitException: Too many SOQL", B, B, B),
    (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value", R, R, R),
    (400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", R, R, R),
    (404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", R, R, R),
    (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", B, B, B),
    (400, "STANDARD_PRICE_NOT_DEFINED", "Before creating a custom price", R, R, R),
    (400, "QUERY_TIMEOUT", "", U, U, X),
    (400, "OPERATION_TOO_LARGE", "", U, U, X),
    (400, "QUERY_TOO_COMPLICATED", "", U, U, X),
    (400, "INVALID_QUERY_LOCATOR", "", QueryLocatorExpired, QueryLocatorExpired, QueryLocatorExpired),
    (400, "STORAGE_LIMIT_EXCEEDED", "", M, M, M),
    (400, "INSUFFICIENT_ACCESS_OR_READONLY", "", M, R, R),
    (403, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "", M, R, R),
    (401, "INVALID_SESSION_ID", "Session expired or invalid", S, S, S),
    (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", A, A, A),
    (401, "UNAUTHORIZED", "Connected app is not attached to Agent", A, A, A),
    (401, "INVALID_AUTH_HEADER", "", A, A, A),
    (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", BudgetSpent, BudgetSpent, BudgetSpent),
    (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", T, T, T),
    (403, "API_DISABLED_FOR_ORG", "", M, M, M),
    (403, "API_CURRENTLY_DISABLED", "", M, M, M),
    (403, "INVALID_OPERATION_WITH_EXPIRED_PASSWORD", "", A, A, A),
    (404, "NOT_FOUND", "The requested resource does not exist", R, R, R),
    (404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: X", M, M, M),
    (404, "ENTITY_IS_DELETED", "entity is deleted", R, R, R),
    (405, "METHOD_NOT_ALLOWED", "", M, M, M),
    (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.", U, U, X),
    (503, "SERVER_UNAVAILABLE", "", U, U, X),
    (503, "ORG_IN_MAINTENANCE", "", U, U, U),
    (400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "", U, U, U),
    (400, "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE", "", U, U, U),
    (400, "PLATFORM_EVENT_PUBLISHING_UNAVAILABLE", "", U, U, U),
    (400, "RECORD_IN_USE_BY_WORKFLOW", "", B, B, B),
    (400, "TOO_MANY_APEX_REQUESTS", "", T, T, T),
    (400, "REQUEST_RUNNING_TOO_LONG", "", U, U, X),
    (400, "DUPLICATE_EXTERNAL_ID", "", AmbiguousKey, AmbiguousKey, AmbiguousKey),
    (400, "ENTITY_IS_LOCKED", "approval", R, R, R),
    (400, "UNSUPPORTED_API_VERSION", "", M, M, M),
    (400, "A_CODE_OF_NEXT_YEAR", "new", R, R, R),
    (500, "A_CODE_OF_NEXT_YEAR", "new", U, U, X),
    (412, "A_CODE_OF_NEXT_YEAR", "new", B, B, B),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "message", "read", "write", "create"), TABLE)
def test_each_code_becomes_its_error(
    status: int,
    code: str,
    message: str,
    read: type[IntegrationError],
    write: type[IntegrationError],
    create: type[IntegrationError],
) -> None:
    for effect, expected in ((READ, read), (REPEATABLE, write), (ONCE, create)):
        error = error_of(status, fault(code, message), effect)
        assert type(error) is expected, effect
        assert error.system == "salesforce"
        assert error.context.status == status
        assert code in error.description


@pytest.mark.parametrize(
    ("status", "read", "create"),
    [
        (302, M, M),
        (400, R, R),
        (401, S, S),
        (403, M, M),
        (404, M, M),
        (405, M, M),
        (408, U, X),
        (409, R, R),
        (410, M, M),
        (412, B, B),
        (414, M, M),
        (415, M, M),
        (420, M, M),
        (428, M, M),
        (429, T, T),
        (431, M, M),
        (500, U, X),
        (502, U, X),
        (503, U, X),
        (504, U, X),
    ],
)
@pytest.mark.parametrize(
    "body", ["<html><body>Bad Gateway, sorry</body></html>", None, [], {}, [1]]
)
def test_an_answer_without_a_code_goes_by_its_status(
    status: int, read: type[IntegrationError], create: type[IntegrationError], body: object
) -> None:
    assert type(error_of(status, body, READ)) is read
    error = error_of(status, body, ONCE)
    assert type(error) is create
    assert "sorry" not in str(error)


def test_a_html_401_that_names_the_token_is_an_expired_session() -> None:
    body = "<html><errorCode>LOGIN_OAUTH_INVALID_TOKEN</errorCode></html>"
    assert type(error_of(401, body)) is SessionExpired


@pytest.mark.parametrize(
    ("status", "code", "message", "effect", "repeatable"),
    [
        (503, "SERVER_UNAVAILABLE", "", READ, True),
        (503, "SERVER_UNAVAILABLE", "", REPEATABLE, True),
        (503, "SERVER_UNAVAILABLE", "", ONCE, False),
        (503, "ORG_IN_MAINTENANCE", "", ONCE, True),
        (403, "REQUEST_LIMIT_EXCEEDED", "Concurrent", ONCE, True),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests", READ, False),
        (400, "UNABLE_TO_LOCK_ROW", "", ONCE, True),
        (400, "FLOW_EXCEPTION", "UNABLE_TO_LOCK_ROW", ONCE, False),
        (400, "FLOW_EXCEPTION", "UNABLE_TO_LOCK_ROW", REPEATABLE, True),
        (400, "FLOW_EXCEPTION", "System.LimitException: CPU", REPEATABLE, False),
        (400, "INVALID_QUERY_LOCATOR", "", READ, False),
        (400, "REQUIRED_FIELD_MISSING", "", REPEATABLE, False),
        (401, "INVALID_SESSION_ID", "", READ, False),
    ],
)
def test_only_what_is_safe_is_repeated_on_the_spot(
    status: int, code: str, message: str, effect: Effect, repeatable: bool
) -> None:
    assert is_repeatable(error_of(status, fault(code, message), effect), effect) is repeatable


def test_the_reason_is_the_salesforce_code() -> None:
    error = error_of(400, fault("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Give a street"))
    assert error.reason == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert error_of(400, fault("x" * 200)).reason == "unknown-code"
    assert error_of(400, fault("<script>")).reason == "unknown-code"


def test_a_missing_field_is_named_even_where_the_query_comes_first() -> None:
    query = "SELECT " + ", ".join(f"Field{n}__c" for n in range(100))
    error = error_of(
        400, fault("INVALID_FIELD", f"{query} No such column 'Foo__c' on entity"), READ
    )
    assert "field Foo__c is missing" in error.description
    assert len(error.description) < 600


def test_all_entries_are_told_and_the_message_is_cut() -> None:
    body = fault("FIELD_CUSTOM_VALIDATION_EXCEPTION", "one") + fault(
        "REQUIRED_FIELD_MISSING", "two"
    )
    error = error_of(400, body)
    assert "one" in error.description
    assert "two" in error.description
    assert len(error_of(400, fault("STRING_TOO_LONG", "x" * 9000)).description) < 550


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"], "REQUIRED_FIELD_MISSING"),
        (["UNABLE_TO_LOCK_ROW", "STRING_TOO_LONG"], "STRING_TOO_LONG"),
        (["STRING_TOO_LONG", "INVALID_FIELD"], "INVALID_FIELD"),
    ],
)
def test_of_several_faults_the_lasting_one_decides(codes: list[str], reason: str) -> None:
    assert row_error([{"statusCode": code} for code in codes], operation="op").reason == reason


@pytest.mark.parametrize("key", ["duplicateResut", "duplicateResult"])
def test_a_duplicate_rule_names_the_records_it_found(key: str) -> None:
    found = [{"record": {"Id": SEEN}}, {"record": {"Id": SEEN[:15]}}, {"record": {}}]
    body = fault(
        "DUPLICATES_DETECTED", "Use one?", **{key: {"matchResults": [{"matchRecords": found}]}}
    )
    error = error_of(400, body)
    assert isinstance(error, DuplicateRecord)
    assert error.existing_ids == (SEEN,)
    assert error.reason == "DUPLICATES_DETECTED"


def test_a_unique_field_names_the_record_that_holds_the_value() -> None:
    text = f"duplicate value found: K__c duplicates value on record with id: {SEEN[:15]}"
    error = row_error([{"statusCode": "DUPLICATE_VALUE", "message": text}], operation="op")
    assert isinstance(error, DuplicateRecord)
    assert error.existing_ids == (SEEN,)
    unnamed = row_error(
        [{"statusCode": "DUPLICATE_VALUE", "message": "with id: <unknown>"}], operation="op"
    )
    assert isinstance(unnamed, DuplicateRecord)
    assert unnamed.existing_ids == ()


def test_300_needs_a_person_and_names_the_candidates() -> None:
    error = error_of(
        300, [f"/services/data/v62.0/sobjects/Account/{SEEN}", "/x/001Aa0000000002IAA"]
    )
    assert isinstance(error, AmbiguousKey)
    assert isinstance(error, RecordNeedsReview)
    assert error.existing_ids == (SEEN, "001Aa0000000002IAA")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("UNKNOWN_EXCEPTION", RecordBusy),
        ("UNABLE_TO_LOCK_ROW", RecordBusy),
        ("PROCESSING_HALTED", RecordBusy),
        ("REQUIRED_FIELD_MISSING", RecordRejected),
        ("INVALID_FIELD", Misconfigured),
        ("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", Unreachable),
    ],
)
def test_a_row_has_its_own_error(code: str, expected: type[IntegrationError]) -> None:
    assert (
        type(row_error([{"statusCode": code, "message": "", "fields": []}], operation="op"))
        is expected
    )


@pytest.mark.parametrize("errors", [None, [], "?", [{}]])
def test_a_failed_row_without_reasons_is_rejected(errors: object) -> None:
    assert row_error(errors, operation="op").reason == "no-reason-given"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", None, 7.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", None, None),
        ("soon", "Wed, 21 Oct 2015 07:28:00 GMT", None),
        (None, None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(
    value: str | None, date: str | None, seconds: float | None
) -> None:
    assert read_retry_after(value, date) == seconds
