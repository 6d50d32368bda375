"""What goes wrong with Bulk jobs on demand, aborting, allowances."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.contract.bulk_support import ACCOUNT_KEY, ROOT, Client, bulk, bulk_client, shared

__all__ = ["bulk", "shared"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROWS = 1000
ACCOUNTS = "Name\n" + "".join(f"A{number}\n" for number in range(ROWS))


async def names(bulk: Client, job: str, kind: str) -> set[str]:
    return {row["Name"] for row in await bulk.results(job, kind)}


async def test_a_failed_job_keeps_what_it_wrote_and_gives_the_rest_back(bulk):
    await bulk.fault(kind="fail", object="Account", after_rows=450, message="Internal : broken")
    job, info = await bulk.loaded("Account", "insert", ACCOUNTS)
    assert (info["state"], info["errorMessage"]) == ("Failed", "Internal : broken")
    assert info["numberRecordsProcessed"] == 450
    written = {row["Name"] for row in await bulk.rows("Account")}
    assert written == {f"A{number}" for number in range(450)}
    assert await names(bulk, job, "successfulResults") == written
    left = await names(bulk, job, "unprocessedrecords")
    assert left == {f"A{number}" for number in range(450, ROWS)}
    _, info = await bulk.loaded("Account", "insert", ACCOUNTS)
    assert info["state"] == "JobComplete"


async def test_a_stuck_job_goes_on_when_it_is_released(bulk):
    await bulk.fault(kind="stuck", after_rows=100)
    job = await bulk.started("Account", "insert", ACCOUNTS)
    await bulk.until(job, "InProgress")
    await asyncio.sleep(0.2)
    info = (await bulk.http.get(job)).json()
    assert (info["state"], info["numberRecordsProcessed"]) == ("InProgress", 100)
    await bulk.http.delete("/sandbox/bulk/faults")
    info = await bulk.until(job)
    assert (info["state"], info["numberRecordsProcessed"]) == ("JobComplete", ROWS)


async def test_a_stuck_job_can_be_aborted_and_its_rest_is_unprocessed(bulk):
    await bulk.fault(kind="stuck", after_rows=100)
    job = await bulk.started("Account", "insert", ACCOUNTS)
    await bulk.until(job, "InProgress")
    aborted = (await bulk.http.patch(job, json={"state": "Aborted"})).json()
    assert aborted["state"] == "Aborted"
    written = {row["Name"] for row in await bulk.rows("Account")}
    assert len(written) == aborted["numberRecordsProcessed"] <= 100
    left = await names(bulk, job, "unprocessedrecords")
    assert left == {f"A{number}" for number in range(ROWS)} - written
    again = await bulk.http.patch(job, json={"state": "Aborted"})
    assert again.json()[0]["errorCode"] == "INVALIDJOBSTATE"


async def test_an_open_job_can_be_aborted_with_and_without_data(bulk):
    empty, full = [await bulk.create("Account", "insert") for _ in range(2)]
    await bulk.upload(full, ACCOUNTS)
    for job, rows in ((empty, 0), (full, ROWS)):
        assert (await bulk.http.patch(job, json={"state": "Aborted"})).json()["state"] == "Aborted"
        assert len(await names(bulk, job, "unprocessedrecords")) == rows
        assert (await bulk.upload(job, ACCOUNTS)).status_code == 400
        assert (await bulk.http.delete(job)).status_code == 204
        assert (await bulk.http.get(job)).status_code == 404


async def test_a_job_is_unfinished_for_a_while_and_others_are_served_meanwhile(bulk):
    await bulk.settings(start_seconds=0.1, rows_per_second=5000, finish_seconds=0.05)
    job = await bulk.started("Account", "insert", ACCOUNTS)
    seen = []
    while (info := (await bulk.http.get(job)).json())["state"] != "JobComplete":
        seen.append((info["state"], info["numberRecordsProcessed"]))
    assert ("UploadComplete", 0) in seen
    assert len({count for state, count in seen if state == "InProgress"}) > 2
    listed = (await bulk.http.get(f"{ROOT}/jobs/ingest")).json()
    assert (listed["done"], listed["nextRecordsUrl"]) == (True, None)
    assert [row["id"] for row in listed["records"]] == [info["id"]]


async def test_locked_rows_fail_and_succeed_when_they_are_sent_again(bulk):
    [known] = await bulk.insert("Account", {"Name": "old", ACCOUNT_KEY: "C-4"})
    await bulk.fault(kind="lock", rows=3, after_rows=4, every=2)
    text = f"{ACCOUNT_KEY},Name\n" + "".join(f"C-{number},x\n" for number in range(20))
    upsert = {"externalIdFieldName": ACCOUNT_KEY}
    job, info = await bulk.loaded("Account", "upsert", text, **upsert)
    assert (info["state"], info["numberRecordsFailed"]) == ("JobComplete", 3)
    found = {row[ACCOUNT_KEY]: row for row in await bulk.results(job, "failedResults")}
    assert set(found) == {"C-4", "C-6", "C-8"}
    assert found["C-4"]["sf__Id"] == known
    assert found["C-4"]["sf__Error"] == (
        "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 1 records: "
        f"{known}:--"
    )
    _, info = await bulk.loaded("Account", "upsert", text, **upsert)
    assert info["numberRecordsFailed"] == 0


async def test_every_10_000_rows_count_against_the_daily_batches(bulk):
    await bulk.settings(batches={"max": 15_000, "used": 14_998})
    text = "Name\n" + "A\n" * 25_000
    job, info = await bulk.loaded("Account", "insert", text)
    assert (info["state"], info["numberRecordsProcessed"]) == ("Failed", 20_000)
    assert info["errorMessage"] == "ExceededQuota : ApiBatchItems Limit exceeded."
    assert len(await bulk.results(job, "unprocessedrecords")) == 5000
    limits = (await bulk.http.get(f"{ROOT}/limits")).json()
    assert limits["DailyBulkApiBatches"] == {"Max": 15_000, "Remaining": 0}
    body = {"object": "Account", "operation": "insert"}
    answer = await bulk.http.post(f"{ROOT}/jobs/ingest", json=body)
    assert answer.json() == [
        {
            "message": "ExceededQuota : ApiBatchItems Limit exceeded.",
            "errorCode": "EXCEEDEDQUOTA",
        }
    ]


async def test_a_create_whose_answer_is_lost_leaves_an_open_job(bulk):
    await bulk.fault(kind="lost-create")
    body = {"object": "Account", "operation": "insert"}
    answer = await bulk.http.post(f"{ROOT}/jobs/ingest", json=body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (503, "SERVER_UNAVAILABLE")
    [left] = (await bulk.http.get(f"{ROOT}/jobs/ingest")).json()["records"]
    assert (left["state"], left["object"]) == ("Open", "Account")


@pytest.mark.parametrize(
    ("method", "path", "state"),
    [
        ("POST", "/jobs/ingest$", "Open"),
        ("PUT", "/batches$", "Open"),
        ("PATCH", "/jobs/ingest/", "JobComplete"),
    ],
)
async def test_a_call_cut_after_its_commit_has_happened(bulk, method, path, state):
    fault = {"match": {"method": method, "path": path}, "drop": "after"}
    await bulk.http.post("/sandbox/faults", json=fault)
    with pytest.raises(httpx.TransportError):
        await bulk.started("Account", "insert", "Name\nA\n")
    [left] = (await bulk.http.get("/sandbox/bulk/jobs")).json()
    url = f"{ROOT}/jobs/ingest/{left['id']}"
    assert (await bulk.until(url, state))["state"] == state
    if method != "POST":
        again = await bulk.upload(url, "Name\nB\n")
        assert again.status_code == 400


async def test_an_expired_session_and_an_outage_are_answered_on_bulk_routes(bulk):
    job = await bulk.create("Account", "insert")
    await bulk.http.post("/sandbox/sessions/expire")
    large = "Name\n" + "x" * 5_000_000
    for answer in (
        await bulk.http.get(job),
        await bulk.upload(job, large),
        await bulk.http.get(f"{job}/failedResults"),
    ):
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
    await bulk.log_in()
    fault = {
        "match": {"path": "/jobs/"},
        "status": 503,
        "body": [{"errorCode": "SERVER_UNAVAILABLE"}],
    }
    await bulk.http.post("/sandbox/faults", json=fault)
    assert (await bulk.upload(job, "Name\nA\n")).status_code == 503
    answer = await bulk.upload(job, "Name\nA\n")
    assert answer.status_code == 201
    assert answer.headers["sforce-limit-info"].startswith("api-usage=")


async def test_a_fault_or_setting_that_does_not_exist_is_refused(bulk):
    for given in ({"kind": "nope"}, {"kind": "fail", "rowz": 1}, {"kind": "lock", "every": 0}):
        assert (await bulk.http.post("/sandbox/bulk/faults", json=given)).status_code == 400
    for given in ({"start_seconds": -1}, {"rows_per_second": 0}, {"speed": 1}):
        assert (await bulk.http.put("/sandbox/bulk", json=given)).status_code == 400
    assert (await bulk.http.get("/sandbox/bulk")).json()["batches"] == {"max": 15_000, "used": 0}


async def test_many_rows_are_seeded_in_one_call(bulk):
    body = {"accounts": 700, "products": 600, "standard_prices": True, "numbered": True}
    answer = await bulk.http.post("/sandbox/bulk/seed", json=body)
    assert answer.json() == {"Account": 700, "Product2": 600, "PricebookEntry": 600}
    accounts = await bulk.rows("Account")
    assert len({row[ACCOUNT_KEY] for row in accounts}) == 700
    assert {row["UnitPrice"] for row in await bulk.rows("PricebookEntry")} == {100.0}


async def test_files_are_gone_when_the_stand_in_stops():
    async with bulk_client() as client:
        await client.log_in()
        await client.settings(start_seconds=0)
        job, _ = await client.loaded("Account", "insert", ACCOUNTS)
        running = await client.started("Account", "insert", ACCOUNTS)
        folders = {client.standin.bulk.find("ingest", url[-18:]).folder for url in (job, running)}
        assert all((folder / "upload").exists() for folder in folders)
    assert not any(Path(folder).parent.exists() for folder in folders)
