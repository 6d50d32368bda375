"""What the stand-in pushes: outbound messages, signed callouts, and their failures (contract 4)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from defusedxml import ElementTree
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from sandbox.salesforce import SalesforceStandIn
from sandbox.web import Server
from tests.contract.salesforce_standin import JWT_BEARER, key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

__all__ = ["key"]  # the fixture

OUT = "{http://soap.sforce.com/2005/09/outbound}"
SF = "{urn:sobject.enterprise.soap.sforce.com}"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
ACK = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>%s</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


class Receiver:
    """Takes messages on a real port; `answers` are used up first, then every message is taken."""

    def __init__(self) -> None:
        self.requests: list[tuple[httpx.URL, dict[str, str], bytes]] = []
        self.answers: list[Response] = []
        self.server = Server(Starlette(routes=[Route("/in", self._take, methods=["POST"])]))

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append((httpx.URL(str(request.url)), dict(request.headers), body))
        return (
            self.answers.pop(0) if self.answers else Response(ACK % "true", media_type="text/xml")
        )

    def notifications(self) -> list[list[tuple[str, dict[str, str]]]]:
        """Per message: the notification ids with the fields of the record."""
        found = []
        for _, _, body in self.requests:
            root = ElementTree.fromstring(body)
            found.append(
                [
                    (
                        n.findtext(f"{OUT}Id"),
                        {e.tag.removeprefix(SF): e.text for e in n.find(f"{OUT}sObject")},
                    )
                    for n in root.iter(f"{OUT}Notification")
                ]
            )
        return found


@pytest.fixture
async def standin(key: str) -> AsyncIterator[SalesforceStandIn]:
    async with SalesforceStandIn(private_key_pem=key) as standin:
        yield standin


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with receiver.server:
        yield receiver


@pytest.fixture
async def sandbox(standin: SalesforceStandIn) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=standin.url) as client:
        yield client


async def drained(sandbox: httpx.AsyncClient) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while True:
            state: dict[str, Any] = (await sandbox.get("/sandbox/deliveries")).json()
            if not state["pending"]:
                return state
            await asyncio.sleep(0.02)


async def subscribe(
    sandbox: httpx.AsyncClient, receiver: Receiver, kind: str, name: str = "Account", **more: Any
) -> None:
    given = {"object": name, "kind": kind, "url": f"{receiver.server.url}/in", **more}
    answer = await sandbox.put("/sandbox/subscriptions", json=[given])
    assert answer.status_code == 200, answer.text


async def insert(sandbox: httpx.AsyncClient, name: str, *rows: dict[str, Any]) -> list[str]:
    answer = await sandbox.post(f"/sandbox/state/{name}", json=list(rows))
    assert answer.status_code == 200, answer.text
    found: list[str] = answer.json()["ids"]
    return found


async def test_a_change_arrives_as_an_outbound_message(standin, sandbox, receiver):
    fields = ["Name", "Phone", "SystemModstamp"]
    more = {"function_key": "k/1", "fields": fields}
    await subscribe(sandbox, receiver, "outbound-message", **more)
    (record_id,) = await insert(sandbox, "Account", {"Name": "Müller & <Söhne>"})
    assert (await drained(sandbox))["acked"] == 1
    url, headers, body = receiver.requests[0]
    assert url.params["code"] == "k/1"
    assert headers["content-type"].startswith("text/xml")
    root = ElementTree.fromstring(body)
    message = root.find(f".//{OUT}notifications")
    assert [child.tag.removeprefix(OUT) for child in message] == [
        "OrganizationId",
        "ActionId",
        "SessionId",
        "EnterpriseUrl",
        "PartnerUrl",
        "Notification",
    ]
    assert message.findtext(f"{OUT}OrganizationId") == standin.org_id
    assert message.find(f"{OUT}SessionId").get(f"{XSI}nil") == "true"
    assert message.find(f".//{OUT}sObject").get(f"{XSI}type") == "sf:Account"
    ((notification_id, values),) = receiver.notifications()[0]
    assert notification_id.startswith("04l")
    assert values["Id"] == record_id
    assert values["Name"] == "Müller & <Söhne>"
    assert "Phone" not in values
    assert values["SystemModstamp"].endswith(".000Z")


async def test_one_message_holds_up_to_100_notifications(sandbox, receiver):
    await subscribe(sandbox, receiver, "outbound-message")
    await insert(sandbox, "Account", *({"Name": f"A{n}"} for n in range(230)))
    state = await drained(sandbox)
    assert sorted(len(m) for m in receiver.notifications()) == [30, 100, 100]
    assert (state["acked"], state["messages"]) == (230, 3)


@pytest.mark.parametrize(
    "answer",
    [
        Response(ACK % "false", media_type="text/xml"),
        Response("ok"),
        Response(ACK % "true", 500, media_type="text/xml"),
    ],
)
async def test_a_message_that_is_not_acknowledged_comes_again_as_a_whole(sandbox, receiver, answer):
    await sandbox.put("/sandbox/delivery", json={"time_factor": 100})
    await subscribe(sandbox, receiver, "outbound-message")
    receiver.answers = [answer]
    await insert(sandbox, "Account", {"Name": "A"}, {"Name": "B"})
    state = await drained(sandbox)
    first, second = receiver.notifications()
    assert [n[0] for n in first] == [n[0] for n in second]
    assert (state["acked"], state["rejected"]) == (2, 1)
    assert state["last_error"]


async def test_a_repeated_message_carries_the_newest_values_or_no_data(sandbox, receiver):
    await sandbox.put("/sandbox/delivery", json={"paused": True})
    await subscribe(sandbox, receiver, "outbound-message", fields=["Name"])
    kept, gone = await insert(sandbox, "Account", {"Name": "old"}, {"Name": "gone"})
    await sandbox.patch(f"/sandbox/state/Account/{kept}?events=false", json={"Name": "new"})
    await sandbox.delete(f"/sandbox/state/Account/{gone}")
    assert (await sandbox.get("/sandbox/deliveries")).json()["pending"] == 2
    assert not receiver.requests
    await sandbox.put("/sandbox/delivery", json={"paused": False})
    await drained(sandbox)
    assert [values for _, values in receiver.notifications()[0]] == [
        {"Id": kept, "Name": "new"},
        {},
    ]


async def test_a_message_is_given_up_after_24_compressed_hours(sandbox, receiver):
    await sandbox.put("/sandbox/delivery", json={"time_factor": 86400 / 1.0})
    await subscribe(sandbox, receiver, "outbound-message")
    receiver.answers = [Response(status_code=503) for _ in range(100)]
    await insert(sandbox, "Account", {"Name": "A"})
    state = await drained(sandbox)
    assert (state["acked"], state["failed"]) == (0, 1)
    assert state["messages"] > 10


async def test_the_integration_users_own_changes_are_not_pushed(standin, sandbox, receiver):
    await subscribe(sandbox, receiver, "outbound-message")

    async def create(username: str) -> str:
        form = {
            "grant_type": JWT_BEARER,
            "assertion": standin.assertion(sub=username),
        }
        token = (await sandbox.post("/services/oauth2/token", data=form)).json()["access_token"]
        url, headers = "/services/data/v62.0/sobjects/Account", {"Authorization": f"Bearer {token}"}
        return str((await sandbox.post(url, json={"Name": "A"}, headers=headers)).json()["id"])

    await create(standin.username)
    expected = await create(standin.clerk_username)
    await insert_quietly(sandbox)
    await drained(sandbox)
    assert [values["Id"] for m in receiver.notifications() for _, values in m] == [expected]


async def insert_quietly(sandbox: httpx.AsyncClient) -> None:
    await sandbox.post("/sandbox/state/Account?events=false", json={"Name": "quiet"})


async def test_a_callout_is_signed_over_its_raw_body(standin, sandbox, receiver):
    await subscribe(sandbox, receiver, "json", "Contact", function_key="k", secret="s3cret")
    (account,) = await insert(sandbox, "Account", {"Name": "A"})
    (contact,) = await insert(sandbox, "Contact", {"LastName": "B", "AccountId": account})
    await drained(sandbox)
    _, headers, body = receiver.requests[0]
    stamp = headers["x-integration-timestamp"]
    digest = hmac.new(b"s3cret", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["x-integration-signature"] == f"v1={digest}"
    assert abs(int(stamp) - time.time()) < 5
    assert headers["x-functions-key"] == "k"
    event = json.loads(body)
    assert event.pop("eventId")
    assert event.pop("sentAt").endswith("Z")
    assert event == {
        "orgId": standin.org_id,
        "entity": "Contact",
        "changeType": "CREATE",
        "recordIds": [contact],
        "parentId": account,
    }


async def test_callouts_tell_of_updates_and_deletes_and_take_a_list(sandbox, receiver):
    await subscribe(sandbox, receiver, "json", static_secret="named-credential")
    ids = await insert(sandbox, "Account", {"Name": "A"}, {"Name": "B"})
    await sandbox.patch(f"/sandbox/state/Account/{ids[0]}", json={"Name": "C"})
    await sandbox.delete(f"/sandbox/state/Account/{ids[0]}")
    await drained(sandbox)
    bodies = [json.loads(body) for _, _, body in receiver.requests]
    events = [e for body in bodies for e in (body if isinstance(body, list) else [body])]
    kinds = sorted((e["changeType"], e["recordIds"][0]) for e in events)
    assert kinds == [("CREATE", ids[0]), ("CREATE", ids[1]), ("DELETE", ids[0]), ("UPDATE", ids[0])]
    headers = receiver.requests[0][1]
    assert headers["x-integration-secret"] == "named-credential"
    assert "x-integration-signature" not in headers


@pytest.mark.parametrize(("retries", "acked"), [(0, 0), (2, 1)])
async def test_a_failed_callout_is_lost_unless_it_is_requeued(sandbox, receiver, retries, acked):
    await sandbox.put("/sandbox/delivery", json={"time_factor": 1000})
    await subscribe(sandbox, receiver, "json", retries=retries)
    receiver.answers = [Response(status_code=500)]
    await insert(sandbox, "Account", {"Name": "A"})
    state = await drained(sandbox)
    assert (state["acked"], state["failed"]) == (acked, 1 - acked)


async def test_duplicates_disorder_and_loss_on_demand(sandbox, receiver):
    rules = {"duplicate_share": 1.0, "shuffle": True, "seed": 1}
    await sandbox.put("/sandbox/delivery", json=rules)
    await subscribe(sandbox, receiver, "outbound-message")
    ids = await insert(sandbox, "Account", *({"Name": f"A{n}"} for n in range(20)))
    assert (await drained(sandbox))["repeated"] == 20
    messages = receiver.notifications()
    seen = [values["Id"] for message in messages for _, values in message]
    assert sorted(seen) == sorted(ids * 2)
    assert seen[:20] != ids
    assert len({n[0] for message in messages for n in message}) == 20
    receiver.requests.clear()
    await sandbox.put("/sandbox/delivery", json={"duplicate_share": 0, "lose_share": 1.0})
    await insert(sandbox, "Account", {"Name": "lost"})
    state = await drained(sandbox)
    assert (state["lost"], receiver.requests) == (1, [])


async def test_a_row_changed_twice_in_one_transaction_is_told_once(standin, sandbox, receiver):
    await subscribe(sandbox, receiver, "json", "Opportunity")
    (product,) = await insert(sandbox, "Product2", {"Name": "P"})
    books = standin.org.store.tables["Pricebook2"].rows.values()
    standard = next(book["Id"] for book in books if book["IsStandard"])
    entry = {"Pricebook2Id": standard, "Product2Id": product, "UnitPrice": 1, "IsActive": True}
    (entry_id,) = await insert(sandbox, "PricebookEntry", entry)
    opportunity = {"Name": "O", "StageName": "Proposal", "CloseDate": "2026-01-31"}
    (record_id,) = await insert(sandbox, "Opportunity", opportunity)
    line = {"OpportunityId": record_id, "PricebookEntryId": entry_id, "Quantity": 1}
    await insert(sandbox, "OpportunityLineItem", line, line)
    await drained(sandbox)
    assert [json.loads(body)["changeType"] for _, _, body in receiver.requests] == [
        "CREATE",
        "UPDATE",
    ]


async def test_a_dead_subscriber_holds_nothing_up_and_stop_ends_cleanly(standin, sandbox):
    given = {"object": "Account", "kind": "outbound-message", "url": "http://127.0.0.1:9/in"}
    await sandbox.put("/sandbox/subscriptions", json=[given])
    await insert(sandbox, "Account", {"Name": "A"})
    async with asyncio.timeout(5):
        while True:
            state = (await sandbox.get("/sandbox/deliveries")).json()
            if state["rejected"]:
                break
            await asyncio.sleep(0.01)
    assert "ConnectError" in state["last_error"]
    assert state["pending"] == 1


async def test_a_subscription_for_nothing_known_is_refused(sandbox):
    for bad in ({"object": "Nope", "kind": "json"}, {"object": "Account", "kind": "mail"}):
        answer = await sandbox.put("/sandbox/subscriptions", json=[{**bad, "url": "http://x"}])
        assert answer.status_code in (400, 404)
