"""`$batch`, throttling and faults of the F&O stand-in (F&O contract 3, 4, 11)."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.contract.d365_standin import BASE, CLIENT, client, create, customer, d365, entra

if TYPE_CHECKING:
    from sandbox.d365 import D365StandIn

__all__ = ["client", "d365", "entra"]  # the fixtures

Inner = tuple[str, str, Any]  # method, URL, body
Answer = tuple[int, dict[str, str], Any]  # status, headers, JSON


def _part(number: int, inner: Inner) -> str:
    method, url, body = inner
    lines = [
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        f"Content-ID: {number}",
        "",
        f"{method} {url} HTTP/1.1",
        "Content-Type: application/json;odata.metadata=minimal",
        "",
        "" if body is None else json.dumps(body),
    ]
    return "\r\n".join(lines)


def _batch(*parts: Inner | list[Inner]) -> tuple[bytes, dict[str, str]]:
    text, number = "", 0
    for index, part in enumerate(parts):
        text += "--batch_1 \r\n"  # a trailing blank must be tolerated
        if isinstance(part, list):
            text += f"Content-Type: multipart/mixed; boundary=batch_1{index}\r\n\r\n"
            for inner in part:
                number += 1
                text += f"--batch_1{index}\r\n{_part(number, inner)}\r\n"
            text += f"--batch_1{index}--\r\n"
        else:
            number += 1
            text += f"{_part(number, part)}\r\n"
    headers = {"content-type": "multipart/mixed; boundary=batch_1"}
    return (text + "--batch_1--\r\n").encode(), headers


def _inner_answer(part: Any) -> Answer:
    text = part.get_payload(decode=True).decode()
    head, _, body = text.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert status.startswith("HTTP/1.1 ")
    return int(status.split()[1]), headers, json.loads(body) if body.strip() else None


def _parse(answer: httpx.Response) -> list[Any]:
    """Reads a reply with the standard library's own MIME parser."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("multipart/mixed; boundary=batchresponse_")
    raw = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode() + answer.content
    message = email.message_from_bytes(raw, policy=email.policy.HTTP)
    found: list[Any] = []
    for part in message.iter_parts():
        if part.get_content_type() == "multipart/mixed":
            found.append([_inner_answer(inner) for inner in part.iter_parts()])
        else:
            found.append(_inner_answer(part))
    return found


async def _send(client: httpx.AsyncClient, *parts: Inner | list[Inner]) -> list[Any]:
    content, headers = _batch(*parts)
    return _parse(await client.post("/data/$batch", content=content, headers=headers))


async def _accounts(client: httpx.AsyncClient) -> list[str]:
    rows = (await client.get("/sandbox/state/CustomersV3?$select=CustomerAccount")).json()
    return [row["CustomerAccount"] for row in rows]


async def test_a_batch_serves_all_three_forms_of_inner_url(client: httpx.AsyncClient) -> None:
    key = "CustomersV3(dataAreaId='usmf',CustomerAccount='US-000001')"
    replies = await _send(
        client,
        ("POST", f"{BASE}/data/CustomersV3?cross-company=true", customer()),
        ("GET", f"/data/{key}?$select=CustomerAccount", None),
        ("PATCH", f"{key}?cross-company=true", {"NameAlias": "Changed"}),
        ("DELETE", key, None),
        ("GET", key, None),
    )
    statuses = [reply[0] for reply in replies]
    assert statuses == [201, 200, 204, 204, 404]
    created = replies[0]
    assert created[1]["location"].endswith("customeraccount='us-000001')")
    assert created[2]["CustomerAccount"] == "US-000001"
    assert replies[1][2]["CustomerAccount"] == "US-000001"
    calls = (await client.get("/sandbox/calls")).json()
    assert calls["by_operation"] == {"POST data/$batch": 1}


async def test_replies_repeat_the_content_id(client: httpx.AsyncClient) -> None:
    content, headers = _batch([("POST", "CustomersV3", customer())], ("GET", "CustomersV3", None))
    answer = await client.post("/data/$batch", content=content, headers=headers)
    assert "Content-ID: 1\r\n" in answer.text
    assert "Content-ID: 2\r\n" in answer.text


async def test_a_changeset_writes_all_or_nothing(client: httpx.AsyncClient) -> None:
    good: Inner = ("POST", "CustomersV3", customer())
    bad: Inner = ("POST", "CustomersV3", customer(X="x"))
    before = await create(client)
    key = "CustomersV3(dataAreaId='usmf',CustomerAccount='US-000001')"
    change = ("PATCH", key, {"NameAlias": "Changed"})
    replies = await _send(client, [change, good, bad, good], good)
    failed, independent = replies
    assert isinstance(failed, tuple)  # one bare reply for the whole set
    assert failed[0] == 400
    assert "'X' does not exist" in json.dumps(failed[2])
    assert independent[0] == 201
    assert len(await _accounts(client)) == 2
    assert (await client.get(f"/data/{key}")).json() == before
    found = await client.get("/data/CustomersV3?$filter=PartyNumber eq '000000002'")
    assert found.json()["value"] == []  # indexes are rolled back too

    done = await _send(client, [change, good])
    assert [reply[0] for reply in done[0]] == [204, 201]


async def test_a_failed_changeset_can_be_wrapped(client: httpx.AsyncClient) -> None:
    await client.put("/sandbox/settings", json={"changeset_failure": "wrapped"})
    replies = await _send(client, [("POST", "CustomersV3", {})])
    assert isinstance(replies[0], list)
    assert [reply[0] for reply in replies[0]] == [400]


async def test_later_operations_run_after_a_failure_unless_switched(
    client: httpx.AsyncClient,
) -> None:
    bad: Inner = ("POST", "CustomersV3", {})
    good: Inner = ("POST", "CustomersV3", customer())
    assert [reply[0] for reply in await _send(client, bad, good)] == [400, 201]
    await client.put("/sandbox/settings", json={"batch_stops_at_first_error": True})
    assert [reply[0] for reply in await _send(client, bad, good)] == [400]


async def test_an_order_with_lines_is_one_changeset(client: httpx.AsyncClient) -> None:
    account = (await create(client))["CustomerAccount"]
    header = {
        "dataAreaId": "usmf",
        "SalesOrderNumber": "SF-000001",
        "OrderingCustomerAccountNumber": account,
        "InvoiceCustomerAccountNumber": account,
        "CurrencyCode": "USD",
        "DefaultShippingSiteId": "1",
    }
    line = {"SalesOrderNumber": "SF-000001", "ItemNumber": "1000", "OrderedSalesQuantity": 2}
    orphan = {**line, "SalesOrderNumber": "SF-404"}
    failed = await _send(
        client,
        [("POST", "SalesOrderHeadersV2", header), ("POST", "SalesOrderLines", orphan)],
    )
    assert failed[0][0] == 400
    state = (await client.get("/sandbox/state")).json()
    assert (state["SalesOrderHeadersV2"], state["SalesOrderLinesV3"]) == (0, 0)
    await _send(
        client,
        [
            ("POST", "SalesOrderHeadersV2", header),
            ("POST", "SalesOrderLines", line),
            ("POST", "SalesOrderLinesV3", line),
        ],
    )
    path = "/data/SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='SF-000001')"
    expand = {"$expand": "SalesOrderLines($select=ItemNumber,LineAmount)"}
    order = (await client.get(path, params=expand)).json()
    assert order["SalesOrderStatus"] == "Backorder"
    assert order["SalesOrderName"] == "Forest Wholesales"
    lines = [{n: v for n, v in row.items() if n[0] != "@"} for row in order["SalesOrderLines"]]
    assert lines == [{"ItemNumber": "1000", "LineAmount": 798.0}] * 2
    deep = await client.get(path, params={"$expand": "SalesOrderLines($expand=X)"})
    assert deep.status_code == 400
    assert (await client.delete(path)).status_code == 204
    assert (await client.get("/sandbox/state")).json()["SalesOrderLinesV3"] == 0


async def test_a_line_without_a_site_is_refused(client: httpx.AsyncClient) -> None:
    account = (await create(client))["CustomerAccount"]
    header = {"OrderingCustomerAccountNumber": account, "CurrencyCode": "USD"}
    order = (await client.post("/data/SalesOrderHeadersV2", json=header)).json()
    assert order["SalesOrderNumber"] == "US-000001"
    assert order["SalesOrderStatus"] == "None"
    assert order["RequestedShippingDate"].endswith("T12:00:00Z")
    line = {"SalesOrderNumber": "US-000001", "ItemNumber": "1000", "OrderedSalesQuantity": 1}
    refused = await client.post("/data/SalesOrderLines", json=line)
    message = refused.json()["error"]["innererror"]["message"]
    assert "Inventory dimension Site is mandatory" in message


async def test_more_than_five_thousand_operations_are_refused(client: httpx.AsyncClient) -> None:
    gets: list[Inner] = [("GET", "Currencies('USD')/CurrencyCode", None)] * 5001
    content, headers = _batch(*gets)
    assert (await client.post("/data/$batch", content=content, headers=headers)).status_code == 400
    content, headers = _batch(*gets[:5000])
    answer = await client.post("/data/$batch", content=content, headers=headers)
    assert answer.status_code == 200


async def test_single_operations_are_throttled_inside_an_accepted_batch(
    client: httpx.AsyncClient,
) -> None:
    fault = {
        "match": {"method": "POST", "path": "CustomersV3"},
        "status": 429,
        "headers": {"Retry-After": "3"},
        "body": {"error": {"code": "", "message": "busy"}},
        "skip": 1,
        "count": 1,
        "inner": True,
    }
    await client.post("/sandbox/faults", json=fault)
    good = ("POST", "CustomersV3", customer())
    replies = await _send(client, good, good, good)
    assert [reply[0] for reply in replies] == [201, 429, 201]
    assert replies[1][1]["retry-after"] == "3"
    await client.put("/sandbox/throttle", json={"mode": "inner", "share": 1.0, "retry_after": 2})
    replies = await _send(client, [good, good])
    assert replies[0][0] == 429
    assert len(await _accounts(client)) == 2


@pytest.mark.parametrize("retry_after", [None, 2])
async def test_resource_throttling_refuses_a_share_of_calls(
    client: httpx.AsyncClient, retry_after: int | None
) -> None:
    settings = {"mode": "resource", "share": 0.3, "retry_after": retry_after, "seed": 1}
    await client.put("/sandbox/throttle", json=settings)
    answers = [await client.post("/data/CustomersV3", json=customer()) for _ in range(100)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 15 < len(refused) < 45
    assert {answer.headers.get("retry-after") for answer in refused} == {
        None if retry_after is None else "2"
    }
    assert "experiencing high resource utilization" in refused[0].text
    assert len(await _accounts(client)) == 100 - len(refused)  # nothing refused was executed
    assert (await client.get("/sandbox/throttle")).json()["refused"] == len(refused)


async def test_the_legacy_user_limits_count_requests_in_a_window(
    client: httpx.AsyncClient,
) -> None:
    await client.put(
        "/sandbox/throttle", json={"mode": "user", "requests": 3, "window_s": 0.3, "retry_after": 1}
    )
    statuses = [(await client.get("/data/Currencies('USD')")).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    await asyncio.sleep(0.35)
    assert (await client.get("/data/Currencies('USD')")).status_code == 200


async def test_gateway_errors_are_html(client: httpx.AsyncClient) -> None:
    page = "<html><body>Service unavailable</body></html>"
    fault = {"match": {"path": "/data"}, "status": 503, "body": page, "count": 1}
    await client.post("/sandbox/faults", json=fault)
    answer = await client.get("/data/CustomersV3")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html")
    assert (await client.get("/data/CustomersV3")).status_code == 200


async def test_a_write_can_commit_after_its_connection_was_cut(d365: D365StandIn) -> None:
    async with d365:
        token = d365.entra.issue_token(CLIENT, d365.url)
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=d365.url, headers=headers) as client:
            await client.put("/sandbox/late-commit", json={"path": "CustomersV3", "delay_ms": 150})
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("/data/CustomersV3", json=customer())
            assert await _accounts(client) == []
            await asyncio.sleep(0.3)
            assert await _accounts(client) == ["US-000001"]
            drop = {"match": {"method": "POST", "path": "CustomersV3"}, "drop": "after"}
            await client.post("/sandbox/faults", json=drop)
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("/data/CustomersV3", json=customer())
            assert await _accounts(client) == ["US-000001", "US-000002"]
            await create(client)


async def test_a_thousand_customers_cost_little(client: httpx.AsyncClient) -> None:
    """The stand-in must not be what a benchmark measures."""
    await client.put("/sandbox/settings", json={"filter_node_limit": 0})
    used = 0.0
    for start in range(0, 1000, 100):
        ids = [f"001{number:015}" for number in range(start, start + 100)]
        content, headers = _batch(
            *[("POST", "CustomersV3", customer(SalesforceAccountId=key)) for key in ids]
        )
        terms = " or ".join(f"SalesforceAccountId eq '{key}'" for key in ids)
        began = time.process_time()
        await client.post("/data/$batch", content=content, headers=headers)
        found = await client.get("/data/CustomersV3", params={"$filter": terms})
        used += time.process_time() - began
        assert len(found.json()["value"]) == 100
    assert used < 3
