"""What answers of F&O mean to `doctor`."""

from __future__ import annotations

from typing import Any

import pytest

from integration.cli.checks.d365_judging import (
    PublicName,
    judge_columns,
    judge_companies,
    judge_numbering,
    judge_set,
    judge_token,
    judge_version,
)
from integration.cli.checks.needs import Needs
from integration.d365.metadata import EntityInfo, PropertyInfo
from tests.unit.doctor_support import only

TENANT = "5a4d0c1e-0000-4000-8000-00000000a001"
URL = "https://contoso.operations.dynamics.com"
CLAIMS = {"aud": URL, "tid": TENANT, "oid": "o", "appid": "app"}


def column(name: str, **more: Any) -> PropertyInfo:
    facts = {"key": False, "mandatory": False, "allow_edit": True, "allow_edit_on_create": True}
    return PropertyInfo(name, "Edm.String", **{**facts, **more})


def customers(*columns: PropertyInfo, read_only: bool = False) -> EntityInfo:
    key = column("CustomerAccount", key=True, mandatory=True, allow_edit=False)
    found = {each.name: each for each in (key, column("Name"), *columns)}
    return EntityInfo("CustomerV3", "CustomersV3", read_only, found)


def needs(**sets: Any) -> Needs:
    found = Needs()
    found.add("accounts", **sets)
    return found


def rows_of(info: EntityInfo, **sets: Any) -> list[tuple[str, str]]:
    return [(row.status, row.found) for row in judge_columns("CustomersV3", info, needs(**sets))]


def test_a_token_for_the_environment_is_right() -> None:
    row = only(judge_token(CLAIMS, URL + "/", TENANT.upper()))
    assert row.status == "ok"
    assert "application app" in row.found


@pytest.mark.parametrize(
    ("claims", "part"),
    [
        ({"aud": URL + "/"}, "is for https://contoso.operations.dynamics.com/, not for"),
        ({"aud": "00000015-0000-0000-c000-000000000000"}, "not for https://contoso"),
        ({"tid": "5a4d0c1e-0000-4000-8000-00000000a002"}, "is of tenant"),
        ({"oid": None}, "no service principal"),
    ],
)
def test_a_token_that_d365_would_refuse_is_told(claims: dict[str, Any], part: str) -> None:
    row = only(judge_token({**CLAIMS, **claims}, URL, TENANT))
    assert row.status == "failed"
    assert part in row.found


def test_a_tenant_by_its_domain_name_is_not_compared() -> None:
    assert only(judge_token(CLAIMS, URL, "contoso.onmicrosoft.com")).status == "ok"


@pytest.mark.parametrize(
    ("version", "status"),
    [("10.0.38", "ok"), ("10.0.40.1", "ok"), ("10.0.37.99", "warning"), ("unknown", "ok")],
)
def test_an_old_version_is_a_warning(version: str, status: str) -> None:
    assert judge_version(version, "contoso").status == status


def test_every_company_that_does_not_exist_is_a_row() -> None:
    rows = judge_companies(["USMF", "demf"], {"usmf": "D365_COMPANY", "frmf": "[prices]"})
    assert only(rows).found == "frmf, named by [prices], is no legal entity"
    assert only(judge_companies(["USMF"], {"usmf": "D365_COMPANY"})).status == "ok"


def test_the_public_version_of_an_entity_counts() -> None:
    hidden = {"PublicEntityName": "CustomerV3", "DataServiceEnabled": False}
    public = {"PublicEntityName": "CustomerV3", "DataServiceEnabled": True}
    assert PublicName.of([]) is None
    found = PublicName.of([hidden, public])
    assert found is not None
    assert found.is_public
    assert judge_set("CustomersV3", found, {"accounts"}) is None
    missing = judge_set("CustomersV3", None, {"orders", "accounts"})
    assert missing is not None
    assert missing.found == "there is no such entity (used by accounts, orders)"
    closed = judge_set("CustomersV3", PublicName.of([hidden]), {"accounts"})
    assert closed is not None
    assert closed.found == "is not public (used by accounts)"


def test_an_entity_with_everything_is_one_row() -> None:
    info = customers(column("Group", mandatory=True))
    assert rows_of(info, read={"Name"}, create={"Name", "Group"}) == [
        ("ok", "1 read, 2 set on creation")
    ]


def test_a_missing_custom_field_is_told_by_its_setting() -> None:
    custom = {"SalesforceAccountId": "D365_SALESFORCE_ID_FIELD"}
    rows = judge_columns(
        "CustomersV3",
        customers(),
        needs(read={"SalesforceAccountId", "Other", "More"}, custom=custom),
    )
    assert [(row.status, row.found) for row in rows] == [
        ("failed", "SalesforceAccountId is missing (D365_SALESFORCE_ID_FIELD)"),
        ("failed", "More, Other: missing"),
    ]
    assert "or correct D365_SALESFORCE_ID_FIELD" in rows[0].advice


def test_a_column_that_cannot_be_written_as_needed_fails() -> None:
    info = customers(column("Party", allow_edit=False), column("Sum", allow_edit_on_create=False))
    assert rows_of(info, create={"Party", "Sum"}, update={"Party", "Name"}) == [
        ("failed", "Sum: cannot be set on creation"),
        ("failed", "Party: cannot be changed"),
    ]


def test_a_read_only_entity_is_one_row_where_the_app_writes() -> None:
    info = customers(column("Party", allow_edit=False), read_only=True)
    assert rows_of(info, update={"Party"}) == [("failed", "is read-only")]
    assert rows_of(info, read={"Party"}) == [("ok", "1 read")]


def test_a_mandatory_column_that_nothing_fills_is_a_warning() -> None:
    info = customers(column("Group", mandatory=True), column("Currency", mandatory=True))
    assert rows_of(info, create={"Name"}) == [
        ("warning", "Currency, Group: mandatory, and not sent on creation")
    ]
    assert rows_of(info, update={"Name"}) == [("ok", "1 changed")]  # nothing is created


@pytest.mark.parametrize(
    ("own", "editable", "proofs", "status", "part"),
    [
        (False, True, [], "ok", "the first record will show it"),
        (False, True, [False, True], "ok", "as earlier records show"),
        (True, True, [], "warning", "cannot be read"),
        (True, True, [False], "warning", "cannot be read"),
        (True, True, [True], "ok", "as earlier records show"),
        (True, False, [], "failed", "takes no numbers of ours"),
    ],
)
def test_the_number_sequence_is_judged_by_what_can_be_known(
    own: bool, editable: bool, proofs: list[bool], status: str, part: str
) -> None:
    row = judge_numbering("numbers", "NUMBERING", own=own, editable=editable, proofs=proofs)
    assert row.status == status
    assert part in row.found
