from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from integration.errors import (
    ContractError,
    Misconfigured,
    OutcomeUnknown,
    RecordBusy,
    RecordRejected,
)
from integration.salesforce.client import UpsertResult
from integration.salesforce.composite import SubRequest
from integration.salesforce.errors import AmbiguousKey, QueryLocatorExpired
from integration.salesforce.ids import to_18
from integration.salesforce.soql import in_list, select
from tests.unit.test_salesforce_org import INSTANCE, FakeOrg, fault, org

__all__ = ["org"]

ROOT = "/services/data/v62.0"
ID = "001Aa0000000001IAA"
OTHER = "001Aa0000000002IAA"


def page(names: list[str], following: str | None = None) -> tuple[int, dict[str, Any]]:
    body = {
        "totalSize": 5,
        "done": following is None,
        "records": [{"Name": name} for name in names],
    }
    return 200, body | ({"nextRecordsUrl": following} if following else {})


def paths(org: FakeOrg) -> list[str]:
    return [request.url.raw_path.decode() for request in org.requests]


async def test_a_query_follows_its_pages_from_the_root(org: FakeOrg) -> None:
    org.replies = [
        page(["a", "b"], f"{ROOT}/query/01gAa-2"),
        page(["c", "d"], f"{ROOT}/query/01gAa-4"),
        page(["e"]),
    ]
    rows = await org.client().query_all_rows("SELECT Name FROM Account WHERE Name != 'a+b'")
    assert [row["Name"] for row in rows] == list("abcde")
    assert paths(org) == [
        f"{ROOT}/query?q=SELECT%20Name%20FROM%20Account%20WHERE%20Name%20%21%3D%20%27a%2Bb%27",
        f"{ROOT}/query/01gAa-2",
        f"{ROOT}/query/01gAa-4",
    ]
    assert str(org.requests[1].url) == f"{INSTANCE}{ROOT}/query/01gAa-2"


async def test_pages_are_read_only_as_far_as_they_are_used(org: FakeOrg) -> None:
    org.replies = [page(["a", "b"], f"{ROOT}/query/01gAa-2")]
    rows = org.client().query("SELECT Name FROM Account")
    assert (await anext(rows))["Name"] == "a"
    assert (await anext(rows))["Name"] == "b"
    assert len(org.requests) == 1


async def test_deleted_rows_are_read_with_query_all(org: FakeOrg) -> None:
    org.replies = [page([])]
    assert await org.client().query_all_rows("SELECT Id FROM Account", include_deleted=True) == []
    assert paths(org)[0].startswith(f"{ROOT}/queryAll?q=")


async def test_a_lost_locator_is_the_callers_to_see(org: FakeOrg) -> None:
    org.replies = [page(["a"], f"{ROOT}/query/01gAa-1"), (400, fault("INVALID_QUERY_LOCATOR"))]
    with pytest.raises(QueryLocatorExpired):
        await org.client().query_all_rows("SELECT Name FROM Account")
    assert len(org.requests) == 2


@pytest.mark.parametrize("following", ["https://evil.example/x", f"{ROOT}/query/01gAa-1", 5])
async def test_a_next_page_that_leads_elsewhere_or_round_in_circles_ends_the_query(
    org: FakeOrg, following: Any
) -> None:
    org.replies = [page(["a"], f"{ROOT}/query/01gAa-1"), page(["b"], following)]
    with pytest.raises(ContractError):
        await org.client().query_all_rows("SELECT Name FROM Account")


@pytest.mark.parametrize("include_deleted", [False, True])
async def test_a_query_too_long_for_a_url_goes_through_composite(
    org: FakeOrg, include_deleted: bool
) -> None:
    soql = select(
        "Account", ["Id"], where=in_list("Key__c", [f"O'Neil {n:06}" for n in range(800)])
    )
    part = {"httpStatusCode": 200, "httpHeaders": {}, "referenceId": "q"}
    first = part | {"body": page(["a"], f"{ROOT}/query/01gAa-1")[1]}
    org.replies = [(200, {"compositeResponse": [first]}), page(["b"])]
    rows = await org.client().query_all_rows(soql, include_deleted=include_deleted)
    assert [row["Name"] for row in rows] == ["a", "b"]
    assert [request.method for request in org.requests] == ["POST", "GET"]
    assert paths(org) == [f"{ROOT}/composite", f"{ROOT}/query/01gAa-1"]
    (sent,) = json.loads(org.requests[0].content)["compositeRequest"]
    path, _, encoded = sent["url"].partition("?q=")
    assert path == f"{ROOT}/{'queryAll' if include_deleted else 'query'}"
    assert unquote(encoded) == soql


async def test_no_query_url_comes_near_the_limit_of_salesforce(org: FakeOrg) -> None:
    part = {"httpStatusCode": 200, "referenceId": "q", "body": page([])[1]}

    def answer(request: httpx.Request) -> tuple[int, Any]:
        return page([]) if request.method == "GET" else (200, {"compositeResponse": [part]})

    org.replies = [answer]
    client = org.client()
    for count in range(500, 700, 10):
        await client.query_all_rows(select("A", ["Id"], where=in_list("Id", ["x" * 15] * count)))
    assert {request.method for request in org.requests} == {"GET", "POST"}
    assert max(len(path) for path in paths(org)) < 15_000


async def test_an_error_inside_the_composite_is_the_querys_error(org: FakeOrg) -> None:
    part = {
        "httpStatusCode": 400,
        "referenceId": "q",
        "body": fault("INVALID_FIELD", "No such column 'Foo'"),
    }
    org.replies = [(200, {"compositeResponse": [part]})]
    with pytest.raises(Misconfigured, match="Foo"):
        await org.client().query_all_rows("SELECT Id FROM A WHERE B = '" + "x" * 15_000 + "'")


async def test_get_reads_the_named_fields(org: FakeOrg) -> None:
    org.replies = [(200, {"Id": ID, "Name": "A"})]
    assert await org.client().get("Account", ID[:15], ["Id", "Owner.Name"]) == {
        "Id": ID,
        "Name": "A",
    }
    assert paths(org) == [f"{ROOT}/sobjects/Account/{ID}?fields=Id,Owner.Name"]


@pytest.mark.parametrize("code", ["NOT_FOUND", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"])
async def test_a_missing_record_is_none_to_get_and_done_to_delete(org: FakeOrg, code: str) -> None:
    org.replies = [(404, fault(code)), (404, fault(code)), (204, None)]
    client = org.client()
    assert await client.get("Account", ID, ["Id"]) is None
    assert await client.delete("Account", ID) is False
    assert await client.delete("Account", ID) is True


async def test_a_404_of_a_gateway_is_no_missing_record(org: FakeOrg) -> None:
    org.replies = [httpx.Response(404, html="<html>wrong host</html>")] * 2
    with pytest.raises(Misconfigured):
        await org.client().get("Account", ID, ["Id"])
    with pytest.raises(Misconfigured):
        await org.client().delete("Account", ID)


@pytest.mark.parametrize(
    ("name", "record_id"), [("Account/../User", ID), ("Account", "../User"), ("", ID)]
)
async def test_what_is_no_name_or_id_never_reaches_a_path(
    org: FakeOrg, name: str, record_id: str
) -> None:
    with pytest.raises(ValueError):
        await org.client().get(name, record_id, ["Id"])
    assert not org.requests


async def test_retrieve_asks_in_chunks_and_leaves_out_what_is_missing(org: FakeOrg) -> None:
    ids = [to_18(f"001Aa000000{n:04}") for n in range(5)]

    def answer(request: httpx.Request) -> tuple[int, Any]:
        asked = json.loads(request.content)["ids"]
        return 200, [None if one == ids[3] else {"Id": one, "Name": one[:15]} for one in asked]

    org.replies = [answer]
    client = org.client(retrieve_size=2)
    asked = [*(one[:15] for one in ids), ids[0], "nonsense"]
    found = await client.retrieve("Account", asked, ["Name", "Id"])
    assert list(found) == [ids[0], ids[1], ids[2], ids[4]]
    assert org.bodies == [
        {"ids": ids[:2], "fields": ["Id", "Name"]},
        {"ids": ids[2:4], "fields": ["Id", "Name"]},
        {"ids": ids[4:], "fields": ["Id", "Name"]},
    ]
    assert set(paths(org)) == {f"{ROOT}/composite/sobjects/Account"}


async def test_retrieve_of_nothing_asks_nothing(org: FakeOrg) -> None:
    assert await org.client().retrieve("Account", [], ["Name"]) == {}
    assert not org.sign_ins


async def test_update_sends_the_fields_without_the_id(org: FakeOrg) -> None:
    org.replies = [(204, None)]
    record = {"Id": ID, "attributes": {"type": "Account"}, "Name": "Ä", "Phone": None}
    await org.client().update("Account", ID, record)
    assert (org.requests[0].method, paths(org)) == ("PATCH", [f"{ROOT}/sobjects/Account/{ID}"])
    assert org.bodies == [{"Name": "Ä", "Phone": None}]


async def test_upsert_encodes_the_key_and_keeps_it_out_of_the_body(org: FakeOrg) -> None:
    org.replies = [
        (201, {"id": ID[:15], "success": True, "errors": [], "created": True}),
        (200, {"id": ID, "success": True, "errors": [], "created": False}),
    ]
    client = org.client()
    record = {"d365__C": "A/B C+é#1", "Name": "A"}
    assert await client.upsert("Account", "D365__c", "A/B C+é#1", record) == UpsertResult(ID, True)
    assert await client.upsert("Account", "D365__c", "..", record) == UpsertResult(ID, False)
    assert paths(org) == [
        f"{ROOT}/sobjects/Account/D365__c/A%2FB%20C%2B%C3%A9%231",
        f"{ROOT}/sobjects/Account/D365__c/%2E%2E",
    ]
    assert org.bodies[0] == {"Name": "A"}


async def test_upsert_of_a_key_that_several_records_hold_needs_review(org: FakeOrg) -> None:
    org.replies = [(300, [f"{ROOT}/sobjects/Account/{ID}", f"{ROOT}/sobjects/Account/{OTHER}"])]
    with pytest.raises(AmbiguousKey) as caught:
        await org.client().upsert("Account", "D365__c", "C-1", {"Name": "A"})
    assert caught.value.existing_ids == (ID, OTHER)


async def test_upsert_without_a_key_is_refused_unsent(org: FakeOrg) -> None:
    with pytest.raises(RecordRejected) as caught:
        await org.client().upsert("Account", "D365__c", "", {"Name": "A"})
    assert caught.value.reason == "empty-key"
    assert not org.requests


async def test_a_composite_call_gives_each_subrequest_its_result(org: FakeOrg) -> None:
    client = org.client()
    subs = [
        SubRequest(
            "PATCH", client.paths.row_by_key("Account", "D365__c", "C 1"), "acc", {"Name": "A"}
        ),
        SubRequest("POST", client.paths.rows("Contact"), "con", {"AccountId": "@{acc.id}"}),
    ]
    org.replies = [
        (
            200,
            {
                "compositeResponse": [  # not in the order asked
                    {
                        "body": fault("PROCESSING_HALTED", "The transaction was rolled back"),
                        "httpHeaders": {},
                        "httpStatusCode": 400,
                        "referenceId": "con",
                    },
                    {
                        "body": {"id": ID, "success": True},
                        "httpHeaders": {"Location": "x"},
                        "httpStatusCode": 201,
                        "referenceId": "acc",
                    },
                ]
            },
        )
    ]
    first, second = await client.composite(subs, all_or_none=True)
    assert (first.reference, first.status, first.error) == ("acc", 201, None)
    assert isinstance(second.error, RecordBusy)
    (sent,) = org.bodies
    assert sent["allOrNone"] is True
    assert sent["collateSubrequests"] is False
    assert sent["compositeRequest"][0] == {
        "method": "PATCH",
        "url": f"{ROOT}/sobjects/Account/D365__c/C%201",
        "referenceId": "acc",
        "body": {"Name": "A"},
    }


async def test_a_composite_call_is_as_repeatable_as_its_riskiest_part(org: FakeOrg) -> None:
    client = org.client()
    get = SubRequest("GET", client.paths.row("Account", ID), "g")
    post = SubRequest("POST", client.paths.rows("Contact"), "p", {})
    answer = {"compositeResponse": [{"body": {}, "httpStatusCode": 200, "referenceId": "g"}]}
    org.replies = [httpx.ReadTimeout("x"), (200, answer)]
    await client.composite([get])
    assert len(org.requests) == 2
    org.replies = [httpx.ReadTimeout("x")]
    with pytest.raises(OutcomeUnknown):
        await client.composite([get, post])
    org.replies = [(200, answer)]
    with pytest.raises(OutcomeUnknown):
        await client.composite([get, post])


async def test_the_limits_of_a_composite_call_are_checked_before_it(org: FakeOrg) -> None:
    client = org.client()
    row, query = client.paths.row("Account", ID), client.paths.query("SELECT Id FROM Account")
    for subs in (
        [SubRequest("GET", row, f"r{n}") for n in range(26)],
        [SubRequest("GET", query, f"r{n}") for n in range(6)],
        [SubRequest("GET", row, "same"), SubRequest("GET", row, "same")],
    ):
        with pytest.raises(ValueError):
            await client.composite(subs)
    assert await client.composite([]) == []
    assert not org.requests


async def test_describe_is_cached_and_then_asked_conditionally(org: FakeOrg) -> None:
    now = [1000.0]
    stamp = "Wed, 21 Oct 2015 07:28:00 GMT"
    org.replies = [
        httpx.Response(200, json={"name": "Account"}, headers={"Last-Modified": stamp}),
        httpx.Response(304),
        (200, {"name": "Account", "fields": []}),
    ]
    client = org.client(clock=lambda: now[0])
    for _ in range(3):
        assert await client.describe("Account") == {"name": "Account"}
    assert len(org.requests) == 1
    assert "if-modified-since" not in org.requests[0].headers
    now[0] += 301
    assert await client.describe("Account") == {"name": "Account"}
    assert org.requests[1].headers["if-modified-since"] == stamp
    now[0] += 301
    assert await client.describe("Account") == {"name": "Account", "fields": []}
    assert org.requests[2].headers["if-modified-since"] == stamp


async def test_limits_are_read(org: FakeOrg) -> None:
    org.replies = [(200, {"DailyApiRequests": {"Max": 15000, "Remaining": 14998}})]
    assert (await org.client().limits())["DailyApiRequests"]["Remaining"] == 14998
    assert paths(org) == [f"{ROOT}/limits"]


@pytest.mark.parametrize("body", [[], {"records": "?"}, {"done": False, "records": []}])
async def test_a_query_answer_of_another_shape_is_a_contract_error(org: FakeOrg, body: Any) -> None:
    org.replies = [(200, body)]
    with pytest.raises(ContractError):
        await org.client().query_all_rows("SELECT Id FROM Account")


@pytest.mark.parametrize(
    "body", [{}, {"compositeResponse": []}, {"compositeResponse": [{"body": {}}]}]
)
async def test_a_long_query_without_its_answer_is_a_contract_error(org: FakeOrg, body: Any) -> None:
    org.replies = [(200, body)]
    with pytest.raises(ContractError):
        await org.client().query_all_rows("SELECT Id FROM A WHERE B = '" + "x" * 15_000 + "'")


@pytest.mark.parametrize("body", [{}, ["?"], [{"Name": "A"}], [{"Id": "nonsense"}]])
async def test_a_retrieve_answer_of_another_shape_is_a_contract_error(
    org: FakeOrg, body: Any
) -> None:
    org.replies = [(200, body)]
    with pytest.raises(ContractError):
        await org.client().retrieve("Account", [ID], ["Name"])


@pytest.mark.parametrize("body", [{}, {"organization_id": "x", "user_id": ID}])
async def test_an_identity_without_ids_is_a_contract_error(org: FakeOrg, body: Any) -> None:
    org.replies = [(200, body)]
    with pytest.raises(ContractError):
        await org.client().identity()


async def test_an_error_other_than_missing_is_raised_by_get_and_delete(org: FakeOrg) -> None:
    org.replies = [(400, fault("MALFORMED_ID")), (400, fault("DELETE_FAILED"))]
    with pytest.raises(RecordRejected):
        await org.client().get("Account", ID, ["Id"])
    with pytest.raises(RecordRejected):
        await org.client().delete("Account", ID)


async def test_a_create_refused_inside_a_success_is_an_error(org: FakeOrg) -> None:
    errors = [{"statusCode": "REQUIRED_FIELD_MISSING", "message": "Name", "fields": ["Name"]}]
    org.replies = [(200, {"success": False, "errors": errors})]
    with pytest.raises(RecordRejected) as caught:
        await org.client().create("Account", {})
    assert caught.value.reason == "REQUIRED_FIELD_MISSING"
