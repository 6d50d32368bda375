"""An export in steps: every status, repeats, and no change lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from integration.d365.package_export import ExportAdvance, PackageExport
from tests.unit.test_d365_package_support import (
    Clock,
    Documents,
    FakeFinance,
    action_error,
    finance,
    volume,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.d365.packages import Position

DOCUMENT = "exports/Prices.json"


class World:
    def __init__(self, fake: FakeFinance, api: Any) -> None:
        self.fake = fake
        self.api = api
        self.store = Documents()
        self.clock = Clock()
        self.fake.answers["GetExportedPackageUrl"] = ["", "https://store/1", "https://store/2"]

    def export(self) -> PackageExport:
        return PackageExport(self.api, self.store, volume(), clock=self.clock)

    def begin(self, execution: str = "run-1", *, tracked: bool = True) -> Position:
        return self.export().begin(
            "Prices", "Sales prices", company="usmf", execution=execution, change_tracked=tracked
        )

    async def advance(self, position: Position) -> ExportAdvance:
        done = await self.export().advance(json.loads(json.dumps(position)))
        self.clock.pass_(done.delay)
        return done

    async def run(self, position: Position) -> ExportAdvance:
        for _ in range(1000):
            done = await self.advance(position)
            if done.file_url or done.failure:
                return done
            position = done.position
        raise AssertionError("it never ends")

    def starts(self) -> list[tuple[str, bool]]:
        return [
            (body["executionId"], body["reExecute"])
            for name, body in self.fake.calls
            if name == "ExportToPackageAsync"
        ]

    def status(self, *answers: Any) -> None:
        self.fake.answers["GetExecutionSummaryStatus"] = list(answers)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    with finance() as (fake, api):
        yield World(fake, api)


async def test_an_export_ends_with_the_url_of_its_package(world: World):
    done = await world.run(world.begin(tracked=False))
    assert (done.file_url, done.failure) == ("https://store/1", "")
    body = dict(world.fake.calls)["ExportToPackageAsync"]
    assert body == {
        "definitionGroupId": "Prices",
        "packageName": "run-1",
        "executionId": "run-1",
        "reExecute": False,
        "legalEntityId": "usmf",
    }
    assert world.store.documents == {}


async def test_answers_wrapped_twice_are_read(world: World):
    world.fake.answers["ExportToPackageAsync"] = [{"value": "run-7"}]
    world.fake.answers["GetExportedPackageUrl"] = [{"value": "https://store/7"}]
    done = await world.run(world.begin(tracked=False))
    assert done.file_url == "https://store/7"
    assert done.position["execution"] == "run-7"


async def test_a_url_that_expired_is_asked_for_again(world: World):
    done = await world.run(world.begin(tracked=False))
    world.clock.pass_(48 * 3600)
    assert (await world.advance(done.position)).file_url == "https://store/2"
    assert len(world.starts()) == 1


async def test_every_step_may_run_twice_and_the_delta_is_drawn_once(world: World):
    position = world.begin()
    for _ in range(30):
        await world.advance(position)
        done = await world.advance(position)
        position = done.position
        if done.file_url:
            break
    assert done.file_url
    assert set(world.starts()) == {("run-1", False)}


async def test_no_new_delta_is_drawn_before_the_last_was_processed(world: World):
    first = await world.run(world.begin("run-1"))
    assert world.store.stored(DOCUMENT)["execution"] == "run-1"
    # The job died with the package unread; the next one has an id of its own.
    second = await world.run(world.begin("run-2"))
    assert second.position["execution"] == "run-1"
    await world.export().processed(second.position)
    third = await world.run(world.begin("run-3"))
    assert third.position["execution"] == "run-3"
    assert [execution for execution, _ in world.starts()] == ["run-1", "run-1", "run-3"]
    assert first.file_url


async def test_a_run_that_was_written_down_and_never_started_is_started(world: World):
    await world.advance(world.begin("run-1"))
    done = await world.run(world.begin("run-2"))
    assert done.position["execution"] == "run-1"
    assert world.starts() == [("run-1", False)]


async def test_a_delta_that_failed_is_drawn_again_under_its_id(world: World):
    world.status("Executing", "Failed", "Executing", "Succeeded")
    done = await world.run(world.begin())
    assert done.file_url
    assert world.starts() == [("run-1", False), ("run-1", True)]


@pytest.mark.parametrize("status", ["Failed", "Canceled", "PartiallySucceeded"])
async def test_a_delta_that_keeps_failing_ends(world: World, status: str):
    world.status(status)
    done = await world.run(world.begin())
    assert done.failure == status
    assert "run-1" in done.description
    assert len(world.starts()) == 3
    assert DOCUMENT in world.store.documents


async def test_a_full_export_that_failed_is_the_caller_s_to_begin_anew(world: World):
    world.status("Executing", "Failed")
    done = await world.run(world.begin(tracked=False))
    assert (done.failure, len(world.starts())) == ("Failed", 1)


async def test_a_refused_export_ends_with_the_words_of_f_and_o(world: World):
    refused = action_error("The data project Prices does not exist.")
    world.fake.answers["ExportToPackageAsync"] = [refused]
    done = await world.run(world.begin(tracked=False))
    assert done.failure == "Failed"
    assert "does not exist" in done.description


async def test_a_package_that_never_comes_fails(world: World):
    world.fake.answers["GetExportedPackageUrl"] = [""]
    done = await world.run(world.begin(tracked=False))
    assert done.failure == "Failed"
    assert world.fake.names().count("GetExportedPackageUrl") == 21


async def test_a_stuck_export_ends_at_its_deadline(world: World):
    world.status("Executing")
    assert (await world.run(world.begin(tracked=False))).failure == "deadline"


async def test_a_run_that_f_and_o_never_knows_fails(world: World):
    world.status("Unknown")
    assert (await world.run(world.begin(tracked=False))).failure == "Failed"


async def test_a_delta_whose_file_is_long_gone_asks_for_a_full_export(world: World):
    await world.run(world.begin("run-1"))
    world.clock.pass_(7 * 24 * 3600)
    done = await world.run(world.begin("run-2"))
    assert done.failure == "expired"
    assert "full export" in done.description
