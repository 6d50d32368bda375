"""Collections, composite requests and faults of single rows (Salesforce contracts 2.6 and 2.7)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.salesforce.ids import to_18
from tests.contract.salesforce_standin import ROOT, api, key, standin

if TYPE_CHECKING:
    import httpx

__all__ = ["api", "key", "standin"]  # the fixtures

KEY = "D365_Customer_Number__c"
UPSERT = f"{ROOT}/composite/sobjects/Account/{KEY}"


def account(**fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, **fields}


async def names(api: httpx.AsyncClient) -> list[str]:
    return [row["Name"] for row in (await api.get("/sandbox/state/Account")).json()]


async def test_rows_succeed_and_fail_one_by_one_in_request_order(api):
    records = [account(Name="A"), account(), account(Name="B", foo=1), account(Name="C")]
    answer = await api.post(f"{ROOT}/composite/sobjects", json={"records": records})
    assert answer.status_code == 200
    results = answer.json()
    assert [r["success"] for r in results] == [True, False, False, True]
    assert results[0] == {"id": results[0]["id"], "success": True, "errors": []}
    assert results[1] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [Name]",
                "fields": ["Name"],
            }
        ],
    }
    assert results[2]["errors"][0]["statusCode"] == "INVALID_FIELD"
    assert await names(api) == ["A", "C"]


async def test_all_or_none_undoes_the_good_rows(api):
    records = [account(Name="A"), account()]
    body = {"allOrNone": True, "records": records}
    results = (await api.post(f"{ROOT}/composite/sobjects", json=body)).json()
    assert results[0]["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert results[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert await names(api) == []


async def test_update_takes_the_id_from_the_record(api):
    made = (await api.post("/sandbox/state/Account", json={"Name": "A"})).json()["ids"][0]
    records = [account(id=made, Name="B"), account(Name="C"), account(id="x", Name="D")]
    results = (await api.patch(f"{ROOT}/composite/sobjects", json={"records": records})).json()
    assert results[0] == {"id": made, "success": True, "errors": []}
    codes = [r["errors"][0]["statusCode"] for r in results[1:]]
    assert codes == ["MISSING_ARGUMENT", "MALFORMED_ID"]
    assert await names(api) == ["B"]


async def test_upsert_tells_created_from_updated(api):
    first = (await api.patch(UPSERT, json={"records": [account(Name="A", **{KEY: "C-1"})]})).json()
    records = [account(Name="B", **{KEY: "c-1"}), account(Name="C", **{KEY: "C-2"})]
    second = (await api.patch(UPSERT, json={"records": records})).json()
    assert first[0]["created"] is True
    assert second[0] == {"id": first[0]["id"], "success": True, "errors": [], "created": False}
    assert second[1]["created"] is True
    assert await names(api) == ["B", "C"]


async def test_upsert_refuses_a_key_given_twice_or_not_at_all(api):
    records = [
        account(Name="A", **{KEY: "C-1"}),
        account(Name="B", **{KEY: "c-1"}),
        account(Name="C"),
        account(Name="D", **{KEY: "C-2"}),
    ]
    answer = await api.patch(UPSERT, json={"allOrNone": False, "records": records})
    assert answer.status_code == 200
    codes = [r["errors"][0]["statusCode"] if r["errors"] else "" for r in answer.json()]
    assert codes == ["DUPLICATE_VALUE", "DUPLICATE_VALUE", "MISSING_ARGUMENT", ""]
    assert answer.json()[0]["errors"][0]["message"] == "Duplicate external id specified: C-1"
    assert await names(api) == ["D"]


async def test_upsert_by_id_with_null_creates(api):
    url = f"{ROOT}/composite/sobjects/Account/Id"
    results = (await api.patch(url, json={"records": [account(Name="A", Id=None)]})).json()
    assert results[0]["created"] is True


async def test_read_keeps_the_order_and_gives_null_for_missing_rows(api):
    ids = (await api.post("/sandbox/state/Account", json=[{"Name": "A"}, {"Name": "B"}])).json()[
        "ids"
    ]
    body = {"ids": [ids[1], to_18("001Aa0000000001"), ids[0]], "fields": ["Id", "name"]}
    rows = (await api.post(f"{ROOT}/composite/sobjects/Account", json=body)).json()
    assert [row and row["Name"] for row in rows] == ["B", None, "A"]
    assert set(rows[0]) == {"attributes", "Id", "Name"}
    bad = await api.post(f"{ROOT}/composite/sobjects/Account", json={"ids": ids, "fields": ["x"]})
    assert (bad.status_code, bad.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


async def test_delete_takes_ids_from_the_query(api):
    ids = (await api.post("/sandbox/state/Account", json=[{"Name": "A"}, {"Name": "B"}])).json()[
        "ids"
    ]
    url = f"{ROOT}/composite/sobjects"
    results = (await api.delete(url, params={"ids": f"{ids[0]},{to_18('001Aa0000000001')}"})).json()
    assert [r["success"] for r in results] == [True, False]
    assert results[1]["errors"][0]["statusCode"] == "INVALID_CROSS_REFERENCE_KEY"
    again = await api.delete(url, params={"ids": ",".join(ids), "allOrNone": "true"})
    codes = [r["errors"][0]["statusCode"] for r in again.json()]
    assert codes == ["ENTITY_IS_DELETED", "ALL_OR_NONE_OPERATION_ROLLED_BACK"]
    assert await names(api) == ["B"]


async def test_more_than_200_rows_and_more_than_10_chunks_are_refused(api):
    many = {"records": [account(Name="A")] * 201}
    assert (await api.post(f"{ROOT}/composite/sobjects", json=many)).status_code == 400
    contact = {"attributes": {"type": "Contact"}, "LastName": "B"}
    mixed = {"records": [account(Name="A"), contact] * 6}
    assert (await api.post(f"{ROOT}/composite/sobjects", json=mixed)).status_code == 400
    assert (await api.post(f"{ROOT}/composite/sobjects", json={"records": [1]})).status_code == 400
    assert await names(api) == []


async def test_a_fault_hits_one_row_of_a_call(api):
    fault = {
        "match": {"method": "PATCH", "path": r"sobjects/Account/.*/C-2$"},
        "inner": True,
        "body": {"statusCode": "UNABLE_TO_LOCK_ROW", "message": "locked", "fields": []},
        "status": 400,
    }
    await api.post("/sandbox/faults", json=fault)
    records = [account(Name=key, **{KEY: key}) for key in ("C-1", "C-2", "C-3")]
    for lock in (True, False):
        results = (await api.patch(UPSERT, json={"records": records})).json()
        assert [r["success"] for r in results] == [True, not lock, True]
        if lock:
            assert results[1]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    calls = (await api.get("/sandbox/calls")).json()["by_operation"]
    assert calls[f"PATCH composite/sobjects/Account/{KEY}"] == 2


async def test_latency_counts_the_rows_of_a_call(api):
    await api.put("/sandbox/latency", json={"per_operation_ms": 30})
    begun = time.monotonic()
    await api.post(f"{ROOT}/composite/sobjects", json={"records": [account(Name="A")] * 3})
    between = time.monotonic()
    await api.delete(f"{ROOT}/composite/sobjects", params={"ids": "a,b"})
    ended = time.monotonic()
    assert between - begun >= 0.09
    assert ended - between >= 0.06


def sub(name: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    return {"referenceId": name, "method": method, "url": f"{ROOT}/{path}", "body": body}


async def composite(api: httpx.AsyncClient, *subs: dict[str, Any], **more: Any) -> list[Any]:
    answer = await api.post(f"{ROOT}/composite", json={"compositeRequest": list(subs), **more})
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["compositeResponse"]
    return found


async def test_references_carry_ids_from_answer_to_request(api):
    results = await composite(
        api,
        sub("acc", "PATCH", f"sobjects/Account/{KEY}/C-1", {"Name": "A"}),
        sub("con", "POST", "sobjects/Contact", {"LastName": "B", "AccountId": "@{acc.id}"}),
        sub("read", "GET", "sobjects/Contact/@{con.id}?fields=AccountId"),
        sub("all", "GET", "query?q=SELECT+Id+FROM+Account"),
        sub("first", "GET", "sobjects/Account/@{all.records[0].Id}"),
    )
    assert [r["httpStatusCode"] for r in results] == [201, 201, 200, 200, 200]
    account_id = results[0]["body"]["id"]
    assert results[0]["httpHeaders"]["Location"] == f"{ROOT}/sobjects/Account/{account_id}"
    assert results[2]["body"]["AccountId"] == account_id
    assert results[4]["body"]["Id"] == account_id
    calls = (await api.get("/sandbox/calls")).json()["by_operation"]
    assert calls["POST composite"] == 1
    assert "POST sobjects/Contact" not in calls


async def test_without_all_or_none_only_dependents_of_a_failure_are_halted(api):
    results = await composite(
        api,
        sub("bad", "POST", "sobjects/Account", {}),
        sub("child", "POST", "sobjects/Contact", {"LastName": "B", "AccountId": "@{bad.id}"}),
        sub("other", "POST", "sobjects/Account", {"Name": "C"}),
        sub("odd", "GET", "sobjects/Account/@{nobody.id}"),
    )
    assert [r["httpStatusCode"] for r in results] == [400, 400, 201, 400]
    codes = [r["body"][0]["errorCode"] for r in results if r["httpStatusCode"] == 400]
    assert codes == ["REQUIRED_FIELD_MISSING", "PROCESSING_HALTED", "INVALID_INPUT"]
    assert await names(api) == ["C"]


async def test_all_or_none_rolls_everything_back_and_shows_one_cause(api):
    rows = {"records": [account(Name="X"), account()]}
    results = await composite(
        api,
        sub("a", "POST", "sobjects/Account", {"Name": "A"}),
        sub("b", "POST", "composite/sobjects", rows),
        sub("c", "POST", "sobjects/Account", {"Name": "C"}),
        allOrNone=True,
    )
    assert [r["httpStatusCode"] for r in results] == [400, 200, 400]
    assert results[0]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    codes = [row["errors"][0]["statusCode"] for row in results[1]["body"]]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert await names(api) == []


@pytest.mark.parametrize(
    "subs",
    [
        [sub(f"r{n}", "GET", "limits") for n in range(26)],
        [sub(f"r{n}", "GET", "query?q=SELECT+Id+FROM+Account") for n in range(6)],
        [sub("same", "GET", "limits")] * 2,
        [],
    ],
)
async def test_a_composite_request_outside_its_limits_is_refused(api, subs):
    answer = await api.post(f"{ROOT}/composite", json={"compositeRequest": subs})
    assert answer.status_code == 400


async def test_a_fault_hits_one_sub_request(api):
    fault = {"match": {"path": "/limits$"}, "inner": True, "status": 503, "body": None}
    await api.post("/sandbox/faults", json=fault)
    results = await composite(api, sub("a", "GET", "limits"), sub("b", "GET", "limits"))
    assert [r["httpStatusCode"] for r in results] == [503, 200]


async def test_a_batch_can_halt_on_the_first_error(api):
    requests = [
        {"method": "POST", "url": "v62.0/sobjects/Account", "richInput": {"Name": "A"}},
        {"method": "GET", "url": "v62.0/sobjects/Account/nothing"},
        {"method": "GET", "url": "v62.0/limits"},
    ]
    body = {"haltOnError": True, "batchRequests": requests}
    answer = (await api.post(f"{ROOT}/composite/batch", json=body)).json()
    assert answer["hasErrors"] is True
    assert [r["statusCode"] for r in answer["results"]] == [201, 404, 412]
    assert answer["results"][2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
