"""Reconciliation finds what lost events left behind, and existing customers are linked, not doubled."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from azure.storage.blob import ContainerClient

from integration.state.blobs import BlobState
from integration.state.ledger import Ledger, LedgerEntry, now
from sandbox.stack import MASTER_KEY
from tests.end_to_end.world import new_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
NUMBER = "D365_Customer_Number__c"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[World]:
    async with new_world(RECONCILE_PAGE="2") as world:
        yield world


def container(world: World) -> ContainerClient:
    storage = world.sandbox.storage.connection_string
    return ContainerClient.from_connection_string(storage, "integration-state")


def reports(world: World) -> list[str]:
    with container(world) as blobs:
        if not blobs.exists():
            return []
        return sorted(blobs.list_blob_names(name_starts_with="reports/reconcile/"))


async def reconciled(world: World) -> dict[str, Any]:
    """Runs the timer by hand and returns the new report."""
    before = set(reports(world))
    answer = await world.sandbox.http.post(
        f"{world.sandbox.app_url}/admin/functions/reconcile",
        headers={"x-functions-key": MASTER_KEY},
        json={"input": ""},
    )
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(40):
        while True:
            new = [name for name in reports(world) if name not in before]
            if len(new) == 2:  # the text is written after the JSON, both before the job is done
                break
            await asyncio.sleep(0.1)
    await job_done(world)
    with container(world) as blobs:
        text = blobs.download_blob(next(name for name in new if name.endswith(".txt"))).readall()
        body = blobs.download_blob(next(name for name in new if name.endswith(".json"))).readall()
    return {**json.loads(body), "text": text.decode()}


async def job_done(world: World) -> None:
    async with asyncio.timeout(20):
        while True:
            with container(world) as blobs:
                lease = json.loads(blobs.download_blob("jobs/reconcile/current.json").readall())
            if not lease:
                return
            await asyncio.sleep(0.05)


def entries(report: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [
        each
        for entity in report["entities"].values()
        for each in entity["differences"]
        if each["key"] == key
    ]


async def test_drift_on_both_sides_is_found_repaired_and_gone_in_the_next_run(world: World) -> None:
    kept = await world.create_settled()
    edited = await world.create_settled()
    lost = await world.create(events=False)
    await world.change_customer(edited, OrganizationName="Typed over by a clerk")
    report = await reconciled(world)
    assert [each["operation"] for each in entries(report, lost)] == ["create"]
    assert entries(report, edited)[0]["fields"] == ["OrganizationName"]
    assert entries(report, kept) == []
    assert await world.is_in_step(kept, edited, lost)
    accounts = report["entities"]["accounts"]
    assert (accounts["complete"], accounts["repaired"]) == (True, accounts["hinted"])
    assert report["entities"]["customers"]["not_repaired"] == []
    assert f"different  accounts {lost}: create" in report["text"]
    assert "Typed over" not in report["text"]
    again = await reconciled(world)  # gives the new account what F&O owns of its customer
    assert again["entities"]["accounts"]["differing"] == 0, again["text"]
    last = await reconciled(world)
    assert all(entity["differing"] == 0 for entity in last["entities"].values()), last["text"]


async def test_a_lost_change_of_an_account_is_repaired_without_touching_the_others(
    world: World,
) -> None:
    key, other = await world.create_settled(), await world.create_settled()
    await world.change(key, events=False, Phone="+49 8041 99")
    before = await world.customer(other)
    report = await reconciled(world)
    assert entries(report, key)[0]["fields"] == ["PrimaryContactPhone"]
    assert (await world.customer(key))["PrimaryContactPhone"] == "+49 8041 99"
    assert (await world.customer(other)) == before


async def test_a_ledger_entry_is_tried_again_and_leaves_the_ledger(world: World) -> None:
    key = await world.create_settled()
    with container(world) as blobs:
        ledger = Ledger(BlobState(blobs))
        await ledger.record(
            LedgerEntry(
                flow="accounts",
                source="salesforce",
                object="Account",
                key=key,
                company=None,
                root=key,
                reason="busy",
                description="was locked",
                attempts=4,
                since=now(),
                at=now(),
            )
        )
        report = await reconciled(world)
        assert report["ledger"]["hinted"] == 1
        await world.settled()
        assert [entry.key async for entry in ledger.entries()] == []
    assert (await reconciled(world))["ledger"]["entries"] == 0


async def test_a_record_that_its_flow_refuses_is_reported_and_not_sent(world: World) -> None:
    key = await world.create_settled()
    await world.change(key, events=False, **{NUMBER: "US-GONE"})
    await world.change(key, events=False, Phone="+49 8041 7")
    for row in await world.customers(key):
        await world.add_customer(**{**row, "SalesforceAccountId": ""})
    report = await reconciled(world)
    problems = report["entities"]["accounts"]["problems"]
    assert [each["reason"] for each in problems if each["key"] == key] == ["customer-gone"]
    assert world.letters(key) == []


async def test_the_command_waits_for_the_report_and_prints_it(world: World) -> None:
    lost = await world.create(events=False)
    code, out, err = await command(world, "reconcile", "--full", "--wait")
    assert code == 0, err
    assert "everything" in out
    assert await world.is_in_step(lost)
    assert f"accounts {lost}: create" in out


async def command(world: World, *arguments: str, **env: str) -> tuple[int, str, str]:
    """Runs `python -m integration` with the app's settings."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "integration", *arguments,
        env={**os.environ, **world.sandbox.env, **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def test_existing_customers_are_linked_as_approved_and_only_the_rest_is_created(
    world: World, tmp_path: Path
) -> None:
    await world.run_with(CUSTOMER_CREATION="after-match")
    mark = uuid.uuid4().hex[:8]
    await world.add_customer(
        CustomerAccount=f"OLD-{mark}",
        OrganizationName=f"Matching {mark} GmbH",
        AddressZipCode="83646",
    )
    for twin in ("A", "B"):
        await world.add_customer(
            CustomerAccount=f"{twin}-{mark}",
            OrganizationName=f"Twin {mark}",
            AddressZipCode="83646",
        )
    linked = await world.create(Name=f"MATCHING {mark}")
    unsure = await world.create(Name=f"Twin {mark} Ltd.")
    fresh = await world.create(Name=f"Nobody knows {mark}")
    await world.settled()
    assert [await world.customers(key) for key in (linked, unsure, fresh)] == [[], [], []]
    file = tmp_path / "match.csv"
    code, _, err = await command(world, "match", "accounts", "--output", str(file))
    assert code == 0, err
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = [row for row in csv.DictReader(text) if mark in row["account_name"]]
    found = {(row["account_id"], row["customer_number"]): row["approved"] for row in rows}
    assert found == {
        (linked, f"OLD-{mark}"): "yes",
        (unsure, f"A-{mark}"): "no",
        (unsure, f"B-{mark}"): "no",
        (fresh, ""): "yes",
    }
    assert [await world.customers(key) for key in (linked, unsure, fresh)] == [[], [], []]
    code, _, err = await command(world, "match", "accounts", "--apply", str(file), "--yes")
    assert code == 0, err
    await world.settled()
    assert (await world.customer(linked))["CustomerAccount"] == f"OLD-{mark}"
    assert (await world.account(linked))[NUMBER] == f"OLD-{mark}"
    assert await world.is_in_step(linked, fresh)
    assert await world.customers(unsure) == []


async def test_a_file_with_mistakes_is_refused_as_a_whole(world: World, tmp_path: Path) -> None:
    await world.run_with(CUSTOMER_CREATION="after-match")
    key = await world.create()
    await world.settled()
    file = tmp_path / "match.json"
    line = {"account_id": key, "company": "usmf", "customer_number": "", "approved": "yes"}
    bad = [
        line,
        {**line, "customer_number": "NO-SUCH"},
        {**line, "approved": "perhaps"},
        {**line, "account_id": "nonsense"},
    ]
    file.write_text(json.dumps(bad))
    code, _, err = await command(world, "match", "accounts", "--apply", str(file), "--yes")
    assert code == 1
    assert "entry 2: the account is approved already in entry 1" in err
    assert "entry 3: approved must be yes or no" in err
    assert "entry 4: account_id is no Salesforce id" in err
    assert "Traceback" not in err
    await world.settled()
    assert await world.customers(key) == []


async def test_wrong_settings_are_one_list_without_a_traceback(world: World) -> None:
    code, _, err = await command(world, "reconcile", D365_BASE_URL="nowhere", BATCH_SIZE="0")
    assert code == 2
    assert "D365_BASE_URL" in err
    assert "BATCH_SIZE" in err
    assert "Traceback" not in err


async def test_a_lost_contact_and_a_lost_change_of_a_customer_are_repaired(world: World) -> None:
    await world.run_with()
    key = await world.create_settled()
    url = f"{world.sandbox.salesforce.url}/sandbox/state/Contact"
    answer = await world.sandbox.http.post(
        url, json=[{"AccountId": key, "LastName": "Überall"}], params={"events": "false"}
    )
    [contact] = answer.json()["ids"]
    await world.change_customer(key, CreditLimit=1234.5)
    report = await reconciled(world)
    assert entries(report, contact)[0]["operation"] == "create"
    found = await world._rows("d365", "ContactPersons", f"SalesforceContactId eq '{contact}'")
    assert [row["LastName"] for row in found] == ["Überall"]
    assert (await world.account(key))["D365_Credit_Limit__c"] == 1234.5
    assert report["entities"]["contacts"]["repaired"] == 1
