"""SOQL, paging and describe of the stand-in (Salesforce contracts 2.4, 2.5 and 2.10)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.salesforce import SalesforceStandIn, generate_accounts
from sandbox.salesforce.server import new_key
from sandbox.salesforce.soql_dates import day_range
from tests.contract.salesforce_standin import ROOT, signed_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

# As in recorded answers of real orgs.
DESCRIBE_KEYS = """
actionOverrides activateable childRelationships compactLayoutable createable custom
customSetting deletable deprecatedAndHidden feedEnabled fields keyPrefix label labelPlural
layoutable mergeable mruEnabled name namedLayoutInfos queryable recordTypeInfos
replicateable retrieveable searchable supportedScopes triggerable undeletable updateable
urls
"""
FIELD_KEYS = """
aggregatable aiPredictionField autoNumber byteLength calculated calculatedFormula
cascadeDelete caseSensitive compoundFieldName controllerName createable custom defaultValue
defaultValueFormula defaultedOnCreate dependentPicklist deprecatedAndHidden digits
displayLocationInDecimal encrypted externalId extraTypeInfo filterable filteredLookupInfo
formulaTreatNullNumberAsZero groupable highScaleNumber htmlFormatted idLookup inlineHelpText
label length mask maskType name nameField namePointing nillable permissionable
picklistValues polymorphicForeignKey precision queryByDistance referenceTargetField
referenceTo relationshipName relationshipOrder restrictedDelete restrictedPicklist scale
searchPrefilterable soapType sortable type unique updateable writeRequiresMasterRead
"""
ACCOUNTS = [
    {"Name": "Acme", "Industry": "Energy", "AnnualRevenue": 100, "BillingCity": "Köln"},
    {"Name": "acme 100%", "Industry": "Energy", "AnnualRevenue": 300, "Site": "a_b"},
    {"Name": 'O\'Neill "x"', "Industry": "Retail", "NumberOfEmployees": 5},
    {"Name": "Zeta", "D365_Customer_Number__c": "C-1"},
]


@pytest.fixture(scope="module")
def standin() -> SalesforceStandIn:
    return SalesforceStandIn(private_key_pem=new_key())


@pytest.fixture
async def api(standin: SalesforceStandIn) -> AsyncIterator[httpx.AsyncClient]:
    async with signed_in(standin) as client:
        await client.post("/sandbox/reset")
        yield client


@pytest.fixture
async def ids(api: httpx.AsyncClient) -> list[str]:
    found: list[str] = (await api.post("/sandbox/state/Account", json=ACCOUNTS)).json()["ids"]
    contacts = [
        {"LastName": "Beta", "AccountId": found[0], "Email": "b@x.example"},
        {"LastName": "Alpha", "AccountId": found[0]},
        {"LastName": "Lonely"},
    ]
    await api.post("/sandbox/state/Contact", json=contacts)
    return found


async def query(api: httpx.AsyncClient, text: str, **headers: str) -> dict[str, Any]:
    answer = await api.get(f"{ROOT}/query/", params={"q": text}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def numbers(api: httpx.AsyncClient, where: str) -> set[int]:
    """Which of ACCOUNTS match."""
    page = await query(api, f"SELECT Name FROM Account WHERE {where}")
    names = [account["Name"] for account in ACCOUNTS]
    return {names.index(row["Name"]) for row in page["records"]}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Name = 'ACME'", {0}),
        ("Name != 'acme'", {1, 2, 3}),
        ("Industry != 'Energy'", {2, 3}),
        ("Name LIKE 'acme%'", {0, 1}),
        (r"Name LIKE '%100\%'", {1}),
        (r"Site LIKE 'a\_b'", {1}),
        ("Name LIKE 'A_me'", {0}),
        (r"Name = 'O\'Neill \"x\"'", {2}),
        ("Industry IN ('energy', 'Retail')", {0, 1, 2}),
        ("Industry NOT IN ('Energy')", {2, 3}),
        ("Industry = null", {3}),
        ("Industry != null AND AnnualRevenue = NULL", {2}),
        ("AnnualRevenue > 100", {1}),
        ("AnnualRevenue >= 100.0", {0, 1}),
        ("AnnualRevenue < 300 AND (Name = 'Acme' OR Name = 'Zeta')", {0}),
        ("NOT (Industry = 'Energy')", {2, 3}),
        ("(NOT Name LIKE 'a%') AND IsDeleted = false", {2, 3}),
        ("D365_Customer_Number__c = 'c-1'", {3}),
        ("D365_Customer_Number__c IN ('C-1', 'C-2') OR Name = 'Acme'", {0, 3}),
        ("NumberOfEmployees IN (4, 5)", {2}),
        ("CreatedDate = TODAY", {0, 1, 2, 3}),
        ("CreatedDate < TODAY", set()),
        ("SystemModstamp > 2020-01-01T00:00:00Z AND SystemModstamp >= LAST_N_DAYS:3", {0, 1, 2, 3}),
        ("SystemModstamp <= 2020-01-01T00:00:00+01:00", set()),
        ("Owner.Name = 'Carla Clerk' AND Account.Name = 'Zeta'", {3}),
        ("Id IN (SELECT AccountId FROM Contact WHERE LastName = 'Alpha')", {0}),
        ("BillingCity = 'köln'", {0}),
    ],
)
async def test_where_selects(api, ids, where, expected):
    assert await numbers(api, where) == expected


async def test_id_lists_accept_15_and_18_characters(api, ids):
    listed = "','".join([ids[3], ids[0][:15], ids[0]])
    page = await query(api, f"SELECT Id FROM Account WHERE Id IN ('{listed}')")
    assert [row["Id"] for row in page["records"]] == [ids[0], ids[3]]


async def test_rows_carry_attributes_parents_and_children(api, ids):
    page = await query(
        api,
        "SELECT Id, Name, BillingAddress, Owner.Name, (SELECT LastName FROM Contacts "
        "ORDER BY LastName) FROM Account WHERE Name IN ('Acme', 'Zeta') ORDER BY Name",
    )
    first, second = page["records"]
    assert first["attributes"] == {"type": "Account", "url": f"{ROOT}/sobjects/Account/{ids[0]}"}
    assert first["Owner"]["Name"] == "Carla Clerk"
    assert first["Owner"]["attributes"]["type"] == "User"
    assert first["BillingAddress"]["city"] == "Köln"
    assert first["Contacts"]["totalSize"] == 2
    assert [c["LastName"] for c in first["Contacts"]["records"]] == ["Alpha", "Beta"]
    assert second["Contacts"] is None
    page = await query(
        api, "SELECT LastName, Account.Name FROM Contact c ORDER BY c.Account.Name NULLS LAST"
    )
    accounts = [row["Account"] and row["Account"]["Name"] for row in page["records"]]
    assert accounts == ["Acme", "Acme", None]


async def test_order_limit_and_offset(api, ids):
    async def names(tail: str) -> list[str]:
        page = await query(api, f"SELECT Name FROM Account {tail}")
        return [row["Name"] for row in page["records"]]

    assert await names("ORDER BY AnnualRevenue DESC NULLS LAST LIMIT 2") == ["acme 100%", "Acme"]
    assert (await names("ORDER BY AnnualRevenue, Name"))[:2] == ['O\'Neill "x"', "Zeta"]
    assert await names("ORDER BY Name LIMIT 2 OFFSET 1") == ["acme 100%", 'O\'Neill "x"']


async def test_counts_and_aggregates(api, ids):
    page = await query(api, "SELECT COUNT() FROM Account WHERE Industry = 'Energy'")
    assert page == {"totalSize": 2, "done": True, "records": []}
    page = await query(
        api,
        "SELECT Industry, COUNT(Id) n, MAX(AnnualRevenue), SUM(AnnualRevenue) FROM Account "
        "WHERE Industry != null GROUP BY Industry HAVING COUNT(Id) > 1 ORDER BY Industry",
    )
    assert page["records"] == [
        {
            "attributes": {"type": "AggregateResult"},
            "Industry": "Energy",
            "n": 2,
            "expr0": 300.0,
            "expr1": 400.0,
        }
    ]
    page = await query(api, "SELECT MIN(AnnualRevenue) low, COUNT_DISTINCT(Industry) FROM Account")
    assert page["records"][0]["low"] == 100.0
    assert page["records"][0]["expr0"] == 2


async def test_fields_functions(api, ids):
    row = (await query(api, "SELECT FIELDS(ALL) FROM Account LIMIT 1"))["records"][0]
    assert {"Id", "Name", "BillingAddress", "Legal_Entity__c", "SystemModstamp"} <= set(row)
    row = (await query(api, "SELECT FIELDS(CUSTOM), Id FROM Account LIMIT 1"))["records"][0]
    assert "Legal_Entity__c" in row
    assert "Name" not in row
    assert "Name" in (await query(api, "SELECT FIELDS(STANDARD) FROM Account"))["records"][0]


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("SELECT Id FORM Account", "MALFORMED_QUERY", "ERROR at Row:1:Column:16"),
        ("SELECT Id FROM", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT FROM Account", "MALFORMED_QUERY", "unexpected token"),
        (
            "SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        (r"SELECT Id FROM Account WHERE Name = 'a\q'", "MALFORMED_QUERY", "Illegal character"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "LIMIT of at most 200"),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY", "must be grouped"),
        ("SELECT Foo FROM Account", "INVALID_FIELD", "No such column 'Foo' on entity 'Account'"),
        ("SELECT Id, Id FROM Account", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Foo.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Foo'"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "must be of type string"),
        ("SELECT Id FROM Account WHERE CreatedDate > '2025'", "INVALID_FIELD", "type dateTime"),
        (
            "SELECT Id FROM Account WHERE CreatedDate > 2025-01-01",
            "INVALID_FIELD",
            "must be of type dateTime and should not be enclosed in quotes",
        ),
        ("SELECT Id FROM Account WHERE Description = 'a'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Account WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE", "sObject type 'Nothing' is not supported."),
        ("SELECT Id, (SELECT Id FROM Foos) FROM Account", "INVALID_TYPE", "relationship 'Foos'"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
    ],
)
async def test_a_wrong_query_is_refused_with_its_reason(api, text, code, part):
    answer = await api.get(f"{ROOT}/query", params={"q": text})
    assert answer.status_code == 400
    assert answer.json()[0]["errorCode"] == code
    assert part in answer.json()[0]["message"]


async def test_pages_follow_the_locator_and_keep_what_the_query_saw(api):
    rows = generate_accounts(450, seed=3)
    made = (await api.post("/sandbox/state/Account", json=rows)).json()["ids"]
    options = {"Sforce-Query-Options": "batchSize=1"}  # a hint: 200 is the least
    page = await query(api, "SELECT Id, Name FROM Account ORDER BY Id", **options)
    assert (page["totalSize"], page["done"], len(page["records"])) == (450, False, 200)
    assert page["nextRecordsUrl"].startswith(f"{ROOT}/query/01g")
    assert page["nextRecordsUrl"].endswith("-200")
    await api.patch(f"/sandbox/state/Account/{made[449]}", json={"Name": "changed"})
    found = page["records"]
    while not page["done"]:
        page = (await api.get(page["nextRecordsUrl"])).json()
        assert page["totalSize"] == 450
        found += page["records"]
    assert "nextRecordsUrl" not in page
    assert [row["Id"] for row in found] == made
    assert found[449]["Name"] != "changed"


async def test_paging_by_id_reaches_every_row_once(api):
    made = (await api.post("/sandbox/state/Account", json=generate_accounts(150))).json()["ids"]
    found: list[str] = []
    while len(found) < 200:
        after = f"WHERE Id > '{found[-1]}'" if found else ""
        page = await query(api, f"SELECT Id FROM Account {after} ORDER BY Id LIMIT 40")
        if not page["records"]:
            break
        found += [row["Id"] for row in page["records"]]
    assert found == made


async def test_a_stale_locator_is_refused(api):
    await api.post("/sandbox/state/Account", json=generate_accounts(201))
    options = {"Sforce-Query-Options": "batchSize=200"}
    page = await query(api, "SELECT Id FROM Account", **options)
    await api.post("/sandbox/locators/expire")
    answer = await api.get(page["nextRecordsUrl"])
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


async def test_query_all_includes_deleted_rows(api, ids):
    await api.delete(f"{ROOT}/sobjects/Account/{ids[0]}")
    text = "SELECT Id, IsDeleted FROM Account WHERE Id = '" + ids[0] + "'"
    assert (await query(api, text))["totalSize"] == 0
    found = (await api.get(f"{ROOT}/queryAll", params={"q": text})).json()
    assert found["records"][0]["IsDeleted"] is True


async def test_updated_and_deleted_list_ids_of_a_window(api, ids):
    await api.delete(f"{ROOT}/sobjects/Account/{ids[0]}")
    now = datetime.now(UTC)
    window = {
        "start": (now - timedelta(hours=1)).isoformat(),
        "end": (now + timedelta(hours=1)).isoformat(),
    }
    changed = (await api.get(f"{ROOT}/sobjects/Account/updated/", params=window)).json()
    assert changed["ids"] == ids[1:]
    gone = (await api.get(f"{ROOT}/sobjects/Account/deleted/", params=window)).json()
    assert [row["id"] for row in gone["deletedRecords"]] == [ids[0]]
    counts = await api.get(f"{ROOT}/limits/recordCount", params={"sObjects": "Account,Contact"})
    assert counts.json() == {
        "sObjects": [{"count": 3, "name": "Account"}, {"count": 1, "name": "Contact"}]
    }


async def test_describe_tells_keys_lengths_and_rights(api):
    answer = await api.get(f"{ROOT}/sobjects/Account/describe")
    body = answer.json()
    fields = {field["name"]: field for field in body["fields"]}
    key = fields["D365_Customer_Number__c"]
    assert (key["externalId"], key["unique"], key["caseSensitive"], key["idLookup"]) == (
        True,
        True,
        False,
        True,
    )
    assert (fields["Name"]["length"], fields["Name"]["byteLength"]) == (255, 765)
    assert fields["Name"]["nillable"] is False
    assert fields["CreatedDate"]["createable"] is False
    assert fields["OwnerId"]["referenceTo"] == ["User"]
    assert fields["BillingCity"]["compoundFieldName"] == "BillingAddress"
    assert "BillingCountryCode" not in fields
    assert set(DESCRIBE_KEYS.split()) <= set(body)
    assert set(key) == set(FIELD_KEYS.split())
    children = {c["relationshipName"]: c["childSObject"] for c in body["childRelationships"]}
    assert children["Contacts"] == "Contact"
    unchanged = {"If-Modified-Since": answer.headers["last-modified"]}
    again = await api.get(f"{ROOT}/sobjects/Account/describe", headers=unchanged)
    assert again.status_code == 304
    entry = (await api.get(f"{ROOT}/sobjects/PricebookEntry/describe")).json()
    rights = {f["name"]: (f["createable"], f["updateable"]) for f in entry["fields"]}
    assert rights["Product2Id"] == (True, False)
    product = (await api.get(f"{ROOT}/sobjects/Product2/describe")).json()
    cased = {f["name"]: f["caseSensitive"] for f in product["fields"]}
    assert cased["D365_Item_Number__c"] is True


async def test_the_lists_of_objects_and_resources(api, standin):
    everything = (await api.get(f"{ROOT}/sobjects")).json()
    assert everything["maxBatchSize"] == 200
    names = {row["name"]: row["keyPrefix"] for row in everything["sobjects"]}
    assert (names["Account"], names["OpportunityLineItem"]) == ("001", "00k")
    resources = (await api.get(f"{ROOT}/")).json()
    assert resources["identity"].endswith(f"/id/{standin.org_id}/{standin.org.users.integration}")
    basic = (await api.get(f"{ROOT}/sobjects/Account/")).json()
    assert basic["objectDescribe"]["name"] == "Account"
    remaining = (await api.get(f"{ROOT}/limits/")).json()["DailyApiRequests"]
    assert remaining["Remaining"] < remaining["Max"]


@pytest.mark.parametrize(
    ("word", "first", "end"),
    [
        ("TODAY", date(2025, 1, 15), date(2025, 1, 16)),
        ("YESTERDAY", date(2025, 1, 14), date(2025, 1, 15)),
        ("LAST_N_DAYS:7", date(2025, 1, 8), date(2025, 1, 16)),
        ("NEXT_N_DAYS:2", date(2025, 1, 16), date(2025, 1, 18)),
        ("N_DAYS_AGO:1", date(2025, 1, 14), date(2025, 1, 15)),
        ("THIS_WEEK", date(2025, 1, 12), date(2025, 1, 19)),
        ("LAST_MONTH", date(2024, 12, 1), date(2025, 1, 1)),
        ("NEXT_YEAR", date(2026, 1, 1), date(2027, 1, 1)),
    ],
)
def test_date_literals_are_ranges_of_days(word, first, end):
    assert day_range(word, date(2025, 1, 15)) == (first, end)
