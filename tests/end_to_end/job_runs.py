"""Runs a timer by hand and waits for the job that it starts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from sandbox.stack import MASTER_KEY

if TYPE_CHECKING:
    from integration.jobs.store import JobStore
    from tests.end_to_end.world import World


def state_container(world: World) -> ContainerClient:
    storage = world.sandbox.storage.connection_string
    return ContainerClient.from_connection_string(storage, "integration-state")


async def claims_over(store: JobStore, kind: str) -> None:
    """After a kill: as if the time had passed for which the dead process holds its step. The app must not
    run. (tests/unit/test_jobs_runner.py shows that the time is waited.)"""
    for run in await store.runs(kind):
        if run.is_running and (loaded := await store.load(kind, run.id)):
            await store.save(replace(loaded[0], claimed_until=None), loaded[1])


def document(world: World, name: str) -> Any:
    """A JSON document of the app's state, None where it is not there."""
    with state_container(world) as blobs:
        try:
            return json.loads(blobs.download_blob(name).readall())
        except ResourceNotFoundError:
            return None


def job_states(world: World, kind: str) -> dict[str, dict[str, Any]]:
    """The jobs of a kind by the names of their documents."""
    with state_container(world) as blobs:
        if not blobs.exists():
            return {}
        names = list(blobs.list_blob_names(name_starts_with=f"jobs/{kind}/"))
    found = {name: document(world, name) for name in names if not name.endswith("/current.json")}
    return {name: state for name, state in found.items() if state}


async def run_timer(
    world: World, function: str, kind: str, *, timeout: float = 60
) -> dict[str, Any]:
    """Fires the timer; returns the ended state of its job."""
    known = set(job_states(world, kind))
    answer = await world.sandbox.http.post(
        f"{world.sandbox.app_url}/admin/functions/{function}",
        headers={"x-functions-key": MASTER_KEY},
        json={"input": ""},
    )
    assert answer.status_code == 202, answer.text
    return await ended(world, kind, known, timeout=timeout)


async def ended(world: World, kind: str, known: set[str], *, timeout: float = 60) -> dict[str, Any]:
    """The state of the job that is not among the `known` ones, once it has ended."""
    async with asyncio.timeout(timeout):
        while True:
            for name, state in job_states(world, kind).items():
                if name not in known and state["status"] != "running":
                    return state
            await asyncio.sleep(0.1)
