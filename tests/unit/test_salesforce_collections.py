from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.deadline import deadline
from integration.errors import (
    BudgetSpent,
    ContractError,
    DeadlineReached,
    Misconfigured,
    RecordBusy,
    RecordRejected,
    Unreachable,
)
from integration.salesforce.errors import DuplicateRecord
from integration.salesforce.ids import to_18
from tests.unit.test_salesforce_org import FakeOrg, fault, jwt_settings, org

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["org"]

KEY = "D365__c"
PATH = "/services/data/v62.0/composite/sobjects"


def id_of(key: str) -> str:
    return to_18(f"001Aa000000{int(key.rpartition('-')[2]):04}")


def records(count: int) -> list[dict[str, Any]]:
    return [{KEY: f"C-{n}", "Name": f"Customer {n}"} for n in range(count)]


def sent_rows(request: httpx.Request) -> list[dict[str, Any]]:
    body = json.loads(request.content)
    assert body["allOrNone"] is False
    return list(body["records"])


def failed(code: str, message: str = "") -> dict[str, Any]:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}


def upserting(
    refuse: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda row: None,
) -> Callable[[httpx.Request], tuple[int, Any]]:
    def answer(request: httpx.Request) -> tuple[int, Any]:
        return 200, [
            refuse(row) or {"id": id_of(row[KEY]), "success": True, "errors": [], "created": True}
            for row in sent_rows(request)
        ]

    return answer


async def test_rows_travel_in_chunks_and_come_back_in_order(org: FakeOrg) -> None:
    org.replies = [upserting()]
    results = await org.client().upsert_many("Account", KEY, records(450))
    assert [len(sent_rows(request)) for request in org.requests] == [200, 200, 50]
    assert {request.url.path for request in org.requests} == {f"{PATH}/Account/{KEY}"}
    assert [result.id for result in results] == [id_of(f"C-{n}") for n in range(450)]
    assert all(result.created and result.error is None for result in results)
    assert sent_rows(org.requests[0])[0] == {
        "attributes": {"type": "Account"},
        KEY: "C-0",
        "Name": "Customer 0",
    }


async def test_the_chunk_size_is_a_setting(org: FakeOrg) -> None:
    org.replies = [upserting()]
    await org.client(jwt_settings(collection_size=2)).upsert_many("Account", KEY, records(5))
    assert [len(sent_rows(request)) for request in org.requests] == [2, 2, 1]


async def test_a_failed_row_has_its_error_and_does_not_hold_up_the_others(org: FakeOrg) -> None:
    errors = {
        "C-1": failed("FIELD_CUSTOM_VALIDATION_EXCEPTION", "give a street"),
        "C-2": failed("UNABLE_TO_LOCK_ROW"),
        "C-3": failed("DUPLICATES_DETECTED", "Use one of these records?"),
    }
    org.replies = [upserting(lambda row: errors.get(row[KEY]))]
    results = await org.client().upsert_many("Account", KEY, records(5))
    assert [type(result.error) for result in results] == [
        type(None),
        RecordRejected,
        RecordBusy,
        DuplicateRecord,
        type(None),
    ]
    assert results[4].id == id_of("C-4")
    assert len(org.requests) == 1


async def test_update_sends_lower_case_ids_with_18_characters(org: FakeOrg) -> None:
    first, second = id_of("C-1"), id_of("C-2")
    org.replies = [
        (200, [{"id": first, "success": True, "errors": []}, failed("ENTITY_IS_DELETED")])
    ]
    results = await org.client().update_many(
        "Account", [{"Id": first[:15], "Name": "A"}, {"id": second, "Phone": None}]
    )
    assert (results[0].id, results[0].created) == (first, False)
    assert results[1].error is not None
    assert results[1].error.reason == "ENTITY_IS_DELETED"
    assert org.requests[0].url.path == PATH
    assert org.bodies[0]["records"] == [
        {"attributes": {"type": "Account"}, "id": first, "Name": "A"},
        {"attributes": {"type": "Account"}, "id": second, "Phone": None},
    ]


async def test_rows_that_cannot_be_right_are_refused_unsent(org: FakeOrg) -> None:
    org.replies = [upserting()]
    rows = [
        {KEY: "C-1"},
        {KEY: "C-2", "Name": "one"},
        {KEY: ""},
        {"Name": "no key"},
        {KEY: "C-2", "Name": "two"},
        {KEY: "C-3", "Amount": math.nan},
        {KEY: "C-4"},
    ]
    results = await org.client().upsert_many("Account", KEY, rows)
    assert [result.error.reason if result.error else None for result in results] == [
        None,
        "duplicate-key",
        "empty-key",
        "empty-key",
        "duplicate-key",
        "unencodable",
        None,
    ]
    assert all(isinstance(result.error, RecordRejected | None) for result in results)
    assert [row[KEY] for row in sent_rows(org.requests[0])] == ["C-1", "C-4"]
    assert results[6].id == id_of("C-4")


async def test_updates_without_or_with_the_same_id_are_refused_unsent(org: FakeOrg) -> None:
    same = id_of("C-1")
    results = await org.client().update_many(
        "Account", [{"Id": same}, {"id": same[:15]}, {"Name": "x"}, {"Id": "nonsense"}]
    )
    reasons = [result.error.reason for result in results if result.error]
    assert reasons == ["duplicate-key", "duplicate-key", "missing-id", "missing-id"]
    assert not org.sign_ins


async def test_nothing_to_write_asks_nothing(org: FakeOrg) -> None:
    assert await org.client().upsert_many("Account", KEY, []) == []
    assert await org.client().update_many("Account", []) == []
    assert not org.sign_ins


@pytest.mark.parametrize(
    "message",
    [
        "System.LimitException: Too many SOQL queries: 101",
        "AccountTrigger: System.LimitException: Apex CPU time limit exceeded",
    ],
)
async def test_a_chunk_too_big_for_the_orgs_triggers_is_halved(org: FakeOrg, message: str) -> None:
    def answer(request: httpx.Request) -> tuple[int, Any]:
        rows = sent_rows(request)
        if len(rows) > 50:
            return 200, [failed("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message) for _ in rows]
        return upserting()(request)

    org.replies = [answer]
    results = await org.client().upsert_many("Account", KEY, records(200))
    assert [result.id for result in results] == [id_of(f"C-{n}") for n in range(200)]
    assert [len(sent_rows(request)) for request in org.requests] == [200, 100, 50, 50, 100, 50, 50]


async def test_rows_already_written_are_not_sent_again_when_others_are_halved(org: FakeOrg) -> None:
    times: dict[str, int] = {}

    def answer(request: httpx.Request) -> tuple[int, Any]:
        rows = sent_rows(request)
        for row in rows:
            times[row[KEY]] = times.get(row[KEY], 0) + 1
        over = failed("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "System.LimitException: CPU")
        return upserting(lambda row: over if len(rows) > 2 and row[KEY] > "C-4" else None)(request)

    org.replies = [answer]
    results = await org.client().upsert_many("Account", KEY, records(9))
    assert all(result.error is None for result in results)
    assert {key for key, count in times.items() if count == 1} == {f"C-{n}" for n in range(5)}


async def test_a_row_over_the_limit_on_its_own_is_busy(org: FakeOrg) -> None:
    org.replies = [upserting(lambda row: failed("X", "System.LimitException: CPU"))]
    results = await org.client().upsert_many("Account", KEY, records(2))
    assert [type(result.error) for result in results] == [RecordBusy, RecordBusy]
    assert [result.error.reason for result in results if result.error] == ["apex-limit"] * 2
    assert len(org.requests) == 3


async def test_a_record_that_spoils_the_whole_call_is_isolated(org: FakeOrg) -> None:
    def answer(request: httpx.Request) -> tuple[int, Any]:
        if any(row[KEY] == "C-77" for row in sent_rows(request)):
            return 400, fault("JSON_PARSER_ERROR", "Cannot deserialize instance of double")
        return upserting()(request)

    org.replies = [answer]
    results = await org.client().upsert_many("Account", KEY, records(200))
    refused = [place for place, result in enumerate(results) if result.error]
    assert refused == [77]
    assert results[77].error is not None
    assert results[77].error.reason == "JSON_PARSER_ERROR"
    assert len(org.requests) < 20


async def test_a_call_that_fails_for_every_record_costs_few_calls(org: FakeOrg) -> None:
    org.replies = [lambda _: (400, fault("SOMETHING_NEW"))]
    results = await org.client().upsert_many("Account", KEY, records(200))
    assert all(isinstance(result.error, RecordRejected) for result in results)
    assert len(org.requests) < 40


async def test_trouble_in_the_middle_keeps_what_was_written_and_stops(org: FakeOrg) -> None:
    daily = (403, fault("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
    first = [{"id": id_of(f"C-{n}"), "success": True, "errors": []} for n in range(200)]
    org.replies = [(200, first), daily]
    results = await org.client().upsert_many("Account", KEY, records(600))
    assert [result.id for result in results[:200]] == [id_of(f"C-{n}") for n in range(200)]
    assert all(isinstance(result.error, BudgetSpent) for result in results[200:])
    assert len(org.requests) == 2


async def test_trouble_while_halving_leaves_no_row_with_the_error_of_another(org: FakeOrg) -> None:
    over = [failed("X", "System.LimitException: CPU")] * 4
    good = [{"id": id_of("C-0"), "success": True, "errors": []}] * 2
    org.replies = [(200, over), (200, good), (403, fault("API_DISABLED_FOR_ORG"))]
    results = await org.client().upsert_many("Account", KEY, records(4))
    assert [type(result.error) for result in results] == [type(None)] * 2 + [Misconfigured] * 2


async def test_a_lost_answer_is_repeated_and_then_told_to_each_row(org: FakeOrg) -> None:
    org.replies = [httpx.ReadTimeout("x")] * 3
    results = await org.client().upsert_many("Account", KEY, records(3))
    assert all(isinstance(result.error, Unreachable) for result in results)
    assert len(org.requests) == 3


async def test_without_time_left_the_rows_say_so_and_nothing_is_sent(org: FakeOrg) -> None:
    with deadline(2):
        results = await org.client().upsert_many("Account", KEY, records(3))
    assert all(isinstance(result.error, DeadlineReached) for result in results)
    assert not org.requests


@pytest.mark.parametrize("body", [{}, [], [{}], ["?", "?"]])
async def test_an_answer_that_does_not_match_the_rows_is_a_contract_error(
    org: FakeOrg, body: Any
) -> None:
    org.replies = [(200, body)]
    results = await org.client().upsert_many("Account", KEY, records(2))
    assert all(isinstance(result.error, ContractError) for result in results)
