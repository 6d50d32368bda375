"""Bulk API 2.0 query jobs: pages, values, and the moment the results show (Salesforce contract 3.4)."""

from __future__ import annotations

import pytest

from tests.contract.bulk_support import ROOT, Client, bulk, read_csv, shared

__all__ = ["bulk", "shared"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def page(bulk: Client, job: str, **params: object) -> tuple[list[dict[str, str]], str]:
    answer = await bulk.http.get(f"{job}/results", params=params)
    assert answer.status_code == 200, answer.text
    rows = read_csv(answer.text)
    assert int(answer.headers["Sforce-NumberOfRecords"]) == len(rows)
    return rows, answer.headers["Sforce-Locator"]


async def test_pages_follow_locators_and_can_be_read_again(bulk):
    await bulk.insert("Account", *({"Name": f"Ä {n}\n{n}"} for n in range(25)))
    job = await bulk.query("SELECT Id, Name FROM Account ORDER BY Id")
    info = await bulk.until(job)
    assert (info["state"], info["jobType"]) == ("JobComplete", "V2Query")
    assert (info["numberRecordsProcessed"], info["isPkChunkingSupported"]) == (25, True)
    found, locators = [], [""]
    while locators[-1] != "null":
        given = {"locator": locators[-1]} if locators[-1] else {}
        rows, locator = await page(bulk, job, maxRecords=10, **given)
        found.append(rows)
        locators.append(locator)
    assert [len(rows) for rows in found] == [10, 10, 5]
    everything = [row for rows in found for row in rows]
    assert [row["Name"] for row in everything] == [f"Ä {n}\n{n}" for n in range(25)]
    assert (await page(bulk, job, maxRecords=10, locator=locators[1]))[0] == found[1]
    assert await page(bulk, job) == (everything, "null")
    await bulk.settings(page_rows=24)
    assert [len((await page(bulk, job))[0]), (await page(bulk, job))[1]] == [24, "MjQ="]


async def test_no_rows_are_a_header_and_the_locator_null(bulk):
    job = await bulk.query("SELECT Id, Account.Name FROM Contact")
    await bulk.until(job)
    answer = await bulk.http.get(f"{job}/results")
    assert answer.text == '"Id","Account.Name"\n'
    assert answer.headers["Sforce-NumberOfRecords"] == "0"
    assert answer.headers["Sforce-Locator"] == "null"


async def test_values_are_written_as_text_and_parents_as_columns(bulk):
    [account] = await bulk.insert("Account", {"Name": 'A "1", B', "AnnualRevenue": 5})
    await bulk.insert("Contact", {"LastName": "X", "AccountId": account, "Birthdate": "2001-02-03"})
    await bulk.insert("Contact", {"LastName": "Y"})
    soql = (
        "SELECT lastname, Account.Name, account.owner.username, Account.AnnualRevenue, IsDeleted, "
        "Birthdate, CreatedDate FROM Contact ORDER BY LastName"
    )
    job = await bulk.query(soql, columnDelimiter="SEMICOLON", lineEnding="CRLF")
    await bulk.until(job)
    lines = (await bulk.http.get(f"{job}/results")).content.decode().split("\r\n")
    created = (await bulk.rows("Contact"))[0]["CreatedDate"].replace("+0000", "Z")
    assert lines == [
        '"LastName";"Account.Name";"Account.Owner.Username";"Account.AnnualRevenue";"IsDeleted";'
        '"Birthdate";"CreatedDate"',
        f'"X";"A ""1"", B";"clerk@sandbox.example";"5.0";"false";"2001-02-03";"{created}"',
        f'"Y";"";"";"";"false";"";"{created}"',
        "",
    ]


async def test_results_show_the_moment_the_job_ran(bulk):
    [account] = await bulk.insert("Account", {"Name": "Before"})
    contacts = await bulk.insert(
        "Contact", *({"LastName": f"{n:04d}", "AccountId": account} for n in range(2500))
    )
    await bulk.settings(rows_per_second=20_000)
    soql = "SELECT LastName, Account.Name FROM Contact ORDER BY LastName"
    job = await bulk.query(soql)
    await bulk.until(job, "InProgress")
    await bulk.http.patch(f"/sandbox/state/Account/{account}", json={"Name": "After"})
    await bulk.http.patch(f"/sandbox/state/Contact/{contacts[-1]}", json={"LastName": "new"})
    await bulk.http.delete(f"/sandbox/state/Contact/{contacts[-2]}")
    assert (await bulk.http.get(f"{job}/results")).status_code == 400
    await bulk.until(job)
    rows, _ = await page(bulk, job)
    assert [row["LastName"] for row in rows] == [f"{n:04d}" for n in range(2500)]
    assert {row["Account.Name"] for row in rows} == {"Before"}


async def test_query_all_holds_deleted_rows(bulk):
    [gone, _] = await bulk.insert("Account", {"Name": "Gone"}, {"Name": "Here"})
    await bulk.http.delete(f"/sandbox/state/Account/{gone}")
    for operation, names in (("query", ["Here"]), ("queryAll", ["Gone", "Here"])):
        job = await bulk.query("SELECT Name FROM Account ORDER BY Name", operation)
        await bulk.until(job)
        assert [row["Name"] for row in (await page(bulk, job))[0]] == names


async def test_results_need_the_api_version_of_the_job_and_a_real_locator(bulk):
    await bulk.insert("Account", {"Name": "A"})
    job = await bulk.query("SELECT Id FROM Account")
    await bulk.until(job)
    other = await bulk.http.get(f"{job.replace('v62.0', 'v61.0')}/results")
    assert other.status_code == 409
    for given in ("nonsense", "OTk=", "LTE="):
        answer = await bulk.http.get(f"{job}/results", params={"locator": given})
        assert answer.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    assert (await bulk.http.get(f"{job}/results?maxRecords=0")).status_code == 400


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT COUNT(Id) FROM Account", "FEATURENOTENABLED"),
        ("SELECT COUNT() FROM Account", "FEATURENOTENABLED"),
        ("SELECT Name FROM Account GROUP BY Name", "FEATURENOTENABLED"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "FEATURENOTENABLED"),
        ("SELECT Id FROM Account LIMIT 5 OFFSET 5", "FEATURENOTENABLED"),
        ("SELECT BillingAddress FROM Account", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id FROM Account WHERE Nope = 1", "INVALID_FIELD"),
        ("SELECT Id, id FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account ORDER BY Nope", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT FROM Account", "MALFORMED_QUERY"),
    ],
)
async def test_a_query_that_cannot_run_is_refused_at_once(bulk, soql, code):
    body = {"operation": "query", "query": soql}
    answer = await bulk.http.post(f"{ROOT}/jobs/query", json=body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


async def test_a_query_job_can_be_aborted_and_deleted(bulk):
    await bulk.settings(start_seconds=30)
    job = await bulk.query("SELECT Id FROM Account")
    aborted = (await bulk.http.patch(job, json={"state": "Aborted"})).json()
    assert aborted["state"] == "Aborted"
    assert (await bulk.http.delete(job)).status_code == 204
    assert (await bulk.http.get(job)).status_code == 404


async def test_query_jobs_count_against_their_allowance(bulk):
    await bulk.settings(query_jobs={"max": 3, "used": 2})
    await bulk.query("SELECT Id FROM Account")
    limits = (await bulk.http.get(f"{ROOT}/limits")).json()
    assert limits["DailyBulkV2QueryJobs"] == {"Max": 3, "Remaining": 0}
    body = {"operation": "query", "query": "SELECT Id FROM Account"}
    answer = await bulk.http.post(f"{ROOT}/jobs/query", json=body)
    assert answer.json()[0]["errorCode"] == "EXCEEDEDQUOTA"
    await bulk.settings(query_jobs={"max": 10_000})


async def test_large_results_travel_compressed_when_the_client_takes_it(bulk):
    await bulk.insert("Account", *({"Name": f"A{n}"} for n in range(500)))
    job = await bulk.query("SELECT Id, Name FROM Account")
    await bulk.until(job)
    plain = await bulk.http.get(f"{job}/results", headers={"Accept-Encoding": "identity"})
    packed = await bulk.http.get(f"{job}/results", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.text == plain.text
