"""Reads what F&O puts on its queue: business events, and data events about virtual tables `mserp_…`.

An event only says which record may have changed; its amounts are never used (F&O contract 7.3).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from integration.d365.business_keys import CustomerKey, InvoiceKey, Kind
from integration.d365.event_body import attributes, flat_members, read_document, read_time
from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from integration.d365.event_body import Record

Object = Literal["SalesInvoice", "FreeTextInvoice", "Customer"]

_INVOICES: dict[str, tuple[Object, Kind]] = {
    "SalesInvoicePostedBusinessEvent": ("SalesInvoice", "sales"),
    "CustFreeTextInvoicePostedBusinessEvent": ("FreeTextInvoice", "freetext"),
}
_CUSTOMERS = "mserp_custcustomerv3entity"
_SALES_INVOICES = "mserp_salesinvoiceheaderv2entity"
_DATA_EVENTS = ("OnExternalCreated", "OnExternalUpdated", "OnExternalDeleted")
# A tenant's own events name the customer as they like.
_ACCOUNT_MEMBERS = ("CustomerAccount", "CustAccount", "AccountNum", "CustomerAccountNumber")
_COMPANY_MEMBERS = ("LegalEntity", "BusinessEventLegalEntity")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChanged:
    """`key` as in `business_keys`; `root` decides the bucket, None where that is the key itself."""

    object: Object
    key: str
    company: str
    root: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessEvent:
    """`name` is the business event's id, or table and message of a data event. `at`: when it happened.

    Without `changes` and `prices` it is an event that the app does not know.
    """

    name: str
    event_id: str
    at: datetime | None = None
    changes: tuple[RecordChanged, ...] = ()
    prices: bool = False

    @property
    def is_known(self) -> bool:
        return bool(self.changes) or self.prices


def read_event(
    body: bytes,
    *,
    price_events: Collection[str] = (),
    customer_events: Collection[str] = (),
) -> BusinessEvent:
    """`price_events` and `customer_events` are names of further events: ids of business events, or
    names of virtual tables. Raises ContractError where the body is no event or names no record.
    """
    data = read_document(body)
    data_event = _data_event(data, body, price_events)
    if data_event is not None:
        return data_event
    flat = flat_members(data)
    if flat is None:
        return _unknown_or_raise(data, body)
    name = str(flat["BusinessEventId"])
    event = BusinessEvent(name=name, event_id=_event_id(flat, name, body), at=_happened(flat))
    if name in price_events:
        return replace(event, prices=True)
    if name in _INVOICES:
        return replace(event, changes=(_invoice(flat, *_INVOICES[name]),))
    if name in customer_events:
        return replace(event, changes=(_customer(flat, _COMPANY_MEMBERS, _ACCOUNT_MEMBERS),))
    return event


def _data_event(
    data: dict[str, Any], body: bytes, price_events: Collection[str]
) -> BusinessEvent | None:
    """None where it is not about a table that the app knows."""
    message, table = data.get("MessageName"), data.get("PrimaryEntityName")
    if message not in _DATA_EVENTS or not isinstance(table, str):
        return None
    table = table.lower()
    event = BusinessEvent(
        name=f"{table} {message}",
        event_id=_event_id(data, f"{table}/{message}", body),
        at=_happened(data),
    )
    if table in price_events:
        return replace(event, prices=True)
    if table not in (_CUSTOMERS, _SALES_INVOICES):
        return None
    fields = attributes(data)
    try:
        if table == _CUSTOMERS:
            change = _customer(fields, ("mserp_dataareaid",), ("mserp_customeraccount",))
        else:
            change = _invoice_row(fields)
    except ContractError:
        if message == "OnExternalDeleted":  # without an image, and there is nothing left to read
            return event
        raise
    return replace(event, changes=(change,))


def _unknown_or_raise(data: dict[str, Any], body: bytes) -> BusinessEvent:
    message, table = data.get("MessageName"), data.get("PrimaryEntityName")
    if isinstance(message, str) and isinstance(table, str):
        return BusinessEvent(name=f"{table} {message}", event_id=_event_id(data, table, body))
    raise ContractError("the message is neither a business event nor a data event", system="d365")


def _invoice(flat: Record, name: Object, kind: Kind) -> RecordChanged:
    company = _text(flat, *_COMPANY_MEMBERS).lower()
    key = InvoiceKey(company, kind, _text(flat, "InvoiceId"))
    return RecordChanged(object=name, key=key.text, company=company, root=key.root)


def _invoice_row(fields: Record) -> RecordChanged:
    company = _text(fields, "mserp_dataareaid").lower()
    number, voucher = _text(fields, "mserp_invoicenumber"), fields.get("mserp_ledgervoucher")
    key = InvoiceKey(company, "sales", number, voucher if isinstance(voucher, str) else None)
    return RecordChanged(object="SalesInvoice", key=key.text, company=company, root=key.root)


def _customer(
    fields: Record, companies: tuple[str, ...], accounts: tuple[str, ...]
) -> RecordChanged:
    company = _text(fields, *companies).lower()
    key = CustomerKey(company, _text(fields, *accounts))
    return RecordChanged(object="Customer", key=key.text, company=company)


def _text(fields: Record, *names: str) -> str:
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value.encode(errors="replace").decode()  # half characters cannot be sent on
    raise ContractError(
        f"the event names no record: {' or '.join(names)} is missing", system="d365"
    )


def _event_id(fields: Record, name: str, body: bytes) -> str:
    """Stable for all deliveries of the event (F&O contract 7.4)."""
    event = fields.get("EventId")
    if isinstance(event, str) and event.strip():
        return event.strip().strip("{}").upper().encode(errors="replace").decode()
    if fields.get("ControlNumber"):
        return f"{name}/{fields['ControlNumber']}"
    parts = [
        fields.get(part) for part in ("CorrelationId", "PrimaryEntityId", "OperationCreatedOn")
    ]
    if parts[0] and parts[1]:
        return "/".join(str(part) for part in (name, *parts))
    return hashlib.sha256(body).hexdigest()


def _happened(fields: Record) -> datetime | None:
    names = ("EventTimeIso8601", "EventTime", "OperationCreatedOn")
    return next((moment for name in names if (moment := read_time(fields.get(name)))), None)
