"""The app's Bulk loads and queries against the stand-in, over real HTTP."""

from __future__ import annotations

import json
from contextlib import aclosing

import pytest

from integration.salesforce.bulk_load import LoadResult
from tests.contract.bulk_support import ACCOUNT_KEY, Client, shared
from tests.contract.bulk_world import COLUMNS, World, org, rows, world, world_of

__all__ = ["org", "shared", "world"]  # the fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_was_loaded_is_what_a_query_finds(world: World) -> None:
    text = 'Zeile 1\nZeile "2", ä€𝄞\r\nEnde'
    result = await world.upsert([("D-1", "A", "+49 1", text)], rows(2, 2))
    assert result == LoadResult(3, 0, 0, "job/failures", None, "JobComplete", "", False)
    found = await world.selected(f"SELECT {', '.join(COLUMNS)} FROM Account ORDER BY {ACCOUNT_KEY}")
    assert found[0] == {
        ACCOUNT_KEY: "D-1",
        "Name": "A",
        "Phone": "+49 1",
        "Description": text,
    }
    assert [row[ACCOUNT_KEY] for row in found] == ["D-1", "D-2", "D-3"]
    assert found[1]["Description"] is None


async def test_none_clears_a_field_and_an_empty_text_leaves_it(world: World) -> None:
    await world.upsert([("D-1", "A", "+49 1", "old"), ("D-2", "B", "+49 2", "old")])
    result = await world.upsert(
        [("D-1", "A", None, ""), ("D-2", "#N/A", "+49 3", None), ("D-3", "C", None, "")],
        count_created=True,
    )
    assert result.created == 1
    found = await world.accounts()
    assert (found["D-1"]["Phone"], found["D-1"]["Description"]) == (None, "old")
    assert (found["D-2"]["Phone"], found["D-2"].get("Description")) == ("+49 3", None)
    assert found["D-2"]["Name"] == "#N/A"


async def test_bad_rows_come_back_whatever_their_order(world: World) -> None:
    bad = {"D-10": (None, "REQUIRED_FIELD_MISSING"), "D-20": ("x" * 256, "STRING_TOO_LONG")}
    given = [(key, bad.get(key, (name,))[0], *more) for key, name, *more in rows(0, 300)]
    result = await world.upsert(given)
    assert (result.processed, result.failed, result.unknown) == (300, 2, False)
    lines = {line["key"]: line for line in await world.failures()}
    assert {key: line["code"] for key, line in lines.items()} == {
        key: code for key, (_, code) in bad.items()
    }
    assert lines["D-10"]["fields"] == ["Name"]
    assert len(await world.accounts()) == 298


async def test_locked_rows_are_marked_to_be_sent_again(world: World) -> None:
    await world.org.fault(kind="lock", after_rows=1, rows=2)
    assert (await world.upsert(rows(0, 5))).failed == 2
    again = [line for line in await world.failures() if line["transient"]]
    assert {line["code"] for line in again} == {"UNABLE_TO_LOCK_ROW"}
    keys = {line["key"] for line in again}
    assert (await world.upsert([row for row in rows(0, 5) if row[0] in keys])).failed == 0
    assert len(await world.accounts()) == 5


async def test_several_files_are_several_jobs(org: Client) -> None:
    async with world_of(org, bulk_file_bytes=100_000) as world:
        parts = [rows(1000 * part, 1000) for part in range(6)]
        assert (await world.upsert(*parts)).processed == 6000
        assert len(org.standin.bulk.jobs) > 1
        assert len(await world.accounts()) == 6000


async def test_a_query_comes_in_pages_with_fields_of_parents(org: Client) -> None:
    async with world_of(org, bulk_query_rows=1000) as world:
        await world.upsert(rows(0, 2500))
        (parent,) = await org.insert("Account", {"Name": "Parent", ACCOUNT_KEY: "P"})
        await org.insert("Contact", {"LastName": "Doe", "AccountId": parent})
        found = await world.selected(f"SELECT {ACCOUNT_KEY}, Name FROM Account")
        assert len({row[ACCOUNT_KEY] for row in found}) == len(found) == 2501
        contacts = await world.selected("SELECT LastName, Account.Name, Email FROM Contact")
        assert contacts == [{"LastName": "Doe", "Account.Name": "Parent", "Email": None}]
        none = "SELECT Id FROM Account WHERE Name = 'none'"
        assert await world.selected(none) == []


async def test_a_page_is_left_and_read_on(org: Client) -> None:
    async with world_of(org, bulk_query_rows=5000) as world:
        await world.upsert(rows(0, 8000))
        position = world.query.begin(f"SELECT {', '.join(COLUMNS)} FROM Account")
        while position["phase"] != "read":
            position = (await world.query.advance(position)).position
        found: list[str | None] = []
        done = False
        while not done:
            async with aclosing(world.query.batches(json.loads(json.dumps(position)))) as batches:
                for _ in range(2):
                    part = await anext(batches)
                    found += [row[ACCOUNT_KEY] for row in part.rows or ()]
                    position, done = part.position, part.done
                    if done:
                        break
        assert sorted(map(str, found)) == sorted(row[0] or "" for row in rows(0, 8000))
