"""An App with queues in memory, and the calls that Salesforce makes."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from defusedxml.ElementTree import fromstring

import integration.wiring
from integration.messaging.dead_letters import DeadLetter
from integration.messaging.hints import Hint
from integration.settings import Settings, WebhookSettings
from integration.triggers.salesforce_events import salesforce_events
from integration.wiring import App
from tests.unit.account_support import settings_of

ORG = "00DAa0000000001MAA"
OTHER_ORG = "00DBb0000000002MAA"
SECRET = "hmac-key"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class MemoryJournal:
    def __init__(self) -> None:
        self.ids: list[str] = []

    def handled(self, message_id: str) -> None:
        self.ids.append(message_id)


class MemoryQueues:
    def __init__(self) -> None:
        self.hints: list[Hint] = []
        self.letters: list[DeadLetter] = []
        self.error: Exception | None = None

    async def send_hints(self, hints: Iterable[Hint]) -> None:
        if self.error is not None:
            raise self.error
        self.hints += hints

    async def dead_letter(self, letter: DeadLetter) -> None:
        if self.error is not None:
            raise self.error
        self.letters.append(letter)


def webhook_settings(**webhook: Any) -> Settings:
    values = {"WEBHOOK_SECRETS": SECRET, **webhook}
    return settings_of().model_copy(update={"webhook": WebhookSettings(**values)})


def app_with(settings: Settings, queues: MemoryQueues, **parts: Any) -> App:
    given = {
        "settings": settings,
        "queues": queues,
        "objects": frozenset({("salesforce", "Account"), ("salesforce", "Contact")}),
    }
    given["journal"] = MemoryJournal()
    return App(**{**dict.fromkeys((part.name for part in fields(App)), None), **given, **parts})


@pytest.fixture
def queues() -> Iterator[MemoryQueues]:
    """Those of the app that a test calls."""
    queues = MemoryQueues()
    before = integration.wiring._app
    integration.wiring._app = app_with(webhook_settings(), queues)
    yield queues
    integration.wiring._app = before


def configure(queues: MemoryQueues, **webhook: Any) -> None:
    """Another app with these queues."""
    integration.wiring._app = app_with(webhook_settings(**webhook), queues)


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return {
        "x-integration-timestamp": timestamp,
        "x-integration-signature": f"v1={digest.hexdigest()}",
    }


async def post(
    body: bytes, content_type: str, headers: dict[str, str] | None = None
) -> func.HttpResponse:
    request = func.HttpRequest(
        "POST",
        "https://app.test/api/salesforce/events",
        headers={"Content-Type": content_type, **(headers or {})},
        body=body,
    )
    context = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=TRACE))
    return await salesforce_events(request, context)


async def post_json(data: Any, **headers: str) -> func.HttpResponse:
    body = json.dumps(data).encode()
    return await post(body, "application/json; charset=utf-8", {**signed(body), **headers})


async def post_soap(envelope: str, **headers: str) -> func.HttpResponse:
    return await post(envelope.encode(), "text/xml; charset=UTF-8", headers)


def outbound_message(*notifications: str, org: str = ORG, prologue: str = "") -> str:
    """As Salesforce sends it (Salesforce contract 4)."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prologue}<soapenv:Envelope'
        ' xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f"<OrganizationId>{org}</OrganizationId><ActionId>04kAa0000000001IAA</ActionId>"
        '<SessionId xsi:nil="true"/><EnterpriseUrl>https://e</EnterpriseUrl>'
        f"<PartnerUrl>https://p</PartnerUrl>{''.join(notifications)}</notifications>"
        "</soapenv:Body></soapenv:Envelope>"
    )


def notification(number: int, record: str | None, entity: str = "Account") -> str:
    data = "" if record is None else f"<sf:Id>{record}</sf:Id><sf:Name>Acme &amp; Sons</sf:Name>"
    return (
        f"<Notification><Id>04lAa{number:010}IAA</Id>"
        f'<sObject xsi:type="sf:{entity}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        f"{data}</sObject></Notification>"
    )


def envelope(**changes: Any) -> dict[str, Any]:
    """The webhook's own JSON form."""
    return {
        "eventId": "7d8f6f36-2f5e-4f6c-9d3a-0c1b2a3d4e5f",
        "orgId": ORG,
        "entity": "Account",
        "changeType": "UPDATE",
        "recordIds": ["001Aa0000000001IAA"],
        "sentAt": "2025-03-01T12:00:00Z",
        **changes,
    }


def problem_of(response: func.HttpResponse, status: int) -> str:
    assert response.status_code == status, response.get_body()
    assert response.mimetype == "application/problem+json"
    data = json.loads(response.get_body())
    assert data["status"] == status
    assert data["title"]
    return str(data["detail"])


def is_ack(response: func.HttpResponse) -> bool:
    assert response.status_code == 200, response.get_body()
    assert response.mimetype == "text/xml"
    ack = fromstring(response.get_body()).find(".//{http://soap.sforce.com/2005/09/outbound}Ack")
    return ack is not None and ack.text == "true"
