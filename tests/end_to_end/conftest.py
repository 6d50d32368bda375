"""One running world per module, calmed between the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.end_to_end.world import World, new_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[World]:
    async with new_world() as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: World) -> AsyncIterator[World]:
    yield running
    await running.calm()
