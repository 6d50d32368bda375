"""The queue trigger hands over what it got; health says whether the app can start its work."""

import json
from collections.abc import Iterator
from typing import Any, cast

import azure.functions as func
import pytest

import integration.wiring
from integration.errors import Unreachable
from integration.messaging.hints import bucket_of
from integration.triggers.converge_changes import converge_changes
from integration.triggers.health import health
from tests.unit.trigger_support import MemoryQueues, app_with, webhook_settings


class Recorder:
    def __init__(self) -> None:
        self.handled: list[tuple[bytes, str, str]] = []
        self.error: Exception | None = None

    async def handle(self, body: bytes, *, session: str, message_id: str) -> None:
        if self.error is not None:
            raise self.error
        self.handled.append((body, session, message_id))


class Message:
    """What the worker passes in: the body and the metadata of one message."""

    def __init__(self, body: bytes, message_id: str | None, session_id: str | None) -> None:
        self._body = body
        self.message_id = message_id
        self.session_id = session_id

    def get_body(self) -> bytes:
        return self._body


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    before = integration.wiring._app
    integration.wiring._app = app_with(webhook_settings(), MemoryQueues(), dispatcher=recorder)
    yield recorder
    integration.wiring._app = before


async def deliver(body: bytes, message_id: str | None, session_id: str | None) -> None:
    await converge_changes(cast("func.ServiceBusMessage", Message(body, message_id, session_id)))


async def test_a_message_is_handed_over_with_its_session(recorder: Recorder) -> None:
    await deliver(b"body", "id", "bucket-007")
    assert recorder.handled == [(b"body", "bucket-007", "id")]


@pytest.mark.parametrize("session", [None, ""])
async def test_without_a_session_it_gets_a_bucket_of_its_own(
    recorder: Recorder, session: str | None
) -> None:
    await deliver(b"body", None, session)
    assert recorder.handled == [(b"body", bucket_of("", 16), "")]


async def test_trouble_of_the_broker_is_raised_so_that_it_delivers_again(
    recorder: Recorder,
) -> None:
    recorder.error = Unreachable("no broker", system="service_bus")
    with pytest.raises(Unreachable):
        await deliver(b"body", "id", "bucket-007")


def binding_of(builder: Any) -> dict[str, Any]:
    return dict(builder._function.get_trigger().get_dict_repr())


def test_the_queue_trigger_takes_one_message_at_a_time_in_sessions() -> None:
    binding = binding_of(converge_changes)
    assert binding["type"] == "serviceBusTrigger"
    assert binding["queueName"] == "changes"
    assert binding["connection"] == "ServiceBus"
    assert binding["isSessionsEnabled"] is True
    assert str(binding["cardinality"]).lower() == "one"
    assert str(binding["dataType"]).lower() == "binary"


async def ask() -> func.HttpResponse:
    request = func.HttpRequest("GET", "https://app.test/api/health", body=b"")
    return await health(request)


async def test_health_is_good_with_valid_settings(recorder: Recorder) -> None:
    response = await ask()
    assert (response.status_code, json.loads(response.get_body())) == (200, {"status": "ok"})


async def test_health_is_bad_with_settings_missing_and_names_them_in_the_log_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(integration.wiring, "_app", None)
    monkeypatch.delenv("D365_BASE_URL", raising=False)
    response = await ask()
    assert response.status_code == 503
    assert json.loads(response.get_body()) == {"status": "misconfigured"}
    assert "D365_BASE_URL" in caplog.text


def test_health_needs_no_key_and_the_webhook_needs_one() -> None:
    from integration.triggers.salesforce_events import salesforce_events

    assert str(binding_of(health)["authLevel"]).lower().endswith("anonymous")
    webhook = binding_of(salesforce_events)
    assert str(webhook["authLevel"]).lower().endswith("function")
    assert webhook["route"] == "salesforce/events"
    assert [str(method).lower() for method in webhook["methods"]] == ["post"]
