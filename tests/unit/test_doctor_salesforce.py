"""What answers of Salesforce mean to `doctor`."""

from __future__ import annotations

from typing import Any

import pytest

from integration.cli.checks.needs import Needs, mapped_accounts
from integration.cli.checks.salesforce_judging import (
    Described,
    judge_books,
    judge_budget,
    judge_features,
    judge_instance,
    judge_key,
    judge_limits,
    judge_object,
    judge_organisation,
    judge_user,
    judge_version,
)
from integration.cli.checks.salesforce_keys import KeyNeed
from integration.salesforce.budget import ApiBudget
from tests.unit.doctor_support import described, given, not_ok, only

KEY = KeyNeed("Product2", "D365_Item_Number__c", 20, cased=True)
BOOKS = [
    {"Name": "Standard Price Book", "IsStandard": True, "IsActive": True},
    {"Name": "Direct Sales", "IsStandard": False, "IsActive": True},
]


def needs(**sets: set[str]) -> Needs:
    found = Needs()
    found.add("accounts", **sets)
    return found


def test_an_object_with_all_fields_is_one_row() -> None:
    row = only(judge_object("Contact", described("Contact"), needs(read={"Title"}, update={"Fax"})))
    assert (row.status, row.found) == ("ok", "1 read, 1 changed")


def test_missing_fields_are_named_together() -> None:
    org = described("Contact", Title=None, Fax=None)
    row = only(judge_object("Contact", org, needs(read={"Title", "Email"}, update={"Fax"})))
    assert (row.status, row.name) == ("failed", "Contact fields")
    assert row.found == "Fax, Title: missing, or hidden from this user"
    assert "D365_Integration_User" in row.advice


def test_a_field_that_cannot_be_written_as_needed_fails() -> None:
    org = described("Opportunity", D365_Status__c={"updateable": False}, NextStep={"createable": 0})
    rows = judge_object(
        "Opportunity", org, needs(create={"NextStep", "Name"}, update={"D365_Status__c", "Name"})
    )
    assert [row.found for row in rows] == [
        "NextStep: cannot be set on creation by this user",
        "D365_Status__c: cannot be changed by this user",
    ]


def test_an_object_that_cannot_be_written_is_one_row_not_one_for_each_field() -> None:
    org = described("Product2", Name={"createable": False})
    org = Described({**org.flags, "createable": False}, org.fields)
    row = only(judge_object("Product2", org, needs(create={"Name", "ProductCode"})))
    assert row.found == "records cannot be created by this user"


def test_a_useful_field_that_is_missing_is_a_warning() -> None:
    org = described("Account", D365_Credit_Limit__c=None)
    found = needs(read={"Name"})
    found.useful = {"D365_Credit_Limit__c", "D365_On_Hold__c"}
    row = only(judge_object("Account", org, found))
    assert row.status == "warning"
    assert row.found.startswith("D365_Credit_Limit__c: missing")


def test_many_missing_fields_are_counted() -> None:
    many = {f"F{number:02}__c" for number in range(12)}
    row = only(judge_object("Account", described("Account"), needs(read=many)))
    assert "F07__c and 4 more: missing" in row.found


@pytest.mark.parametrize(
    ("change", "status", "found"),
    [
        ({}, "ok", "External ID, unique, 40 characters"),
        ({"externalId": False}, "failed", "is no External ID"),
        ({"unique": False}, "failed", "is not unique"),
        ({"length": 15}, "failed", "is 15 characters long, 20 are needed"),
        ({"externalId": False, "unique": False}, "failed", "is no External ID, not unique"),
        ({"caseSensitive": False}, "warning", "ignores case"),
    ],
)
def test_a_key_must_be_an_external_id_unique_long_enough_and_exact(
    change: dict[str, Any], status: str, found: str
) -> None:
    row = only(judge_key(KEY, described("Product2", D365_Item_Number__c=change)))
    assert row.status == status
    assert row.found.startswith(found)


def test_a_missing_key_is_told_with_the_fields_of_its_object_alone() -> None:
    assert judge_key(KEY, described("Product2", D365_Item_Number__c=None)) == []


def test_a_key_that_is_never_upserted_by_need_not_be_an_external_id() -> None:
    key = KeyNeed("Contact", "D365_Contact_Number__c", 20, external=False)
    org = described("Contact", D365_Contact_Number__c={"externalId": False})
    assert only(judge_key(key, org)).status == "ok"


def test_features_of_the_org_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch)
    table = mapped_accounts(found.settings, found.customisation).table
    row = judge_features(described("Account"), table)
    assert (row.status, row.found) == ("ok", "several currencies, state and country texts")


def test_an_org_with_one_currency_needs_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch)
    org = described("Account", CurrencyIsoCode=None)
    table = mapped_accounts(found.settings, found.customisation).table
    row = judge_features(org, table)
    assert row.status == "failed"
    assert "nothing fills SalesCurrencyCode" in row.found
    found = given(monkeypatch, '[accounts.defaults]\nSalesCurrencyCode = "USD"\n')
    table = mapped_accounts(found.settings, found.customisation).table
    assert judge_features(org, table).status == "ok"


@pytest.mark.parametrize(
    ("allowed", "status"),
    [
        (("00DAa0000000001",), "ok"),  # 15 characters are as good
        (("00DAa0000000001MAA", "00DAa0000000002"), "ok"),
        (("00DAa0000000002",), "failed"),
        ((), "warning"),
    ],
)
def test_the_organisation_must_be_an_allowed_one(allowed: tuple[str, ...], status: str) -> None:
    assert judge_organisation("00DAa0000000001MAA", allowed).status == status


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://acme.my.salesforce.com", "ok"),
        ("https://acme--dev.sandbox.my.salesforce.com", "ok"),
        ("https://na123.salesforce.com", "warning"),
        ("http://127.0.0.1:1", "ok"),
    ],
)
def test_an_instance_without_my_domain_is_a_warning(url: str, status: str) -> None:
    assert judge_instance(url).status == status


def test_an_api_version_must_be_one_of_the_orgs() -> None:
    versions = [{"version": f"{number}.0"} for number in (9, 31, 62, 100)]
    assert judge_version(versions, "62.0").found == "62.0; the newest is 100.0"
    row = judge_version(versions, "101.0")
    assert row.status == "failed"
    assert "between 9.0 and 100.0" in row.advice


def test_limits_below_a_fifth_are_warnings_of_their_own() -> None:
    limits = {
        "DailyApiRequests": {"Max": 1000, "Remaining": 200},
        "DailyBulkApiBatches": {"Max": 1000, "Remaining": 199},
        "DataStorageMB": {"Max": 5, "Remaining": 0},
        "SomethingElse": {"Max": 5, "Remaining": 0},
    }
    rows = judge_limits(limits)
    assert not_ok(rows) == [("warning", "limits")] * 2
    assert rows[0].found == "DailyBulkApiBatches: 199 of 1,000 left"
    limits = {"DailyApiRequests": {"Max": 1000, "Remaining": 900}, "DataStorageMB": {"Max": 0}}
    assert only(judge_limits(limits)).found == "DailyApiRequests: 900 of 1,000 left"


@pytest.mark.parametrize(("used", "status"), [(100, "ok"), (900, "warning")])
def test_without_the_limits_the_budget_of_the_answers_counts(used: int, status: str) -> None:
    assert judge_budget(ApiBudget(used, 1000)).status == status
    assert judge_budget(None).status == "not checked"


def test_price_books_of_the_mapping_file_must_exist_once() -> None:
    assert only(judge_books(BOOKS, [" direct sales "])).status == "ok"
    row = only(judge_books(BOOKS, ["Direct Sales", "Wholesale"]))
    assert (row.status, row.found) == ("failed", "'Wholesale' is missing")
    twice = [*BOOKS, {**BOOKS[1], "Name": "direct sales"}]
    assert "several times" in only(judge_books(twice, ["Direct Sales"])).found
    asleep = [BOOKS[0], {**BOOKS[1], "IsActive": False}]
    assert only(judge_books(asleep, ["Direct Sales"])).status == "warning"
    assert "standard" in only(judge_books(BOOKS[1:], [])).found


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"Profile": {"PermissionsApiUserOnly": True}}, "ok"),
        ({"Profile": {"PermissionsApiUserOnly": False}}, "warning"),
        ({"Profile": None}, "not checked"),
        ({}, "not checked"),
    ],
)
def test_a_user_that_can_be_a_person_is_a_warning(row: dict[str, Any], status: str) -> None:
    assert judge_user(row).status == status
