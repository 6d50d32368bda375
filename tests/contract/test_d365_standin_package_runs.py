"""Executions of data projects: their states, faults on demand, and exports (F&O contract 6.1, 6.7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from sandbox.d365 import D365StandIn
from tests.contract.d365_standin import BASE, connect, entra
from tests.contract.packages_support import (
    COLUMNS,
    Framework,
    azurite,
    customer_rows,
    environment,
    parts,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox.entra import EntraStandIn
    from sandbox.storage.azurite import Azurite

__all__ = ["azurite", "entra"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")
FILE = {"entityName": "Customers V3"}
GROUPS = "Customer groups"


@pytest_asyncio.fixture(loop_scope="module")
async def framework(azurite: Azurite, entra: EntraStandIn) -> AsyncIterator[Framework]:
    async with (
        environment(azurite, entra, start_delay=0.02, run_delay=0.02) as d365,
        connect(d365) as http,
        httpx.AsyncClient() as web,
    ):
        yield Framework(http, web)


def customers(count: int = 1, **changes: str) -> bytes:
    return parts(customer_rows(count, **changes), auto=("CUSTOMERACCOUNT",)).zipped()


def reason(answer: httpx.Response) -> str:
    """The words of an action that failed in X++ (F&O contract 2.8)."""
    assert answer.status_code == 500
    text: str = answer.json()["error"]["innererror"]["message"]
    assert text.startswith("Exception occurred while executing action ")
    return text


async def test_the_states_follow_each_other(framework: Framework) -> None:
    await framework.http.put("/sandbox/packages", json={"start_delay": 0.3, "run_delay": 0.3})
    await framework.start(customers())
    seen = [await framework.status("run-1")]
    while seen[-1] in ("NotRun", "Executing"):
        await asyncio.sleep(0.002)
        status = await framework.status("run-1")
        if status != seen[-1]:
            seen.append(status)
    assert seen == ["NotRun", "Executing", "Succeeded"]


async def test_the_environment_makes_an_id_where_none_is_given(framework: Framework) -> None:
    answer = await framework.start(customers(), executionId="")
    execution = answer.json()["value"]
    assert execution.startswith("Accounts-20")
    assert await framework.ended(execution) == "Succeeded"
    page = await framework.value("GetExecutionSummaryPageUrl", executionId=execution)
    assert page.startswith(f"{BASE}/?cmp=usmf&mi=")


async def test_parallel_imports_and_used_ids_are_refused_and_counted(framework: Framework) -> None:
    await framework.fault("slow", seconds=1)
    await framework.start(customers())
    assert "in parallel" in reason(await framework.start(customers(), "run-2"))
    # Whoever asks again for the one that runs learns that it exists
    assert "history key collision" in reason(await framework.start(customers(), "RUN-1"))
    await framework.ended("run-1")
    assert "history key collision" in reason(await framework.start(customers(), "run-1"))
    assert await framework.imported(customers(), "run-2") == "Succeeded"
    await framework.fault("busy")
    assert "in parallel" in reason(await framework.start(customers(), "run-3"))
    assert await framework.counts() == {"imports": 2, "refused_parallel": 2, "refused_reuse": 2}
    assert len(await framework.rows("CustomersV3")) == 2


async def test_actions_refuse_parameters_they_do_not_know(framework: Framework) -> None:
    unknown = await framework.call("GetExecutionSummaryStatus", execution="x")
    assert unknown.status_code == 400
    typed = await framework.start(customers(), execute="true")
    assert typed.status_code == 400
    assert "Edm.Boolean" in typed.text
    assert "data project is empty" in reason(
        await framework.start(customers(), definitionGroupId="")
    )
    assert (await framework.call("InitializeDataManagement")).status_code == 204
    nothing = await framework.value("GetExecutionIdByMessageId", _messageId="x")
    assert nothing == "00000000-0000-0000-0000-000000000000"
    assert "no message" in reason(await framework.call("GetMessageStatus", messageId="x"))


async def test_without_storage_there_is_no_url(entra: EntraStandIn) -> None:
    async with connect(D365StandIn(entra=entra)) as http, httpx.AsyncClient() as web:
        answer = await Framework(http, web).call("GetAzureWriteUrl", uniqueFileName="x")
    assert "no blob storage" in reason(answer)


async def test_bad_request_may_flicker_after_the_start(framework: Framework) -> None:
    await framework.http.put("/sandbox/packages", json={"start_delay": 0.5})
    await framework.fault("bad-request", polls=2)
    await framework.start(customers())
    texts = [await framework.status("run-1") for _ in range(3)]
    assert texts == ["Bad request", "Bad request", "NotRun"]
    assert await framework.ended("run-1") == "Succeeded"


async def test_unknown_passes_or_stays(framework: Framework) -> None:
    await framework.fault("unknown", polls=1)
    await framework.start(customers())
    assert await framework.status("run-1") == "Unknown"
    assert await framework.ended("run-1") == "Succeeded"
    await framework.fault("unknown", polls=0)
    assert await framework.imported(customers(), "run-2") == "Unknown"
    await asyncio.sleep(0.2)
    assert (await framework.seen("run-2"))["status"] == "Succeeded"
    assert await framework.status("run-2") == "Unknown"


async def test_a_stuck_import_writes_nothing_and_does_not_hold_up_the_next(
    framework: Framework,
) -> None:
    await framework.fault("stuck", project="^Accounts$")
    await framework.start(customers())
    assert await framework.status_other_than("NotRun", of="run-1") == "Executing"
    await asyncio.sleep(0.1)
    assert await framework.status("run-1") == "Executing"
    assert await framework.imported(customers(), "run-2") == "Succeeded"
    assert len(await framework.rows("CustomersV3")) == 1
    await framework.http.post("/sandbox/packages/cancel", json={"execution_id": "run-1"})
    assert await framework.status("run-1") == "Canceled"


async def test_a_clerk_cancels_an_import_that_is_slow(framework: Framework) -> None:
    await framework.fault("slow", seconds=60)
    await framework.start(customers())
    await framework.http.post("/sandbox/packages/cancel", json={"execution_id": "run-1"})
    assert await framework.ended("run-1") == "Canceled"
    assert await framework.imported(customers(), "run-2") == "Succeeded"


@pytest.mark.parametrize("rows", [0, 3])
async def test_a_crash_leaves_no_detail_and_maybe_some_rows(
    framework: Framework, rows: int
) -> None:
    await framework.fault("crash", rows=rows)
    assert await framework.imported(customers(5)) == "Failed"
    assert await framework.value("GetExecutionErrors", executionId="run-1") == ""
    assert len(await framework.rows("CustomersV3")) == rows
    faults = (await framework.http.get("/sandbox/packages/faults")).json()
    assert [(fault["count"], fault["fired"]) for fault in faults] == [(0, 1)]


async def test_details_come_late_or_never_on_demand(framework: Framework) -> None:
    bad = customers(2, CUSTOMERGROUPID="Local")
    await framework.fault("no-errors")
    await framework.fault("error-file", polls=3)
    assert await framework.imported(bad) == "Failed"
    assert await framework.value("GetExecutionErrors", executionId="run-1") == ""
    action = "GetImportTargetErrorKeysFileUrl"
    assert await framework.value(action, executionId="run-1", **FILE) == ""  # nobody asked for it
    made = await framework.value("GenerateImportTargetErrorKeysFile", executionId="run-1", **FILE)
    assert made is True
    for _ in range(3):
        assert await framework.value(action, executionId="run-1", **FILE) == ""
    assert await framework.some_url(action, executionId="run-1", **FILE)
    await framework.fault("no-error-file")
    assert await framework.imported(bad, "run-2") == "Failed"
    assert len(await framework.errors("run-2")) == 2
    await framework.value("GenerateImportTargetErrorKeysFile", executionId="run-2", **FILE)
    assert await framework.some_url(action, executionId="run-2", **FILE) == ""


async def test_a_deleted_history_is_forgotten(framework: Framework) -> None:
    await framework.imported(customers(1, CUSTOMERGROUPID="Local"))
    assert len(await framework.errors("run-1")) == 1
    answer = await framework.call("DeleteExecutionHistoryJob", executionId="run-1")
    assert answer.status_code == 204
    assert await framework.status("run-1") == "Unknown"
    assert await framework.value("GetExecutionErrors", executionId="run-1") == ""
    assert await framework.imported(customers()) == "Succeeded"


async def test_a_reset_ends_and_forgets_everything(framework: Framework) -> None:
    await framework.fault("slow", count=None, seconds=60)
    await framework.start(customers())
    await framework.http.put("/sandbox/packages", json={"export_url_polls": 7})
    wrong = await framework.http.put("/sandbox/packages", json={"export_url_polls": "7"})
    assert wrong.status_code == 400
    await framework.http.post("/sandbox/reset")
    body = (await framework.http.get("/sandbox/packages")).json()
    assert body["settings"]["export_url_polls"] == 1
    assert [body[name] for name in ("executions", "faults", "projects", "counts")] == [
        [],
        [],
        [],
        {},
    ]


async def test_an_export_holds_the_rows_of_its_company_in_a_package(framework: Framework) -> None:
    await framework.imported(customers(2, ORGANIZATIONNAME='Müller, "M"\nx'))
    await framework.imported(customers(1), "run-2", legalEntityId="demf")
    url = await framework.exported("All Customers V3", "export-1")
    rows = await framework.package(url, "Customers V3")
    assert [row["CUSTOMERACCOUNT"] for row in rows] == ["US-000001", "US-000002"]
    assert rows[0]["ORGANIZATIONNAME"] == 'Müller, "M"\nx'
    assert (rows[0]["CREDITLIMIT"], rows[0]["ONHOLDSTATUS"]) == ("0.000000", "No")
    assert rows[0]["CREDMANCUSTOMERSINCE"] == "1900-01-01 00:00:00"
    assert "DATAAREAID" not in rows[0]
    # What was exported can be imported elsewhere
    package = (await framework.web.get(url)).content
    assert await framework.imported(package, "run-3", legalEntityId="gbsi") == "Failed"
    assert "manual numbers" in (await framework.errors("run-3"))[0]["ErrorMessage"]
    assert (await framework.counts())["exports"] == 1


async def test_an_export_follows_its_project(framework: Framework) -> None:
    project = {"name": "Some", "entity": GROUPS, "fields": ["CUSTOMERGROUPID"]}
    answer = await framework.http.post("/sandbox/packages/projects", json=project)
    assert answer.json() == [{"name": "Some", "entities": [GROUPS], "changed_only": False}]
    rows = await framework.package(await framework.exported("Some", "export-1"), GROUPS)
    assert rows[0] == {"CUSTOMERGROUPID": "10"}
    unknown = await framework.call(
        "ExportToPackage", definitionGroupId="Nobody's", executionId="x", legalEntityId="usmf"
    )
    assert "'Nobody's' does not exist" in reason(unknown)
    wrong = {"name": "Some", "entity": GROUPS, "fields": ["NOPE"]}
    assert (await framework.http.post("/sandbox/packages/projects", json=wrong)).status_code == 400
    preview = {"definitionGroupId": "Some", "executionId": "export-2", "count": 2}
    await framework.value("ExportToPackagePreviewAsync", **preview)
    assert await framework.ended("export-2") == "Succeeded"
    url = await framework.some_url("GetExportedPackageUrl", executionId="export-2")
    assert len(await framework.package(url, GROUPS)) == 2


async def test_a_package_can_be_the_template_of_an_export(framework: Framework) -> None:
    await framework.imported(customers(1))
    template = parts([], COLUMNS).zipped()
    body = {"packageUrl": await framework.upload(template), "definitionGroupId": "Template"}
    await framework.value("ExportFromPackage", executionId="export-1", **body)
    assert await framework.ended("export-1") == "Succeeded"
    url = await framework.some_url("GetExportedPackageUrl", executionId="export-1")
    (row,) = await framework.package(url, "Customers V3")
    assert tuple(row) == COLUMNS


async def test_the_url_of_a_package_is_empty_for_some_polls(framework: Framework) -> None:
    await framework.fault("export-url", polls=2)
    body: dict[str, Any] = {"definitionGroupId": "CustomerGroups", "executionId": "export-1"}
    await framework.value("ExportToPackageAsync", **body)
    assert await framework.value("GetExportedPackageUrl", executionId="export-1") == ""
    assert await framework.ended("export-1") == "Succeeded"
    for _ in range(2):
        assert await framework.value("GetExportedPackageUrl", executionId="export-1") == ""
    assert await framework.value("GetExportedPackageUrl", executionId="export-1")


async def test_changes_are_exported_once_and_again_on_request(framework: Framework) -> None:
    project = "Customers V3 changes"

    async def names(execution: str, *, again: bool = False) -> list[str]:
        url = await framework.exported(project, execution, again=again)
        return [row["NAMEALIAS"] for row in await framework.package(url, "Customers V3")]

    await framework.imported(customers(3))
    assert await names("export-1") == ["Company 1", "Company 2", "Company 3"]
    assert await names("export-2") == []
    changed = [{"CustomerAccount": "US-000002", "NameAlias": "Changed"}]
    await framework.http.patch("/sandbox/state/CustomersV3", json=changed)
    await framework.imported(customers(1), "run-2")
    assert await names("export-3") == ["Changed", "Company 1"]
    assert await names("export-4") == []
    assert await names("export-3", again=True) == ["Changed", "Company 1"]
    lost = {"definitionGroupId": project, "executionId": "never", "reExecute": True}
    assert "does not exist" in reason(await framework.call("ExportToPackageAsync", **lost))
    assert (await framework.counts())["exports_again"] == 1


async def test_an_export_that_crashes_loses_no_change(framework: Framework) -> None:
    project = {"definitionGroupId": "Customers V3 changes", "executionId": "export-2"}
    await framework.exported(project["definitionGroupId"], "export-1")
    await framework.imported(customers(1))
    await framework.fault("crash", operation="export")
    await framework.value("ExportToPackageAsync", **project)
    assert await framework.ended("export-2") == "Failed"
    assert await framework.value("GetExportedPackageUrl", executionId="export-2") == ""
    url = await framework.exported(project["definitionGroupId"], "export-2", again=True)
    assert len(await framework.package(url, "Customers V3")) == 1
