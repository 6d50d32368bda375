"""Sessions: one holder each, order kept inside, offers rotated (Service Bus contract 3.6)."""

from collections.abc import Callable, Iterable

from sandbox.servicebus.entries import Entry, SessionHold
from sandbox.servicebus.options import (
    SESSION_CANNOT_BE_LOCKED,
    SESSION_LOCK_LOST,
    QueueError,
    QueueOptions,
)
from sandbox.servicebus.queues import PlainQueue
from sandbox.servicebus.store import Clock, DeadLetterSink


class Queue(PlainQueue):
    """A queue that can also hand out sessions."""

    def __init__(
        self, options: QueueOptions, clock: Clock, sink: DeadLetterSink | None = None
    ) -> None:
        super().__init__(options, clock, sink)
        self._holds: dict[str, SessionHold] = {}
        # Sessions with messages and without a holder, in the order of their turn.
        self._offers: dict[str, None] = {}
        self._states: dict[str, tuple[bytes, float]] = {}

    def accept_session(
        self, session_id: str | None, holder: str, on_lost: Callable[[], None]
    ) -> SessionHold | None:
        """Locks the named session, or (None) the next one that has messages; None if none has.

        Raises `QueueError` when the named session is held by someone else.
        """
        self.advance()
        if session_id is None:
            session_id = self._next_offer()
            if session_id is None:
                return None
        elif session_id in self._holds:
            text = f"The session '{session_id}' is locked by another receiver."
            raise QueueError(SESSION_CANNOT_BE_LOCKED, text)
        self._offers.pop(session_id, None)
        hold = SessionHold(session_id, holder, self._clock() + self.lock_seconds, on_lost)
        self._holds[session_id] = hold
        return hold

    def _next_offer(self) -> str | None:
        while self._offers:
            session_id = next(iter(self._offers))
            if self._first_ready(session_id) is not None:
                return session_id
            del self._offers[session_id]
        return None

    def release_session(self, hold: SessionHold) -> None:
        """Frees the session at once; unsettled messages go back without a counted attempt."""
        self._end_hold(hold, attempt_failed=False)

    def _end_hold(self, hold: SessionHold, *, attempt_failed: bool) -> None:
        if self._holds.get(hold.session_id) is not hold:
            return
        del self._holds[hold.session_id]
        for token in sorted(hold.tokens, key=lambda t: self._locked[t].sequence_number):
            self._give_back(self._locked[token], attempt_failed=attempt_failed)
        self._offer(hold.session_id)
        self.on_change()

    def _offer(self, session_id: str) -> None:
        if session_id not in self._holds and self._first_ready(session_id) is not None:
            self._offers.setdefault(session_id)

    def _push_ready(self, entry: Entry) -> None:
        super()._push_ready(entry)
        key = self._session_key(entry)
        if key is not None:
            self._offer(key)

    def take(self, hold: SessionHold | None = None, *, lock: bool = True) -> Entry | None:
        """None as well when the session's lock has just ended."""
        self.advance()
        if hold is not None and self._holds.get(hold.session_id) is not hold:
            return None
        return super().take(hold, lock=lock)

    def held_session(self, session_id: str, holder: str | None = None) -> SessionHold:
        """The hold of that session (by `holder`, if given). Raises `QueueError` (lock lost)."""
        self.advance()
        hold = self._holds.get(session_id)
        if hold is None or (holder is not None and hold.holder != holder):
            raise QueueError(SESSION_LOCK_LOST, f"The lock of session '{session_id}' is gone.")
        return hold

    def renew_session(self, hold: SessionHold) -> float:
        hold.locked_until = self._clock() + self.lock_seconds
        return hold.locked_until

    def session_state(self, session_id: str) -> bytes | None:
        return self._states.get(session_id, (None, 0.0))[0]

    def set_session_state(self, session_id: str, state: bytes | None) -> None:
        if state is None:
            self._states.pop(session_id, None)
        else:
            self._states[session_id] = (state, self._clock())

    def session_ids(self, updated_since: float | None) -> list[str]:
        """Sessions with messages, or (`updated_since`) those whose state was set after that."""
        self.advance()
        if updated_since is not None:
            return sorted(sid for sid, (_, at) in self._states.items() if at > updated_since)
        entries = list(self._entries.values())
        return sorted({e.message.session_id for e in entries if e.message.session_id is not None})

    def sessions_held(self) -> dict[str, str]:
        return {session_id: hold.holder for session_id, hold in list(self._holds.items())}

    def _lock_lost(self) -> QueueError:
        if self.options.requires_session:
            return QueueError(SESSION_LOCK_LOST, "The session lock of this message is gone.")
        return super()._lock_lost()

    def next_deadline(self) -> float | None:
        deadlines = [hold.locked_until for hold in self._holds.values()]
        plain = super().next_deadline()
        if plain is not None:
            deadlines.append(plain)
        return min(deadlines, default=None)

    def advance(self) -> None:
        now = self._clock()
        self._lose(hold for hold in self._holds.values() if hold.locked_until <= now)
        super().advance()

    def expire_locks(self) -> int:
        """Session locks end as well; their receivers are detached."""
        self.advance()
        locked = len(self._locked)
        self._lose(self._holds.values())
        super().expire_locks()
        return locked

    def _lose(self, holds: Iterable[SessionHold]) -> None:
        for hold in list(holds):
            self._end_hold(hold, attempt_failed=True)
            hold.on_lost()
