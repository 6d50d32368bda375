"""Long work from the command line: started, followed and shown; and every example of the help texts."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from integration.cli.commands import build
from integration.cli.manual import commands, examples
from sandbox import topology
from tests.end_to_end.operator_desk import Operator, Said
from tests.end_to_end.world import new_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.end_to_end.world import World

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
# A load waits for the longest batch.
SETTINGS = {"BATCH_SECONDS": "6.5", "RECONCILE_SETTLE_SECONDS": "0"}
SYNC, RECONCILE, CATCH_UP, BACKFILL = ("sync",), ("reconcile",), ("catch-up",), ("backfill",)
MATCH, REPLAY, PURGE = ("match", "accounts"), ("dead-letters", "replay"), ("dead-letters", "purge")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[World]:
    async with new_world(**SETTINGS) as world:
        yield world


@pytest.fixture
def duty(world: World) -> Operator:
    return Operator(world)


async def test_jobs_are_started_followed_and_shown(world: World, duty: Operator) -> None:
    drifted = await world.create_settled()
    await world.change_customer(drifted, OrganizationName="Typed over by a clerk")
    report = await duty.json("reconcile", "--wait")
    assert report["job"]["status"] == "done"
    assert report["report"]["entities"]["accounts"]["repaired"] >= 1
    assert await world.is_in_step(drifted)
    started = await duty.json("catch-up")
    job = started["job"]["id"]
    followed = await duty.done("jobs", job, "--wait")
    assert f"catch-up {job}" in followed.out
    listed = await duty.done("jobs")
    assert listed.width <= 100
    assert re.search(rf"catch-up +{job} +done", listed.out)
    unknown = await duty.run("jobs", "nothing")
    assert (unknown.code, "there is no kind and no run nothing" in unknown.err) == (1, True)


async def test_a_backfill_counts_first_then_loads_and_can_be_given_again(
    world: World, duty: Operator
) -> None:
    keys = [await world.create(events=False) for _ in range(2)]
    dry = await duty.json("backfill", "accounts", "--dry-run")
    assert dry["job"]["counts"]["would-create"] >= 2
    assert await world.customers(keys[0]) == []
    done = await duty.run("backfill", "accounts", "--yes", "--why", "go-live")
    await world.settled()
    assert await world.is_in_step(*keys)
    assert "read" in done.out
    assert [each["why"] for each in duty.audited("backfill accounts") if each["why"]] == ["go-live"]
    for entity, words_ in (
        ("payments --since 2026-01-01", "leave --since out"),
        ("accounts --since yesterday", "2026-01-31"),
        ("accounts --company much-too-long", "usmf"),
        ("nonsense", "one of accounts"),
    ):
        said = await duty.run("backfill", *entity.split(), "--dry-run")
        assert (said.code, words_ in said.err) == (2, True), said.err


async def test_a_dry_run_of_a_whole_table_leaves_nothing_behind(
    world: World, duty: Operator
) -> None:
    own = ("prices/", "payments/", "fingerprints/", "spool/", "pushed/")
    before = duty.etags(*own)
    found = await duty.json("backfill", "prices", "--dry-run")
    assert found["dry_run"]["counts"]["read"] > 0
    await duty.done("backfill", "payments", "--dry-run")
    assert duty.etags(*own) == before
    assert world.salesforce.rows_to_salesforce() == []


# The help texts


async def test_every_example_of_the_help_texts_runs(
    world: World, duty: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await world.create_settled()
    key = await world.create(BillingCountry="Atlantis")
    await world.settled()
    job = (await duty.json("catch-up"))["job"]["id"]
    lines = {
        path: [line for line in examples(node) if "--watch" not in line]  # which never ends
        for path, node in commands(build())
        if path != ("doctor",)  # has a sandbox of its own
    }
    assert sum(map(len, lines.values())) > 25
    changing = {path: lines.pop(path) for path in (SYNC, RECONCILE, CATCH_UP, MATCH, BACKFILL)}
    letters = [line for path in (REPLAY, PURGE) for line in lines.pop(path)]

    def words(line: str) -> list[str]:
        given = {"ACCOUNT_ID": key, "JOB_ID": job, "LETTER_ID": _letter(world, key)}
        return shlex.split(re.sub(r"[A-Z]+_ID", lambda found: given[found[0]], line))

    async def run(*chains: list[str]) -> None:
        said = await duty.together(*([words(line) for line in chain] for chain in chains))
        for chain, results in zip(chains, said, strict=True):
            for line, result in zip(chain, results, strict=True):
                _has_answered(line, result)

    await run(*([line] for each in lines.values() for line in each))  # look only
    dry = [line for line in changing[BACKFILL] if "--dry-run" in line]
    loads = [line for line in changing.pop(BACKFILL) if line not in dry]
    await run(*changing.values(), dry)
    for line in letters:
        if not world.letters(key):
            await world.tell(key)
            await world.settled()
        world.sandbox.broker.expire_locks(topology.DEAD_LETTER)
        await run([line])
    await run(loads)  # last, because what a load holds keeps commands behind it waiting


def _has_answered(line: str, said: Said) -> None:
    assert said.code in (0, 1), (line, said.err)
    assert "unexpected" not in said.err, (line, said.err)
    assert said.out or "next: " in said.err, line
    if "--json" in line:
        json.loads(said.out)


def _letter(world: World, key: str) -> str:
    messages = world.sandbox.broker.peek(topology.DEAD_LETTER)
    mine = (each for each in messages if key.encode() in each.body)
    return str(next((each.sequence_number for each in mine), "none"))
