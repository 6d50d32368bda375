"""The queue trigger for F&O's events: what is durable when it returns, and what it leaves to the broker."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import azure.functions as func
import pytest

from integration import putting_back, wiring
from integration.errors import ConfigurationError, Unreachable
from integration.triggers.d365_business_events import bp, d365_business_events
from tests.unit.account_support import settings_of
from tests.unit.test_d365_events import POSTED, data_event
from tests.unit.trigger_support import TRACE, MemoryQueues, app_with

if TYPE_CHECKING:
    from integration.wiring import App

OBJECTS = frozenset({("d365", "SalesInvoice"), ("d365", "Customer")})


class Message:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def get_body(self) -> bytes:
        return self._body


class MemoryJobs:
    def __init__(self) -> None:
        self.started: list[str] = []

    async def start(self, kind: str, position: dict[str, Any]) -> str | None:
        self.started.append(kind)
        return "job"


class Queues(MemoryQueues):
    def __init__(self) -> None:
        super().__init__()
        self.put_back: list[bytes] = []

    async def put_back_event(self, body: bytes, *, message_id: str, delay: float) -> None:
        self.put_back.append(body)


@pytest.fixture
def queues() -> Queues:
    return Queues()


@pytest.fixture
def jobs() -> MemoryJobs:
    return MemoryJobs()


def with_names(app: str = "on", **names: tuple[str, ...]) -> Any:
    settings = settings_of(FLOW_PRICES=app)
    return settings.model_copy(update={"d365": settings.d365.model_copy(update=names)})


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, queues: Queues, jobs: MemoryJobs) -> Any:
    def put(settings: Any = None, **parts: Any) -> App:
        given = {"objects": OBJECTS, "jobs": jobs, **parts}
        app = app_with(settings or settings_of(), queues, **given)
        monkeypatch.setattr(wiring, "_app", app)
        return app

    put()
    return put


async def deliver(data: Any) -> None:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    context = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=TRACE))
    await d365_business_events(Message(body), context)


def test_the_binding_is_a_plain_queue_with_one_binary_message() -> None:
    app = func.FunctionApp()
    app.register_functions(bp)
    (function,) = app.get_functions()
    (binding,) = function.get_dict_repr()["bindings"]
    assert binding["queueName"] == "d365-business-events"
    assert str(binding["dataType"]).lower().endswith("binary")
    assert binding["cardinality"].value == "one"
    assert not binding.get("isSessionsEnabled")


async def test_an_event_becomes_a_hint(use: Any, queues: Queues) -> None:
    await deliver(POSTED)
    (hint,) = queues.hints
    assert (hint.source, hint.object, hint.key) == ("d365", "SalesInvoice", "usmf|sales|CIV-000123")
    assert (hint.root, hint.company) == ("usmf|sales|CIV-000123", "usmf")
    assert hint.event_id == POSTED["EventId"]
    assert hint.trace == TRACE
    assert (datetime.now(UTC) - hint.seen_at).total_seconds() < 10  # not the time of the event


async def test_the_same_event_has_the_same_message_id(use: Any, queues: Queues) -> None:
    await deliver(POSTED)
    await deliver(json.dumps({"InputParameters": [{"key": "e", "value": POSTED}]}).encode())
    first, second = queues.hints
    assert first.message_id == second.message_id


async def test_a_data_event_of_a_customer_becomes_a_hint(use: Any, queues: Queues) -> None:
    await deliver(data_event())
    (hint,) = queues.hints
    assert (hint.object, hint.key, hint.root) == ("Customer", "usmf|US-001", None)


async def test_what_no_flow_handles_or_nobody_knows_is_skipped(use: Any, queues: Queues) -> None:
    await deliver({**POSTED, "BusinessEventId": "CustFreeTextInvoicePostedBusinessEvent"})
    await deliver({**POSTED, "BusinessEventId": "SomethingElseBusinessEvent"})
    assert (queues.hints, queues.letters) == ([], [])


@pytest.mark.parametrize(
    "body", [b"\xff\x00", b"[]", b"{}", json.dumps({**POSTED, "InvoiceId": ""})]
)
async def test_garbage_is_kept(use: Any, queues: Queues, body: bytes | str) -> None:
    data = body.encode() if isinstance(body, str) else body
    await deliver(data)
    (letter,) = queues.letters
    assert (letter.kind, letter.reason, letter.system) == ("undecodable", "undecodable", "d365")
    assert letter.body == data


async def test_price_events_of_the_settings_start_the_transfer(use: Any, jobs: MemoryJobs) -> None:
    event = {**POSTED, "BusinessEventId": "PriceChangedBusinessEvent"}
    await deliver(event)
    assert jobs.started == []
    use(with_names(price_events=("PriceChangedBusinessEvent",)))
    await deliver(event)
    assert jobs.started == ["prices"]
    use(with_names("off", price_events=("PriceChangedBusinessEvent",)))
    await deliver(event)
    assert jobs.started == ["prices"]


async def test_customer_events_of_the_settings_become_hints(use: Any, queues: Queues) -> None:
    use(with_names(customer_events=("CreditChangedBusinessEvent",)))
    event = {"BusinessEventId": "CreditChangedBusinessEvent", "CustomerAccount": "C-1"}
    await deliver({**event, "LegalEntity": "usmf", "EventId": "E-1"})
    assert [hint.key for hint in queues.hints] == ["usmf|C-1"]


@pytest.mark.parametrize("data", [POSTED, b"garbage"])
async def test_trouble_of_the_broker_is_raised_so_that_it_delivers_again(
    use: Any, queues: Queues, data: Any
) -> None:
    queues.error = Unreachable("down", system="service_bus")
    with pytest.raises(Unreachable):
        await deliver(data)


async def test_wrong_settings_put_the_event_back(
    monkeypatch: pytest.MonkeyPatch, queues: Queues
) -> None:
    async def unconfigured(*_: Any) -> Any:
        raise ConfigurationError(["D365_BASE_URL: is missing"])

    monkeypatch.setattr(wiring, "_app", None)
    monkeypatch.setattr(wiring, "_building", asyncio.Lock())
    monkeypatch.setattr(wiring, "build_app", unconfigured)
    monkeypatch.setattr(putting_back, "_spare", queues)
    monkeypatch.setenv("ServiceBus", "Endpoint=sb://x/;SharedAccessKeyName=a;SharedAccessKey=b")
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    await deliver(POSTED)
    assert [json.loads(body) for body in queues.put_back] == [POSTED]
    assert queues.hints == []
