"""The engine: few calls for many records, one outcome for each, whatever happens to the others."""

import copy
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.errors import (
    ContractError,
    RecordBusy,
    RecordNeedsReview,
    RecordRejected,
    Throttled,
    Unreachable,
)
from integration.flows.engine import converge
from integration.flows.flow import Record
from integration.flows.outcomes import Failed, Moved, Outcome, Skipped, Synced, WouldChange
from tests.unit.flow_support import MemoryFlow

DOWN = Unreachable("down", system="d365")
STAGES = ("read", "find", "write", "write_back")


def flow_of(*keys: str) -> MemoryFlow:
    flow = MemoryFlow()
    for key in keys:
        flow.add(key)
    return flow


async def run(flow: MemoryFlow, *keys: str, dry: bool = False) -> dict[str, Outcome]:
    return await converge(flow, dict.fromkeys(keys or flow.source, "bucket-000"), dry=dry)


def error_of(outcome: Outcome) -> Exception:
    assert isinstance(outcome, Failed)
    return outcome.error


async def test_a_new_record_is_created_and_its_number_written_back() -> None:
    flow = flow_of("a")
    assert await run(flow) == {"a": Synced(changed=True)}
    assert flow.target["a"]["name"] == "Acme"
    assert flow.source["a"]["number"] == "N-a"


async def test_doing_it_again_changes_nothing() -> None:
    flow = flow_of("a", "b")
    await run(flow)
    before = copy.deepcopy((flow.source, flow.target))
    flow.calls.clear()
    assert await run(flow) == {"a": Synced(changed=False), "b": Synced(changed=False)}
    assert flow.stages() == ["read", "find"]
    assert (flow.source, flow.target) == before


async def test_a_changed_record_is_updated() -> None:
    flow = flow_of("a")
    await run(flow)
    flow.source["a"]["name"] = "Acme Ltd"
    assert await run(flow) == {"a": Synced(changed=True)}
    assert flow.target["a"]["name"] == "Acme Ltd"


async def test_a_missing_number_alone_is_written_back() -> None:
    flow = flow_of("a")
    await run(flow)
    flow.source["a"]["number"] = None
    flow.calls.clear()
    assert await run(flow) == {"a": Synced(changed=True)}
    assert flow.stages() == ["read", "find", "write_back"]


async def test_many_records_cost_as_many_calls_as_one() -> None:
    flow = flow_of(*(f"k{number}" for number in range(200)))
    outcomes = await run(flow)
    assert set(outcomes.values()) == {Synced(changed=True)}
    assert flow.stages() == list(STAGES)


async def test_what_the_source_does_not_have_or_not_want_is_skipped() -> None:
    flow = flow_of("a")
    flow.add("unwanted", name=None)  # type: ignore[arg-type]
    flow.source["gone"] = Skipped("deleted-in-salesforce")
    outcomes = await run(flow, "a", "unwanted", "gone", "never-there")
    assert outcomes == {
        "a": Synced(changed=True),
        "unwanted": Skipped("not-wanted"),
        "gone": Skipped("deleted-in-salesforce"),
        "never-there": Skipped("not-found"),
    }
    assert flow.target.keys() == {"a"}


async def test_a_merged_record_is_sent_to_the_one_it_was_merged_into() -> None:
    flow = MemoryFlow(source={"a": Moved("winner", "winner")})
    assert await run(flow, "a") == {"a": Moved("winner", "winner")}


@pytest.mark.parametrize("stage", ["compare", "write"])
async def test_a_record_may_end_in_another_one_that_is_handled_next(stage: str) -> None:
    class Leading(MemoryFlow):
        def compare(self, wanted: Record, current: Record | None) -> Any:
            if stage == "compare" and wanted["Id"] == "a":
                return Moved("winner", "winner")
            return super().compare(wanted, current)

        async def write(self, changes: Any, buckets: Any) -> Any:
            return {**await super().write(changes, buckets), "a": Moved("winner", "winner")}

    flow = Leading()
    for key in ("a", "b"):
        flow.add(key)
    outcomes = await run(flow)
    assert outcomes == {"a": Moved("winner", "winner"), "b": Synced(changed=True)}
    assert ("a" in flow.target) == (stage == "write")
    assert flow.calls[-1] == ("write_back", ["b"])


async def test_a_record_whose_root_is_in_another_bucket_is_moved_and_nothing_is_written() -> None:
    flow = flow_of("mine")
    flow.add("theirs", root="elsewhere")
    held = {"mine": "bucket-001", "theirs": "bucket-001"}
    outcomes = await converge(
        flow, held, owns=lambda root, bucket: (root, bucket) == ("mine", bucket)
    )
    assert outcomes == {"mine": Synced(changed=True), "theirs": Moved("elsewhere", "theirs")}
    assert flow.target.keys() == {"mine"}


async def test_a_dry_run_names_the_differences_and_writes_nothing() -> None:
    flow = flow_of("new", "same", "changed")
    await run(flow, "same", "changed")
    flow.source["changed"]["name"] = "Acme Ltd"
    before = copy.deepcopy((flow.source, flow.target))
    flow.calls.clear()
    outcomes = await run(flow, "new", "same", "changed", "never-there", dry=True)
    assert outcomes["same"] == Synced(changed=False)
    assert outcomes["never-there"] == Skipped("not-found")
    assert isinstance(new := outcomes["new"], WouldChange)
    assert new.operation == "create"
    assert isinstance(changed := outcomes["changed"], WouldChange)
    assert [change.field for change in changed.differences] == ["name"]
    assert flow.stages() == ["read", "find"]
    assert (flow.source, flow.target) == before


@pytest.mark.parametrize("stage", STAGES)
async def test_where_a_call_for_many_fails_each_of_them_has_failed(stage: str) -> None:
    flow = flow_of("a", "b")
    flow.faults[stage] = DOWN
    assert await run(flow) == {"a": Failed(DOWN), "b": Failed(DOWN)}


async def test_a_failed_call_leaves_alone_what_it_was_not_for() -> None:
    flow = flow_of("same", "changed")
    await run(flow)
    flow.source["changed"]["name"] = "Acme Ltd"
    flow.faults["write"] = DOWN
    assert await run(flow) == {"same": Synced(changed=False), "changed": Failed(DOWN)}


@pytest.mark.parametrize(
    "stage", ["read", "root_of", "wanted", "find", "compare", "write", "back", "write_back"]
)
@pytest.mark.parametrize("error", [RecordRejected("no"), KeyError("bug")])
async def test_the_failure_of_one_record_is_its_own(stage: str, error: Exception) -> None:
    flow = flow_of("bad", "good")
    flow.faults[stage, "bad"] = error
    assert await run(flow) == {"bad": Failed(error), "good": Synced(changed=True)}


async def test_a_record_that_failed_gets_no_number_written_back() -> None:
    flow = flow_of("a")
    flow.faults["write", "a"] = RecordRejected("no")
    await run(flow)
    assert "write_back" not in flow.stages()


@pytest.mark.parametrize("reason", ["etag-conflict", "already-exists"])
async def test_a_target_changed_in_between_is_read_again_once(reason: str) -> None:
    flow = flow_of("a", "b")
    flow.faults["write", "a"] = [RecordBusy("changed", reason=reason)]
    assert await run(flow) == {"a": Synced(changed=True), "b": Synced(changed=True)}
    assert flow.calls.count(("read", ["a"])) == 1

    stubborn = flow_of("a")
    stubborn.faults["write", "a"] = RecordBusy("changed", reason=reason)
    assert isinstance(error_of((await run(stubborn))["a"]), RecordBusy)
    assert stubborn.stages().count("write") == 2


async def test_a_lock_is_not_read_again_at_once() -> None:
    flow = flow_of("a")
    flow.faults["write", "a"] = RecordBusy("locked")
    await run(flow)
    assert flow.stages().count("write") == 1


async def test_a_write_without_an_answer_has_failed() -> None:
    class Silent(MemoryFlow):
        async def write(self, changes: object, buckets: object) -> dict[str, Exception]:
            return {}

    flow = Silent()
    flow.add("a")
    assert error_of((await run(flow))["a"]).args == ("the write was not answered",)


async def test_every_write_leaves_an_audit_record_without_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flow = flow_of("a")
    with caplog.at_level(logging.INFO, "integration.audit"):
        await run(flow)
    records = [vars(record) for record in caplog.records if record.name == "integration.audit"]
    assert [(r["i_operation"], r["i_key"], r["i_fields"]) for r in records] == [
        ("create", "a", "name"),
        ("write-back", "a", "number"),
    ]
    assert "Acme" not in caplog.text


KEYS = st.sampled_from(["a", "b", "c", "d"])
ERRORS = st.sampled_from(
    [
        DOWN,
        Throttled("slow", system="salesforce"),
        RecordRejected("no"),
        RecordNeedsReview("who?"),
        RecordBusy("changed", reason="etag-conflict"),
        ContractError("what?"),
        ZeroDivisionError(),
    ]
)
PLACES = st.sampled_from(STAGES) | st.tuples(
    st.sampled_from([*STAGES, "root_of", "wanted", "compare", "back"]), KEYS
)


@given(
    faults=st.dictionaries(PLACES, ERRORS | st.lists(ERRORS, max_size=2), max_size=6),
    present=st.sets(KEYS),
    linked=st.sets(KEYS),
    dry=st.booleans(),
)
async def test_every_key_gets_exactly_one_outcome_and_nothing_is_raised(
    faults: dict[str | tuple[str, str], Exception | list[Exception]],
    present: set[str],
    linked: set[str],
    dry: bool,
) -> None:
    flow = flow_of(*sorted(present))
    for key in linked:
        flow.target[key] = {"name": "Old", "number": f"N-{key}", "etag": 1}
    flow.faults = faults
    given_errors = [
        error
        for fault in faults.values()
        for error in ([*fault] if isinstance(fault, list) else [fault])
    ]
    outcomes = await run(flow, "a", "b", "c", "d", dry=dry)
    assert outcomes.keys() == {"a", "b", "c", "d"}
    for key, outcome in outcomes.items():
        if outcome == Synced(changed=True):
            assert flow.target[key]["name"] == "Acme"
            assert flow.source[key]["number"] == f"N-{key}"
        if isinstance(outcome, Failed):
            assert outcome.error in given_errors
    if dry:
        assert not {"write", "write_back"} & set(flow.stages())


async def test_what_a_person_must_still_decide_is_the_outcome_after_the_write_back() -> None:
    flow = MemoryFlow()
    flow.add("a")
    flow.add("b")
    problem = RecordNeedsReview("amounts differ", reason="amounts-differ")
    flow.faults["unresolved", "a"] = problem
    outcomes = await converge(flow, {"a": "bucket", "b": "bucket"})
    assert outcomes == {"a": Failed(problem), "b": Synced(True)}
    assert flow.source["a"]["number"] == "N-a"


async def test_a_surprise_while_asking_for_it_is_that_records_outcome() -> None:
    flow = MemoryFlow()
    flow.add("a")
    flow.add("b")
    flow.faults["unresolved", "a"] = ZeroDivisionError()
    outcomes = await converge(flow, {"a": "bucket", "b": "bucket"})
    assert isinstance(outcomes["a"], Failed)
    assert outcomes["b"] == Synced(True)
