"""Data packages into the F&O stand-in: what is written, what fails and how it is told (F&O contract 6)."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from tests.contract.d365_standin import connect, entra
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
AUTO = ("CUSTOMERACCOUNT",)


@pytest_asyncio.fixture(loop_scope="module")
async def framework(azurite: Azurite, entra: EntraStandIn) -> AsyncIterator[Framework]:
    async with (
        environment(azurite, entra, start_delay=0.01, run_delay=0.02) as d365,
        connect(d365) as http,
        httpx.AsyncClient() as web,
    ):
        yield Framework(http, web)


def customers(count: int, **changes: str) -> bytes:
    return parts(customer_rows(count, **changes), auto=AUTO).zipped()


async def test_a_text_answer_is_plain_text_in_its_envelope(framework: Framework) -> None:
    answer = await framework.call("GetExecutionSummaryStatus", executionId="nobody")
    assert answer.json() == {
        "@odata.context": f"{framework.http.base_url}/data/$metadata#Edm.String",
        "value": "Unknown",
    }
    place = json.loads(await framework.value("GetAzureWriteUrl", uniqueFileName="a b.zip"))
    assert set(place) == {"BlobId", "BlobUrl"}
    assert place["BlobId"].startswith("{")
    assert "/dmf/a%20b.zip?" in place["BlobUrl"]
    naked = await framework.web.put(
        place["BlobUrl"].partition("?")[0], content=b"", headers={"x-ms-blob-type": "BlockBlob"}
    )
    assert naked.status_code in (401, 403, 404)


async def test_new_customers_get_their_numbers_and_defaults(framework: Framework) -> None:
    assert await framework.imported(customers(3)) == "Succeeded"
    rows = await framework.rows("CustomersV3")
    assert [row["CustomerAccount"] for row in rows] == ["US-000001", "US-000002", "US-000003"]
    assert {row["dataAreaId"] for row in rows} == {"usmf"}
    assert rows[0]["NameAlias"] == "Company 1"
    assert len({row["PartyNumber"] for row in rows}) == 3
    assert rows[0]["LanguageId"] == "en-US"
    seen = await framework.seen("run-1")
    assert seen["entities"][0]["inserted"] == 3
    assert await framework.errors("run-1") == []


async def test_the_legal_entity_of_the_call_decides_the_company(framework: Framework) -> None:
    rows = [["usmf", *row] for row in customer_rows(1)]
    package = parts(rows, ("DATAAREAID", *COLUMNS), auto=AUTO).zipped()
    assert await framework.imported(package, legalEntityId="DEMF") == "Succeeded"
    (row,) = await framework.rows("CustomersV3")
    assert (row["dataAreaId"], row["CustomerAccount"]) == ("demf", "DE-000001")
    refused = await framework.start(package, "run-2", legalEntityId="zzzz")
    assert refused.status_code == 500
    assert "'zzzz' does not exist" in refused.json()["error"]["innererror"]["message"]


async def test_an_existing_key_is_updated_and_an_empty_cell_clears_it(framework: Framework) -> None:
    await framework.imported(customers(2))
    columns = ("CUSTOMERACCOUNT", "ORGANIZATIONNAME", "PAYMENTTERMS", "CREDITLIMIT", "ONHOLDSTATUS")
    first = [["us-000001", "Renamed", "Net30", "250.50", "all"], ["US-000002", "Same", "", "", ""]]
    second = [["US-000001", "Renamed", "", "", ""]]
    assert await framework.imported(parts(first, columns).zipped(), "run-2") == "Succeeded"
    rows = await framework.rows("CustomersV3")
    assert [row["OrganizationName"] for row in rows] == ["Renamed", "Same"]
    assert (rows[0]["PaymentTerms"], rows[0]["CreditLimit"]) == ("Net30", 250.5)
    assert rows[0]["OnHoldStatus"] == "All"
    assert rows[0]["SalesforceAccountId"] == "001000000000000001"  # not in the second file
    assert await framework.imported(parts(second, columns).zipped(), "run-3") == "Succeeded"
    row = (await framework.rows("CustomersV3"))[0]
    assert (row["PaymentTerms"], row["CreditLimit"], row["OnHoldStatus"]) == ("", 0, "No")
    assert (await framework.seen("run-3"))["entities"][0]["updated"] == 1


async def test_numbers_are_brought_along_only_where_the_sequence_allows_it(
    framework: Framework,
) -> None:
    package = parts(customer_rows(1, CUSTOMERACCOUNT="SF-1")).zipped()
    assert await framework.imported(package) == "Failed"
    (error,) = await framework.errors("run-1")
    assert error["Field"] == "CUSTOMERACCOUNT"
    assert "does not allow manual numbers" in error["ErrorMessage"]
    await framework.http.put("/sandbox/settings", json={"manual_numbers": {"CustomersV3": True}})
    assert await framework.imported(package, "run-2") == "Succeeded"
    unnumbered = parts(customer_rows(1)).zipped()
    assert await framework.imported(unnumbered, "run-3") == "Failed"
    (error,) = await framework.errors("run-3")
    assert error["ErrorMessage"] == "Field 'Customer account' must be filled in."


async def test_numbers_can_replace_those_in_the_file(framework: Framework) -> None:
    await framework.http.put("/sandbox/packages", json={"auto_numbers": "all"})
    package = parts(customer_rows(1, CUSTOMERACCOUNT="SF-1"), auto=AUTO).zipped()
    for execution in ("run-1", "run-2"):
        assert await framework.imported(package, execution) == "Succeeded"
    accounts = [row["CustomerAccount"] for row in await framework.rows("CustomersV3")]
    assert accounts == ["US-000001", "US-000002"]


async def test_rows_fail_one_by_one_each_with_its_reason(framework: Framework) -> None:
    columns = (*COLUMNS, "CREDITLIMIT", "CREDMANCUSTOMERSINCE", "ONHOLDSTATUS")
    good = ["1000.00", "2026-07-30", "No"]
    rows = [[*row, *good] for row in customer_rows(7)]
    rows[1][2] = "Local"
    rows[2][3] = ""
    rows[3][5] = "1.000,00"
    rows[4][6] = "30.07.2026"
    rows[5][7] = "Perhaps"
    rows[6][1] = "x" * 101
    package = parts(rows, columns, auto=AUTO).zipped()
    assert await framework.imported(package) == "PartiallySucceeded"
    errors = {error["RecordId"]: error for error in await framework.errors("run-1")}
    assert [(number, error["Field"]) for number, error in errors.items()] == [
        ("2", "CUSTOMERGROUPID"),
        ("3", ""),
        ("4", "CREDITLIMIT"),
        ("5", "CREDMANCUSTOMERSINCE"),
        ("6", "ONHOLDSTATUS"),
        ("7", "ORGANIZATIONNAME"),
    ]
    assert errors["2"]["ErrorMessage"] == (
        "The value 'Local' in field 'Customer group' is not found in the related table"
        " 'Customer groups'."
    )
    assert errors["3"]["ErrorMessage"] == "Field 'Currency' must be filled in."
    assert "would be truncated" in errors["7"]["ErrorMessage"]
    file = {"executionId": "run-1", "entityName": "Customers V3"}
    staging = await framework.table(await framework.value("GetImportStagingErrorFileUrl", **file))
    assert staging == [list(columns), *rows[3:]]
    assert await framework.value("GetImportTargetErrorKeysFileUrl", **file) == ""
    assert await framework.value("GenerateImportTargetErrorKeysFile", **file) is True
    assert await framework.value("GetImportTargetErrorKeysFileUrl", **file) == ""
    url = await framework.some_url("GetImportTargetErrorKeysFileUrl", **file)
    assert await framework.table(url) == [
        ["CUSTOMERACCOUNT", "SALESFORCEACCOUNTID"],
        ["", "001000000000000002"],
        ["", "001000000000000003"],
    ]
    assert [row["OrganizationName"] for row in await framework.rows("CustomersV3")] == ["Company 1"]


async def test_the_keys_file_may_hold_the_entity_key_only(framework: Framework) -> None:
    await framework.http.put("/sandbox/packages", json={"extension_keys": False})
    await framework.imported(customers(1))
    rows = customer_rows(1, CUSTOMERACCOUNT="US-000001", CUSTOMERGROUPID="Local")
    assert await framework.imported(parts(rows).zipped(), "run-2") == "Failed"
    file = {"executionId": "run-2", "entityName": "customers v3"}
    answer = await framework.call("GenerateImportTargetErrorKeysFile", **file)
    assert answer.json()["@odata.context"].endswith("$metadata#Edm.Boolean")
    url = await framework.some_url("GetImportTargetErrorKeysFileUrl", **file)
    assert await framework.table(url) == [["CUSTOMERACCOUNT"], ["US-000001"]]


async def test_a_key_twice_in_a_file_and_a_broken_row_do_not_reach_staging(
    framework: Framework,
) -> None:
    await framework.imported(customers(1))
    twice = customer_rows(2, CUSTOMERACCOUNT="US-000001")
    package = parts([*twice, ["US-000001", "short"]]).zipped()
    assert await framework.imported(package, "run-2") == "PartiallySucceeded"
    messages = [error["ErrorMessage"] for error in await framework.errors("run-2")]
    assert messages == [
        "The key exists twice in the file.",
        "The row has 2 columns instead of 5.",
    ]
    answer = await framework.value(
        "GenerateImportTargetErrorKeysFile", executionId="run-2", entityName="Customers V3"
    )
    assert answer is False


@pytest.mark.parametrize(
    ("source_format", "encoding"),
    [
        ("CSV-Unicode", "utf-8"),
        ("CSV-Unicode", "utf-8-sig"),
        ("CSV-Unicode", "utf-16"),
        ("CSV", "cp1252"),
        ("CSV-UTF16", "utf-16-le"),
        ("Tenant", "iso8859_15"),
    ],
)
async def test_text_survives_in_the_encoding_of_its_format(
    framework: Framework, source_format: str, encoding: str
) -> None:
    formats = {"Tenant": {"encoding": "iso8859_15", "delimiter": ";"}}
    await framework.http.put("/sandbox/packages", json={"formats": formats})
    name = 'Müller, "Søn" & Co; € \n2. Zeile'
    delimiter = ";" if source_format == "Tenant" else ","
    made = parts(
        customer_rows(1, ORGANIZATIONNAME=name),
        auto=AUTO,
        source_format=source_format,
        delimiter=delimiter,
    )
    package = made.zipped(xml="utf-8", data=encoding)
    assert await framework.imported(package) == "Succeeded", await framework.seen("run-1")
    assert (await framework.rows("CustomersV3"))[0]["OrganizationName"] == name


async def test_a_file_in_another_encoding_than_its_format_is_no_error_but_wrong(
    framework: Framework,
) -> None:
    made = parts(customer_rows(1, ORGANIZATIONNAME="Müller"), auto=AUTO, source_format="CSV")
    assert await framework.imported(made.zipped()) == "Succeeded"
    assert (await framework.rows("CustomersV3"))[0]["OrganizationName"] == "MÃ¼ller"


@pytest.mark.parametrize(
    ("why", "broken"),
    [
        ("mapped but not in the file", parts(customer_rows(1), mapped=(*COLUMNS, "PAYMENTTERMS"))),
        ("no staging field", parts(customer_rows(1), mapped=("CustomerAccount",))),
        ("no source data format", parts(customer_rows(1), source_format="Nobody's")),
        ("no entity", parts(customer_rows(1), label="Customers V9")),
    ],
)
async def test_a_package_that_does_not_fit_ends_without_detail(
    framework: Framework, why: str, broken: object
) -> None:
    assert await framework.imported(broken.zipped()) == "Failed"  # type: ignore[attr-defined]
    assert await framework.value("GetExecutionErrors", executionId="run-1") == ""
    file = {"executionId": "run-1", "entityName": "Customers V3"}
    assert await framework.value("GenerateImportTargetErrorKeysFile", **file) is False
    assert await framework.rows("CustomersV3") == []
    assert why in (await framework.seen("run-1"))["trouble"]


async def test_members_out_of_order_and_strange_xml_break_a_package(framework: Framework) -> None:
    made = parts(customer_rows(1), auto=AUTO)
    manifest = made.manifest
    swapped = manifest.replace("<DefinitionGroupName>P</DefinitionGroupName>", "").replace(
        "</Description>", "</Description><DefinitionGroupName>P</DefinitionGroupName>", 1
    )
    for number, text in enumerate(
        (
            swapped,
            manifest.replace("2015/01", "2016/01"),
            manifest.replace("<ValidationStatus>Yes</ValidationStatus>", ""),
            manifest.replace("XMLField", "XmlField"),
            manifest[:-5],
        )
    ):
        made.manifest = text
        assert await framework.imported(made.zipped(), f"run-{number}") == "Failed", text
    assert await framework.imported(b"no zip", "run-9") == "Failed"
    made.manifest = manifest
    assert await framework.imported(made.zipped(), "run-10") == "Succeeded"


async def test_a_url_without_a_right_ends_the_import(framework: Framework) -> None:
    url = (await framework.upload(customers(1))).partition("?")[0]
    assert await framework.imported(customers(1), packageUrl=url) == "Failed"
    assert "cannot be downloaded" in (await framework.seen("run-1"))["trouble"]


async def test_contacts_and_products_are_imported_too(framework: Framework) -> None:
    await framework.imported(customers(1))
    party = (await framework.rows("CustomersV3"))[0]["PartyNumber"]
    columns = ("CONTACTPERSONID", "ASSOCIATEDPARTYNUMBER", "FIRSTNAME", "LASTNAME", "GENDER")
    rows = [["", party, "Ada", "Byron", "Non specific"], ["", "999", "Bob", "X", ""]]
    contacts = parts(rows, columns, label="Contact persons V2", auto=("CONTACTPERSONID",))
    assert await framework.imported(contacts.zipped(), "run-2") == "PartiallySucceeded"
    (contact,) = await framework.rows("ContactPersons")
    assert (contact["ContactPersonName"], contact["Gender"]) == ("Ada Byron", "NonSpecific")
    products = parts(
        [["D0001", "12.5", "7/30/2026"]],
        ("ITEMNUMBER", "SALESPRICE", "SALESPRICEDATE"),
        label="Released products V2",
    )
    assert await framework.imported(products.zipped(), "run-3") == "Succeeded"
    products_now = await framework.rows("ReleasedProductsV2?$filter=ItemNumber eq 'D0001'")
    usmf = next(row for row in products_now if row["dataAreaId"] == "usmf")
    assert (usmf["SalesPrice"], usmf["SalesPriceDate"]) == (12.5, "2026-07-30T12:00:00Z")


async def test_staging_alone_writes_nothing(framework: Framework) -> None:
    assert await framework.imported(customers(2), execute=False) == "Succeeded"
    assert await framework.rows("CustomersV3") == []


async def test_the_server_answers_while_twenty_thousand_rows_are_written(
    framework: Framework,
) -> None:
    await framework.start(customers(20_000))
    waits = []
    while True:
        started = time.perf_counter()
        status = await framework.status("run-1")
        waits.append(time.perf_counter() - started)
        if status not in ("NotRun", "Executing"):
            break
        await asyncio.sleep(0)
    assert status == "Succeeded"
    assert len(waits) > 20
    assert sorted(waits)[-3] < 1  # the machine may have been busy once or twice
    assert (await framework.seen("run-1"))["entities"][0]["inserted"] == 20_000
