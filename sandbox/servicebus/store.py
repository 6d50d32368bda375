"""What every queue does with stored messages: enqueue, order, schedules, expiry, duplicates.

Time comes from the injected clock (seconds since the Unix epoch) and nothing happens by itself:
every operation first calls `advance`, and whoever drives the queue calls it again at
`next_deadline`. Rules are those of the Service Bus contract 3.3, 3.5 and 3.7; locks are added in
`queues.py`, sessions in `sessions.py`.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from sandbox.servicebus.entries import DuplicateWindow, Entry, MessageState
from sandbox.servicebus.message import Message
from sandbox.servicebus.options import (
    MESSAGE_NOT_FOUND,
    MESSAGE_TOO_LARGE,
    NOT_ALLOWED,
    QueueError,
    QueueOptions,
)

Clock = Callable[[], float]
# Takes over an entry that has left its queue.
DeadLetterSink = Callable[[Entry], None]


class MessageStore:
    """Messages by sequence number. `sink` None marks a dead-letter sub-queue.

    `on_change` is called whenever receivers may find something new or a deadline came closer.
    """

    def __init__(self, options: QueueOptions, clock: Clock, sink: DeadLetterSink | None) -> None:
        self.options = options
        self.on_change: Callable[[], None] = lambda: None
        self.totals = dict.fromkeys(
            ("accepted", "duplicates", "completed", "expired", "dead_lettered"), 0
        )
        self._clock = clock
        self._sink = sink
        self._last_sequence_number = 0
        self._entries: dict[int, Entry] = {}
        # Heaps, cleaned lazily: an entry may be gone when its turn comes.
        self._ready: dict[str | None, list[int]] = {}
        self._scheduled: list[tuple[float, int]] = []
        self._expiring: list[tuple[float, int]] = []
        window = options.duplicate_detection_window
        self._duplicates = DuplicateWindow(window.total_seconds()) if window else None

    @property
    def is_dead_letter_queue(self) -> bool:
        return self._sink is None

    def now(self) -> float:
        return self._clock()

    # Sending

    def enqueue(self, messages: Iterable[Message]) -> list[int]:
        """Stores all messages or, if one is refused, none; returns their sequence numbers.

        A duplicate gets a number but is not stored. Raises `QueueError`.
        """
        messages = list(messages)
        for message in messages:
            if message.size > self.options.max_message_size:
                limit = self.options.max_message_size
                raise QueueError(MESSAGE_TOO_LARGE, f"The message exceeds {limit} bytes.")
            if self.options.requires_session and message.session_id is None:
                raise QueueError(NOT_ALLOWED, "The queue requires sessions: set a session id.")
        return [self._store(message) for message in messages]

    def _store(self, message: Message) -> int:
        now = self._clock()
        number = self._next_sequence_number()
        if self._duplicates and self._duplicates.is_duplicate(message.message_id, now):
            self.totals["duplicates"] += 1
            return number
        self.totals["accepted"] += 1
        entry = Entry(number, number, message, enqueued_at=now)
        if message.scheduled_at is not None and message.scheduled_at > now:
            entry.state = MessageState.SCHEDULED
            self._entries[number] = entry
            heapq.heappush(self._scheduled, (message.scheduled_at, number))
        else:
            self._activate(entry, now)
        self.on_change()
        return number

    def put_dead_letter(self, entry: Entry, source: str | None, *, forwarded: bool) -> None:
        """Takes a dead letter over: in its own sub-queue it keeps its number and attempts,
        forwarded to another queue it arrives as a new message that names its `source`."""
        if not forwarded:
            self._entries[entry.sequence_number] = entry
            self._push_ready(entry)
        elif self._duplicates is None or not self._duplicates.is_duplicate(
            entry.message.message_id, self._clock()
        ):
            arrived = Entry(
                self._next_sequence_number(),
                entry.enqueued_sequence_number,
                entry.message,
                enqueued_at=self._clock(),
                dead_letter_source=source,
            )
            self.totals["accepted"] += 1
            self._activate(arrived, arrived.enqueued_at)
        else:
            self.totals["duplicates"] += 1
        self.on_change()

    def cancel_scheduled(self, numbers: Iterable[int]) -> None:
        """All or none. Raises `QueueError` (message-not-found) once a message is active."""
        self.advance()
        numbers = list(numbers)
        self._find(numbers, MessageState.SCHEDULED)
        for number in numbers:
            self._entries.pop(number, None)

    def _activate(self, entry: Entry, now: float) -> None:
        self._entries[entry.sequence_number] = entry
        default = self.options.default_ttl
        lives = [ttl for ttl in (entry.message.ttl, default and default.total_seconds()) if ttl]
        if lives:
            entry.expires_at = now + min(lives)
            heapq.heappush(self._expiring, (entry.expires_at, entry.sequence_number))
        self._push_ready(entry)

    def _next_sequence_number(self) -> int:
        self._last_sequence_number += 1
        return self._last_sequence_number

    def _session_key(self, entry: Entry) -> str | None:
        return entry.message.session_id if self.options.requires_session else None

    def _push_ready(self, entry: Entry) -> None:
        key = self._session_key(entry)
        heapq.heappush(self._ready.setdefault(key, []), entry.sequence_number)

    # Looking

    def _first_ready(self, key: str | None) -> Entry | None:
        heap = self._ready.get(key)
        while heap:
            entry = self._entries.get(heap[0])
            if entry is not None:
                return entry
            heapq.heappop(heap)  # expired while it waited
        self._ready.pop(key, None)
        return None

    def peek(self, first: int, count: int, session_id: str | None = None) -> list[Entry]:
        """Up to `count` messages from sequence number `first` on, whatever their state."""
        self.advance()
        numbers = sorted(number for number in list(self._entries) if number >= first)
        entries = (self._entries[number] for number in numbers)
        if session_id is not None:
            entries = (entry for entry in entries if entry.message.session_id == session_id)
        return list(islice(entries, count))

    def _find(self, numbers: Iterable[int], state: MessageState) -> list[Entry]:
        found = []
        for number in numbers:
            entry = self._entries.get(number)
            if entry is None or entry.state is not state:
                text = f"There is no {state.name.lower()} message with sequence number {number}."
                raise QueueError(MESSAGE_NOT_FOUND, text)
            found.append(entry)
        return found

    def counts(self) -> dict[str, int]:
        """Every message counts once: a locked one as locked, whatever its state."""
        self.advance()
        result = {"active": 0, "scheduled": 0, "deferred": 0, "locked": 0}
        for entry in list(self._entries.values()):
            result["locked" if entry.lock else entry.state.name.lower()] += 1
        return result

    # Leaving

    def _bury(self, entry: Entry, reason: str | None, description: str | None) -> None:
        del self._entries[entry.sequence_number]
        self.totals["dead_lettered"] += 1
        if self._sink is not None:
            entry.state = MessageState.ACTIVE
            entry.expires_at = None  # time to live is not observed for dead letters
            entry.message = entry.message.with_dead_letter_reason(reason, description)
            self._sink(entry)

    def _expire(self, entry: Entry) -> None:
        if self.options.dead_letter_on_expiration and self._sink is not None:
            text = "The message expired and was dead lettered."
            self._bury(entry, "TTLExpiredException", text)
        else:
            del self._entries[entry.sequence_number]
            self.totals["expired"] += 1

    # Time

    def next_deadline(self) -> float | None:
        """When `advance` has something to do next (sometimes earlier than really needed)."""
        return min((heap[0][0] for heap in (self._scheduled, self._expiring) if heap), default=None)

    def advance(self) -> None:
        """Applies everything that is due."""
        now = self._clock()
        while self._scheduled and self._scheduled[0][0] <= now:
            _, number = heapq.heappop(self._scheduled)
            entry = self._entries.pop(number, None)
            if entry is not None:
                # A scheduled message gets a new number when it becomes active.
                number = self._next_sequence_number()
                self._activate(Entry(number, number, entry.message, enqueued_at=now), now)
                self.on_change()
        while self._expiring and self._expiring[0][0] <= now:
            _, number = heapq.heappop(self._expiring)
            entry = self._entries.get(number)
            if entry is not None and entry.lock is None:
                self._expire(entry)


def sub_queue_options(options: QueueOptions) -> QueueOptions:
    """A dead-letter sub-queue: no sessions, no time to live, no limit of attempts."""
    return replace(
        options,
        name=f"{options.name}/$DeadLetterQueue",
        max_delivery_count=None,
        requires_session=False,
        duplicate_detection_window=None,
        default_ttl=None,
        forward_dead_letters_to=None,
    )
