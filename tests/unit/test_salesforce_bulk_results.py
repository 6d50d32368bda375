"""Rows that a Bulk load did not write, out of its result files."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from integration.deadline import deadline
from integration.errors import (
    ContractError,
    Unreachable,
)
from tests.unit.salesforce_bulk_support import (
    COLUMNS,
    GOOD,
    World,
    quoted,
    seen,
    some_rows,
)
from tests.unit.test_salesforce_org import EXPIRED, FakeOrg, fault, org

__all__ = ["org"]

BUSY = (503, fault("SERVER_UNAVAILABLE"))


async def test_refused_rows_come_back_with_key_code_message_and_fields(org: FakeOrg) -> None:
    world = World(org)
    world.bulk.refuse = {
        "K1": "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --",
        "K2": "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--",
        "K3": "FIELD_CUSTOM_VALIDATION_EXCEPTION:from 8:00 to 9:00\nonly:Start__c End__c --",
        "K4": "something else",
    }
    await world.rows(some_rows(0, 3), some_rows(3, 3))
    result = await world.run(world.begin())
    assert seen(result) == GOOD | {"processed": 6, "failed": 4}
    lines = {line["key"]: line for line in await world.failures()}
    assert result.failures == "load/failures"
    assert lines["K1"] == {
        "key": "K1",
        "id": "",
        "code": "REQUIRED_FIELD_MISSING",
        "message": "Required fields are missing: [Name]",
        "fields": ["Name"],
        "transient": False,
    }
    assert (lines["K2"]["code"], lines["K2"]["transient"]) == ("UNABLE_TO_LOCK_ROW", True)
    assert lines["K3"]["message"] == "from 8:00 to 9:00 only"
    assert lines["K3"]["fields"] == ["Start__c", "End__c"]
    assert (lines["K4"]["code"], lines["K4"]["message"]) == ("unknown-code", "something else")


async def test_an_empty_result_file_holds_no_rows_and_the_outcome_is_unknown(org: FakeOrg) -> None:
    world = World(org)
    world.bulk.refuse = {"K1": "DUPLICATE_VALUE:duplicate value found:--"}
    world.bulk.files["failedResults"] = ""
    await world.rows(some_rows(0, 3))
    result = await world.run(world.begin())
    assert seen(result, "failed", "unknown") == {"failed": 1, "unknown": True}
    assert await world.failures() == []


async def test_a_result_file_too_long_for_a_step_is_read_on_in_the_next(org: FakeOrg) -> None:
    world = World(org)
    count = 2500
    await world.rows(some_rows(0, count))
    world.bulk.refuse = {f"K{n}": "DUPLICATE_VALUE:twice:--" for n in range(count)}
    rows = [["", world.bulk.refuse[f"K{n}"], f"K{n}", "1", ""] for n in reversed(range(count))]
    text = quoted([["sf__Id", "sf__Error", *COLUMNS], *rows]).encode()

    async def pieces() -> Any:
        for start in range(0, len(text), 30_000):
            yield text[start : start + 30_000]

    def streamed(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=pieces(), headers={"Content-Type": "text/csv"})

    world.bulk.interrupt("GET failedResults", *[streamed] * 20)
    position, steps = world.begin(), 0
    while position["phase"] != "collect":
        position = (await world.load.advance(position)).position
    while position["wanted"]:
        with deadline(3.5):  # less than the time at which reading stops: one piece a step
            position = (await world.load.advance(json.loads(json.dumps(position)))).position
        steps += 1
    assert steps > 3
    result = await world.run(position)
    assert (result.failed, result.unknown) == (count, False)
    keys = [line["key"] for line in await world.failures()]
    assert keys == [f"K{n}" for n in reversed(range(count))]


async def test_rows_never_sent_are_given_back_over_several_steps(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(*[some_rows(10 * part, 10) for part in range(5)])
    world.bulk.looks, world.bulk.reached = ["Failed"], 0
    position = world.begin()
    for _ in range(4):
        position = (await world.load.advance(position)).position
    assert position["phase"] == "give-back"
    with deadline(3.5):
        advance = await world.load.advance(position)
    assert (advance.result, advance.position["unprocessed"]) == (None, 10)
    result = await world.run(advance.position)
    assert result.unprocessed == len(await world.failures()) == 50


@pytest.mark.parametrize(
    ("operation", "count", "created"),
    [("insert", False, 3), ("update", False, 0), ("upsert", False, None), ("upsert", True, 2)],
)
async def test_created_rows_are_counted_where_it_is_cheap_or_asked_for(
    org: FakeOrg, operation: str, count: bool, created: int | None
) -> None:
    world = World(org)
    await world.rows([("new1", "1", ""), ("new2", "1", ""), ("old", "1", ""), ("bad", "1", "")])
    world.bulk.refuse = {"bad": "DUPLICATE_VALUE:twice:--"}
    columns = ["Id" if operation == "update" else "D365_Key__c", "UnitPrice", "Note__c"]
    result = await world.run(
        world.begin(operation=operation, columns=columns, key=columns[0], count_created=count)
    )
    assert result.created == created
    assert world.bulk.asked("GET", "successfulResults") == count


async def test_results_that_break_off_are_trouble_of_the_system(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 1))
    world.bulk.refuse = {"K0": "DUPLICATE_VALUE:twice:--"}

    async def breaks() -> Any:
        yield b'"sf__Id","sf__Error","D365_Key__c"\n"",'
        raise httpx.RemoteProtocolError("peer closed connection")

    answer = httpx.Response(200, content=breaks(), headers={"Content-Type": "text/csv"})
    world.bulk.interrupt("GET failedResults", answer)
    with pytest.raises(Unreachable):
        await world.run(world.begin())
    assert (await world.run(world.positions[-1])).failed == 1


async def test_results_without_the_key_are_no_results(org: FakeOrg) -> None:
    world = World(org)
    await world.rows(some_rows(0, 1))
    world.bulk.refuse = {"K0": "DUPLICATE_VALUE:twice:--"}
    world.bulk.files["failedResults"] = '"sf__Id","sf__Error"\n"","X:y:--"\n'
    with pytest.raises(ContractError, match="D365_Key__c"):
        await world.run(world.begin())


@pytest.mark.parametrize(
    "page",
    [
        httpx.Response(200, html="<html>maintenance</html>"),
        httpx.Response(200, json={"state": "JobComplete"}),
        BUSY,
        EXPIRED,
    ],
)
async def test_a_result_file_that_is_none_is_asked_for_again(org: FakeOrg, page: Any) -> None:
    world = World(org)
    await world.rows(some_rows(0, 1))
    world.bulk.refuse = {"K0": "DUPLICATE_VALUE:twice:--"}
    world.bulk.interrupt("GET failedResults", page)
    assert (await world.run(world.begin())).failed == 1
    assert len(await world.failures()) == 1
