"""What a queue holds: messages with their broker state, their locks, and remembered ids."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID

from sandbox.servicebus import encoding as enc
from sandbox.servicebus.message import Message, MessageId


class MessageState(IntEnum):
    """Values of the annotation `x-opt-message-state`."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(eq=False, slots=True)
class SessionHold:
    """One receiver's exclusive hold of one session. `on_lost` is called when the lock expires."""

    session_id: str
    holder: str
    locked_until: float
    on_lost: Callable[[], None]
    tokens: set[UUID] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class Lock:
    """In a session the lock lasts as long as the session's, otherwise until its own `until`."""

    token: UUID
    until: float
    hold: SessionHold | None

    @property
    def locked_until(self) -> float:
        return self.until if self.hold is None else self.hold.locked_until


@dataclass(eq=False, slots=True)
class Entry:
    """A message in a queue; times are seconds since the Unix epoch."""

    sequence_number: int
    enqueued_sequence_number: int
    message: Message
    enqueued_at: float
    state: MessageState = MessageState.ACTIVE
    delivery_count: int = 0
    expires_at: float | None = None
    lock: Lock | None = None
    dead_letter_source: str | None = None

    def encode(self) -> bytes:
        """The message for a receiver, with the broker's annotations (contract 3.4)."""
        annotations = [
            (_SEQUENCE_NUMBER, enc.int64(self.sequence_number)),
            (_ENQUEUED_TIME, enc.timestamp(self.enqueued_at)),
            (_ENQUEUED_SEQUENCE_NUMBER, enc.int64(self.enqueued_sequence_number)),
            (_STATE, enc.int32(self.state)),
        ]
        if self.lock is not None:
            annotations.append((_LOCKED_UNTIL, enc.timestamp(self.lock.locked_until)))
        if self.dead_letter_source is not None:
            annotations.append((_DEAD_LETTER_SOURCE, enc.string(self.dead_letter_source)))
        return self.message.encode(self.delivery_count, annotations)


_SEQUENCE_NUMBER = enc.symbol("x-opt-sequence-number")
_ENQUEUED_TIME = enc.symbol("x-opt-enqueued-time")
_ENQUEUED_SEQUENCE_NUMBER = enc.symbol("x-opt-enqueue-sequence-number")
_STATE = enc.symbol("x-opt-message-state")
_LOCKED_UNTIL = enc.symbol("x-opt-locked-until")
_DEAD_LETTER_SOURCE = enc.symbol("x-opt-deadletter-source")


class DuplicateWindow:
    """Remembers message ids for `seconds`; an id seen again within that time is a duplicate."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[MessageId, float] = {}  # in order of arrival, so the oldest comes first

    def is_duplicate(self, message_id: MessageId | None, now: float) -> bool:
        """Also records the id. A duplicate does not prolong the window of the first message."""
        if message_id is None:
            return False
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest] + self._seconds > now:
                break
            del self._seen[oldest]
        if message_id in self._seen:
            return True
        self._seen[message_id] = now
        return False
