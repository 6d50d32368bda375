"""The queue trigger hands over what it got; health says whether the app can start, and reach the rest."""

import asyncio
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import azure.functions as func
import pytest
from pydantic import SecretStr

import integration.wiring
from integration.errors import AuthenticationFailed, Unreachable
from integration.health_checks import look
from integration.messaging.hints import bucket_of
from integration.triggers.converge_changes import converge_changes
from integration.triggers.health import health, health_deep
from integration.triggers.openapi import document
from integration.wiring import App
from tests.unit.trigger_support import MemoryQueues, app_with, problem_of, webhook_settings

NOBODY = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=n;SharedAccessKey=hush;UseDevelopmentEmulator=true;"


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


async def ask(headers: dict[str, str] | None = None, /, **params: str) -> func.HttpResponse:
    url = "https://app.test/api/health"
    return await health(func.HttpRequest("GET", url, headers=headers, params=params, body=b""))


async def ask_deep() -> func.HttpResponse:
    url = "https://app.test/api/health/deep"
    return await health_deep(func.HttpRequest("GET", url, body=b""))


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


@pytest.mark.parametrize("value", ["0", "", "false"])
async def test_a_probe_that_does_not_want_the_deep_answer_gets_the_plain_one(
    recorder: Recorder, value: str
) -> None:
    assert (await ask(deep=value)).status_code == 200


async def test_the_deep_answer_is_refused_without_a_key_and_says_where_it_is(
    recorder: Recorder,
) -> None:
    assert "/api/health/deep with a function key" in problem_of(await ask(deep="1"), 401)


async def test_with_a_key_it_leads_to_where_the_host_judges_the_key(recorder: Recorder) -> None:
    in_address = await ask(deep="1", code="a+b/c==")
    assert in_address.status_code == 307
    assert in_address.headers["location"] == "/api/health/deep?code=a%2Bb%2Fc%3D%3D"
    in_header = await ask({"x-functions-key": "anything"}, deep="1")
    assert (in_header.status_code, in_header.headers["location"]) == (307, "/api/health/deep")
    assert in_header.get_body() == b""


class Tokens:
    def __init__(self, error: Exception | None = None, seconds: float = 0) -> None:
        self._error = error
        self._seconds = seconds

    async def current(self) -> str:
        await asyncio.sleep(self._seconds)
        if self._error is not None:
            raise self._error
        return "token"

    token = current


class State:
    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def read(self, name: str) -> None:
        if self._error is not None:
            raise self._error


def whole_app(salesforce: Tokens, d365: Tokens, state: State) -> App:
    """Its Service Bus is an address where nobody listens."""
    settings = webhook_settings()
    azure = settings.azure.model_copy(update={"service_bus": SecretStr(NOBODY)})
    return app_with(
        settings.model_copy(update={"azure": azure}),
        MemoryQueues(),
        salesforce=SimpleNamespace(tokens=salesforce),
        d365=SimpleNamespace(tokens=d365),
        state=state,
    )


async def test_the_deep_answer_names_what_is_out_of_reach_and_never_why_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "the password hush was refused"
    app = whole_app(
        Tokens(AuthenticationFailed(secret, system="salesforce")),
        Tokens(ValueError(secret)),
        State(Unreachable(secret, reason="state-unavailable", system="storage")),
    )
    monkeypatch.setattr(integration.wiring, "_app", app)
    response = await ask_deep()
    body = json.loads(response.get_body())
    assert (response.status_code, body["status"]) == (503, "failing")
    reasons = {name: check["reason"] for name, check in body["checks"].items()}
    assert reasons.pop("service_bus")
    assert reasons == {
        "storage": "state-unavailable", "salesforce": "authentication", "d365": "ValueError",
    }  # fmt: skip
    assert b"hush" not in response.get_body()


async def test_every_check_has_a_limit_and_all_run_at_once() -> None:
    slow = Tokens(seconds=5)
    started = time.perf_counter()
    found = await look(whole_app(slow, slow, State()), limit=0.3)
    assert time.perf_counter() - started < 4.5
    assert (found["salesforce"].reason, found["d365"].reason) == ("timeout", "timeout")
    assert 0.3 <= found["salesforce"].seconds < 4
    assert found["storage"].reason == ""
    described = document("https://app.test")["components"]["schemas"]["DeepHealth"]
    assert found.keys() == described["properties"]["checks"]["properties"].keys()


async def test_the_deep_answer_is_bad_with_settings_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(integration.wiring, "_app", None)
    monkeypatch.delenv("D365_BASE_URL", raising=False)
    response = await ask_deep()
    assert response.status_code == 503
    assert json.loads(response.get_body()) == {"status": "misconfigured"}


def test_health_needs_no_key_and_the_deep_answer_and_the_webhook_need_one() -> None:
    from integration.triggers.salesforce_events import salesforce_events

    assert str(binding_of(health)["authLevel"]).lower().endswith("anonymous")
    deep = binding_of(health_deep)
    assert (str(deep["authLevel"]).lower(), deep["route"]) == ("function", "health/deep")
    webhook = binding_of(salesforce_events)
    assert str(webhook["authLevel"]).lower().endswith("function")
    assert webhook["route"] == "salesforce/events"
    assert [str(method).lower() for method in webhook["methods"]] == ["post"]
