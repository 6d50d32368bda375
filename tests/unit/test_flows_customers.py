"""Creating customers exactly once: intents before creates, reading before repeating."""

import pytest

from integration.deadline import deadline
from integration.errors import (
    CallContext,
    CreatePending,
    DeadlineReached,
    IntegrationError,
    OutcomeUnknown,
    RecordRejected,
    Throttled,
    Unreachable,
)
from integration.flows.outcomes import Synced
from tests.unit.account_support import ID, NUMBER, NUMBER_FIELD, A, B, World
from tests.unit.flow_support import error_of

CHANGED = Synced(changed=True)
NO_ANSWER = OutcomeUnknown("no answer", system="d365", context=CallContext("POST $batch"))


@pytest.fixture
def world() -> World:
    return World()


async def test_an_answered_create_leaves_no_intent(world: World) -> None:
    world.salesforce.add(A)
    assert await world.run(A) == {A: CHANGED}
    assert "intents/customers/bucket-001.json" in world.store.documents
    assert world.intents() == set()


async def test_an_update_needs_no_intent(world: World) -> None:
    world.salesforce.add(A, "New name")
    world.d365.add("US-1", A)
    await world.run(A)
    assert world.store.documents == {}


async def test_a_create_without_answer_is_pending_and_its_intent_stays(world: World) -> None:
    world.salesforce.add(A)
    world.d365.batch_error = NO_ANSWER
    error = error_of((await world.run(A))[A])
    assert isinstance(error, CreatePending)
    assert error.retry_after == 900
    assert world.intents() == {A}


async def test_a_pending_create_is_not_repeated_before_the_quarantine_is_over(
    world: World,
) -> None:
    world.salesforce.add(A)
    world.d365.batch_error = NO_ANSWER
    await world.run(A)
    world.d365.batch_error = None
    world.wait(14)
    error = error_of((await world.run(A))[A])
    assert isinstance(error, CreatePending)
    assert error.retry_after == 60
    assert world.d365.customers == []
    world.wait(1)
    assert await world.run(A) == {A: CHANGED}
    assert len(world.d365.customers) == 1


async def test_a_create_that_happened_without_answer_is_found_and_not_repeated(
    world: World,
) -> None:
    world.salesforce.add(A)
    world.d365.batch_error, world.d365.commits = NO_ANSWER, True
    await world.run(A)
    world.d365.batch_error = None
    assert await world.run(A) == {A: CHANGED}
    assert len(world.d365.customers) == 1
    assert world.number_of(A) == "US-000001"


async def test_one_operation_without_answer_is_pending_while_the_others_are_done(
    world: World,
) -> None:
    world.salesforce.add(A)
    world.salesforce.add(B)
    world.d365.errors[A] = (None, NO_ANSWER)
    outcomes = await world.run(A, B)
    assert isinstance(error_of(outcomes[A]), CreatePending)
    assert outcomes[B] == CHANGED
    assert world.intents() == {A}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, OutcomeUnknown("X++ exception", system="d365")),
        (400, RecordRejected("group missing", system="d365")),
        (429, Throttled("slow", system="d365")),
    ],
)
async def test_an_answer_even_a_bad_one_ends_the_create(
    world: World, status: int, error: IntegrationError
) -> None:
    world.salesforce.add(A)
    world.d365.errors[A] = (status, error)
    assert error_of((await world.run(A))[A]) is error
    assert world.intents() == set()


async def test_a_batch_that_was_not_executed_leaves_no_intents(world: World) -> None:
    world.salesforce.add(A)
    world.d365.batch_error = Unreachable("refused", system="d365")
    assert error_of((await world.run(A))[A]) is world.d365.batch_error
    assert world.intents() == set()


async def test_an_update_without_answer_is_only_repeated(world: World) -> None:
    world.salesforce.add(A, "New name")
    world.d365.add("US-1", A)
    world.d365.batch_error = NO_ANSWER
    error = error_of((await world.run(A))[A])
    assert isinstance(error, Unreachable)
    assert error.system == "d365"


async def test_without_its_intent_no_create_begins(world: World) -> None:
    world.salesforce.add(A)
    world.salesforce.add(B, "New name")
    world.d365.add("US-1", B)
    world.store.error = Unreachable("no storage", system="storage")
    outcomes = await world.run(A, B)
    assert error_of(outcomes[A]) is world.store.error
    assert outcomes[B] == CHANGED
    assert [row[NUMBER] for row in world.d365.customers] == ["US-1"]


async def test_with_numbers_of_our_own_no_intent_is_needed_and_a_repeat_finds_the_record() -> None:
    world = World(CUSTOMER_NUMBERING="salesforce-id")
    world.salesforce.add(A)
    world.d365.batch_error, world.d365.commits = NO_ANSWER, True
    assert isinstance(error_of((await world.run(A))[A]), Unreachable)
    world.d365.batch_error = None
    assert await world.run(A) == {A: CHANGED}
    assert world.store.documents == {}
    assert [row[NUMBER] for row in world.d365.customers] == [A]
    assert world.number_of(A) == A


async def test_a_customer_changed_in_between_is_read_and_compared_again(world: World) -> None:
    world.salesforce.add(A, "New name")
    row = world.d365.add("US-1", A)
    world.d365.after_reads = [lambda: row.update({"@odata.etag": 'W/"2"', "AddressCity": "Bonn"})]
    assert await world.run(A) == {A: CHANGED}
    assert len(world.d365.filters) == 2
    assert row["OrganizationName"] == "New name"


async def test_a_star_in_a_number_would_match_others_so_only_that_account_is_rejected(
    world: World,
) -> None:
    world.salesforce.add(A, **{NUMBER_FIELD: "US*"})
    world.salesforce.add(B)
    world.d365.add("US-1")
    outcomes = await world.run(A, B)
    assert isinstance(error_of(outcomes[A]), RecordRejected)
    assert outcomes[B] == CHANGED
    assert not any("*" in text for text in world.d365.filters)


async def test_quotes_in_a_number_stay_data(world: World) -> None:
    world.salesforce.add(A, **{NUMBER_FIELD: "O'Neil' or 1 eq 1"})
    error = error_of((await world.run(A))[A])
    assert error.reason == "customer-gone"
    assert "O''Neil'' or 1 eq 1" in world.d365.filters[0]


async def test_a_created_customer_that_lost_the_accounts_id_is_said_with_its_number(
    world: World,
) -> None:
    world.salesforce.add(A)
    world.d365.loses_id = True
    error = error_of((await world.run(A))[A])
    assert "US-000001" in error.description
    assert ID in error.description
    assert world.number_of(A) is None


async def test_no_write_begins_that_could_outlive_the_batch(world: World) -> None:
    world.salesforce.add(A)
    with deadline(0.05):
        error = error_of((await world.run(A))[A])
    assert isinstance(error, DeadlineReached)
    assert world.d365.batches == []
    assert world.intents() == set()
