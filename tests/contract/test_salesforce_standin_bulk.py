"""Bulk API 2.0 ingest jobs: the calls and the files (Salesforce contracts 3.1 to 3.3)."""

from __future__ import annotations

import gzip
from collections import Counter
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest

from sandbox.salesforce.bulk.csv_files import shuffled
from tests.contract.bulk_support import ACCOUNT_KEY, PRICE_KEY, ROOT, bulk, shared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["bulk", "shared"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")
UPSERT_ACCOUNTS = {"externalIdFieldName": ACCOUNT_KEY}
UPSERT_PRICES = {"externalIdFieldName": PRICE_KEY}


async def test_a_job_goes_from_open_to_complete_with_its_counters(bulk):
    body = {"object": "account", "operation": "upsert", "externalIdFieldName": ACCOUNT_KEY.lower()}
    made = (await bulk.http.post(f"{ROOT}/jobs/ingest", json=body)).json()
    job = f"{ROOT}/jobs/ingest/{made['id']}"
    assert made | {"createdById": "", "createdDate": "", "systemModstamp": ""} == {
        "id": made["id"],
        "operation": "upsert",
        "object": "Account",
        "createdById": "",
        "createdDate": "",
        "systemModstamp": "",
        "state": "Open",
        "externalIdFieldName": ACCOUNT_KEY,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": 62.0,
        "contentUrl": f"{job[1:]}/batches",
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    }
    text = f"{ACCOUNT_KEY},Name\nC-1,A\nC-2,\nC-3,C\n"
    uploaded = await bulk.upload(job, text)
    assert (uploaded.status_code, uploaded.content) == (201, b"")
    assert (await bulk.close(job)).json()["state"] == "UploadComplete"
    info = await bulk.until(job)
    assert info["state"] == "JobComplete"
    assert (info["numberRecordsProcessed"], info["numberRecordsFailed"]) == (3, 1)
    assert (info["jobType"], info["retries"]) == ("V2Ingest", 0)
    good = await bulk.results(job, "successfulResults")
    ids = {row[ACCOUNT_KEY]: row["Id"] for row in await bulk.rows("Account")}
    assert sorted(row[ACCOUNT_KEY] for row in good) == ["C-1", "C-3"]
    assert all(row["sf__Id"] == ids[row[ACCOUNT_KEY]] for row in good)
    assert [row["sf__Created"] for row in good] == ["true", "true"]
    assert await bulk.results(job, "failedResults") == [
        {
            "sf__Id": "",
            "sf__Error": "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --",
            ACCOUNT_KEY: "C-2",
            "Name": "",
        }
    ]
    empty = await bulk.http.get(f"{job}/unprocessedrecords")
    assert empty.text == f'"{ACCOUNT_KEY}","Name"\n'


async def test_result_rows_come_in_another_order_than_the_input(bulk):
    names = [f"C-{number}" for number in range(25_000)]
    text = f"{ACCOUNT_KEY},Name\n" + "".join(f"{name},x\n" for name in names)
    job, info = await bulk.loaded("Account", "upsert", text, **UPSERT_ACCOUNTS)
    assert info["numberRecordsProcessed"] == len(names)
    found = [row[ACCOUNT_KEY] for row in await bulk.results(job, "successfulResults")]
    assert found != names
    assert sorted(found) == sorted(names)
    assert [row[ACCOUNT_KEY] for row in await bulk.results(job, "successfulresults")] == found
    steps = [int(b[2:]) - int(a[2:]) for a, b in pairwise(found)]
    assert max(Counter(steps).values()) < len(names) / 100  # neither in order nor merely rotated
    assert bulk.standin.org.mark() == (0, 0)  # nothing is left uncommitted


async def test_two_rows_always_change_places():
    assert all(shuffled([1, 2], Random(seed)) == [2, 1] for seed in range(20))
    assert shuffled([1], Random(0)) == [1]


@pytest.mark.parametrize(
    "path", ["unprocessedRecords", "unprocessedrecords/", "UNPROCESSEDRECORDS", "failedresults/"]
)
async def test_result_paths_are_matched_without_case_and_with_or_without_slash(bulk, path):
    job, _ = await bulk.loaded("Account", "insert", "Name\nA\n")
    assert await bulk.results(job, path) == []


async def test_a_job_takes_one_upload_while_it_is_open(bulk):
    job = await bulk.create("Account", "insert")
    empty = await bulk.close(job)
    assert (empty.status_code, empty.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")
    assert (await bulk.upload(job, "Name\nA\n")).status_code == 201
    again = await bulk.upload(job, "Name\nB\n")
    assert again.status_code == 400
    assert "only do 'PUT' once" in again.json()[0]["message"]
    assert (await bulk.http.get(f"{job}/successfulResults")).status_code == 400
    assert (await bulk.http.delete(job)).status_code == 400
    await bulk.close(job)
    await bulk.until(job)
    assert (await bulk.close(job)).json()[0]["errorCode"] == "INVALIDJOBSTATE"
    assert (await bulk.upload(job, "Name\nC\n")).status_code == 400
    assert [row["Name"] for row in await bulk.rows("Account")] == ["A"]


async def test_more_than_100_mb_are_refused_and_the_job_can_be_uploaded_again(bulk):
    async def content() -> AsyncIterator[bytes]:
        yield b"Name\n"
        for _ in range(100):
            yield b"x" * 1024 * 1024

    job = await bulk.create("Account", "insert")
    refused = await bulk.upload(job, content())
    assert refused.status_code == 413
    assert refused.json()[0]["errorCode"] == "EXCEEDED_MAX_SIZE_REQUEST"
    assert (await bulk.upload(job, "Name\nA\n")).status_code == 201


async def test_a_compressed_upload_is_read(bulk):
    job = await bulk.create("Account", "insert")
    headers = {"Content-Type": "text/csv", "Content-Encoding": "gzip"}
    body = gzip.compress(b"Name\nA\n")
    answer = await bulk.http.put(f"{job}/batches", content=body, headers=headers)
    assert answer.status_code == 201
    await bulk.close(job)
    assert (await bulk.until(job))["numberRecordsProcessed"] == 1


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("Name,Foo__c", "InvalidBatch : Field name not found : Foo__c"),
        ("Name,Parent.Name", "InvalidBatch : Field name not found : Parent.Name"),
        ("Name,Boss.Id", "InvalidBatch : Field name not found : Boss.Id"),
        ("Name,name", "InvalidBatch : Duplicate field name found : name"),
        ("Name", f"InvalidBatch : Field name not found : {ACCOUNT_KEY}"),
    ],
)
async def test_a_wrong_column_fails_the_whole_job(bulk, columns, reason):
    width = columns.count(",")
    text = f"{columns}\n" + "".join(f"n{n}{',x' * width}\n" for n in range(3))
    job, info = await bulk.loaded("Account", "upsert", text, **UPSERT_ACCOUNTS)
    assert (info["state"], info["errorMessage"]) == ("Failed", reason)
    assert info["numberRecordsProcessed"] == 0
    left = (await bulk.http.get(f"{job}/unprocessedrecords")).text.splitlines()
    assert sorted(line.split(",")[0] for line in left[1:]) == ['"n0"', '"n1"', '"n2"']
    assert await bulk.rows("Account") == []


@pytest.mark.parametrize(
    ("text", "ending", "reason"),
    [
        ("Name\r\nA\r\n", "LF", "LineEnding is invalid on user data. Current LineEnding setting is LF"),
        ("Name\nA\n", "CRLF", "Current LineEnding setting is CRLF"),
        ('Name\nA\n"B"x\n', "LF", "InvalidBatch : Failed to parse CSV"),
        ("Name\nA\nB,C\n", "LF", "InvalidBatch : The row has 2 columns, the header has 1"),
        (b"Name\nA\nB\xff\n", "LF", "codec can't decode"),
        ("", "LF", "InvalidBatch : The file has no header row"),
    ],
)  # fmt: skip
async def test_a_file_that_is_no_good_csv_fails_the_job(bulk, text, ending, reason):
    _, info = await bulk.loaded("Account", "insert", text, lineEnding=ending)
    assert info["state"] == "Failed"
    assert reason in info["errorMessage"]


@pytest.mark.parametrize(
    ("name", "sign"),
    [("BACKQUOTE", "`"), ("CARET", "^"), ("PIPE", "|"), ("SEMICOLON", ";"), ("TAB", "\t")],
)
async def test_other_delimiters_and_line_endings_are_read_and_written(bulk, name, sign):
    text = f'Name{sign}Description\r\n"A{sign}B"{sign}"one\r\n""two"""\r\n'
    job, info = await bulk.loaded(
        "Account", "insert", text, columnDelimiter=name, lineEnding="CRLF"
    )
    assert (info["columnDelimiter"], info["numberRecordsFailed"]) == (name, 0)
    [row] = await bulk.rows("Account")
    assert (row["Name"], row["Description"]) == (f"A{sign}B", 'one\r\n"two"')
    answer = (await bulk.http.get(f"{job}/successfulResults")).content.decode()
    expected = f'"{row["Id"]}"{sign}"true"{sign}"A{sign}B"{sign}"one\r\n""two"""\r\n'
    assert answer.endswith(expected)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"object": "Nope", "operation": "insert"}, "INVALIDENTITY"),
        ({"object": "Account", "operation": "merge"}, "INVALIDJOB"),
        ({"object": "Account", "operation": "upsert"}, "INVALIDJOB"),
        ({"object": "Account", "operation": "upsert", "externalIdFieldName": "Name"}, "INVALIDJOB"),
        ({"object": "Account", "operation": "insert", "columnDelimiter": ","}, "INVALIDJOB"),
        ({"object": "Account", "operation": "insert", "contentType": "JSON"}, "INVALIDJOB"),
        ({"object": "Account", "operation": "hardDelete"}, "FEATURENOTENABLED"),
    ],
)
async def test_a_job_that_makes_no_sense_is_refused(bulk, body, code):
    answer = await bulk.http.post(f"{ROOT}/jobs/ingest", json=body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


async def test_a_small_load_goes_in_one_multipart_call(bulk):
    parts = {
        "job": (None, '{"object":"Account","operation":"insert"}', "application/json"),
        "content": ("content", "Name,Phone\nA,1\nB,2\n", "text/csv"),
    }
    answer = await bulk.http.post(f"{ROOT}/jobs/ingest", files=parts)
    assert answer.json()["state"] == "UploadComplete"
    info = await bulk.until(f"{ROOT}/jobs/ingest/{answer.json()['id']}")
    assert (info["state"], info["numberRecordsProcessed"]) == ("JobComplete", 2)
    parts["content"] = ("content", "Name\n" + "x" * 100_000, "text/csv")
    answer = await bulk.http.post(f"{ROOT}/jobs/ingest", files=parts)
    assert answer.json()[0]["errorCode"] == "INVALIDJOB"
