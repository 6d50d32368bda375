"""simple-salesforce's client of Bulk API 2.0 against the running stand-in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from simple_salesforce.bulk2 import SFBulk2Handler
from simple_salesforce.exceptions import SalesforceOperationError

from tests.contract.bulk_support import ACCOUNT_KEY, ROOT, Client, bulk, read_csv, shared

__all__ = ["bulk", "shared"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Plain(requests.Session):
    """simple-salesforce builds https:// URLs itself; this sends them to the stand-in."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._netloc = urlsplit(url).netloc

    def request(self, method: str, url: str, **more: Any) -> requests.Response:
        path = url.partition("/services/")[2]
        return super().request(method, f"http://{self._netloc}/services/{path}", **more)


def handler(bulk: Client, session: requests.Session) -> SFBulk2Handler:
    token = bulk.http.headers["Authorization"].removeprefix("Bearer ")
    return SFBulk2Handler(token, f"https://acme.my.salesforce.com{ROOT}/jobs/", session=session)


async def test_simple_salesforce_upserts_and_reads_its_results(bulk):
    def work() -> None:
        with Plain(bulk.standin.url) as session:
            accounts = handler(bulk, session).Account
            records = [
                {ACCOUNT_KEY: f"C-{number}", "Name": "" if number == 7 else f"Ä, {number}"}
                for number in range(50)
            ]
            [done] = accounts.upsert(records=records, external_id_field=ACCOUNT_KEY, wait=0.05)
            assert done["numberRecordsProcessed"] == done["numberRecordsTotal"] == 50
            assert done["numberRecordsFailed"] == 1
            failed = read_csv(accounts.get_failed_records(done["job_id"]))
            assert [row[ACCOUNT_KEY] for row in failed] == ["C-7"]
            good = read_csv(accounts.get_successful_records(done["job_id"]))
            assert {row["Name"] for row in good} == {f"Ä, {n}" for n in range(50) if n != 7}
            assert read_csv(accounts.get_unprocessed_records(done["job_id"])) == []
            with pytest.raises(SalesforceOperationError, match="Field name not found : Nope__c"):
                accounts.insert(records=[{"Name": "A", "Nope__c": "1"}], wait=0.05)
            ids = [{"Id": row["sf__Id"]} for row in good]
            [gone] = accounts.delete(records=ids, wait=0.05)
            assert gone["numberRecordsFailed"] == 0

    await asyncio.to_thread(work)
    assert await bulk.rows("Account") == []


async def test_simple_salesforce_queries_and_downloads(bulk, tmp_path):
    await bulk.insert("Account", *({"Name": f"Ä\n{number}"} for number in range(25)))
    soql = "SELECT Id, Name FROM Account ORDER BY Id"
    wanted = [f"Ä\n{number}" for number in range(25)]

    def work() -> None:
        with Plain(bulk.standin.url) as session:
            accounts = handler(bulk, session).Account
            pages = list(accounts.query(soql, max_records=10, wait=0.05))
            assert [len(read_csv(text)) for text in pages] == [10, 10, 5]
            assert [row["Name"] for text in pages for row in read_csv(text)] == wanted
            files = accounts.download(soql, str(tmp_path), max_records=20, wait=0.05)
            assert [file["number_of_records"] for file in files] == [20, 5]
            texts = [Path(file["file"]).read_bytes().decode() for file in files]
            assert [row["Name"] for text in texts for row in read_csv(text)] == wanted

    await asyncio.to_thread(work)


async def test_a_client_that_is_still_uploading_sees_that_its_session_has_expired(bulk):
    job = await bulk.create("Account", "insert")
    await bulk.http.post("/sandbox/sessions/expire")
    headers = {
        "Authorization": bulk.http.headers["Authorization"],
        "Content-Type": "text/csv; charset=UTF-8",
    }

    def work() -> None:
        data = b"Name\n" + b"x" * 30_000_000
        with Plain(bulk.standin.url) as session:
            answer = session.request("PUT", f"https://x{job}/batches", data=data, headers=headers)
            assert answer.status_code == 401
            assert answer.json()[0]["errorCode"] == "INVALID_SESSION_ID"

    await asyncio.to_thread(work)
