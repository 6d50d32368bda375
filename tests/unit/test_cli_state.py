"""What the commands rely on below them: replies to hints, runs of a part, and a dry run's own state."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integration.errors import RecordBusy, RecordRejected, Unreachable
from integration.flows.conservation import Notes
from integration.flows.loads.routing import waits_for_timer
from integration.flows.outcomes import Moved
from integration.flows.reconcile_scope import Scope, scope_of
from integration.messaging.hints import Hint
from integration.state.blobs import ABSENT, StateConflict
from integration.state.overlay import Overlay
from integration.state.replies import PREFIX, Replies, Reply
from tests.unit.dispatcher_support import D365_DOWN, Stage, hint
from tests.unit.flow_support import MemoryFlow
from tests.unit.state_support import MemoryStore
from tests.unit.test_reconciliation import Source, World

# Replies


class Told(Stage):
    """A dispatcher whose replies are kept."""

    def __init__(
        self,
        switch: str = "on",
        *,
        flow: MemoryFlow | None = None,
        store: MemoryStore | None = None,
    ) -> None:
        self.store = store or MemoryStore()
        self.replies = Replies(self.store)
        super().__init__(switch, flow=flow, replies=self.replies)

    async def reply(self, place: str = "run/1") -> Reply:
        reply = await self.replies.read(place)
        assert reply is not None
        return reply


def asked(key: str = "a", **changes: Any) -> Hint:
    return hint(key, reply_to="run/1", **changes)


async def test_whoever_waits_is_told_what_became_of_the_hint() -> None:
    stage = Told()
    stage.flow.add("a", "New")
    await stage.deliver(asked())
    reply = await stage.reply()
    assert (reply.flow, reply.key, reply.outcome, reply.reason) == (
        "memory",
        "a",
        "synced",
        "changed",
    )
    await stage.deliver(asked("gone"))
    assert (await stage.reply()).outcome == "skipped"
    await stage.deliver(hint("b"))  # nobody waits for this one
    assert list(stage.store.documents) == [f"{PREFIX}run/1.json"]


@pytest.mark.parametrize(
    ("error", "outcome", "final"),
    [
        (RecordRejected("no such group", reason="foreign-key", system="d365"), "dead-letter", True),
        (RecordBusy("locked", reason="row-lock", system="d365"), "waiting", False),
        (D365_DOWN, "waiting", False),
    ],
)
async def test_a_failure_is_told_with_its_reason_and_a_later_try_is_not_the_end(
    error: Exception, outcome: str, final: bool
) -> None:
    flow = MemoryFlow(faults={"find": error})
    stage = Told(flow=flow)
    flow.add("a", "New")
    await stage.deliver(asked())
    reply = await stage.reply()
    assert (reply.outcome, reply.is_final) == (outcome, final)
    assert reply.reason == getattr(error, "reason", "")
    assert reply.system == "d365"
    if not final:
        [(again, delay)] = stage.outbox.scheduled
        assert (again.reply_to, reply.delay) == ("run/1", delay)


@pytest.mark.parametrize(("switch", "outcome"), [("off", "parked"), ("dry", "dry")])
async def test_a_flow_that_does_not_write_says_so(switch: str, outcome: str) -> None:
    stage = Told(switch)
    stage.flow.add("a", "New")
    await stage.deliver(asked())
    assert (await stage.reply()).outcome == outcome


async def test_a_record_that_moves_to_another_bucket_takes_the_question_with_it() -> None:
    stage = Told()
    stage.flow.source["a"] = Moved("other-root", "a")
    await stage.deliver(asked())
    assert (await stage.reply()).outcome == "moved"
    assert [each.reply_to for each in stage.outbox.sent] == ["run/1"]


async def test_a_reply_that_cannot_be_written_holds_up_no_record() -> None:
    class Broken(MemoryStore):
        async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str:
            raise Unreachable("no storage", system="storage")

    stage = Told(store=Broken())
    stage.flow.add("a", "New")
    await stage.deliver(asked())
    assert stage.flow.target["a"]["name"] == "New"


async def test_replies_that_nobody_fetched_are_removed_after_a_day() -> None:
    store = MemoryStore()
    replies, now = Replies(store), datetime.now(UTC)
    reply = Reply(flow="f", key="k", outcome="synced")
    runs = {
        name: f"{now - timedelta(hours=hours):%Y%m%dT%H%M%S}-x"
        for name, hours in (("mine", 0), ("other", 1), ("old", 30))
    }
    for run in runs.values():
        await replies.write(f"{run}/1", reply)
    await replies.write(None, reply)
    assert await replies.numbers(runs["mine"]) == [f"{runs['mine']}/1"]
    await replies.forget(runs["mine"])
    assert list(store.documents) == [f"{PREFIX}{runs['other']}/1.json"]


def test_a_hint_carries_the_question_only_where_somebody_asks() -> None:
    assert "reply_to" not in hint().to_json()
    assert Hint.from_bytes(asked().to_bytes()).reply_to == "run/1"
    assert waits_for_timer("scheduled", hint())
    assert not waits_for_timer("scheduled", asked())


# A dry run's own state


async def test_a_dry_run_reads_the_state_and_leaves_it_as_it_was() -> None:
    below = MemoryStore()
    await below.write("a/1", b"one")
    await below.write("a/2", b"two")
    over = Overlay(below)
    await over.write("a/1", b"changed")
    await over.write("a/3", b"three")
    await over.delete("a/2")
    assert [name async for name in over.names("a/")] == ["a/1", "a/3"]
    read = await over.read("a/1")
    assert read is not None
    assert read.body == b"changed"
    assert await over.read("a/2") is None
    with pytest.raises(StateConflict):
        await over.write("a/1", b"again", expected="another")
    assert await over.write("a/1", b"again", expected=read.etag)
    with pytest.raises(StateConflict):
        await over.write("a/3", b"new", expected=ABSENT)
    await over.write("a/2", b"new", expected=ABSENT)
    assert {name: document.body for name, document in below.documents.items()} == {
        "a/1": b"one",
        "a/2": b"two",
    }


# Reconciliation of a part


async def test_a_part_compares_its_sources_alone_and_moves_no_watermark() -> None:
    mine, other = Source(["a", "b"]), Source(["c"], flow="other")
    world = World(mine, other)
    world.differ("a", "b")
    world.counts.pair = (1, 2)
    since = datetime(2025, 1, 1, tzinfo=UTC)
    report = await world.run(only=["memory"], since=since.isoformat())
    assert [window.since for window in mine.windows] == [since]
    assert other.windows == []
    assert report["entities"]["memory"]["hinted"] == 2
    assert report["counts"] == []
    assert world.jobs == []
    state = json.loads(world.store.documents["reconcile/state.json"].body)
    assert state["watermarks"] == {}
    assert "only memory" in (await text_of(world))


async def text_of(world: World) -> str:
    return next(
        document.body.decode()
        for name, document in world.store.documents.items()
        if name.endswith(".txt")
    )


async def test_a_dry_part_sends_nothing_and_a_company_leaves_the_others_out() -> None:
    world = World(Source(["a", "b"]))
    world.differ("a", "b")
    report = await world.run(full=True, only=["memory"], dry=True)
    assert (report["entities"]["memory"]["differing"], world.hints) == (2, [])
    limited = World(Source(["a", "b"]))
    limited.differ("a", "b")
    report = await limited.run(full=True, only=["memory"], company="usmf")
    assert report["entities"]["memory"]["compared"] == 0


def test_a_part_that_there_is_not_is_refused() -> None:
    with pytest.raises(RecordRejected, match="nothing is compared by the name nonsense"):
        scope_of({"only": ["nonsense"]}, ["invoices"])
    assert not Scope.of({"scope": scope_of({"full": True}, ["invoices"])}).is_part


# What status counts


def test_what_was_handled_is_counted_by_its_object_in_whatever_order_the_notes_come() -> None:
    accepted = ["a", "1", 10.0, "bucket", "salesforce", "Account", "k", "k", None]
    handled = ["h", "1", 11.0]
    for notes in ([accepted, handled], [handled, accepted]):
        found = Notes()
        for note in notes:
            found.add(list(note))
        assert found.finished == {("salesforce", "Account"): 1}
