"""Bodies of business events: the flat envelope and what a transport makes of it (F&O contract 7.2-7.4)."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import TYPE_CHECKING, Any

from sandbox.d365.money import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment
    from sandbox.d365.invoice_rows import PostedInvoice

SALES_INVOICE_POSTED = "SalesInvoicePostedBusinessEvent"
FREE_TEXT_INVOICE_POSTED = "CustFreeTextInvoicePostedBusinessEvent"
FORMS = ("flat", "dataverse", "dataverse-parameters", "datacontract")
INITIATING_USER = "{0D0C0B0A-0000-4000-8000-000000000001}"
EMPTY_GUID = "00000000-0000-0000-0000-000000000000"
_CATEGORIES = {
    SALES_INVOICE_POSTED: "AccountsReceivable",
    FREE_TEXT_INVOICE_POSTED: "AccountsReceivable",
}
_STRING = b"@\x06string\x083http://schemas.microsoft.com/2003/10/Serialization/"


def business_event(
    environment: Environment, event_id: str, company: str, members: Mapping[str, Any]
) -> dict[str, Any]:
    """The flat object of contract 7.2: envelope and own members mixed, in alphabetical order."""
    now = datetime.datetime.now(datetime.UTC)
    event = {
        "BusinessEventId": event_id,
        "BusinessEventLegalEntity": company,
        "ContextRecordSubject": "",
        "ControlNumber": environment.store.new_record_id(),  # grows, with gaps
        "EventId": str(uuid.uuid4()).upper(),
        "EventTime": f"/Date({int(now.timestamp()) * 1000})/",
        "EventTimeIso8601": now.strftime("%Y-%m-%dT%H:%M:%S.%f") + "7Z",
        "InitiatingUserAADObjectId": INITIATING_USER,
        "MajorVersion": 0,
        "MinorVersion": 0,
        "ParentContextRecordSubjects": [],
        **members,
    }
    return dict(sorted(event.items()))


def invoice_posted(environment: Environment, invoice: PostedInvoice) -> dict[str, Any]:
    """Contract 7.3; amounts are in the company's accounting currency."""
    members = {
        "InvoiceAccount": invoice.account,
        "InvoiceAmountInAccountingCurrency": number(invoice.accounting_amount),
        "InvoiceDate": date_text(invoice.day),
        "InvoiceDueDate": date_text(invoice.due),
        "InvoiceId": invoice.number,
        "InvoiceTaxAmount": number(invoice.accounting_tax),
        "LegalEntity": invoice.company,
    }
    if not invoice.order:
        return business_event(environment, FREE_TEXT_INVOICE_POSTED, invoice.company, members)
    members["SalesOrderId"] = invoice.order
    return business_event(environment, SALES_INVOICE_POSTED, invoice.company, members)


def date_text(day: datetime.date) -> str:
    """`/Date(ms)/` of the day's midnight in UTC."""
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    return f"/Date({int(midnight.timestamp()) * 1000})/"


def moment_text(iso: str) -> str:
    """`/Date(ms)/` of a time as rows hold it."""
    return f"/Date({int(datetime.datetime.fromisoformat(iso).timestamp()) * 1000})/"


def properties_of(event: Mapping[str, Any]) -> dict[str, str]:
    """Application properties of the message (contract 7.4; the exact set is UNVERIFIED)."""
    event_id = str(event["BusinessEventId"])
    return {
        "EventId": str(event["EventId"]),
        "BusinessEventId": event_id,
        "BusinessEventCategory": _CATEGORIES.get(event_id, "Custom"),
        "LegalEntity": str(event["BusinessEventLegalEntity"]),
    }


def render(event: Mapping[str, Any], form: str) -> bytes:
    """The body in one of `FORMS`."""
    if form == "datacontract":
        return data_contract(_json(event))
    if form == "dataverse":
        return _json({**proxied(event), **event})
    if form == "dataverse-parameters":
        return _json(proxied(event))
    return _json(event)


def proxied(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event as Dataverse may pass it on: a RemoteExecutionContext with its members as parameters.

    Which form Dataverse really uses is UNVERIFIED (contract 7.1); form `dataverse` has the members beside
    the context too, as data events have (contract 7.5).
    """
    parameters = [{"key": name, "value": value} for name, value in event.items()]
    return execution_context(str(event["BusinessEventId"]), "none", EMPTY_GUID, parameters)


def execution_context(
    message: str, entity: str, record: str, parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    """Dataverse's RemoteExecutionContext (contract 7.5)."""
    now = int(datetime.datetime.now(datetime.UTC).timestamp()) * 1000
    user = INITIATING_USER.strip("{}").lower()
    return {
        "BusinessUnitId": "6f1a2b3c-0000-4000-8000-000000000002",
        "CorrelationId": str(uuid.uuid4()),
        "Depth": 1,
        "InitiatingUserId": user,
        "InputParameters": parameters,
        "IsExecutingOffline": False,
        "IsInTransaction": False,
        "IsolationMode": 1,
        "MessageName": message,
        "Mode": 1,
        "OperationCreatedOn": f"/Date({now}+0000)/",
        "OperationId": str(uuid.uuid4()),
        "OrganizationId": "6f1a2b3c-0000-4000-8000-000000000001",
        "OrganizationName": "contoso",
        "OutputParameters": [],
        "PostEntityImages": [],
        "PreEntityImages": [],
        "PrimaryEntityId": record,
        "PrimaryEntityName": entity,
        "RequestId": None,
        "SecondaryEntityName": "none",
        "SharedVariables": [],
        "Stage": 40,
        "UserId": user,
    }


def data_contract(text: bytes) -> bytes:
    """Text as the older client library sent it: a serialised string in .NET's binary XML."""
    for size, kind in ((1, b"\x99"), (2, b"\x9b"), (4, b"\x9d")):
        if len(text) < 256**size:
            return _STRING + kind + len(text).to_bytes(size, "little") + text
    raise ValueError("too long for one text record")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
