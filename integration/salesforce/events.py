"""Reads what Salesforce pushes: Outbound Messages (SOAP), our JSON envelope, Change Data Capture and Platform
Event shapes. Each becomes a list of `ChangeEvent`, which only says which record may have changed.

Sources: Salesforce contract 4 (Outbound Messages), 5.1 (CDC), 5.2 (Platform Events), 5.3 (callouts).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from integration.errors import ContractError
from integration.salesforce.ids import is_id, to_18

_OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
_SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
_SOBJECT = "{urn:sobject.enterprise.soap.sforce.com}"
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

ACK = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvent:
    """`event_id` is unique per event and record; `root` the account's id where the event names it."""

    object: str
    key: str
    event_id: str
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """A part of a readable message that names no record; kept for a person, not sent back for a day."""

    event_id: str
    description: str


@dataclass(slots=True)
class Received:
    org_id: str | None
    events: list[ChangeEvent] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)


RecordId = Annotated[str, AfterValidator(to_18)]


class RecordsChanged(BaseModel):
    """The webhook's JSON envelope, sent by Apex or Flow when records changed."""

    model_config = ConfigDict(extra="ignore", title="RecordsChanged")

    eventId: str = Field(min_length=1, max_length=64, description="unique per event")
    orgId: RecordId | None = Field(None, description="organisation id, 15 or 18 characters")
    entity: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$", description="API name, e.g. Account"
    )
    changeType: Literal["CREATE", "UPDATE", "DELETE", "UNDELETE"] = "UPDATE"
    recordIds: list[RecordId] = Field(min_length=1, max_length=200)
    parentId: RecordId | None = Field(
        None, description="the account of all these records, where the sender knows it"
    )
    sentAt: datetime | None = None


ENVELOPE: TypeAdapter[RecordsChanged | list[RecordsChanged]] = TypeAdapter(
    RecordsChanged | Annotated[list[RecordsChanged], Field(min_length=1, max_length=200)]
)


def read_json(body: bytes) -> Received:
    """Raises ContractError that names every wrong member."""
    import json

    try:
        data = json.loads(body)
        json.dumps(data, ensure_ascii=False).encode()  # an escaped half character is no text
    except (ValueError, RecursionError) as error:
        raise ContractError("the body is not JSON") from error
    header, payload = _event_payload(data)
    if header is not None:
        return _change_data_capture(header)
    if payload is not None:
        return _platform_event(payload, data)
    try:
        envelopes = (
            [RecordsChanged.model_validate(item) for item in data]
            if isinstance(data, list)
            else [RecordsChanged.model_validate(data)]
        )
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise ContractError("; ".join(problems)) from error
    if not envelopes:
        raise ContractError("the body is an empty list")
    orgs = {envelope.orgId for envelope in envelopes}
    if len(orgs) > 1:
        raise ContractError("orgId: events of several organisations in one call")
    received = Received(orgs.pop())
    for envelope in envelopes:
        received.events += [
            ChangeEvent(
                object=envelope.entity,
                key=key,
                event_id=f"{envelope.eventId}/{key}",
                root=key if envelope.entity == "Account" else envelope.parentId,
            )
            for key in envelope.recordIds
        ]
    return received


def _event_payload(data: Any) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """(CDC header, Platform Event payload): both come bare, as {payload} or as {data: {payload}}."""
    if not isinstance(data, dict):
        return None, None
    inner = data.get("data") if isinstance(data.get("data"), dict) else data
    payload = inner.get("payload", inner) if isinstance(inner, dict) else inner
    if not isinstance(payload, dict):
        return None, None
    header = payload.get("ChangeEventHeader")
    if isinstance(header, dict):
        return header, None
    return None, payload if "Record_Ids__c" in payload else None


def _change_data_capture(header: dict[str, Any]) -> Received:
    entity, transaction = header.get("entityName"), header.get("transactionKey")
    ids = header.get("recordIds")
    if not (isinstance(entity, str) and isinstance(transaction, str) and isinstance(ids, list)):
        raise ContractError(
            "ChangeEventHeader: entityName, transactionKey and recordIds are needed"
        )
    event_id = f"{transaction}/{header.get('sequenceNumber', 0)}"
    if not ids:  # GAP_OVERFLOW: too many changes to name (Salesforce contract 5.1)
        text = f"{entity}: {header.get('changeType')} without ids, read all records again"
        return Received(None, unusable=[Unusable(event_id, text)])
    return _from_ids(entity, ids, event_id, None)


def _platform_event(payload: dict[str, Any], data: dict[str, Any]) -> Received:
    """The product's own event: Entity__c, Record_Ids__c (comma-separated), Parent_Id__c."""
    entity, ids = payload.get("Entity__c"), payload.get("Record_Ids__c")
    outer = data.get("data") if isinstance(data.get("data"), dict) else data
    event = (outer or {}).get("event")
    event = event if isinstance(event, dict) else {}
    uuid = payload.get("EventUuid") or event.get("EventUuid") or event.get("replayId")
    if not (isinstance(entity, str) and isinstance(ids, str) and isinstance(uuid, str | int)):
        raise ContractError("platform event: Entity__c, Record_Ids__c and EventUuid are needed")
    parent = payload.get("Parent_Id__c") or None
    if parent is not None and not is_id(parent):
        raise ContractError("platform event: Parent_Id__c is not an id")
    return _from_ids(entity, ids.split(","), str(uuid), parent)


def _from_ids(entity: str, ids: list[Any], event_id: str, parent: str | None) -> Received:
    received = Received(None)
    for given in ids:
        try:
            key = to_18(str(given).strip())
        except ValueError:
            # After a lossy field change the ids are a wildcard such as 001* (Salesforce contract 5.1).
            # Each with an id of its own, or the broker would drop the second as a double.
            text = f"{entity}: {given!r} is not a record id"
            received.unusable.append(Unusable(f"{event_id}/{given!r}", text))
            continue
        root = key if entity == "Account" else to_18(parent) if parent else None
        received.events.append(
            ChangeEvent(object=entity, key=key, event_id=f"{event_id}/{key}", root=root)
        )
    return received


def read_outbound_message(body: bytes) -> Received:
    """1 to 100 notifications of one organisation. Raises ContractError where it is no such message."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        envelope = fromstring(body, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise ContractError("the XML declares a DTD or entities, which are refused") from error
    except (ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        raise ContractError("the body is not well-formed XML") from error
    message = envelope.find(f"{_SOAP}Body/{_OUTBOUND}notifications")
    if message is None:
        raise ContractError("the body is not an Outbound Message")
    try:
        received = Received(to_18(message.findtext(f"{_OUTBOUND}OrganizationId", "").strip()))
    except ValueError as error:
        raise ContractError("OrganizationId is missing or not an id") from error
    for notification in message.iter(f"{_OUTBOUND}Notification"):
        event_id = notification.findtext(f"{_OUTBOUND}Id", "").strip()
        record = notification.find(f"{_OUTBOUND}sObject")
        entity = record.get(_XSI_TYPE, "").rpartition(":")[2] if record is not None else ""
        key = record.findtext(f"{_SOBJECT}Id", "").strip() if record is not None else ""
        try:
            key = to_18(key if entity else "")
        except ValueError:
            # A record deleted before sending leaves a notification without data (contract 4).
            received.unusable.append(
                Unusable(event_id, f"notification {event_id} names no {entity or 'record'} id")
            )
            continue
        root = key if entity == "Account" else None
        received.events.append(
            ChangeEvent(object=entity, key=key, event_id=event_id or key, root=root)
        )
    if not received.events and not received.unusable:
        action = message.findtext(f"{_OUTBOUND}ActionId", "").strip()
        text = f"Outbound Message of action {action} without a notification"
        received.unusable.append(Unusable(action, text))
    return received
