"""One import in steps: upload, start, crashes, deadline, cancel, the lease."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.d365.package_blobs import UrlRefused, stage_block
from integration.d365.package_upload import PackageUpload
from integration.deadline import deadline
from integration.errors import ContractError, OutcomeUnknown, Throttled, Unreachable
from integration.state.spool import Spool
from tests.unit.test_d365_package_support import (
    TABLE,
    action_error,
    unzip,
)
from tests.unit.test_d365_support import reply

if TYPE_CHECKING:
    from integration.d365.packages import Position

from tests.unit.test_d365_package_import_support import ROWS, World, world

__all__ = ["world"]  # the fixture


async def test_rows_travel_from_the_spool_into_f_and_o(world: World):
    result = await world.result()
    assert (result.status, result.rows, result.failed, result.unknown) == ("Succeeded", 6, 0, False)
    (package,) = world.fake.imported
    data = unzip(package)["Customers V3.csv"].decode()
    assert list(csv.reader(io.StringIO(data, newline=""))) == [list(TABLE.headers), *ROWS]
    body = dict(world.fake.calls)["ImportFromPackageAsync"]
    assert body.pop("packageUrl").startswith(world.fake.blobs.url)
    assert body == {
        "definitionGroupId": "SalesforceIntegration-customers",
        "executionId": "run-1",
        "execute": True,
        "overwrite": True,
        "legalEntityId": "usmf",
    }
    assert world.lease() == {}


async def test_the_storage_gets_no_token(world: World):
    await world.result()
    assert world.fake.blobs.calls
    for _, path, headers in world.fake.blobs.calls:
        assert "Authorization" not in headers
        assert "sig=very%2Fsecret" in path


async def test_the_waits_grow_up_to_a_minute(world: World):
    world.answers(status=["NotRun"] * 2 + ["Executing"] * 6 + ["Succeeded"])
    await world.result()
    assert [delay for delay in world.delays if delay] == [5, 10, 20, 40, 60, 60, 60, 60, 60]


async def test_an_empty_spool_is_no_import(world: World):
    await Spool(world.store, "load/1/rows").clear()
    result = await world.result()
    assert (result.status, result.rows, result.unknown) == ("Succeeded", 0, False)
    assert not world.fake.imported


async def test_an_upload_that_has_no_time_left_goes_on_in_the_next_step(world: World):
    upload = PackageUpload(world.api, world.store, world.settings, block=1)
    position: Position = {}
    steps = 0
    while True:
        with deadline(3):  # less than a further piece may take
            sent = await upload.advance(
                json.loads(json.dumps(position)), "load/1/rows", TABLE, project="p", execution="r"
            )
        steps += 1
        if sent.url:
            break
        position = sent.position
    assert (steps, sent.rows) == (4, 6)
    assert world.fake.names() == ["GetAzureWriteUrl"]
    data = unzip(world.fake.blobs.written())["Customers V3.csv"].decode()
    assert list(csv.reader(io.StringIO(data, newline=""))) == [list(TABLE.headers), *ROWS]


async def test_a_piece_that_is_sent_twice_is_in_the_file_once(world: World):
    upload = PackageUpload(world.api, world.store, world.settings, block=1)
    with deadline(3):
        first = await upload.advance({}, "load/1/rows", TABLE, project="p", execution="r")
        for _ in range(2):  # the second time after a crash
            await upload.advance(first.position, "load/1/rows", TABLE, project="p", execution="r")
    for _ in range(2):
        await upload.advance(first.position, "load/1/rows", TABLE, project="p", execution="r")
    data = unzip(world.fake.blobs.written())["Customers V3.csv"].decode()
    assert len(list(csv.reader(io.StringIO(data, newline="")))) == 7


async def test_an_expired_url_is_replaced_and_the_upload_begun_anew(world: World):
    world.fake.blobs.statuses = [200, 403]
    result = await world.result()
    assert result.status == "Succeeded"
    assert world.fake.names().count("GetAzureWriteUrl") == 2
    names = [b["uniqueFileName"] for n, b in world.fake.calls if n == "GetAzureWriteUrl"]
    assert len(set(names)) == 2


async def test_every_step_may_run_twice_and_the_import_happens_once(world: World):
    world.answers(status=["Executing", "Executing", "PartiallySucceeded"])
    world.answers(made=True, keys=world.fake.blobs.place("k.csv", b"SALESFORCEACCOUNTID\r\n001-2"))
    position = world.begin()
    for _ in range(50):
        await world.advance(position)  # the process dies before its position is saved
        done = await world.advance(position)
        position = done.position
        if done.result:
            break
    assert done.result
    assert (done.result.status, done.result.failed) == ("PartiallySucceeded", 1)
    assert len(world.fake.imported) == 1
    assert [entry["key"] for entry in await world.failures()] == [{"SALESFORCEACCOUNTID": "001-2"}]
    assert (await world.advance(position)).result == done.result


async def test_a_start_without_an_answer_is_repeated_under_the_same_id(world: World):
    def lost(body: dict[str, Any]) -> Any:
        start(body)
        return httpx.ReadTimeout("no answer")

    start = world.fake.answers["ImportFromPackageAsync"][0]
    world.answers(start=[lost, start])
    begun = await world.run(world.begin(), until="start")
    with pytest.raises(OutcomeUnknown):
        await world.advance(begun.position)
    done = await world.run(begun.position)
    assert done.result
    assert done.result.status == "Succeeded"
    assert len(world.fake.imported) == 1


async def test_throttling_is_left_to_the_job(world: World):
    begun = await world.run(world.begin(), until="start")
    world.answers(start=reply(429, None, retry_after="0.01"))
    with pytest.raises(Throttled):
        await world.advance(begun.position)


async def test_an_import_that_f_and_o_runs_for_others_is_waited_for(world: World):
    start = world.fake.answers["ImportFromPackageAsync"][0]
    world.answers(start=[action_error("Another import is currently running."), start])
    assert (await world.result()).status == "Succeeded"


async def test_a_package_that_is_refused_at_once_ends_with_the_words_of_f_and_o(world: World):
    world.answers(start=action_error("Source data format CSV-Unicode does not exist."))
    result = await world.result()
    assert (result.status, result.unknown, result.rows) == ("Failed", True, 6)
    assert "CSV-Unicode does not exist" in result.description
    assert world.lease() == {}


async def test_an_import_canceled_in_f_and_o_ends_as_canceled(world: World):
    world.answers(status=["Executing", "Canceled"])
    result = await world.result()
    assert (result.status, result.unknown) == ("Canceled", True)
    assert world.lease() == {}


async def test_a_stuck_import_ends_at_its_deadline_and_the_next_may_start(world: World):
    world.answers(status="Executing")
    started = world.clock()
    result = await world.result()
    assert (result.status, result.unknown) == ("deadline", True)
    assert "6:00:00" in result.description
    assert 6 * 3600 <= (world.clock() - started).total_seconds() < 6 * 3600 + 120
    world.answers(status="Succeeded")
    done = await world.run(world.begin("job-2", "run-2"))
    assert done.result
    assert done.result.status == "Succeeded"


async def test_one_import_waits_for_the_other(world: World):
    first = await world.run(world.begin(), until="poll")
    waiting = await world.advance(world.begin("job-2", "run-2"))
    assert (waiting.position["phase"], waiting.delay, waiting.result) == ("wait", 5, None)
    assert waiting.position.get("until") is None
    await world.run(first.position)
    done = await world.run(waiting.position)
    assert done.result
    assert done.result.status == "Succeeded"
    assert [b["executionId"] for n, b in world.fake.calls if n == "ImportFromPackageAsync"] == [
        "run-1",
        "run-2",
    ]


async def test_a_cancel_before_the_start_sends_nothing(world: World):
    done = await world.advance(world.importer().cancel(world.begin()))
    assert done.result
    assert (done.result.status, done.result.unknown) == ("Canceled", True)
    assert not done.result.begun
    assert world.fake.calls == []


async def test_a_cancel_while_f_and_o_runs_waits_for_its_end_and_reads_the_outcome(world: World):
    world.answers(status="Executing")
    begun = await world.run(world.begin(), until="poll")
    cancelled = await world.advance(world.importer().cancel(begun.position))
    assert cancelled.result is None
    waiting = await world.advance(world.begin("job-2", "run-2"))
    assert waiting.position["phase"] == "wait"
    world.answers(status="PartiallySucceeded")
    done = await world.run(cancelled.position)
    assert done.result
    assert (done.result.status, done.result.begun) == ("PartiallySucceeded", True)
    assert world.lease() == {}


async def test_a_cancel_while_f_and_o_hangs_ends_at_the_deadline(world: World):
    world.answers(status="Executing")
    begun = await world.run(world.begin(), until="poll")
    done = await world.run(world.importer().cancel(begun.position))
    assert done.result
    assert (done.result.status, done.result.unknown) == ("deadline", True)


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_start_that_may_have_been_sent_is_not_sent_again_after_a_cancel(
    world: World, arrived: bool
):
    position = (await world.run(world.begin(), until="start")).position
    if arrived:  # and its answer was lost
        await world.advance(position)
    calls = len(world.fake.calls)
    world.answers(status="Succeeded" if arrived else "Unknown")
    done = await world.run(world.importer().cancel(position))
    assert done.result
    assert done.result.status == ("Succeeded" if arrived else "Canceled")
    assert done.result.unknown is not arrived
    assert "ImportFromPackageAsync" not in [name for name, _ in world.fake.calls[calls:]]
    assert world.lease() == {}


async def test_a_cancel_after_the_end_changes_nothing(world: World):
    begun = await world.run(world.begin(), until="poll")
    world.answers(status="Succeeded")
    done = await world.advance(world.importer().cancel(begun.position))
    assert done.result
    assert (done.result.status, done.result.unknown) == ("Succeeded", False)


async def test_a_package_that_cannot_be_made_frees_the_lease(world: World):
    world.fake.answers["GetAzureWriteUrl"] = ["no JSON"]
    with pytest.raises(ContractError):
        await world.advance(world.begin())
    assert world.lease() == {}


async def test_an_answer_that_nobody_understands_leaves_the_lease_to_the_run(world: World):
    begun = await world.run(world.begin(), until="poll")
    world.answers(status=7)
    with pytest.raises(ContractError):
        await world.advance(begun.position)
    assert world.lease()["left"] == "run-1"


@pytest.mark.parametrize(("status", "kind"), [(403, UrlRefused), (412, Unreachable)])
async def test_no_error_holds_the_right_to_the_storage(world: World, status: int, kind: type):
    world.fake.blobs.statuses = [status]
    with pytest.raises(kind, match=f"answered {status}") as caught:
        await stage_block(world.fake.blobs.address("x"), 0, b"x")
    assert "secret" not in repr(caught.value)
    assert caught.value.__context__ is None


async def test_a_url_that_names_no_file_is_told(world: World):
    with pytest.raises(ContractError, match="no file"):
        await stage_block("https://contoso.example", 0, b"x")


async def test_the_right_to_the_storage_is_forgotten_at_the_start(world: World):
    begun = await world.run(world.begin(), until="start")
    assert "secret" in json.dumps(begun.position)
    done = await world.run(begun.position)
    assert "secret" not in json.dumps(done.position)


async def test_a_refused_package_s_position_holds_no_right_to_the_storage(world: World):
    world.answers(start=action_error("no such format"))
    done = await world.run(world.begin())
    assert "secret" not in json.dumps(done.position)
