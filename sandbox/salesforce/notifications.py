"""The messages the org sends: SOAP outbound messages and signed JSON callouts.

SOAP: one envelope with 1 to 100 notifications, values read when it is sent, acknowledged as a whole
(Salesforce contract 4). JSON: the webhook contract of the app, as an Apex callout would send it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from defusedxml import ElementTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.salesforce.org import Org
    from sandbox.salesforce.schema import ObjectType
    from sandbox.salesforce.store import Row

OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsd="http://www.w3.org/2001/XMLSchema" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="{namespace}">
   <OrganizationId>{org_id}</OrganizationId>
   <ActionId>{action_id}</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>{base}/services/Soap/c/62.0/{org_id15}</EnterpriseUrl>
   <PartnerUrl>{base}/services/Soap/u/62.0/{org_id15}</PartnerUrl>
{notifications}
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>
"""


@dataclass(frozen=True)
class Notification:
    id: str
    record_id: str


def soap(
    org: Org,
    obj: ObjectType,
    action_id: str,
    fields: Sequence[str],
    notifications: Sequence[Notification],
    base: str,
) -> bytes:
    rows = org.store.tables[obj.name].rows
    parts = [_notification(obj, fields, n.id, rows.get(n.record_id)) for n in notifications]
    text = _ENVELOPE.format(
        namespace=OUTBOUND,
        org_id=org.id,
        org_id15=org.id[:15],
        action_id=action_id,
        base=escape(base),
        notifications="\n".join(parts),
    )
    return text.encode()


def is_ack(body: bytes) -> bool:
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError):
        return False
    ack = root.find(f".//{{{OUTBOUND}}}notificationsResponse/{{{OUTBOUND}}}Ack")
    return ack is not None and (ack.text or "").strip() == "true"


def signed(
    events: list[dict[str, Any]], function_key: str, secret: str, static_secret: str
) -> tuple[bytes, dict[str, str]]:
    """Raw body and headers of one callout; the signature covers the moment of sending."""
    sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    stamped = [{**event, "sentAt": sent_at} for event in events]
    body = json.dumps(stamped[0] if len(stamped) == 1 else stamped, separators=(",", ":")).encode()
    timestamp = str(int(time.time()))
    headers = {"content-type": "application/json"}
    if function_key:
        headers["x-functions-key"] = function_key
    if secret:
        digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
        headers["x-integration-timestamp"] = timestamp
        headers["x-integration-signature"] = f"v1={digest.hexdigest()}"
    if static_secret:
        headers["x-integration-secret"] = static_secret
    return body, headers


def _notification(
    obj: ObjectType, fields: Sequence[str], notification_id: str, row: Row | None
) -> str:
    """A row deleted since then leaves a notification without data; empty fields are left out."""
    values = ""
    if row is not None:
        values = f"\n     <sf:Id>{row['Id']}</sf:Id>"
        for name in fields:
            value = row.get(name)
            if value is not None and name != "Id":
                values += f"\n     <sf:{name}>{escape(_text(value))}</sf:{name}>"
    return (
        f"   <Notification>\n    <Id>{notification_id}</Id>\n"
        f'    <sObject xsi:type="sf:{obj.name}" '
        f'xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{values}\n    </sObject>\n'
        "   </Notification>"
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    # SOAP writes 2025-01-31T10:00:00.000Z where REST writes +0000.
    return text[:-5] + "Z" if text.endswith(".000+0000") else text
