"""How an import ends: every status, refused rows with their reasons, missing details."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.test_d365_package_import_support import World, world
from tests.unit.test_d365_package_support import (
    action_error,
)
from tests.unit.test_d365_support import odata_error, reply

__all__ = ["world"]  # the fixture


@pytest.mark.parametrize(
    "flicker",
    [
        "Bad request",
        "Unknown",
        "",
        reply(400),
        reply(400, odata_error("Bad request")),
        action_error("execution not found"),
    ],
)
async def test_strange_answers_right_after_the_start_are_passed_over(world: World, flicker: Any):
    world.answers(status=[flicker, flicker, "Executing", flicker, "Succeeded"])
    assert (await world.result()).status == "Succeeded"


async def test_a_run_that_f_and_o_never_knows_has_failed(world: World):
    world.answers(status="Unknown")
    result = await world.result()
    assert (result.status, result.unknown) == ("Failed", True)
    assert world.fake.names().count("GetExecutionSummaryStatus") == 12


@pytest.mark.parametrize("status", ["PartiallySucceeded", "Failed"])
async def test_refused_rows_come_back_with_field_and_message(world: World, status: str):
    keys = "SALESFORCEACCOUNTID,DATAAREAID\r\n001-2,usmf\r\n001-5,usmf\r\n".encode("utf-16")
    errors = [
        {"RecordId": "2", "Field": "CUSTOMERGROUPID", "ErrorMessage": "Group 10 is unknown."},
        {"recordid": 5, "FIELD": "NAME", "errormessage": "Name is too long."},
    ]
    world.answers(
        status=status,
        made=True,
        keys=["", "", world.fake.blobs.place("keys.csv", keys)],
        errors=json.dumps(errors),
    )
    result = await world.result()
    assert (result.status, result.rows, result.failed) == (status, 6, 2)
    # Of a failed run the rows that it does not name are not known to be there.
    assert result.unknown is (status == "Failed")
    assert "?mi=DMFExecutionHistory" in result.description
    assert "Group 10 is unknown." in result.description
    assert await world.failures() == [
        {
            "key": {"SALESFORCEACCOUNTID": "001-2"},
            "field": "CUSTOMERGROUPID",
            "message": "Group 10 is unknown.",
        },
        {"key": {"SALESFORCEACCOUNTID": "001-5"}, "field": "NAME", "message": "Name is too long."},
    ]
    assert "DeleteExecutionHistoryJob" not in world.fake.names()


async def test_rows_refused_on_their_way_into_staging_count_too(world: World):
    staging = "SalesforceAccountId;Error message\r\n001-1;Wrong date\r\n".encode("utf-8-sig")
    place = world.fake.blobs.place
    world.answers(
        status="PartiallySucceeded",
        made=True,
        keys=place("keys.csv", b"SALESFORCEACCOUNTID\r\n001-6\r\n"),
        staging=place("staging.csv", staging),
    )
    result = await world.result()
    assert (result.failed, result.unknown) == (2, False)
    assert {f["key"]["SALESFORCEACCOUNTID"]: f["message"] for f in await world.failures()} == {
        "001-6": "",
        "001-1": "Wrong date",
    }


async def test_a_staging_file_that_comes_late_is_waited_for(world: World):
    url = world.fake.blobs.place("s.csv", b"SALESFORCEACCOUNTID\r\n001-3\r\n")
    world.answers(status="Failed", made=False, staging=["", "", url])
    assert (await world.result()).failed == 1
    assert world.fake.names().count("GenerateImportTargetErrorKeysFile") == 1


async def test_an_engine_that_crashed_before_staging_leaves_the_rows_unknown(world: World):
    world.answers(status="Failed", made=False, errors="")
    result = await world.result()
    assert (result.status, result.failed, result.unknown) == ("Failed", 0, True)
    assert await world.failures() == []


async def test_an_error_file_that_never_comes_leaves_the_rows_unknown(world: World):
    world.answers(status="PartiallySucceeded", made=True, keys="")
    result = await world.result()
    assert (result.failed, result.unknown) == (0, True)
    assert world.fake.names().count("GetImportTargetErrorKeysFileUrl") == 21


async def test_an_error_file_that_is_gone_leaves_the_rows_unknown(world: World):
    world.answers(status="PartiallySucceeded", made=True, keys=world.fake.blobs.address("gone"))
    result = await world.result()
    assert (result.failed, result.unknown) == (0, True)


async def test_details_that_f_and_o_refuses_to_give_leave_the_rows_unknown(world: World):
    refused = action_error("no details for composite entities")
    world.answers(status="Failed", made=refused, keys=refused, staging=refused, errors=refused)
    result = await world.result()
    assert (result.status, result.unknown) == ("Failed", True)


async def test_failures_of_an_earlier_run_with_the_same_rows_do_not_come_again(world: World):
    keys = world.fake.blobs.place("k.csv", b"SALESFORCEACCOUNTID\r\n001-2")
    world.answers(status="PartiallySucceeded", made=True, keys=keys)
    assert (await world.result()).failed == 1
    world.answers(status="Succeeded")
    done = await world.run(world.begin(execution="run-2"))
    assert done.result
    assert (done.result.status, await world.failures()) == ("Succeeded", [])
