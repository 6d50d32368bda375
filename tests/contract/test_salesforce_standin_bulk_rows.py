"""What becomes of the rows of an ingest job: cells, parents, rules, errors (Salesforce contract 3.3, 7)."""

from __future__ import annotations

import pytest

from tests.contract.bulk_support import ACCOUNT_KEY, ITEM_KEY, PRICE_KEY, Client, bulk, shared

__all__ = ["bulk", "shared"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")
UPSERT_ACCOUNTS = {"externalIdFieldName": ACCOUNT_KEY}
UPSERT_PRICES = {"externalIdFieldName": PRICE_KEY}


async def books(bulk: Client) -> tuple[str, str]:
    """The standard price book and a custom one."""
    found = {row["IsStandard"]: row["Id"] for row in await bulk.rows("Pricebook2")}
    return found[True], found[False]


async def test_an_empty_cell_is_left_alone_and_na_clears(bulk):
    [one, two] = await bulk.insert(
        "Account",
        {"Name": "A", ACCOUNT_KEY: "C-1", "Phone": "1", "AnnualRevenue": 5},
        {"Name": "B", ACCOUNT_KEY: "C-2", "Phone": "2"},
    )
    text = f"Id,{ACCOUNT_KEY},Phone,AnnualRevenue,Website\n,C-1,#N/A,,w\n,C-2,,7,#N/A\n,C-3,,,\n"
    job, info = await bulk.loaded("Account", "upsert", text, **UPSERT_ACCOUNTS)
    assert info["numberRecordsFailed"] == 1  # C-3 would be new and has no name
    found = {row["Id"]: row for row in await bulk.rows("Account")}
    names = ("Name", "Phone", "AnnualRevenue", "Website")
    assert [found[one][name] for name in names] == ["A", None, 5.0, "w"]
    assert [found[two][name] for name in names] == ["B", "2", 7.0, None]
    good = await bulk.results(job, "successfulResults")
    assert {row["sf__Created"] for row in good} == {"false"}
    _, info = await bulk.loaded("Account", "update", f"Id,Name\n{one},#N/A\n")
    assert info["numberRecordsFailed"] == 1


async def test_a_key_is_found_without_case_and_keeps_its_spelling(bulk):
    await bulk.insert("Account", {"Name": "A", ACCOUNT_KEY: "C-1"})
    text = f"{ACCOUNT_KEY},Name\nc-1,B\n"
    _, info = await bulk.loaded("Account", "upsert", text, **UPSERT_ACCOUNTS)
    [row] = await bulk.rows("Account")
    assert (info["numberRecordsFailed"], row["Name"], row[ACCOUNT_KEY]) == (0, "B", "C-1")


async def test_parents_are_found_by_their_external_id(bulk):
    [account] = await bulk.insert("Account", {"Name": "A", ACCOUNT_KEY: "C-1"})
    text = f"LastName,account.{ACCOUNT_KEY.lower()}\nX,c-1\nY,C-9\nZ,\nW,#N/A\n"
    job, info = await bulk.loaded("Contact", "insert", text)
    assert info["numberRecordsFailed"] == 1
    found = {row["LastName"]: row["AccountId"] for row in await bulk.rows("Contact")}
    assert found == {"X": account, "Z": None, "W": None}
    assert await bulk.errors(job) == [
        f"INVALID_FIELD:Foreign key external ID: C-9 not found for field {ACCOUNT_KEY} in entity "
        "Account:--"
    ]


async def test_prices_follow_the_price_book_rules(bulk):
    standard, custom = await books(bulk)
    await bulk.insert("Product2", *({"Name": name, ITEM_KEY: name} for name in ("I1", "I2")))
    header = f"{PRICE_KEY},Pricebook2Id,Product2.{ITEM_KEY},CurrencyIsoCode,UnitPrice,IsActive\n"
    first = (
        header
        + f"S1,{standard},I1,EUR,12.345,true\nC1,{custom},I1,USD,9,1\nX,{custom},i1,EUR,1,1\n"
    )
    job, info = await bulk.loaded("PricebookEntry", "upsert", first, **UPSERT_PRICES)
    assert (info["numberRecordsProcessed"], info["numberRecordsFailed"]) == (3, 2)
    errors = sorted(await bulk.errors(job))
    assert errors == [
        f"INVALID_FIELD:Foreign key external ID: i1 not found for field {ITEM_KEY} in entity "
        "Product2:--",
        "STANDARD_PRICE_NOT_DEFINED:Before creating a custom price, create a standard price.:--",
    ]
    again = header + f"S1,{standard},I1,EUR,13,true\nD1,{standard},I1,EUR,13,true\n"
    job, _ = await bulk.loaded("PricebookEntry", "upsert", again, **UPSERT_PRICES)
    [row] = await bulk.rows("PricebookEntry")
    found = {
        r[PRICE_KEY]: (r["sf__Id"], r["sf__Error"])
        for r in await bulk.results(job, "failedResults")
    }
    assert found["S1"][0] == row["Id"]
    assert found["S1"][1].startswith("INVALID_FIELD_FOR_INSERT_UPDATE:Unable to update fields: ")
    assert found["S1"][1].endswith(":Pricebook2Id Product2Id CurrencyIsoCode --")
    assert found["D1"] == (
        "",
        "DUPLICATE_VALUE:This price definition already exists in this price book:--",
    )
    assert (row["UnitPrice"], row["IsActive"], row["Name"]) == (12.35, True, "I1")
    text = f"{PRICE_KEY},UnitPrice,IsActive\nS1,13.5,no\n"
    _, info = await bulk.loaded("PricebookEntry", "upsert", text, **UPSERT_PRICES)
    [row] = await bulk.rows("PricebookEntry")
    assert (info["numberRecordsFailed"], row["UnitPrice"], row["IsActive"]) == (0, 13.5, False)


@pytest.mark.parametrize(
    ("cells", "error"),
    [
        (",A,,", f"MISSING_ARGUMENT:{ACCOUNT_KEY} not specified:{ACCOUNT_KEY} --"),
        ("C-5," + "x" * 256 + ",,", "(max length=255):Name --"),
        ("C-5,A,x,", "INVALID_FIELD:Failed to deserialize field at col 2. Due to, 'x' is not a valid "
                     "value for the type xsd:double:AnnualRevenue --"),
        ("C-5,A,,1.5", "value for the type xsd:int:NumberOfEmployees --"),
        ("C-5,A,1" + "0" * 18 + ",", "NUMBER_OUTSIDE_VALID_RANGE:"),
        ("C-5,A,,\nc-5,B,,", "DUPLICATE_VALUE:Duplicate external id specified: "),
        ("x" * 41 + ",A,,", "(max length=40):D365_Customer_Number__c --"),
    ],
)  # fmt: skip
async def test_a_bad_row_fails_alone_with_its_reason(bulk, cells, error):
    text = f"{ACCOUNT_KEY},Name,AnnualRevenue,NumberOfEmployees\nC-1,Good,1,2\n{cells}\n"
    job, info = await bulk.loaded("Account", "upsert", text, **UPSERT_ACCOUNTS)
    assert info["state"] == "JobComplete"
    errors = await bulk.errors(job)
    assert errors
    assert all(error in found for found in errors)
    assert [row["Name"] for row in await bulk.rows("Account")] == ["Good"]


async def test_insert_update_and_delete_go_by_id(bulk):
    job, _ = await bulk.loaded("Account", "insert", "Id,Name\n,A\n,B\n001Aa0000000001IAA,C\n")
    assert await bulk.errors(job) == [
        "INVALID_FIELD_FOR_INSERT_UPDATE:cannot specify Id in an insert call:Id --"
    ]
    ids = {row["Name"]: row["Id"] for row in await bulk.rows("Account")}
    text = f"Id,Name\n{ids['A'][:15]},A2\n,B2\n003Aa0000000001IAA,C2\n"
    job, _ = await bulk.loaded("Account", "update", text)
    assert sorted(await bulk.errors(job)) == [
        "MALFORMED_ID:Account ID: id value of incorrect type: 003Aa0000000001IAA:Id --",
        "MISSING_ARGUMENT:Id not specified in an update call:--",
    ]
    [updated] = await bulk.results(job, "successfulResults")
    assert (updated["sf__Id"], updated["sf__Created"]) == (ids["A"], "false")
    job, _ = await bulk.loaded("Account", "delete", f"Id\n{ids['A']}\n{ids['A']}\n")
    assert [row["Name"] for row in await bulk.rows("Account")] == ["B"]
    assert await bulk.errors(job) == ["ENTITY_IS_DELETED:entity is deleted:--"]
    _, info = await bulk.loaded("Account", "delete", f"Id,Name\n{ids['B']},x\n")
    assert info["state"] == "Failed"
    _, info = await bulk.loaded(
        "Account", "upsert", f"Id,Name\n{ids['B']},B2\n,D\n", externalIdFieldName="Id"
    )
    assert sorted(row["Name"] for row in await bulk.rows("Account")) == ["B2", "D"]


async def test_the_amount_of_an_opportunity_is_exact_to_the_cent(bulk):
    standard, _ = await books(bulk)
    [product] = await bulk.insert("Product2", {"Name": "P"})
    price = {"Pricebook2Id": standard, "Product2Id": product, "UnitPrice": 0.1, "IsActive": True}
    [entry] = await bulk.insert("PricebookEntry", price)
    order = {"Name": "O", "StageName": "Prospecting", "CloseDate": "2025-01-31"}
    [opportunity] = await bulk.insert("Opportunity", order)
    text = "OpportunityId,PricebookEntryId,Quantity,UnitPrice\n" + "".join(
        f"{opportunity},{entry},1,{amount}\n" for amount in ("0.1", "0.2", "0.3")
    )
    _, info = await bulk.loaded("OpportunityLineItem", "insert", text)
    [row] = await bulk.rows("Opportunity")
    assert (info["numberRecordsFailed"], row["Amount"]) == (0, 0.6)
