"""An import and everything around it, and the fixture that makes it. Holds no tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from integration.d365.package_import import PackageImport
from integration.d365.packages import Position, encode_rows
from integration.state.spool import Spool
from tests.unit.test_d365_package_support import (
    TABLE,
    Clock,
    Documents,
    FakeFinance,
    finance,
    volume,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.d365.package_steps import Advance, ImportResult

ROWS = [["", f"Name {n}, Ltd", "10", f"001-{n}"] for n in range(1, 7)]


class World:
    """An import and everything around it."""

    def __init__(self, fake: FakeFinance, api: Any) -> None:
        self.fake = fake
        self.api = api
        self.store = Documents()
        self.clock = Clock()
        self.settings = volume()
        self.delays: list[float] = []

    async def spool(self, parts: int = 3) -> None:
        rows = Spool(self.store, "load/1/rows")
        size = len(ROWS) // parts
        for part in range(parts):
            await rows.put(part, encode_rows(ROWS[part * size : (part + 1) * size]))

    def importer(self) -> PackageImport:
        """As another process would build it."""
        return PackageImport(self.api, self.store, self.settings, clock=self.clock)

    def begin(self, owner: str = "job-1", execution: str = "run-1") -> Position:
        return self.importer().begin(
            "load/1/rows",
            TABLE,
            company="usmf",
            project="SalesforceIntegration-customers",
            execution=execution,
            owner=owner,
        )

    async def advance(self, position: Position) -> Advance:
        done = await self.importer().advance(json.loads(json.dumps(position)))
        self.clock.pass_(done.delay)
        return done

    async def run(self, position: Position, *, until: str = "over") -> Advance:
        """Steps until the phase or the end."""
        for _ in range(500):
            done = await self.advance(position)
            self.delays.append(done.delay)
            if done.result or done.position["phase"] == until:
                return done
            position = done.position
        raise AssertionError("it never ends")

    async def result(self) -> ImportResult:
        done = await self.run(self.begin())
        assert done.result
        return done.result

    async def failures(self) -> list[dict[str, Any]]:
        found = []
        async for part in Spool(self.store, "load/1/rows-failures").stream():
            found += [json.loads(line) for line in part.decode().splitlines()]
        return found

    def answers(self, **answers: Any) -> None:
        short = {
            "status": "GetExecutionSummaryStatus",
            "made": "GenerateImportTargetErrorKeysFile",
            "keys": "GetImportTargetErrorKeysFileUrl",
            "staging": "GetImportStagingErrorFileUrl",
            "errors": "GetExecutionErrors",
            "start": "ImportFromPackageAsync",
        }
        for name, answer in answers.items():
            self.fake.answers[short[name]] = answer if isinstance(answer, list) else [answer]

    def lease(self) -> dict[str, Any]:
        return json.loads(self.store.documents["leases/dmf-import.json"].body)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    with finance() as (fake, api):
        world = World(fake, api)
        await world.spool()
        yield world
