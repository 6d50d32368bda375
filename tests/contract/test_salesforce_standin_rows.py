"""Single rows, upsert by external id, and everything that refuses a row (contracts 2.1, 2.2, 2.11)."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from sandbox.salesforce.ids import normalise, to_18
from tests.contract.salesforce_standin import ROOT, api, key, standin

if TYPE_CHECKING:
    import httpx

__all__ = ["api", "key", "standin"]  # the fixtures

KEY = "D365_Customer_Number__c"


async def create(api: httpx.AsyncClient, name: str, **fields: Any) -> str:
    answer = await api.post(f"{ROOT}/sobjects/{name}/", json=fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def refused(api: httpx.AsyncClient, name: str, **fields: Any) -> dict[str, Any]:
    answer = await api.post(f"{ROOT}/sobjects/{name}", json=fields)
    assert answer.status_code == 400, answer.text
    assert len(answer.json()) == 1
    found: dict[str, Any] = answer.json()[0]
    return found


def test_the_id_suffix_follows_the_rule_and_repairs_case():
    assert to_18("00DAa0000000001") == "00DAa0000000001MAA"
    full = to_18("001Aa00000BbCdE")
    assert normalise("001Aa00000BbCdE") == full
    assert normalise(full.lower()[:15] + full[15:]) == full
    assert normalise("001Aa00000BbCdEZZZ") is None
    assert normalise("short") is None


async def test_a_row_is_created_read_changed_and_deleted(api):
    answer = await api.post(
        f"{ROOT}/sobjects/Account",
        json={"Name": " Müller & Söhne ", "BillingCity": "Köln", "AnnualRevenue": 12},
    )
    record_id = answer.json()["id"]
    assert answer.json() == {"id": record_id, "success": True, "errors": []}
    assert answer.headers["location"] == f"{ROOT}/sobjects/Account/{record_id}"
    url = f"{ROOT}/sobjects/Account/{record_id}"
    row = (await api.get(url)).json()
    assert row["attributes"] == {"type": "Account", "url": url}
    assert row["Name"] == "Müller & Söhne"
    assert row["AnnualRevenue"] == 12.0
    assert row["CurrencyIsoCode"] == "EUR"
    assert row["BillingAddress"]["city"] == "Köln"
    assert row["BillingAddress"]["country"] is None
    assert row["ShippingAddress"] is None
    assert row["SystemModstamp"].endswith(".000+0000")
    changed = await api.patch(url, json={"Name": "New", "BillingCity": None})
    assert (changed.status_code, changed.content) == (204, b"")
    assert (await api.get(url, params={"fields": "Name,BillingCity"})).json() == {
        "attributes": row["attributes"],
        "Name": "New",
        "BillingCity": None,
    }
    assert (await api.delete(url)).status_code == 204
    for answer in (await api.delete(url), await api.get(url), await api.patch(url, json={})):
        assert answer.status_code == 404
        assert answer.json()[0]["errorCode"] == "ENTITY_IS_DELETED"


async def test_15_characters_of_an_id_are_enough(api):
    record_id = await create(api, "Account", Name="A")
    row = (await api.get(f"{ROOT}/sobjects/Account/{record_id[:15]}")).json()
    assert row["Id"] == record_id


async def test_the_name_of_a_contact_is_composed(api):
    contact = await create(api, "Contact", FirstName="Zoë", LastName="O'Neill")
    assert (await api.get(f"{ROOT}/sobjects/Contact/{contact}")).json()["Name"] == "Zoë O'Neill"


@pytest.mark.parametrize(
    ("fields", "code", "message", "names"),
    [
        ({}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", ["Name"]),
        ({"Name": ""}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", ["Name"]),
        (
            {"Name": "x" * 256},
            "STRING_TOO_LONG",
            f"Account Name: data value too large: {'x' * 256} (max length=255)",
            ["Name"],
        ),
        (
            {"Name": "A", "CurrencyIsoCode": "XXX"},
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "Currency ISO Code: bad value for restricted picklist field: XXX",
            ["CurrencyIsoCode"],
        ),
        (
            {"Name": "A", "ParentId": "003Aa0000000001IAA"},
            "MALFORMED_ID",
            "Parent Account ID: id value of incorrect type: 003Aa0000000001IAA",
            ["ParentId"],
        ),
        (
            {"Name": "A", "ParentId": to_18("001Aa0000000001")},
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            [],
        ),
        (
            {"Name": "A", "AnnualRevenue": 10**18},
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Annual Revenue: value outside of valid range on numeric field: 1000000000000000000",
            ["AnnualRevenue"],
        ),
    ],
)
async def test_a_bad_value_is_refused_with_code_text_and_field(api, fields, code, message, names):
    assert await refused(api, "Account", **fields) == {
        "message": message,
        "errorCode": code,
        "fields": names,
    }


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"foo": 1}, "INVALID_FIELD", "No such column 'foo' on sobject of type Account"),
        (
            {"Id": "001"},
            "INVALID_FIELD",
            "The Id field should not be specified in the sobject data.",
        ),
        (
            {"CreatedDate": "2025-01-01T00:00:00Z"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create fields: CreatedDate.",
        ),
        (
            {"AnnualRevenue": "a lot"},
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of currency",
        ),
        ({"Name": {"a": 1}}, "JSON_PARSER_ERROR", "Cannot deserialize instance of string"),
    ],
)
async def test_a_body_the_object_does_not_know_is_refused(api, fields, code, text):
    problem = await refused(api, "Account", **{"Name": "A", **fields})
    assert problem["errorCode"] == code
    assert problem["message"].startswith(text)


async def test_a_bad_email_address_is_refused(api):
    problem = await refused(api, "Contact", LastName="A", Email="a@b")
    assert problem["errorCode"] == "INVALID_EMAIL_ADDRESS"


async def test_broken_json_wrong_types_and_gzip_bodies(api):
    url, kind = f"{ROOT}/sobjects/Account", {"content-type": "application/json"}
    answer = await api.post(url, content=b"{", headers=kind)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert (await api.post(url, content=b"a=b")).status_code == 415
    assert (await api.post(url, json=[1])).status_code == 400
    packed = gzip.compress(json.dumps({"Name": "packed"}).encode())
    answer = await api.post(url, content=packed, headers={**kind, "content-encoding": "gzip"})
    assert answer.status_code == 201


async def test_unknown_objects_rows_and_old_versions_are_404_and_wrong_methods_405(api):
    for url in (
        f"{ROOT}/sobjects/Nothing/describe",
        f"{ROOT}/sobjects/Account/{to_18('001Aa0000000001')}",
        f"{ROOT}/nothing",
        "/services/data/v49.0/limits",
    ):
        answer = await api.get(url)
        assert answer.status_code == 404
        assert answer.json()[0]["errorCode"] == "NOT_FOUND"
    answer = await api.patch(f"{ROOT}/sobjects", json={})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
    assert (await api.get("/services/data/v58.0/limits")).status_code == 200
    gone = await api.patch(f"{ROOT}/sobjects/Account/{to_18('001Aa0000000001')}", json={})
    assert (gone.status_code, gone.json()[0]["errorCode"]) == (404, "INVALID_CROSS_REFERENCE_KEY")


async def test_an_overlong_uri_is_refused(api):
    answer = await api.get(f"{ROOT}/query", params={"q": "x" * 17000})
    assert answer.status_code == 414


async def test_upsert_creates_then_updates_whatever_the_case_of_the_key(api):
    made = await api.patch(f"{ROOT}/sobjects/Account/{KEY}/c-1", json={"Name": "A"})
    record_id = made.json()["id"]
    assert made.status_code == 201
    assert made.json() == {"id": record_id, "success": True, "errors": [], "created": True}
    again = await api.patch(f"{ROOT}/sobjects/Account/{KEY}/C-1", json={"Name": "B"})
    assert again.status_code == 200
    assert again.json() == {"id": record_id, "success": True, "errors": [], "created": False}
    row = (await api.get(f"{ROOT}/sobjects/Account/{KEY}/C-1")).json()
    assert (row["Name"], row[KEY]) == ("B", "c-1")
    product = f"{ROOT}/sobjects/Product2/D365_Item_Number__c"
    for item in ("ab", "AB"):  # a case-sensitive key
        assert (await api.patch(f"{product}/{item}", json={"Name": item})).status_code == 201


async def test_a_key_with_slash_plus_and_umlaut_travels_percent_encoded(api):
    value = "A/B C+é#1"
    url = f"{ROOT}/sobjects/Account/{KEY}/"
    answer = await api.patch(url + quote(value, safe=""), json={"Name": "A"})
    assert answer.status_code == 201
    row = (await api.get(f"{ROOT}/sobjects/Account/{answer.json()['id']}")).json()
    assert row[KEY] == value
    assert (await api.patch(url + quote(value), json={"Name": "A"})).status_code == 404


async def test_upsert_refuses_a_repeated_key_and_a_field_that_is_no_key(api):
    answer = await api.patch(f"{ROOT}/sobjects/Account/{KEY}/C-1", json={"Name": "A", KEY: "C-1"})
    assert answer.status_code == 400
    assert (
        answer.json()[0]["message"]
        == f"The {KEY} field should not be specified in the sobject data."
    )
    answer = await api.patch(f"{ROOT}/sobjects/Account/Name/A", json={})
    assert answer.status_code == 404
    text = "Provided external ID field does not exist or is not accessible: Name"
    assert answer.json() == [{"message": text, "errorCode": "NOT_FOUND"}]
    answer = await api.patch(
        f"{ROOT}/sobjects/Account/{KEY}/C-9", params={"updateOnly": "true"}, json={"Name": "A"}
    )
    assert answer.status_code == 404


async def test_an_ambiguous_key_is_300_with_the_urls_and_writes_nothing(api):
    ids = [await create(api, "Contact", LastName="A", Email="a@b.example") for _ in range(2)]
    url = f"{ROOT}/sobjects/Contact/Email/{quote('A@b.example', safe='')}"
    for answer in (await api.patch(url, json={"LastName": "B"}), await api.get(url)):
        assert answer.status_code == 300
        assert answer.json() == [f"{ROOT}/sobjects/Contact/{i}" for i in ids]
    assert (await api.get(f"{ROOT}/sobjects/Contact/{ids[0]}")).json()["LastName"] == "A"


async def test_a_unique_value_is_held_by_one_row(api):
    first = await create(api, "Account", Name="A", **{KEY: "C-1"})
    problem = await refused(api, "Account", Name="B", **{KEY: "c-1"})
    assert problem == {
        "message": f"duplicate value found: {KEY} duplicates value on record with id: {first}",
        "errorCode": "DUPLICATE_VALUE",
        "fields": [],
    }
    await api.delete(f"{ROOT}/sobjects/Account/{first}")
    await create(api, "Account", Name="B", **{KEY: "c-1"})


async def test_a_parent_is_found_by_its_external_id(api):
    account = await create(api, "Account", Name="A", **{KEY: "C-1"})
    contact = await create(api, "Contact", LastName="B", Account={KEY: "c-1"})
    row = (await api.get(f"{ROOT}/sobjects/Contact/{contact}")).json()
    assert row["AccountId"] == account
    problem = await refused(api, "Contact", LastName="B", Account={KEY: "C-9"})
    assert problem["message"] == (
        f"Foreign key external ID: C-9 not found for field {KEY} in entity Account"
    )


async def test_deleting_an_account_takes_its_contacts_along(api):
    account = await create(api, "Account", Name="A")
    contact = await create(api, "Contact", LastName="B", AccountId=account)
    await api.delete(f"{ROOT}/sobjects/Account/{account}")
    answer = await api.get(f"{ROOT}/sobjects/Contact/{contact}")
    assert answer.json()[0]["errorCode"] == "ENTITY_IS_DELETED"


async def test_all_failing_validation_rules_are_reported_together(api):
    rules = [
        {"object": "Account", "field": "BillingCountry", "regex": "^$", "message": "Country?"},
        {"object": "Account", "field": "Phone", "regex": "^[^+]", "message": "No country code"},
    ]
    await api.put("/sandbox/validation-rules", json=rules)
    answer = await api.post(f"{ROOT}/sobjects/Account", json={"Name": "A", "Phone": "0221"})
    assert answer.json() == [
        {
            "message": rule["message"],
            "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "fields": [rule["field"]],
        }
        for rule in rules
    ]


async def test_a_duplicate_rule_blocks_unless_it_only_alerts_and_saving_is_allowed(api):
    first = await create(api, "Account", Name="Acme")
    rule = {"object": "Account", "fields": ["Name"], "allow_save": True}
    await api.put("/sandbox/duplicate-rules", json=[rule])
    problem = await refused(api, "Account", Name="ACME")
    assert problem["errorCode"] == "DUPLICATES_DETECTED"
    match = problem["duplicateResut"]["matchResults"][0]["matchRecords"][0]
    assert match["record"]["Id"] == first
    allow = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    url = f"{ROOT}/sobjects/Account"
    assert (await api.post(url, json={"Name": "ACME"}, headers=allow)).status_code == 201
    await api.put("/sandbox/duplicate-rules", json=[{**rule, "allow_save": False}])
    assert (await api.post(url, json={"Name": "ACME"}, headers=allow)).status_code == 400


async def test_country_codes_exist_only_with_the_feature_and_then_follow_the_name(api):
    problem = await refused(api, "Account", Name="A", BillingCountryCode="DE")
    assert problem["errorCode"] == "INVALID_FIELD"
    await api.put("/sandbox/features", json={"state_country_picklists": True})
    account = await create(api, "Account", Name="A", BillingCountryCode="DE")
    url = f"{ROOT}/sobjects/Account/{account}"
    assert (await api.get(url)).json()["BillingCountry"] == "Germany"
    await api.patch(url, json={"BillingCountry": "United States", "BillingStateCode": "CA"})
    address = (await api.get(url)).json()["BillingAddress"]
    assert (address["countryCode"], address["state"]) == ("US", "California")
    for bad in ({"BillingCountry": "Deutschland"}, {"BillingCountryCode": "DE"}):
        answer = await api.patch(url, json=bad)
        assert answer.json()[0]["errorCode"] == "FIELD_INTEGRITY_EXCEPTION"


async def test_price_book_rules(api, standin):
    books = standin.org.store.tables["Pricebook2"].rows.values()
    standard, custom = (next(b["Id"] for b in books if b["IsStandard"] is s) for s in (True, False))
    product = await create(api, "Product2", Name="P", ProductCode="P-1")
    entry = {"Product2Id": product, "UnitPrice": 10, "IsActive": True, "CurrencyIsoCode": "EUR"}
    problem = await refused(api, "PricebookEntry", Pricebook2Id=custom, **entry)
    assert problem["errorCode"] == "STANDARD_PRICE_NOT_DEFINED"
    base = await create(api, "PricebookEntry", Pricebook2Id=standard, **entry)
    problem = await refused(api, "PricebookEntry", Pricebook2Id=standard, **entry)
    assert problem["errorCode"] == "DUPLICATE_VALUE"
    made = await create(
        api, "PricebookEntry", Pricebook2Id=custom, **{**entry, "UnitPrice": 12.345}
    )
    row = (await api.get(f"{ROOT}/sobjects/PricebookEntry/{made}")).json()
    assert (row["UnitPrice"], row["Name"], row["ProductCode"]) == (12.35, "P", "P-1")
    answer = await api.patch(f"{ROOT}/sobjects/PricebookEntry/{base}", json={"Product2Id": product})
    assert answer.json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


async def test_lines_fix_the_price_book_and_the_amount_of_an_opportunity(api, standin):
    books = standin.org.store.tables["Pricebook2"].rows.values()
    standard = next(b["Id"] for b in books if b["IsStandard"])
    product = await create(api, "Product2", Name="P")
    entry = await create(
        api,
        "PricebookEntry",
        Pricebook2Id=standard,
        Product2Id=product,
        UnitPrice=10,
        IsActive=True,
    )
    opportunity = await create(
        api, "Opportunity", Name="O", StageName="Proposal", CloseDate="2026-01-31", Amount=5
    )
    url = f"{ROOT}/sobjects/Opportunity/{opportunity}"
    line = {"OpportunityId": opportunity, "PricebookEntryId": entry}
    made = await create(api, "OpportunityLineItem", Quantity=3, **line)
    row = (await api.get(url)).json()
    assert (row["Amount"], row["Pricebook2Id"], row["HasOpportunityLineItem"]) == (
        30,
        standard,
        True,
    )
    await api.patch(url, json={"Amount": 999, "StageName": "Closed Won"})
    row = (await api.get(url)).json()
    assert (row["Amount"], row["IsWon"], row["IsClosed"], row["Probability"]) == (
        30,
        True,
        True,
        100,
    )
    await api.patch(f"{ROOT}/sobjects/PricebookEntry/{entry}", json={"IsActive": False})
    problem = await refused(api, "OpportunityLineItem", Quantity=1, **line)
    assert problem["errorCode"] == "FIELD_INTEGRITY_EXCEPTION"
    await api.delete(url)
    gone = await api.get(f"{ROOT}/sobjects/OpportunityLineItem/{made}")
    assert gone.json()[0]["errorCode"] == "ENTITY_IS_DELETED"


async def test_state_routes_show_and_change_rows_as_another_user(api, standin):
    posted = await api.post("/sandbox/state/Account", json=[{"Name": "A"}, {"Name": "B"}])
    ids = posted.json()["ids"]
    rows = (await api.get("/sandbox/state/Account", params={"Id": ids[1]})).json()
    assert [row["Name"] for row in rows] == ["B"]
    assert rows[0]["LastModifiedById"] == standin.org.users.clerk
    await api.patch(f"/sandbox/state/Account/{ids[0]}", json={"Name": "C"})
    await api.delete(f"/sandbox/state/Account/{ids[1]}")
    rows = (await api.get("/sandbox/state/Account")).json()
    assert [row["Name"] for row in rows] == ["C"]
    bad = await api.post("/sandbox/state/Account", json=[{"Name": "D"}, {"nope": 1}])
    assert bad.status_code == 400
    assert len((await api.get("/sandbox/state/Account")).json()) == 1
    await api.post("/sandbox/reset")
    assert (await api.get("/sandbox/state/Account")).json() == []
    assert (await api.get(f"{ROOT}/limits")).status_code == 200
    assert await create(api, "Account", Name="after the reset") not in ids
