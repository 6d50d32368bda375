"""The table of F&O contract 2.8 and 4.2: which answer is which error."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from integration.d365.errors import (
    Call,
    EtagConflict,
    RecordExists,
    RecordMissing,
    clean_infolog,
    retry_after,
    translate,
)
from integration.errors import (
    AuthenticationFailed,
    Misconfigured,
    OutcomeUnknown,
    RecordBusy,
    RecordRejected,
    Throttled,
    Unreachable,
)
from tests.unit.test_d365_support import odata_error

READ = Call("GET CustomersV3", safe_to_repeat=True, names_record=True)
READ_MANY = Call("GET CustomersV3", safe_to_repeat=True)
CREATE = Call("POST CustomersV3", safe_to_repeat=False)
UPDATE = Call("PATCH CustomersV3", safe_to_repeat=False, names_record=True)
ACTION = Call("POST DataManagementDefinitionGroups.ImportFromPackage", False, is_action=True)
POLL = Call("POST DataManagementDefinitionGroups.GetStatus", True, is_action=True)
HTML = "\r\n<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
FOREIGN_KEY = (
    "Write failed for table row of type 'CustCustomerV3Entity'. Infolog: Warning: The value 'Local' in"
    " field 'Customer group' is not found in the related table 'Customer groups'.; Warning:"
    " validateField failed on field 'CustCustomerV3Entity.CustomerGroupId'."
)
SITE = (
    "Write failed for table row of type 'SalesOrderLineV3Entity'. Infolog: Warning: Inventory dimension"
    " Site is mandatory and must consequently be specified.; Error: Update has been canceled.."
)
PROSPECT = (
    "Write failed for table row of type 'CustCustomerV3Entity'. Infolog: Error: Cannot create customer"
    " with account number 'C1' with same party number as prospect 'P1'."
)
EXISTS = (
    "Write failed for table row of type 'CustCustomerV3Entity'. Infolog: Error: Cannot create a record in"
    " Customers (CustTable). Customer account: US-001. The record already exists."
)
CONFLICT = (
    "Write failed for table row of type 'LedgerJournalEntity'. Infolog: Error: Cannot edit a record in"
    " Journal. An update conflict occurred due to another user process deleting the record or changing"
    " one or more fields in the record."
)
UNKNOWN_PROPERTY = (
    "The property 'X' does not exist on type 'Microsoft.Dynamics.DataEntities.CustomerV3'. Make sure to"
    " only use property names that are defined by the type."
)
ROUTE = {
    "Message": "No HTTP resource was found that matches the request URI 'https://h/data/Nope'."
    " No route data was found for this request."
}
BUSY_SERVER = (
    "This request could not be processed at this time due to system experiencing high resource"
    " utilization."
)
NOT_FOUND = {"error": {"code": "", "message": "No resources were found when selecting for update."}}
ACTION_FAILED = odata_error(
    "Exception occurred while executing action submit on Entity LeaveRequest: no days left",
    "System.InvalidOperationException",
)
SERVICE_FAILED = {
    "Message": "An error has occurred.",
    "ExceptionMessage": "Item 1000 is stopped",
    "ExceptionType": "AifFault",
}


@pytest.mark.parametrize(
    ("status", "body", "call", "kind", "reason", "text"),
    [
        (400, odata_error(FOREIGN_KEY), CREATE, RecordRejected, "foreign-key", "The value 'Local'"),
        (400, odata_error(SITE), CREATE, RecordRejected, "validation", "dimension Site"),
        (400, odata_error(PROSPECT), CREATE, RecordRejected, "validation", "as prospect"),
        (
            400,
            {"error": {"code": "", "message": "Bad"}},
            CREATE,
            RecordRejected,
            "validation",
            "Bad",
        ),
        (400, None, CREATE, RecordRejected, "validation", "answered 400"),
        (400, odata_error(EXISTS), CREATE, RecordExists, "exists", "already exists"),
        (500, odata_error(EXISTS), CREATE, RecordExists, "exists", "already exists"),
        (400, NOT_FOUND, UPDATE, RecordMissing, "missing", "no record"),
        (400, odata_error(CONFLICT), UPDATE, RecordBusy, "update-conflict", "Cannot edit"),
        (500, odata_error(CONFLICT), UPDATE, RecordBusy, "update-conflict", "Cannot edit"),
        (412, None, UPDATE, EtagConflict, "etag-conflict", "changed"),
        (428, None, UPDATE, Misconfigured, "misconfigured", "D365_USE_ETAG"),
        (
            400,
            odata_error("outer", "System.Reflection.TargetInvocationException", UNKNOWN_PROPERTY),
            CREATE,
            Misconfigured,
            "unknown-property",
            "The property 'X'",
        ),
        (401, None, READ, AuthenticationFailed, "authentication", "client id"),
        (403, HTML, UPDATE, Misconfigured, "forbidden", "right"),
        (404, None, READ, RecordMissing, "missing", "no record"),
        (404, ROUTE, READ, Misconfigured, "unknown-route", "D365_BASE_URL"),
        (404, HTML, READ, Misconfigured, "unknown-route", "D365_BASE_URL"),
        (404, None, READ_MANY, Misconfigured, "unknown-route", "D365_BASE_URL"),
        (400, HTML, CREATE, Misconfigured, "unexpected-answer", "D365_BASE_URL"),
        (302, None, READ, Misconfigured, "unexpected-answer", "302"),
        (429, {"Message": BUSY_SERVER}, CREATE, Throttled, "throttled", "high resource"),
        (
            500,
            odata_error("boom", "System.Exception"),
            CREATE,
            OutcomeUnknown,
            "outcome-unknown",
            "",
        ),
        (503, HTML, CREATE, OutcomeUnknown, "outcome-unknown", "503"),
        (502, HTML, UPDATE, OutcomeUnknown, "outcome-unknown", "502"),
        (503, HTML, READ, Unreachable, "unreachable", "503"),
        (504, None, READ_MANY, Unreachable, "unreachable", "504"),
        (408, None, CREATE, OutcomeUnknown, "outcome-unknown", "408"),
        (500, ACTION_FAILED, ACTION, RecordRejected, "action", "no days left"),
        (500, ACTION_FAILED, POLL, RecordRejected, "action", "no days left"),
        (500, ACTION_FAILED, CREATE, OutcomeUnknown, "outcome-unknown", ""),
        (500, SERVICE_FAILED, ACTION, RecordRejected, "action", "Item 1000 is stopped"),
        (500, HTML, ACTION, OutcomeUnknown, "outcome-unknown", "500"),
        (400, '"plain text"', CREATE, RecordRejected, "validation", "plain text"),
        (400, [1], CREATE, RecordRejected, "validation", "answered 400"),
        (409, {"error": {"message": "no"}}, CREATE, RecordRejected, "validation", "no"),
    ],
)
def test_an_answer_becomes_the_error_of_the_contract(status, body, call, kind, reason, text):
    content = b"" if body is None else body if isinstance(body, str) else json.dumps(body)
    headers = httpx.Headers({"ms-dyn-aid": "activity-7"})
    error = translate(status, content, headers, call, throttle_cap=180, request_id="request-7")
    assert type(error) is kind
    assert (error.reason, error.system) == (reason, "d365")
    assert text in error.description
    assert "<html" not in str(error)
    assert "   at Microsoft" not in str(error)
    assert error.context.operation == call.operation
    assert error.context.status == status
    assert (error.context.request_id, error.context.activity_id) == ("request-7", "activity-7")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            FOREIGN_KEY,
            "The value 'Local' in field 'Customer group' is not found in the related table"
            " 'Customer groups'. (CustCustomerV3Entity.CustomerGroupId)",
        ),
        (SITE, "Inventory dimension Site is mandatory and must consequently be specified."),
        (
            "Write failed for table row of type 'S'. Infolog: Warning: validateWrite failed on data"
            " source 'SalesTable (SalesTable)'.",
            "validateWrite failed on data source 'SalesTable (SalesTable)'.",
        ),
        ("Write failed. Infolog: Info: A.; Error: A.; Error: B..", "A.; B."),
        ("plain", "plain"),
        ("Infolog: ", "Infolog:"),
    ],
)
def test_the_infolog_is_reduced_to_what_helps(message, text):
    assert clean_infolog(message) == text


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("60", 60), ("600", 180), ("-5", 0), (None, None), ("", None), ("soon", None), ("nan", None)],
)
def test_the_servers_wait_is_bounded_and_none_when_missing(header, seconds):
    headers = httpx.Headers({"Retry-After": header} if header is not None else {})
    error = translate(429, b"", headers, CREATE, throttle_cap=180)
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds


def test_the_servers_wait_may_be_a_date():
    moment = datetime.now(UTC) + timedelta(seconds=30)
    assert retry_after(format_datetime(moment, usegmt=True), 180) == pytest.approx(30, abs=2)
    assert retry_after(format_datetime(moment.replace(tzinfo=None)), 180) is None
