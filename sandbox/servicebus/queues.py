"""Peek-lock: taking, settling, renewing, and what happens when a lock ends.

Rules are those of the Service Bus contract 3.4 and 3.5.
"""

import heapq
from collections.abc import Iterable
from uuid import UUID, uuid4

from sandbox.servicebus.entries import Entry, Lock, MessageState, SessionHold
from sandbox.servicebus.options import (
    MESSAGE_LOCK_LOST,
    MESSAGE_NOT_FOUND,
    NOT_ALLOWED,
    QueueError,
    QueueOptions,
)
from sandbox.servicebus.store import Clock, DeadLetterSink, MessageStore


class PlainQueue(MessageStore):
    """A queue without sessions."""

    def __init__(self, options: QueueOptions, clock: Clock, sink: DeadLetterSink | None) -> None:
        super().__init__(options, clock, sink)
        self._locked: dict[UUID, Entry] = {}
        self._lock_ends: list[tuple[float, UUID]] = []

    @property
    def lock_seconds(self) -> float:
        return self.options.lock_duration.total_seconds()

    # Receiving

    def take(self, hold: SessionHold | None = None, *, lock: bool = True) -> Entry | None:
        """The oldest available message, locked, or (`lock` false) removed; None if there is none.

        A receiver of a session passes its `hold` and only gets messages of that session.
        """
        self.advance()
        key = hold.session_id if hold else None
        entry = self._first_ready(key)
        if entry is None:
            return None
        heapq.heappop(self._ready[key])
        self._lock_or_remove(entry, hold, lock=lock)
        return entry

    def _lock_or_remove(self, entry: Entry, hold: SessionHold | None, *, lock: bool) -> None:
        if not lock:
            del self._entries[entry.sequence_number]
            self.totals["completed"] += 1
            return
        entry.lock = Lock(uuid4(), self._clock() + self.lock_seconds, hold)
        self._locked[entry.lock.token] = entry
        if hold is None:
            heapq.heappush(self._lock_ends, (entry.lock.until, entry.lock.token))
        else:
            hold.tokens.add(entry.lock.token)

    def receive_deferred(
        self, numbers: Iterable[int], hold: SessionHold | None = None, *, lock: bool = True
    ) -> list[Entry]:
        """Locks (or removes) deferred messages. Raises `QueueError` (message-not-found)."""
        self.advance()
        entries = self._find(numbers, MessageState.DEFERRED)
        for entry in entries:
            foreign = hold is not None and entry.message.session_id != hold.session_id
            if entry.lock is not None or foreign:
                raise QueueError(MESSAGE_NOT_FOUND, "The deferred message is not available.")
        for entry in entries:
            self._lock_or_remove(entry, hold, lock=lock)
        return entries

    # Settling; each raises `QueueError` when the lock is gone

    def _lock_lost(self) -> QueueError:
        return QueueError(MESSAGE_LOCK_LOST, "The lock is gone: it expired or was settled.")

    def locked_entry(self, token: UUID) -> Entry:
        self.advance()
        entry = self._locked.get(token)
        if entry is None:
            raise self._lock_lost()
        return entry

    def complete(self, token: UUID) -> None:
        entry = self.locked_entry(token)
        self._drop_lock(entry)
        del self._entries[entry.sequence_number]
        self.totals["completed"] += 1

    def abandon(self, token: UUID) -> None:
        self._give_back(self.locked_entry(token), attempt_failed=True)

    def release(self, token: UUID) -> None:
        """Gives the message back without counting an attempt."""
        self._give_back(self.locked_entry(token), attempt_failed=False)

    def defer(self, token: UUID) -> None:
        entry = self.locked_entry(token)
        entry.state = MessageState.DEFERRED
        self._give_back(entry, attempt_failed=False)

    def dead_letter(self, token: UUID, reason: str | None, description: str | None) -> None:
        entry = self.locked_entry(token)
        if self._sink is None:
            raise QueueError(NOT_ALLOWED, "A dead letter cannot be dead-lettered again.")
        self._drop_lock(entry)
        self._bury(entry, reason, description)

    def renew(self, token: UUID) -> float:
        """The new end of the lock, in seconds since the Unix epoch."""
        lock = self.locked_entry(token).lock
        assert lock is not None
        if lock.hold is None:
            lock.until = self._clock() + self.lock_seconds
            heapq.heappush(self._lock_ends, (lock.until, token))
        return lock.locked_until

    def _drop_lock(self, entry: Entry) -> None:
        if entry.lock is not None:
            del self._locked[entry.lock.token]
            if entry.lock.hold is not None:
                entry.lock.hold.tokens.discard(entry.lock.token)
            entry.lock = None

    def _give_back(self, entry: Entry, *, attempt_failed: bool) -> None:
        """Back to its old position, or out of the queue if it has had its chances or its time."""
        self._drop_lock(entry)
        entry.delivery_count += attempt_failed
        limit = self.options.max_delivery_count
        if limit is not None and entry.delivery_count >= limit:
            text = f"Message could not be consumed after {limit} delivery attempts."
            self._bury(entry, "MaxDeliveryCountExceeded", text)
        elif entry.expires_at is not None and entry.expires_at <= self._clock():
            self._expire(entry)
        elif entry.state is MessageState.ACTIVE:
            self._push_ready(entry)
        self.on_change()

    # Time

    def expire_locks(self) -> int:
        """Ends every lock as if its time were over; returns how many messages were locked."""
        self.advance()
        entries = sorted(self._locked.values(), key=lambda entry: entry.sequence_number)
        for entry in entries:
            self._give_back(entry, attempt_failed=True)
        return len(entries)

    def next_deadline(self) -> float | None:
        deadline = super().next_deadline()
        if not self._lock_ends:
            return deadline
        end = self._lock_ends[0][0]
        return end if deadline is None else min(end, deadline)

    def advance(self) -> None:
        now = self._clock()
        while self._lock_ends and self._lock_ends[0][0] <= now:
            until, token = heapq.heappop(self._lock_ends)
            entry = self._locked.get(token)
            if entry is not None and entry.lock is not None and entry.lock.until == until:
                self._give_back(entry, attempt_failed=True)
        super().advance()
