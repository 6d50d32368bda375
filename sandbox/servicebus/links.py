"""The four kinds of AMQP link a client may attach.

`IncomingLink` (client sends to a queue), `OutgoingLink` (client receives from a queue), and the
pair of `RequestLink` and `ResponseLink` for `$cbs` and `$management`. Each link keeps its own
credit; frames go through the session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sandbox.servicebus import performatives as amqp
from sandbox.servicebus.decoding import DecodeError
from sandbox.servicebus.message import Message, parse_message, parse_transfer
from sandbox.servicebus.options import (
    DECODE_ERROR,
    MESSAGE_TOO_LARGE,
    SESSION_LOCK_LOST,
    TIMEOUT,
    QueueError,
)
from sandbox.servicebus.settlement import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.servicebus.attaching import Attach
    from sandbox.servicebus.decoding import Described
    from sandbox.servicebus.entries import Entry, SessionHold
    from sandbox.servicebus.hub import QueueHub
    from sandbox.servicebus.session import Session

GRANTED_CREDIT = 1000


class Link:
    """`handle` is the client's handle, used by the broker in its own direction as well."""

    def __init__(self, session: Session, attach: Attach) -> None:
        self.session = session
        self.name = attach.name
        self.handle = attach.handle

    def flow(self, delivery_count: int | None, credit: int | None, *, drain: bool) -> None:
        """The client's view of its credit has changed."""

    def closed(self) -> None:
        """The link is gone: detached, or its session or connection ended."""


class ReceivingLink(Link):
    """The client sends: transfers are collected from their frames and answered one by one."""

    def __init__(self, session: Session, attach: Attach, size_limit: int) -> None:
        super().__init__(session, attach)
        self._size_limit = size_limit
        self._delivery_count = attach.initial_delivery_count
        self._credit = 0
        self._delivery_id = 0
        self._message_format = 0
        self._size = 0
        self._chunks: list[bytes] = []

    def grant_credit(self) -> None:
        self._credit = GRANTED_CREDIT
        self.session.send_flow(self.handle, self._delivery_count, self._credit)

    def transfer(self, frame: amqp.Frame) -> None:
        _, delivery_id, _, message_format, settled, more, _, _, _, aborted, _ = frame.fields
        if delivery_id is not None and not self._chunks:
            self._delivery_id = delivery_id
            self._message_format = message_format or 0
        self._size += len(frame.payload)
        if self._size <= self._size_limit:
            self._chunks.append(frame.payload)
        if more and not aborted:
            return
        payload, size = b"".join(self._chunks), self._size
        self._chunks, self._size = [], 0
        self._delivery_count += 1
        self._credit -= 1
        if not aborted:
            state = self._outcome(payload, size)
            if not settled:
                self.session.send_disposition(amqp.RECEIVER, self._delivery_id, state)
        if self._credit <= GRANTED_CREDIT // 2:
            self.grant_credit()

    def _outcome(self, payload: bytes, size: int) -> bytes:
        """Always accepted or rejected: a released answer would leave the SDK hanging."""
        try:
            if size > self._size_limit:
                text = f"The message exceeds {self._size_limit} bytes."
                raise QueueError(MESSAGE_TOO_LARGE, text)
            self.receive(payload, self._message_format)
        except DecodeError as exc:
            return amqp.rejected(amqp.error(DECODE_ERROR, str(exc)))
        except QueueError as exc:
            return amqp.rejected(amqp.error(exc.condition, exc.description))
        return amqp.accepted()

    def receive(self, payload: bytes, message_format: int) -> None:
        raise NotImplementedError


class IncomingLink(ReceivingLink):
    def __init__(self, session: Session, attach: Attach, hub: QueueHub) -> None:
        super().__init__(session, attach, hub.queue.options.max_message_size)
        self._hub = hub

    def receive(self, payload: bytes, message_format: int) -> None:
        messages = parse_transfer(payload, message_format)
        self._hub.raise_if_refused()
        self._hub.queue.enqueue(messages)


class RequestLink(ReceivingLink):
    """`answer` turns a request into an encoded response."""

    def __init__(
        self, session: Session, attach: Attach, address: str, answer: Callable[[Message], bytes]
    ) -> None:
        super().__init__(session, attach, amqp.MAX_REQUEST_SIZE)
        self._address = address
        self._answer = answer

    def receive(self, payload: bytes, message_format: int) -> None:
        self.session.respond(self._address, self._answer(parse_message(payload)))


class SendingLink(Link):
    """The client receives: `credit` is what it still allows."""

    def __init__(self, session: Session, attach: Attach) -> None:
        super().__init__(session, attach)
        self.delivery_count = 0
        self.credit = 0

    def flow(self, delivery_count: int | None, credit: int | None, *, drain: bool) -> None:
        if credit is not None:
            seen = self.delivery_count if delivery_count is None else delivery_count
            self.credit = max(0, seen + credit - self.delivery_count)
        self.pump()
        if drain:
            self.delivery_count += self.credit
            self.credit = 0
            self.session.send_flow(self.handle, self.delivery_count, 0, drain=True)

    def pump(self) -> None:
        raise NotImplementedError

    def _used_credit(self) -> None:
        self.delivery_count += 1
        self.credit -= 1


class ResponseLink(SendingLink):
    def __init__(self, session: Session, attach: Attach, address: str) -> None:
        super().__init__(session, attach)
        self.address = address
        self._waiting: deque[bytes] = deque()

    def send(self, response: bytes) -> None:
        self._waiting.append(response)
        self.pump()

    def pump(self) -> None:
        while self._waiting and self.credit > 0:
            self._used_credit()
            # Pre-settled: nothing depends on the client's acknowledgement of a response.
            self.session.send_transfer(self, uuid4().bytes, self._waiting.popleft(), settled=True)


class OutgoingLink(SendingLink):
    """A receiver of a queue, or of one session of it.

    A session receiver's attach is answered only when its session is there (contract 3.6); until
    then, for at most `wait_seconds`, the link waits among the hub's consumers.
    """

    def __init__(self, session: Session, attach: Attach, hub: QueueHub) -> None:
        super().__init__(session, attach)
        self.attach = attach
        self.hub = hub
        self.hold: SessionHold | None = None
        self._deletes = attach.snd_settle_mode == amqp.SETTLED_BY_SENDER
        self._attached = False
        self._timeout: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Raises `QueueError` when the named session is held by another receiver."""
        if self.attach.wants_session:
            if self._accept_session():
                return
            loop = asyncio.get_running_loop()
            self._timeout = loop.call_later(self.attach.wait_seconds, self._give_up)
        else:
            self._attached = True
            self.session.confirm_receiver(self)
        self.hub.add(self)

    def _accept_session(self) -> bool:
        session_id = self.attach.session_id
        if session_id is None and self.hub.paused:
            return False
        self.hold = self.hub.queue.accept_session(session_id, self.name, self._session_lost)
        if self.hold is None:
            return False
        self._attached = True
        self.session.confirm_receiver(self)
        self.hub.add(self)
        self.hub.arm()
        return True

    def _give_up(self) -> None:
        self.hub.remove(self)
        error = QueueError(TIMEOUT, "No session with messages became available in time.")
        self.session.refuse(self.attach, error)

    def _session_lost(self) -> None:
        self.hold = None
        text = "The session lock has expired."
        self.session.detach(self, amqp.error(SESSION_LOCK_LOST, text))

    def pump(self) -> None:
        if not self._attached:
            if not self._accept_session():
                return
            if self._timeout is not None:
                self._timeout.cancel()
        if self.attach.wants_session and self.hold is None:
            return
        while self.credit > 0 and not self.hub.paused and self.session.can_send():
            entry = self.hub.queue.take(self.hold, lock=not self._deletes)
            if entry is None:
                break
            self._deliver(entry)
        self.hub.arm()

    def _deliver(self, entry: Entry) -> None:
        self._used_credit()
        token = uuid4() if entry.lock is None else entry.lock.token
        delivery_id = self.session.send_transfer(
            self, token.bytes_le, entry.encode(), settled=entry.lock is None
        )
        if entry.lock is not None:
            self.session.unsettled[delivery_id] = (self, token)

    def settle(self, token: UUID, state: Described | None) -> bytes:
        """The outcome to echo; see `settlement.settle`."""
        return settle(self.hub.queue, token, state)

    def closed(self) -> None:
        """Frees the session; locks of a plain queue stay until they expire."""
        self.hub.remove(self)
        if self._timeout is not None:
            self._timeout.cancel()
        if self.hold is not None:
            self.hub.queue.release_session(self.hold)
            self.hold = None
