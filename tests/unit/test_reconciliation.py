"""The reconciliation job between two dicts: what it finds, sends, reports and remembers."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from integration.errors import (
    ContractError,
    IntegrationError,
    Misconfigured,
    RecordBusy,
    RecordNeedsReview,
    Unreachable,
)
from integration.flows.context import FlowEntry
from integration.flows.drift_report import as_text
from integration.flows.reconcile_counts import Count, Counts
from integration.flows.reconcile_keys import Cursor, KeyPage, Ref, Window
from integration.flows.reconcile_parts import Sides
from integration.flows.reconciliation import ReconcileJob
from integration.messaging.hints import Hint
from integration.settings import ReconcileSettings, VolumeSettings
from integration.state.ledger import LedgerEntry
from tests.unit.flow_support import MemoryFlow
from tests.unit.state_support import MemoryStore

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


class Source:
    """Keys in pages; `error` is raised by the next page."""

    how = "a list"

    def __init__(self, keys: list[str], *, flow: str = "memory", rolling: bool = False) -> None:
        self.name, self.flows, self.rolling = flow, (flow,), rolling
        self.keys = keys
        self.windows: list[Window] = []
        self.starts: list[Cursor | None] = []
        self.error: Exception | None = None

    async def page(self, window: Window, after: Cursor | None, size: int) -> KeyPage:
        self.windows.append(window)
        self.starts.append(after)
        if self.error:
            raise self.error
        start = int(after["at"]) if after else 0
        part = self.keys[start : start + size]
        refs = [Ref(self.name, "salesforce", "Thing", key, f"root-{key}") for key in part]
        more = start + size < len(self.keys)
        return KeyPage(refs, len(part), {"at": str(start + size)} if more else None)


class MemoryLedger:
    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []

    async def page(self, after: str, size: int) -> tuple[list[LedgerEntry], str | None]:
        start = int(after or 0)
        more = start + size < len(self.entries)
        return self.entries[start : start + size], str(start + size) if more else None


class FixedCounts(Counts):
    def __init__(self, salesforce: int, d365: int | IntegrationError) -> None:
        super().__init__(
            cast("Any", None), cast("Any", None), (Count("products", "P", "K", (), job="prices"),)
        )
        self.pair = (salesforce, d365)

    async def of(self, count: Count) -> tuple[int, int]:
        salesforce, d365 = self.pair
        if isinstance(d365, IntegrationError):
            raise d365
        return salesforce, d365


class World:
    def __init__(self, *sources: Source, switch: Any = "on", **settings: Any) -> None:
        self.flow, self.store, self.ledger = MemoryFlow(), MemoryStore(), MemoryLedger()
        self.counts = FixedCounts(1, 1)
        self.hints: list[Hint] = []
        self.jobs: list[str] = []
        self.now = START
        entry = FlowEntry(self.flow, "salesforce", "Thing", switch)
        self.job = ReconcileJob(
            self.store,
            self.ledger,
            cast("Any", SimpleNamespace(send_hints=self._send)),
            Sides((entry,), sources, self.counts),
            self._start,
            ReconcileSettings(page=2, **settings),
            clock=lambda: self.now,
        )

    async def _send(self, hints: Iterable[Hint]) -> None:
        self.hints += hints

    async def _start(self, kind: str, params: dict[str, Any]) -> str | None:
        if kind != "prices":
            raise KeyError(kind)
        self.jobs.append(kind)
        return "run-1"

    def differ(self, *keys: str) -> None:
        for key in keys:
            self.flow.add(key, "New")
            self.flow.target[key] = {"name": "Old", "number": "1", "etag": 1}

    def in_step(self, *keys: str) -> None:
        for key in keys:
            self.flow.add(key, number="1")
            self.flow.target[key] = {"name": "Acme", "number": "1", "etag": 1}

    async def run(self, *, heal: bool = True, **params: Any) -> dict[str, Any]:
        """The report; with `heal` the hints are followed before the second look."""
        position: dict[str, Any] = params
        for _ in range(100):
            progress = await self.job.step(json.loads(json.dumps(position)))
            position = progress.position
            if progress.delay and heal:
                self.in_step(*(hint.key for hint in self.hints))
            if progress.done:
                name = f"reports/reconcile/{position['run']}"
                assert f"{name}.txt" in self.store.documents
                self.now += timedelta(hours=1)
                return dict(json.loads(self.store.documents[f"{name}.json"].body))
        raise AssertionError("the job does not end")


async def test_only_differences_are_sent_and_their_repair_is_seen() -> None:
    source = Source(["a", "b", "c", "d", "e"])
    world = World(source)
    world.in_step("a", "c", "e")
    world.differ("b", "d")
    report = await world.run()
    assert [(hint.key, hint.root) for hint in world.hints] == [("b", "root-b"), ("d", "root-d")]
    entity = report["entities"]["memory"]
    numbers = [entity[name] for name in ("compared", "in_step", "differing", "hinted", "repaired")]
    assert numbers == [5, 3, 2, 2, 2]
    assert entity["differences"][0] == {
        "flow": "memory", "key": "b", "operation": "update", "fields": ["name"],
    }  # fmt: skip
    assert "write" not in world.flow.stages()


async def test_what_was_not_repaired_is_named() -> None:
    world = World(Source(["a"]))
    world.differ("a")
    entity = (await world.run(heal=False))["entities"]["memory"]
    assert (entity["repaired"], entity["not_repaired"]) == (0, ["a"])


async def test_what_was_refused_once_is_sent_again_only_when_it_changed() -> None:
    world = World(Source(["a"]))
    world.differ("a")
    await world.run(heal=False)
    world.hints.clear()
    entity = (await world.run(heal=False))["entities"]["memory"]
    assert world.hints == []
    assert (entity["differing"], entity["refused_before"]) == (1, 1)
    world.flow.add("a", "Corrected")
    await world.run(heal=False)
    assert [hint.key for hint in world.hints] == ["a"]
    world.hints.clear()
    await world.run(heal=False, full=True)
    assert [hint.key for hint in world.hints] == ["a"]


async def test_a_number_that_was_never_written_back_is_a_difference() -> None:
    world = World(Source(["a"]))
    world.in_step("a")
    world.flow.source["a"]["number"] = None
    report = await world.run()
    assert report["entities"]["memory"]["differences"][0]["operation"] == "write-back"


async def test_the_next_run_goes_on_from_the_last_with_an_overlap() -> None:
    source = Source(["a"])
    world = World(source, window_hours=48, overlap_minutes=60)
    world.in_step("a")
    await world.run()
    await world.run()
    await world.run(full=True)
    assert [window.since for window in source.windows] == [
        START - timedelta(hours=48),
        START - timedelta(minutes=60),
        None,
    ]


async def test_a_step_that_is_repeated_sends_the_same_message() -> None:
    world = World(Source(["a"]))
    world.differ("a")
    position: dict[str, Any] = {}
    for _ in range(2):
        position = (await world.job.step(position)).position
    for _ in range(2):
        await world.job.step(json.loads(json.dumps(position)))
    first, second = world.hints
    assert first.message_id == second.message_id


async def test_a_record_for_a_person_is_reported_and_not_sent_a_busy_one_is_sent() -> None:
    world = World(Source(["a", "b"]))
    world.in_step("a", "b")
    world.flow.faults[("find", "a")] = RecordNeedsReview("two of them", reason="several")
    world.flow.faults[("find", "b")] = RecordBusy("locked")
    entity = (await world.run())["entities"]["memory"]
    assert [hint.key for hint in world.hints] == ["b"]
    assert entity["unclear"] == {"several": 1, "busy": 1}
    assert entity["problems"][0]["description"] == "two of them"


async def test_a_missing_record_is_no_deletion() -> None:
    world = World(Source(["a"]))
    entity = (await world.run())["entities"]["memory"]
    assert (entity["skipped"], world.hints) == ({"not-found": 1}, [])


@pytest.mark.parametrize("error", [Misconfigured("no such entity"), ContractError("no list")])
async def test_an_entity_that_cannot_be_read_does_not_stop_the_others(error: Exception) -> None:
    broken = Source([], flow="broken")
    source = Source(["a"])
    broken.error = error
    broken.flows = ("memory",)
    world = World(broken, source)
    world.differ("a")
    report = await world.run()
    assert report["entities"]["memory"]["hinted"] == 1
    assert report["entities"]["broken"]["complete"] is False
    assert str(error) in report["not_compared"]["broken"]
    await world.run()
    assert broken.windows[1].since == START + timedelta(hours=1) - timedelta(hours=48)


async def test_trouble_of_a_system_is_waited_out_by_the_job() -> None:
    world = World(Source(["a"]))
    world.in_step("a")
    world.flow.faults["find"] = [Unreachable("down")]
    position = (await world.job.step({})).position
    position = (await world.job.step(position)).position
    with pytest.raises(Unreachable):
        await world.job.step(position)
    assert world.hints == []
    assert (await world.job.step(position)).counts["compared"] == 1


async def test_a_rolling_source_takes_turns_and_begins_again() -> None:
    source = Source(["a", "b", "c", "d", "e"], rolling=True)
    world = World(source, sweep=2)
    world.in_step(*source.keys)
    for _ in range(4):
        await world.run()
    assert source.starts == [None, {"at": "2"}, {"at": "4"}, None]
    source.starts.clear()
    await world.run(full=True)
    assert source.starts == [None, {"at": "2"}, {"at": "4"}]


@pytest.mark.parametrize("switch", ["off", "dry"])
async def test_a_flow_that_is_not_on_gets_no_hints(switch: str) -> None:
    world = World(Source(["a"]), switch=switch)
    world.differ("a")
    world.ledger.entries.append(entry("x"))
    report = await world.run()
    assert world.hints == []
    assert ("memory" in report["not_compared"]) is (switch == "off")
    assert "ledger of memory" in report["not_compared"]


async def test_a_flow_that_the_app_lacks_is_named() -> None:
    world = World(Source(["a"], flow="later"))
    report = await world.run()
    assert report["not_compared"]["later"] == "this app has no such flow"
    assert report["entities"] == {}


def entry(key: str, **changes: str) -> LedgerEntry:
    given: dict[str, Any] = {
        "flow": "memory", "source": "salesforce", "object": "Thing", "key": key, "company": None,
        "root": "r", "reason": "busy", "description": "", "attempts": 4,
        "since": "2025-02-01T00:00:00+00:00", "at": "2025-02-02T00:00:00+00:00", **changes,
    }  # fmt: skip
    return LedgerEntry(**given)


async def test_the_ledger_is_tried_again_page_by_page() -> None:
    world = World(Source([]))
    world.ledger.entries = [entry(key) for key in "abc"] + [entry("z", flow="gone")]
    report = await world.run()
    assert [hint.key for hint in world.hints] == ["a", "b", "c"]
    assert all(hint.event_id.startswith("ledger:") for hint in world.hints)
    assert len({hint.event_id for hint in world.hints}) == 3
    assert report["ledger"] == {"entries": 4, "hinted": 3, "oldest": "2025-02-01T00:00:00+00:00"}
    assert report["not_compared"]["ledger of gone"] == "this app has no such flow"


async def test_different_counts_start_the_job_that_heals_them_once() -> None:
    world = World(Source([]))
    world.counts.pair = (4, 5)
    assert (await world.run())["jobs"] == {"prices": "run-1"}
    assert (await world.run())["jobs"] == {}
    world.counts.pair = (4, 6)
    assert (await world.run())["jobs"] == {"prices": "run-1"}


async def test_a_count_that_fails_is_named() -> None:
    world = World(Source([]))
    world.counts.pair = (4, Misconfigured("no such entity"))
    report = await world.run(full=True)
    assert "no such entity" in report["not_compared"]["count of products"]
    assert report["not_compared"]["payments"] == "this app has no such job"


async def test_more_differences_than_a_package_is_worth_are_noted_for_a_load() -> None:
    world = World(Source(["a", "b", "c", "d", "e"], flow="accounts"))
    world.flow.name = "accounts"
    noted: list[tuple[str, list[str], str]] = []
    started: list[tuple[str, dict[str, Any]]] = []

    async def note(flow: str, keys: Iterable[str], *, name: str = "") -> None:
        noted.append((flow, list(keys), name))

    async def start(kind: str, params: dict[str, Any]) -> str | None:
        started.append((kind, params))
        return "run-1"

    entry = FlowEntry(world.flow, "salesforce", "Thing", "on")
    source = Source(["a", "b", "c", "d", "e"], flow="accounts")
    world.job = ReconcileJob(
        world.store,
        world.ledger,
        cast("Any", SimpleNamespace(send_hints=world._send)),
        Sides((entry,), (source,), world.counts),
        start,
        ReconcileSettings(page=2),
        clock=lambda: world.now,
        dirty=cast("Any", SimpleNamespace(note=note)),
        volume=VolumeSettings().model_copy(update={"package_threshold": 3}),
    )
    world.differ("a", "b", "c", "d", "e")
    report = await world.run()
    assert [hint.key for hint in world.hints] == ["a", "b"]
    assert [(flow, keys) for flow, keys, _ in noted] == [
        ("accounts", ["c", "d"]),
        ("accounts", ["e"]),
    ]
    assert len({name for _, _, name in noted}) == 2
    assert started == [("load-accounts", {"dirty": True})]
    entity = report["entities"]["accounts"]
    assert (entity["differing"], entity["hinted"], entity["loaded"]) == (5, 2, 3)
    assert report["jobs"]["load-accounts"] == "run-1"
    assert "3 were too many for that and go in a data package" in as_text(report)
