"""The webhook: who may call, proven by signature, secret, organisation or certificate."""

import base64
import hashlib
import hmac
import json
import time

import pytest

import integration.wiring
from tests.unit.account_support import A
from tests.unit.trigger_support import (
    ORG,
    OTHER_ORG,
    SECRET,
    TRACE,
    MemoryQueues,
    app_with,
    configure,
    envelope,
    is_ack,
    notification,
    outbound_message,
    post,
    post_json,
    post_soap,
    problem_of,
    queues,
    signed,
    webhook_settings,
)

__all__ = ["queues"]  # the fixture


async def test_a_signed_event_is_accepted(queues: MemoryQueues) -> None:
    response = await post_json(envelope())
    assert response.status_code == 202
    assert json.loads(response.get_body()) == {"accepted": 1, "ignored": 0}
    [hint] = queues.hints
    assert (hint.source, hint.object, hint.key, hint.root) == ("salesforce", "Account", A, A)
    assert hint.event_id == f"{envelope()['eventId']}/{A}"
    assert hint.trace == TRACE
    assert (hint.attempt, hint.put_backs, hint.replay) == (1, 0, 0)


async def test_an_unsigned_event_is_refused(queues: MemoryQueues) -> None:
    response = await post(json.dumps(envelope()).encode(), "application/json")
    assert "x-integration-signature" in problem_of(response, 401)
    assert not queues.hints


@pytest.mark.parametrize(
    "headers",
    [
        {"x-integration-signature": "v1=00"},
        {"x-integration-signature": "ünlesbar"},
        {"x-integration-timestamp": "1700000000"},
        {"x-integration-timestamp": "now"},
        {"x-integration-timestamp": "nan"},
        {"x-integration-timestamp": "inf"},
        {"x-integration-timestamp": ""},
    ],
)
async def test_a_wrong_signature_or_time_is_refused(
    queues: MemoryQueues, headers: dict[str, str]
) -> None:
    problem_of(await post_json(envelope(), **headers), 401)
    assert not queues.hints


async def test_a_changed_body_is_refused(queues: MemoryQueues) -> None:
    body = json.dumps(envelope()).encode()
    response = await post(body + b" ", "application/json", signed(body))
    assert "does not fit" in problem_of(response, 401)


@pytest.mark.parametrize(("off", "status"), [(-290, 202), (290, 202), (-310, 401), (310, 401)])
async def test_a_signature_holds_for_five_minutes(
    queues: MemoryQueues, off: float, status: int
) -> None:
    body = json.dumps(envelope()).encode()
    response = await post(body, "application/json", signed(body, at=time.time() + off))
    assert response.status_code == status


@pytest.mark.parametrize("given", ["nan", "inf", "-inf", "1e400", "now", ""])
async def test_a_signed_time_that_is_no_time_is_refused(queues: MemoryQueues, given: str) -> None:
    body = json.dumps(envelope()).encode()
    digest = hmac.new(SECRET.encode(), given.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {"x-integration-timestamp": given, "x-integration-signature": f"v1={digest}"}
    problem_of(await post(body, "application/json", headers), 401)


async def test_during_a_rotation_both_secrets_count(queues: MemoryQueues) -> None:
    configure(queues, WEBHOOK_SECRETS="new,old")
    body = json.dumps(envelope()).encode()
    for secret, status in (("new", 202), ("old", 202), ("older", 401)):
        response = await post(body, "application/json", signed(body, secret=secret))
        assert response.status_code == status


async def test_without_any_secret_nothing_is_accepted(queues: MemoryQueues) -> None:
    configure(queues, WEBHOOK_SECRETS="")
    body = json.dumps(envelope()).encode()
    response = await post(body, "application/json", signed(body, secret=""))
    assert response.status_code == 401


async def test_a_static_secret_counts_only_where_it_is_switched_on(queues: MemoryQueues) -> None:
    body = json.dumps(envelope()).encode()
    shown = {"x-integration-secret": "flow-secret"}
    assert "WEBHOOK_STATIC_SECRET" in problem_of(await post(body, "application/json", shown), 401)
    configure(queues, static_secret="flow-secret")
    assert (await post(body, "application/json", shown)).status_code == 202
    wrong = await post(body, "application/json", {"x-integration-secret": "guess"})
    assert "is wrong" in problem_of(wrong, 401)


async def test_another_organisation_is_refused(queues: MemoryQueues) -> None:
    problem_of(await post_json(envelope(orgId=OTHER_ORG)), 403)
    problem_of(await post_soap(outbound_message(notification(1, A), org=OTHER_ORG)), 403)
    assert not queues.hints
    assert not queues.letters


async def test_the_organisation_may_have_fifteen_characters(queues: MemoryQueues) -> None:
    assert (await post_json(envelope(orgId=ORG[:15]))).status_code == 202


async def test_soap_is_refused_where_no_organisation_is_allowed(queues: MemoryQueues) -> None:
    settings = webhook_settings()
    nobody = settings.salesforce.model_copy(update={"org_ids": ()})
    integration.wiring._app = app_with(settings.model_copy(update={"salesforce": nobody}), queues)
    response = await post_soap(outbound_message(notification(1, A)))
    assert "SALESFORCE_ORG_IDS" in problem_of(response, 403)


async def test_an_allowed_organisation_that_is_no_id_allows_nobody(queues: MemoryQueues) -> None:
    settings = webhook_settings()
    typo = settings.salesforce.model_copy(update={"org_ids": ("00DAa0000000001ZZZ",)})
    integration.wiring._app = app_with(settings.model_copy(update={"salesforce": typo}), queues)
    problem_of(await post_soap(outbound_message(notification(1, A))), 403)


async def test_soap_may_need_a_client_certificate(queues: MemoryQueues) -> None:
    der = b"certificate"
    sha1 = hashlib.sha1(der).hexdigest().upper()
    colons = ":".join(sha1[at : at + 2] for at in range(0, 40, 2))
    configure(queues, client_thumbprints=colons)
    soap = outbound_message(notification(1, A))
    assert is_ack(await post_soap(soap, **{"X-ARR-ClientCert": base64.b64encode(der).decode()}))
    for header in ("", "%%%", base64.b64encode(b"other").decode()):
        problem_of(await post_soap(soap, **{"X-ARR-ClientCert": header}), 401)
    problem_of(await post_soap(soap), 401)
