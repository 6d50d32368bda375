"""Lost answers, crashes and races while an order is written: one order, each line once."""

import pytest

from integration.d365.batch import OperationResult
from integration.deadline import deadline
from integration.errors import (
    ContractError,
    CreatePending,
    DeadlineReached,
    OutcomeUnknown,
    RecordBusy,
    RecordRejected,
    Throttled,
    Unreachable,
)
from integration.flows.outcomes import Synced
from tests.unit.order_support import BUCKET, LINE_ID, ORDER_ID, A, B, World, line_id
from tests.unit.test_flows_orders import NUMBER, lines, problem

NO_ANSWER = OutcomeUnknown("no answer", system="d365")
INTENTS = f"intents/orders/{BUCKET}.json"


@pytest.fixture
def sequence() -> World:
    world = World()
    world.add(A, *lines())
    return world


@pytest.fixture
def own() -> World:
    world = World(ORDER_NUMBERING="opportunity-id")
    world.add(A, *lines())
    return world


def announced(world: World) -> bool:
    document = world.store.documents.get(INTENTS)
    return document is not None and A.encode() in document.body


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("call", [0, 1])
async def test_a_lost_answer_waits_for_the_quarantine_and_then_reading_decides(
    sequence: World, call: int, committed: bool
) -> None:
    sequence.d365.answers = [*[None] * call, NO_ANSWER]
    sequence.d365.commits = committed
    error = problem((await sequence.run())[A])
    assert isinstance(error, CreatePending)
    assert announced(sequence)
    made = (len(sequence.headers), len(sequence.lines))
    again = (await sequence.run())[A]
    if call and committed:
        assert again == Synced(True)  # the lines were found, nothing had to be written
    else:
        assert isinstance(problem(again), CreatePending)
        assert (len(sequence.headers), len(sequence.lines)) == made
        sequence.wait(16)
        assert await sequence.run() == {A: Synced(True)}
    assert (len(sequence.headers), len(sequence.lines)) == (1, 2)
    assert sequence.opportunity()[NUMBER] == sequence.headers[0]["SalesOrderNumber"]


@pytest.mark.parametrize("committed", [True, False])
async def test_with_a_number_of_our_own_a_lost_answer_is_only_repeated(
    own: World, committed: bool
) -> None:
    own.d365.answers = [NO_ANSWER]
    own.d365.commits = committed
    assert isinstance(problem((await own.run())[A]), Unreachable)
    assert await own.run() == {A: Synced(True)}
    assert (len(own.headers), len(own.lines)) == (1, 2)


async def test_an_order_that_appears_meanwhile_is_read_and_not_doubled(own: World) -> None:
    def other_instance() -> None:
        own.d365.before_write = lambda: None
        own.headers.append(
            {"dataAreaId": "usmf", "SalesOrderNumber": A, "OrderingCustomerAccountNumber": "US-1"}
        )

    own.d365.before_write = other_instance
    assert await own.run() == {A: Synced(True)}
    assert (len(own.headers), len(own.lines)) == (1, 2)


async def test_after_a_crash_behind_the_header_only_the_lines_follow(sequence: World) -> None:
    sequence.headers.append(
        {
            "dataAreaId": "usmf",
            "SalesOrderNumber": "SO-7",
            ORDER_ID: A,
            "OrderingCustomerAccountNumber": "US-1",
        }
    )
    assert await sequence.run() == {A: Synced(True)}
    assert len(sequence.headers) == 1
    assert [row[LINE_ID] for row in sequence.lines] == [line_id(1), line_id(2)]
    assert sequence.opportunity()[NUMBER] == "SO-7"


async def test_a_half_made_order_gets_the_lines_it_lacks(sequence: World) -> None:
    await sequence.run()
    sequence.lines.pop(0)
    sequence.opportunity().update({NUMBER: None, "D365_Status__c": None})
    assert await sequence.run() == {A: Synced(True)}
    assert len(sequence.headers) == 1
    assert sorted(row[LINE_ID] for row in sequence.lines) == [line_id(1), line_id(2)]


async def test_a_half_made_order_that_says_something_else_is_left_alone(sequence: World) -> None:
    await sequence.run()
    sequence.lines.pop(0)
    sequence.lines[0]["OrderedSalesQuantity"] += 1
    sequence.opportunity().update({NUMBER: None, "D365_Status__c": None})
    sequence.forget()
    assert problem((await sequence.run())[A]).reason == "changed-after-order"
    assert sequence.d365.batches == []
    assert sequence.opportunity()[NUMBER] == sequence.headers[0]["SalesOrderNumber"]


@pytest.mark.parametrize("call", [0, 1])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, OutcomeUnknown("X++ exception", system="d365")),
        (400, RecordRejected("site missing", system="d365")),
        (429, Throttled("slow", system="d365")),
    ],
)
async def test_an_answer_even_a_bad_one_ends_the_create(
    sequence: World, call: int, status: int, error: Exception
) -> None:
    sequence.d365.answers = [*[None] * call, OperationResult(status, error=error)]  # type: ignore[arg-type]
    assert problem((await sequence.run())[A]) is error
    assert not announced(sequence)
    assert await sequence.run() == {A: Synced(True)}
    assert (len(sequence.headers), len(sequence.lines)) == (1, 2)


async def test_a_refused_changeset_leaves_nothing_behind(own: World) -> None:
    own.d365.answers = [OperationResult(400, error=RecordRejected("no", system="d365"))]
    assert isinstance(problem((await own.run())[A]), RecordRejected)
    assert own.headers == own.lines == []


async def test_one_bad_order_does_not_hold_up_the_others(own: World) -> None:
    own.add(B, *lines({"item": "D0001"}))
    own.headers.append({"dataAreaId": "demf", "SalesOrderNumber": B})
    outcomes = await own.run(A, B)
    assert outcomes[A] == Synced(True)
    assert problem(outcomes[B]).reason == "other-company"


async def test_without_its_intent_no_order_begins(sequence: World) -> None:
    sequence.store.error = Unreachable("no storage", system="storage")
    assert problem((await sequence.run())[A]) is sequence.store.error
    assert sequence.headers == []


async def test_no_write_begins_that_could_outlive_the_batch(own: World) -> None:
    with deadline(0.05):
        assert isinstance(problem((await own.run())[A]), DeadlineReached)
    assert own.d365.batches == []


async def test_a_custom_field_that_does_not_come_back_is_said(sequence: World) -> None:
    sequence.d365.reprice = lambda line: line.pop(LINE_ID)
    error = problem((await sequence.run())[A])
    assert isinstance(error, ContractError)
    assert LINE_ID in error.description
    # Nor are lines nobody can tell apart made twice.
    sequence.d365.reprice = lambda line: None
    sequence.wait(16)
    assert problem((await sequence.run())[A]).reason == "changed-after-order"
    assert len(sequence.lines) == 2


async def test_a_collision_on_the_header_is_tried_again(sequence: World) -> None:
    busy = RecordBusy("update conflict", reason="update-conflict", system="d365")
    sequence.d365.answers = [None, OperationResult(400, error=busy)]
    assert problem((await sequence.run())[A]) is busy
    assert await sequence.run() == {A: Synced(True)}
    assert (len(sequence.headers), len(sequence.lines)) == (1, 2)


async def test_more_lines_than_a_batch_holds_stay_one_changeset() -> None:
    world = World(ORDER_NUMBERING="opportunity-id", D365_BATCH_SIZE="3")
    for key in (A, B):
        world.add(key, *lines(*[{} for _ in range(5)]))
    assert set((await world.run(A, B)).values()) == {Synced(True)}
    assert [len(batch) for batch in world.d365.batches] == [1, 1]
    assert len(world.lines) == 10
