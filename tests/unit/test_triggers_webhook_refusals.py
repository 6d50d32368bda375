"""The webhook: what is refused for its form, and what the caller is told."""

from typing import Any

import pytest

import integration.wiring
from integration.errors import Unreachable
from tests.unit.account_support import A
from tests.unit.trigger_support import (
    OTHER_ORG,
    SECRET,
    MemoryQueues,
    configure,
    envelope,
    notification,
    outbound_message,
    post,
    post_json,
    post_soap,
    problem_of,
    queues,
    signed,
)

__all__ = ["queues"]  # the fixture


async def test_another_content_type_is_refused(queues: MemoryQueues) -> None:
    assert "text/plain" in problem_of(await post(b"hello", "text/plain"), 415)


async def test_a_body_that_is_too_large_is_refused_unread(queues: MemoryQueues) -> None:
    configure(queues, max_bytes=1000)
    problem_of(await post(b"x" * 1001, "text/xml"), 413)
    problem_of(await post(b"x" * 1001, "application/json"), 413)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "empty list"),
        ({}, "eventId"),
        (5, "body"),
        (None, "body"),
        (envelope(recordIds=[]), "recordIds"),
        (envelope(recordIds=["001"]), "recordIds.0"),
        (envelope(recordIds=[A] * 201), "recordIds"),
        (envelope(entity="Account; drop"), "entity"),
        (envelope(changeType="MERGE"), "changeType"),
        (envelope(orgId="acme"), "orgId"),
        ([envelope(), envelope(orgId=OTHER_ORG)], "several organisations"),
    ],
)
async def test_a_wrong_json_is_refused_and_the_member_is_named(
    queues: MemoryQueues, data: Any, named: str
) -> None:
    assert named in problem_of(await post_json(data), 400)
    assert not queues.hints


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_bytes_that_are_no_json_are_refused(queues: MemoryQueues, body: bytes) -> None:
    assert "not JSON" in problem_of(await post(body, "application/json", signed(body)), 400)


@pytest.mark.parametrize(
    "envelope_text",
    [
        "",
        "<a>",
        "<a/>",
        outbound_message(notification(1, A), org=""),
        outbound_message(notification(1, A), prologue="<!DOCTYPE x>"),
        outbound_message(notification(1, A), prologue='<!DOCTYPE x [<!ENTITY e "boom">]>'),
        outbound_message(
            notification(1, A), prologue='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        ),
        outbound_message(notification(1, A)).replace("UTF-8", "klingon"),
        outbound_message(notification(1, A)).replace("UTF-8", "UTF-7"),
    ],
)
async def test_an_unreadable_or_dangerous_envelope_is_refused(
    queues: MemoryQueues, envelope_text: str
) -> None:
    detail = problem_of(await post_soap(envelope_text), 400)
    assert "passwd" not in detail
    assert not queues.hints


@pytest.mark.parametrize("soap", [True, False])
async def test_what_cannot_be_queued_is_not_acknowledged(queues: MemoryQueues, soap: bool) -> None:
    queues.error = Unreachable("no broker", system="service_bus")
    response = await (
        post_soap(outbound_message(notification(1, A))) if soap else post_json(envelope())
    )
    problem_of(response, 503)
    assert response.headers["Retry-After"] == "30"


async def test_an_app_without_settings_says_so_without_details(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(integration.wiring, "_app", None)
    for name in ("SALESFORCE_CLIENT_ID", "D365_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    detail = problem_of(await post_json(envelope()), 503)
    assert detail == "the app is not configured"
    assert "D365_BASE_URL" in caplog.text


async def test_neither_secrets_nor_payloads_reach_the_log(
    queues: MemoryQueues, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    await post_soap(outbound_message(notification(1, A)))
    await post_json(envelope())
    await post(b'{"x":"Acme"}', "application/json")
    assert "Acme" not in caplog.text
    assert SECRET not in caplog.text
