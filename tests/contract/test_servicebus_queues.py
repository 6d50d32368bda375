"""Queue semantics with a clock that the test moves; no network."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from sandbox.servicebus import QueueError, QueueOptions
from sandbox.servicebus import encoding as enc
from sandbox.servicebus import message as sections
from sandbox.servicebus.entries import Entry, SessionHold
from sandbox.servicebus.message import Message, parse_message
from sandbox.servicebus.namespace import Namespace
from sandbox.servicebus.sessions import Queue


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Callable[..., Queue]:
    def build(**options: Any) -> Queue:
        namespace = Namespace([QueueOptions("q", **options)], clock)
        queue = namespace.find("Q")
        assert queue is not None
        dead_letters = namespace.find("q/$DeadLetterQueue")
        assert dead_letters is not None
        queue.dead_letters = dead_letters
        return queue

    return build


def message(
    text: str = "",
    *,
    session: str | None = None,
    ttl: float | None = None,
    at: float | None = None,
    message_id: str | None = None,
) -> Message:
    fields = [enc.string(message_id), *[enc.NULL] * 9, enc.string(session)]
    header = enc.list_of(enc.NULL, enc.NULL, enc.uint(None if ttl is None else int(ttl * 1000)))
    key = enc.symbol("x-opt-scheduled-enqueue-time")
    annotations = [] if at is None else [(key, enc.timestamp(at))]
    return parse_message(
        enc.described(sections.HEADER, header)
        + enc.described(sections.ANNOTATIONS, enc.map_of(annotations))
        + enc.described(sections.PROPERTIES, enc.list_of(*fields))
        + enc.described(sections.DATA, enc.binary(text.encode()))
    )


def take(queue: Queue, hold: SessionHold | None = None) -> Entry:
    entry = queue.take(hold)
    assert entry is not None
    return entry


def token(entry: Entry) -> UUID:
    assert entry.lock is not None
    return entry.lock.token


def bodies(queue: Queue, hold: SessionHold | None = None) -> list[str]:
    result = []
    while (entry := queue.take(hold)) is not None:
        result.append(entry.message.body.decode())
    return result


def accept(queue: Queue, session_id: str | None = None) -> SessionHold:
    hold = queue.accept_session(session_id, "receiver", lambda: None)
    assert hold is not None
    return hold


def test_messages_come_in_order_and_abandoned_ones_return_to_their_place(make: Any) -> None:
    queue = make()
    queue.enqueue([message("1"), message("2"), message("3")])
    first, second = take(queue), take(queue)

    queue.abandon(token(second))
    queue.abandon(token(first))

    assert bodies(queue) == ["1", "2", "3"]
    assert (first.delivery_count, second.delivery_count) == (1, 1)


def test_a_lock_that_expires_counts_an_attempt_and_cannot_settle_any_more(
    make: Any, clock: Clock
) -> None:
    queue = make(lock_duration=timedelta(seconds=30))
    queue.enqueue([message("1")])
    entry = take(queue)
    old = token(entry)
    assert queue.next_deadline() == clock.now + 30

    clock.move(30)

    with pytest.raises(QueueError, match="message-lock-lost"):
        queue.complete(old)
    assert take(queue).delivery_count == 1


def test_a_renewed_lock_lasts_from_the_renewal(make: Any, clock: Clock) -> None:
    queue = make(lock_duration=timedelta(seconds=30))
    queue.enqueue([message("1")])
    entry = take(queue)
    clock.move(20)

    assert queue.renew(token(entry)) == clock.now + 30

    clock.move(20)
    queue.complete(token(entry))
    assert queue.counts() == {"active": 0, "scheduled": 0, "deferred": 0, "locked": 0}


def test_release_and_defer_do_not_count_an_attempt(make: Any) -> None:
    queue = make()
    queue.enqueue([message("1")])
    queue.release(token(take(queue)))
    entry = take(queue)
    assert entry.delivery_count == 0

    queue.defer(token(entry))

    assert queue.take() is None
    [deferred] = queue.receive_deferred([entry.sequence_number])
    assert deferred.delivery_count == 0
    with pytest.raises(QueueError, match="message-not-found"):
        queue.receive_deferred([entry.sequence_number])  # locked by the first call
    queue.abandon(token(deferred))
    assert queue.counts()["deferred"] == 1  # an abandoned deferred message stays deferred


def test_too_many_attempts_dead_letter_with_the_service_reason(make: Any) -> None:
    queue = make(max_delivery_count=2)
    queue.enqueue([message("1")])

    for _ in range(2):
        queue.abandon(token(take(queue)))

    assert queue.take() is None
    dead = take(queue.dead_letters)
    assert dead.message.application_properties == {
        "DeadLetterReason": "MaxDeliveryCountExceeded",
        "DeadLetterErrorDescription": "Message could not be consumed after 2 delivery attempts.",
    }
    assert dead.delivery_count == 2
    for _ in range(20):  # a dead letter is never moved again
        queue.dead_letters.abandon(token(dead))
        dead = take(queue.dead_letters)
    with pytest.raises(QueueError, match="not-allowed"):
        queue.dead_letters.dead_letter(token(dead), "again", None)


def test_expired_messages_go_or_are_dead_lettered_but_locked_ones_may_still_be_completed(
    make: Any, clock: Clock
) -> None:
    queue = make(default_ttl=timedelta(seconds=10), dead_letter_on_expiration=True)
    queue.enqueue([message("default"), message("own", ttl=5), message("longer", ttl=60)])
    locked = take(queue)

    clock.move(5)
    assert [e.message.body for e in queue.peek(0, 9)] == [b"default", b"longer"]
    clock.move(5)
    queue.complete(token(locked))

    assert queue.counts()["active"] == 0
    reasons = [
        e.message.application_properties["DeadLetterReason"] for e in queue.dead_letters.peek(0, 9)
    ]
    assert reasons == ["TTLExpiredException"] * 2
    clock.move(1000)
    assert queue.dead_letters.counts()["active"] == 2


def test_expired_messages_are_dropped_without_the_option(make: Any, clock: Clock) -> None:
    queue = make()
    queue.enqueue([message("1", ttl=5)])
    entry = take(queue)
    clock.move(6)

    queue.release(token(entry))

    assert queue.take() is None
    assert queue.totals["expired"] == 1


def test_a_scheduled_message_becomes_active_with_a_new_number(make: Any, clock: Clock) -> None:
    queue = make()
    [number] = queue.enqueue([message("later", at=clock.now + 60)])
    queue.enqueue([message("now")])
    assert queue.counts()["scheduled"] == 1
    assert queue.next_deadline() == clock.now + 60

    clock.move(60)

    assert bodies(queue) == ["now", "later"]
    assert [e.sequence_number for e in queue.peek(0, 9)] == [number + 1, number + 2]
    with pytest.raises(QueueError, match="message-not-found"):
        queue.cancel_scheduled([number])


def test_scheduled_messages_are_cancelled_all_or_none(make: Any, clock: Clock) -> None:
    queue = make()
    numbers = queue.enqueue([message(at=clock.now + 60), message(at=clock.now + 60)])

    with pytest.raises(QueueError, match="message-not-found"):
        queue.cancel_scheduled([numbers[0], 99])
    assert queue.counts()["scheduled"] == 2
    queue.cancel_scheduled(numbers)
    clock.move(60)
    assert queue.take() is None


def test_a_schedule_in_the_past_is_active_at_once(make: Any, clock: Clock) -> None:
    queue = make()
    queue.enqueue([message("1", at=clock.now - 1)])
    assert bodies(queue) == ["1"]


def test_duplicates_are_dropped_within_the_window_only(make: Any, clock: Clock) -> None:
    queue = make(duplicate_detection_window=timedelta(seconds=20))
    queue.enqueue([message("1", message_id="a"), message("2", message_id="a")])
    queue.complete(token(take(queue)))  # a finished message is still remembered
    clock.move(19)
    queue.enqueue([message("3", message_id="a"), message("4", message_id="b")])
    queue.enqueue([message("5"), message("6")])  # without an id there is nothing to compare
    clock.move(1)
    queue.enqueue([message("7", message_id="a")])

    assert bodies(queue) == ["4", "5", "6", "7"]
    assert queue.totals["duplicates"] == 2


def test_a_refused_batch_stores_nothing(make: Any) -> None:
    queue = make(requires_session=True)
    with pytest.raises(QueueError, match="not-allowed"):
        queue.enqueue([message("1", session="s"), message("2")])
    assert queue.counts()["active"] == 0

    small = make(max_message_size=50)
    with pytest.raises(QueueError, match="message-size-exceeded"):
        small.enqueue([message("x" * 50)])


def test_a_forwarded_dead_letter_is_a_new_message_that_names_its_source(clock: Clock) -> None:
    namespace = Namespace(
        [QueueOptions("work", forward_dead_letters_to="parked"), QueueOptions("parked")], clock
    )
    work, parked = namespace.find("work"), namespace.find("parked")
    assert work is not None
    assert parked is not None
    parked.enqueue([message("earlier")])
    work.enqueue([message("1")])
    work.abandon(token(take(work)))
    work.dead_letter(token(take(work)), "why", "how")

    _, entry = parked.peek(0, 9)

    assert (entry.sequence_number, entry.enqueued_sequence_number) == (2, 1)
    assert (entry.delivery_count, entry.dead_letter_source) == (0, "work")
    assert entry.message.application_properties == {
        "DeadLetterReason": "why",
        "DeadLetterErrorDescription": "how",
    }
    own = namespace.find("work/$DeadLetterQueue")
    assert own is not None
    assert own.peek(0, 9) == []


@pytest.mark.parametrize("target", ["work", "nowhere"])
def test_dead_letters_can_only_be_forwarded_to_another_queue(target: str) -> None:
    with pytest.raises(ValueError, match="cannot forward"):
        Namespace([QueueOptions("work", forward_dead_letters_to=target)])


def test_next_available_sessions_rotate_however_many_messages_one_has(make: Any) -> None:
    queue = make(requires_session=True)
    queue.enqueue([message(session="busy") for _ in range(100)])
    queue.enqueue([message(session="b"), message(session="c")])
    order = []

    for _ in range(6):
        hold = accept(queue)
        order.append(hold.session_id)
        queue.release(token(take(queue, hold)))
        queue.release_session(hold)

    assert order == ["busy", "b", "c", "busy", "b", "c"]


def test_a_session_has_one_holder_and_many_locked_messages(make: Any) -> None:
    queue = make(requires_session=True)
    queue.enqueue([message(str(n), session="s") for n in range(64)])
    hold = accept(queue)

    entries = [take(queue, hold) for _ in range(64)]

    assert queue.accept_session(None, "other", lambda: None) is None
    with pytest.raises(QueueError, match="session-cannot-be-locked"):
        accept(queue, "s")
    for entry in reversed(entries):
        queue.complete(token(entry))
    assert queue.counts() == {"active": 0, "scheduled": 0, "deferred": 0, "locked": 0}


def test_closing_a_session_gives_messages_back_uncounted_and_its_old_locks_are_lost(
    make: Any,
) -> None:
    queue = make(requires_session=True)
    queue.enqueue([message("1", session="s"), message("2", session="s")])
    hold = accept(queue)
    locked = [take(queue, hold), take(queue, hold)]
    old = token(locked[0])

    queue.release_session(hold)

    with pytest.raises(QueueError, match="session-lock-lost"):
        queue.complete(old)
    again = accept(queue)
    assert bodies(queue, again) == ["1", "2"]
    assert [entry.delivery_count for entry in locked] == [0, 0]


def test_a_session_lock_expires_with_a_counted_attempt_unless_renewed(
    make: Any, clock: Clock
) -> None:
    queue = make(requires_session=True, lock_duration=timedelta(seconds=30))
    queue.enqueue([message("1", session="s")])
    lost = []
    hold = queue.accept_session(None, "r", lambda: lost.append(True))
    entry = take(queue, hold)
    clock.move(29)
    queue.renew_session(hold)
    clock.move(29)
    queue.advance()
    assert lost == []
    assert queue.next_deadline() == clock.now + 1

    clock.move(1)
    queue.advance()

    assert lost == [True]
    assert entry.delivery_count == 1
    assert queue.take(hold) is None
    with pytest.raises(QueueError, match="session-lock-lost"):
        queue.held_session("s")


def test_a_new_message_reaches_the_holder_of_its_session_only(make: Any) -> None:
    queue = make(requires_session=True)
    hold = accept(queue, "s")  # a named session may be empty
    queue.enqueue([message("1", session="s"), message("2", session="t")])

    assert bodies(queue, hold) == ["1"]
    assert accept(queue).session_id == "t"


def test_session_state_outlives_the_messages_and_lists_sessions(make: Any, clock: Clock) -> None:
    queue = make(requires_session=True)
    queue.enqueue([message(session="with-message")])
    queue.set_session_state("with-state", b"x")

    assert queue.session_state("with-state") == b"x"
    assert queue.session_ids(None) == ["with-message"]
    assert queue.session_ids(clock.now - 1) == ["with-state"]
    queue.set_session_state("with-state", None)
    assert queue.session_state("with-state") is None


def test_dead_letters_of_a_session_queue_are_read_without_a_session(make: Any) -> None:
    queue = make(requires_session=True)
    queue.enqueue([message("1", session="s")])
    hold = accept(queue)
    queue.dead_letter(token(take(queue, hold)), None, None)

    dead = take(queue.dead_letters)

    assert (dead.message.session_id, dead.message.application_properties) == ("s", {})


def test_peek_pages_through_every_state(make: Any, clock: Clock) -> None:
    queue = make()
    queue.enqueue([message(str(n)) for n in range(4)])
    queue.enqueue([message("4", at=clock.now + 9)])
    queue.defer(token(take(queue)))
    take(queue)

    pages = [queue.peek(1, 2), queue.peek(3, 2), queue.peek(5, 2)]

    assert [[e.message.body for e in page] for page in pages] == [
        [b"0", b"1"],
        [b"2", b"3"],
        [b"4"],
    ]
    assert queue.counts() == {"active": 2, "scheduled": 1, "deferred": 1, "locked": 1}


def test_locks_can_be_ended_on_demand(make: Any) -> None:
    queue = make(requires_session=True)
    queue.enqueue([message(session="s")])
    lost = []
    hold = queue.accept_session("s", "r", lambda: lost.append(True))
    entry = take(queue, hold)

    assert queue.expire_locks() == 1

    assert (lost, entry.delivery_count) == ([True], 1)


def test_settling_with_an_unknown_token_is_refused(make: Any) -> None:
    with pytest.raises(QueueError, match="message-lock-lost"):
        make().complete(uuid4())
