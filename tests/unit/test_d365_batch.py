"""`$batch`: what is written, and every shape of answer that is understood."""

from __future__ import annotations

import json

import httpx
import pytest

from integration.d365.batch import ChangeSet, Operation
from integration.d365.errors import EtagConflict, RecordExists, RecordMissing
from integration.d365.literals import Key
from integration.d365.odata import Query
from integration.errors import (
    ContractError,
    OutcomeUnknown,
    RecordRejected,
    Throttled,
    Unreachable,
)
from tests.unit.test_d365_support import BASE, CUSTOMER, FakeServer, client_for, odata_error, reply

OUTER = "batchresponse_5d1e"
KEYS = [Key(dataAreaId="usmf", CustomerAccount=f"US-00{number}") for number in range(1, 5)]


def update(number: int, **more: str) -> Operation:
    return Operation("PATCH", "CustomersV3", KEYS[number], {"NameAlias": "x"}, **more)


def create(account: str) -> Operation:
    return Operation("POST", "CustomersV3", body={"dataAreaId": "usmf", "CustomerAccount": account})


def read(number: int) -> Operation:
    return Operation("GET", "CustomersV3", KEYS[number])


def part(status: int, body: object = None, content_id: int | None = None, **headers: str) -> str:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    lines += [f"Content-ID: {content_id}"] if content_id is not None else []
    lines += ["", f"HTTP/1.1 {status} Something", "OData-Version: 4.0"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", json.dumps(body) if body is not None else ""])


def wrapped(*parts: str, boundary: str = "changesetresponse_a0c4") -> str:
    lines = [f"Content-Type: multipart/mixed; boundary={boundary}", ""]
    for each in parts:
        lines += [f"--{boundary}", each]
    return "\r\n".join([*lines, f"--{boundary}--"])


def batch_reply(*groups: str, change=lambda text: text, quoted: bool = False) -> httpx.Response:
    lines = [line for group in groups for line in (f"--{OUTER}", group)]
    text = change("\r\n".join([*lines, f"--{OUTER}--", ""]))
    name = f'"{OUTER}"' if quoted else OUTER
    headers = {"content-type": f"multipart/mixed; boundary={name}", "ms-dyn-aid": "activity-1"}
    return httpx.Response(200, content=text.encode(), headers=headers)


async def run(items, *answers, **changes):
    server = FakeServer(*answers)
    with client_for(server, **changes) as client:
        return await client.batch(items), server


async def test_a_batch_is_written_as_the_contract_shows_it():
    items = [
        ChangeSet([create("US-001"), update(1, etag='W/"7"')]),
        update(2),
        Operation("GET", "CustomersV3", query=Query(top=5)),
        Operation("DELETE", "CustomersV3", KEYS[3]),
    ]
    answer = batch_reply(
        wrapped(part(201, CUSTOMER, 1), part(204, None, 2)),
        wrapped(part(204, None, 3)),
        part(200, {"value": []}, 4),
        wrapped(part(204, None, 5)),
    )
    found, server = await run(items, answer)
    assert [result.status for result in found] == [201, 204, 204, 200, 204]
    assert all(result.succeeded for result in found)
    assert found[0].etag == CUSTOMER["@odata.etag"]
    request = server.requests[0]
    assert server.urls == ["/data/$batch"]
    assert request.headers["accept"] == "multipart/mixed"
    text = request.content.decode()
    assert "\n" not in text.replace("\r\n", "")
    boundary = request.headers["content-type"].partition("boundary=")[2]
    assert text.startswith(f"--{boundary}\r\nContent-Type: multipart/mixed; boundary=changeset_")
    assert text.endswith(f"\r\n--{boundary}--\r\n")
    assert text.count("boundary=changeset_") == 3
    assert [f"Content-ID: {number}\r\n" in text for number in range(1, 6)] == [True] * 5
    assert (
        "\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 1\r\n"
        f"\r\nPOST {BASE}/data/CustomersV3?cross-company=true HTTP/1.1\r\n" in text
    )
    assert text.count("cross-company=true") == 5
    assert text.count('\r\nIf-Match: W/"7"\r\n') == 1
    assert '\r\n\r\n{"dataAreaId":"usmf","CustomerAccount":"US-001"}\r\n--changeset_' in text
    assert "authorization" not in text.lower()


NO_ID = batch_reply(wrapped(part(201, CUSTOMER)), wrapped(part(204)), part(200, CUSTOMER))
WITH_ID = (wrapped(part(201, CUSTOMER, 1)), wrapped(part(204, None, 2)), part(200, CUSTOMER, 3))


@pytest.mark.parametrize(
    "answer",
    [
        NO_ID,
        batch_reply(*WITH_ID),
        batch_reply(*WITH_ID, quoted=True),
        batch_reply(*WITH_ID, change=lambda text: text.replace("\r\n", "\n")),
        batch_reply(*WITH_ID, change=lambda text: text.replace("5d1e\r\n", "5d1e \t\r\n")),
        batch_reply(*WITH_ID, change=lambda text: "preamble\r\n" + text),
        batch_reply(*WITH_ID, change=lambda text: text.replace(f"\r\n--{OUTER}--", "")),
        batch_reply(*WITH_ID, change=lambda text: text.replace("Content-ID", "content-id")),
        batch_reply(WITH_ID[2], WITH_ID[0], WITH_ID[1]),
        batch_reply(part(201, CUSTOMER, 1), part(204, None, 2), WITH_ID[2]),
        batch_reply(
            wrapped(part(201, CUSTOMER, Content_ID="1")),
            wrapped(part(204, Content_ID="2")),
            part(200, CUSTOMER, Content_ID="3"),
        ),
    ],
    ids=[
        "no content ids",
        "content ids",
        "quoted boundary",
        "bare line feeds",
        "blanks after boundaries",
        "preamble",
        "no end mark",
        "lower-case headers",
        "another order",
        "bare changesets",
        "content ids among the inner headers",
    ],
)
async def test_every_shape_of_a_good_answer_is_understood(answer):
    found, _ = await run([create("US-001"), update(1), read(0)], answer)
    assert [(result.status, result.error) for result in found] == [
        (201, None),
        (204, None),
        (200, None),
    ]
    assert found[0].body["CustomerAccount"] == "US-001"


INVALID = odata_error(
    "Write failed for table row of type 'S'. Infolog: Error: Inventory dimension Site is mandatory."
)


@pytest.mark.parametrize(
    "failure",
    [
        part(400, INVALID),
        part(400, INVALID, 2),
        wrapped(part(400, INVALID)),
        wrapped(part(400, INVALID, 3)),
        part(400, INVALID).replace("OData-Version: 4.0\r\n", ""),
    ],
    ids=["bare", "bare with id", "wrapped", "wrapped with id", "without inner headers"],
)
async def test_a_failed_changeset_fails_all_its_operations_and_no_other(failure):
    items = [create("A"), ChangeSet([create("B"), update(1)]), update(2)]
    answer = batch_reply(wrapped(part(201, CUSTOMER, 1)), failure, wrapped(part(204, None, 4)))
    found, _ = await run(items, answer)
    assert [result.status for result in found] == [201, 400, 400, 204]
    assert [type(result.error) for result in found] == [
        type(None),
        RecordRejected,
        RecordRejected,
        type(None),
    ]
    assert "Site is mandatory" in str(found[1].error)
    assert found[1].error.context.operation == "POST CustomersV3"
    assert found[1].error.context.activity_id == "activity-1"


async def test_each_operation_gets_its_own_error():
    answer = batch_reply(
        wrapped(part(429, {"Message": "busy"}, 1, Retry_After="60")),
        wrapped(part(412, None, 2)),
        part(404, None, 3),
        wrapped(part(400, odata_error("The record already exists."), 4)),
        wrapped(part(503, None, 5)),
        part(503, None, 6),
    )
    items = [update(0), update(1), read(0), create("X"), update(2), read(1)]
    found, server = await run(items, answer)
    kinds = [Throttled, EtagConflict, RecordMissing, RecordExists, OutcomeUnknown, Unreachable]
    assert [type(result.error) for result in found] == kinds
    assert found[0].error.retry_after == 60
    assert len(server.requests) == 1


async def test_missing_answers_leave_writes_unknown_and_reads_unread():
    items = [update(0), update(1), read(0), ChangeSet([create("A"), create("B")])]
    answer = batch_reply(wrapped(part(204, None, 1)))
    found, _ = await run(items, answer)
    assert found[0].succeeded
    kinds = [OutcomeUnknown, Unreachable, OutcomeUnknown, OutcomeUnknown]
    assert [type(result.error) for result in found[1:]] == kinds
    assert [result.status for result in found[1:]] == [None] * 4


async def test_a_missing_answer_inside_a_changeset_is_unknown():
    items = [ChangeSet([create("A"), create("B")])]
    found, _ = await run(items, batch_reply(wrapped(part(201, CUSTOMER, 2))))
    assert [type(result.error) for result in found] == [OutcomeUnknown, type(None)]


async def test_an_answer_that_was_cut_off_is_unknown():
    cut = batch_reply(wrapped(part(201, CUSTOMER, 1)), change=lambda text: text[:-150])
    found, _ = await run([create("A")], cut)
    assert isinstance(found[0].error, OutcomeUnknown)
    empty = batch_reply(wrapped("Content-Type: application/http\r\n\r\n"))
    found, _ = await run([create("A")], empty)
    assert isinstance(found[0].error, OutcomeUnknown)
    no_body = batch_reply(wrapped(part(201, None, 1)), part(200, None, 2))
    found, _ = await run([create("A"), read(0)], no_body)
    assert [type(result.error) for result in found] == [OutcomeUnknown, Unreachable]


async def test_a_read_in_a_batch_must_bring_the_record_asked_for():
    answer = batch_reply(part(200, CUSTOMER | {"CustomerAccount": "other"}, 1))
    found, _ = await run([read(0)], answer)
    assert isinstance(found[0].error, ContractError)


async def test_rows_in_a_batch_are_read_to_the_last_page():
    first = part(200, {"value": [{"n": 1}], "@odata.nextLink": f"{BASE}/data/X?$skip=1"}, 1)
    items = [Operation("GET", "X", query=Query())]
    found, server = await run(items, batch_reply(first), reply(200, {"value": [{"n": 2}]}))
    assert [row["n"] for row in found[0].body["value"]] == [1, 2]
    assert server.urls[1] == "/data/X?$skip=1&cross-company=true"
    assert "@odata.nextLink" not in found[0].body
    found, _ = await run(items, batch_reply(first), reply(503), tries=1)
    assert isinstance(found[0].error, Unreachable)
    no_list = part(200, {"value": "x", "@odata.nextLink": "X?$skip=1"}, 1)
    found, _ = await run(items, batch_reply(no_list))
    assert isinstance(found[0].error, ContractError)


@pytest.mark.parametrize(
    "answer",
    [
        reply(503),
        httpx.ReadTimeout("slow"),
        reply(200, {"error": {"message": "no batch"}}),
        httpx.Response(
            200, content=b"\xff", headers={"content-type": f"multipart/mixed; boundary={OUTER}"}
        ),
    ],
)
async def test_a_batch_that_failed_as_a_whole_leaves_every_write_unknown(answer):
    with pytest.raises(OutcomeUnknown):
        await run([update(0), read(0)], answer)
    with pytest.raises(Unreachable):
        await run([read(0)], answer, tries=1)


async def test_a_throttled_batch_is_sent_again():
    good = batch_reply(wrapped(part(204, None, 1)))
    found, server = await run([update(0)], reply(429), good)
    assert found[0].succeeded
    assert len(server.requests) == 2


async def test_large_batches_are_divided_and_a_changeset_never_is():
    server = FakeServer(batch_reply(wrapped(part(204, None, 1)), wrapped(part(204, None, 2))))
    items = [update(0), update(1), update(2), ChangeSet([update(0), update(1), update(2)])]
    with client_for(server, batch_size=2) as client:
        await client.batch(items)
        assert await client.batch([]) == []
    counts = [request.content.count(b"PATCH ") for request in server.requests]
    assert counts == [2, 1, 3]


async def test_a_later_call_that_fails_keeps_the_results_before_it():
    good = batch_reply(wrapped(part(204, None, 1)))
    items = [update(0), update(1), update(2)]
    found, server = await run(items, good, httpx.ReadTimeout("slow"), batch_size=1)
    assert [type(result.error) for result in found] == [type(None), OutcomeUnknown, Unreachable]
    assert "not sent" in str(found[2].error)
    assert len(server.requests) == 2
    throttled = reply(429, retry_after="7")
    found, _ = await run(items, good, throttled, batch_size=1, tries=1)
    assert [type(result.error) for result in found] == [type(None), Throttled, Throttled]


def test_operations_that_make_no_sense_are_refused():
    with pytest.raises(TypeError, match="needs a key"):
        Operation("PATCH", "X", body={})
    with pytest.raises(TypeError, match="has no key"):
        Operation("POST", "X", KEYS[0], {})
    with pytest.raises(TypeError, match="needs a body"):
        Operation("POST", "X")
    with pytest.raises(TypeError, match="has no body"):
        Operation("GET", "X", body={})
    with pytest.raises(TypeError, match="writes only"):
        ChangeSet([read(0)])
    with pytest.raises(TypeError, match="at least one"):
        ChangeSet([])
    assert "NameAlias" not in repr(update(0))
