"""One AMQP session: attaches links, numbers transfers, routes flows and dispositions."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sandbox.servicebus import attaching, management
from sandbox.servicebus import performatives as amqp
from sandbox.servicebus.links import (
    IncomingLink,
    Link,
    OutgoingLink,
    ReceivingLink,
    RequestLink,
    ResponseLink,
    SendingLink,
)
from sandbox.servicebus.options import (
    MESSAGE_LOCK_LOST,
    NOT_ALLOWED,
    NOT_FOUND,
    QueueError,
)

if TYPE_CHECKING:
    from uuid import UUID

    from sandbox.servicebus.attaching import Attach
    from sandbox.servicebus.connection import Connection
    from sandbox.servicebus.hub import QueueHub

_LOG = logging.getLogger(__name__)

# The SDK counts one transfer per message even when it sends several frames, so the window is
# never enforced and wide enough never to be used up (contract 3.3).
INCOMING_WINDOW = 2**31 - 1
HANDLE_MAX = 255
_MANAGEMENT = "/$management"


class Session:
    def __init__(self, connection: Connection, channel: int, peer_window: int) -> None:
        self.unsettled: dict[int, tuple[OutgoingLink, UUID]] = {}
        self._connection = connection
        self._channel = channel
        self._links: dict[int, Link] = {}
        self._responses: dict[str, ResponseLink] = {}
        self._next_delivery_id = 0
        self._next_outgoing_id = 0
        self._next_incoming_id = 0
        self._peer_window = peer_window
        self._held_back: deque[bytes] = deque()
        self._send(amqp.begin(channel, 0, INCOMING_WINDOW, HANDLE_MAX))

    # Frames from the client

    def receive(self, frame: amqp.Frame, body: bytes) -> None:
        if frame.code == amqp.TRANSFER:
            self._next_incoming_id += 1
            link = self._links.get(frame.fields[0])
            if isinstance(link, ReceivingLink):
                link.transfer(frame)
        elif frame.code == amqp.DISPOSITION:
            self._on_disposition(frame)
        elif frame.code == amqp.FLOW:
            self._on_flow(frame)
        elif frame.code == amqp.ATTACH:
            self._on_attach(attaching.parse_attach(frame, body))
        elif frame.code == amqp.DETACH:
            self._on_detach(frame.fields[0])

    def _on_attach(self, attach: Attach) -> None:
        try:
            address = _path(attaching.address_of(attach))
            if address == "$cbs" or address.endswith(_MANAGEMENT):
                self._attach_request_response(attach, address)
            else:
                self._attach_entity(attach, self._find_hub(address))
        except QueueError as exc:
            self.refuse(attach, exc)

    def _find_hub(self, address: str) -> QueueHub:
        hub = self._connection.find_hub(address)
        if hub is None:
            text = f"The messaging entity '{address}' could not be found."
            raise QueueError(NOT_FOUND, text)
        return hub

    def _attach_request_response(self, attach: Attach, address: str) -> None:
        if address == "$cbs":
            answer = management.answer_token
        else:
            hub = self._find_hub(address.removesuffix(_MANAGEMENT))
            answer = partial(management.answer, hub)
        link: Link
        if attach.client_receives:
            link = self._responses[address] = ResponseLink(self, attach, address)
        else:
            link = RequestLink(self, attach, address, answer)
        self._links[attach.handle] = link
        self._send(attaching.reply(attach, max_message_size=amqp.MAX_REQUEST_SIZE))
        if isinstance(link, RequestLink):
            link.grant_credit()

    def _attach_entity(self, attach: Attach, hub: QueueHub) -> None:
        options = hub.queue.options
        if not attach.client_receives:
            if hub.queue.is_dead_letter_queue:
                raise QueueError(NOT_ALLOWED, "Messages cannot be sent to a dead-letter queue.")
            sender = IncomingLink(self, attach, hub)
            self._links[attach.handle] = sender
            self._send(attaching.sender_reply(attach, options.max_message_size))
            sender.grant_credit()
            return
        if options.requires_session and not attach.wants_session:
            text = f"The entity '{options.name}' requires sessions: use a session receiver."
            raise QueueError(NOT_ALLOWED, text)
        if attach.wants_session and not options.requires_session:
            raise QueueError(NOT_ALLOWED, f"The entity '{options.name}' has no sessions.")
        receiver = OutgoingLink(self, attach, hub)
        receiver.open()
        self._links[attach.handle] = receiver

    def _on_detach(self, handle: int) -> None:
        link = self._links.pop(handle, None)
        if link is None:
            return  # the client's answer to our own detach
        self._forget(link)
        self.unsettled = {n: d for n, d in self.unsettled.items() if d[0] is not link}
        self._send(amqp.detach(handle))

    def _forget(self, link: Link) -> None:
        if isinstance(link, ResponseLink) and self._responses.get(link.address) is link:
            del self._responses[link.address]
        link.closed()

    def _on_flow(self, frame: amqp.Frame) -> None:
        next_incoming_id, window, _, _, handle, delivery_count, credit, _, drain, echo, _ = (
            frame.fields
        )
        self._peer_window = (next_incoming_id or 0) + window - self._next_outgoing_id
        self._send_held_back()
        if handle is None:
            self.pump()
            if echo:
                self._send(self._flow())
        elif (link := self._links.get(handle)) is not None:
            link.flow(delivery_count, credit, drain=bool(drain))
            if echo and isinstance(link, SendingLink) and not drain:
                self.send_flow(handle, link.delivery_count, link.credit)

    def _on_disposition(self, frame: amqp.Frame) -> None:
        role, first, last, settled, state, _ = frame.fields
        unfinished = state is not None and state.descriptor == amqp.RECEIVED
        if role == amqp.SENDER or unfinished or (state is None and not settled):
            return
        last = first if last is None else last
        if last - first >= len(self.unsettled):
            numbers = sorted(n for n in self.unsettled if first <= n <= last) or [first]
        else:
            numbers = list(range(first, last + 1))
        for number in numbers:
            link, token = self.unsettled.pop(number, (None, None))
            if link is not None and token is not None:
                outcome = link.settle(token, state)
            else:
                text = "This delivery is not locked by the receiver any more."
                outcome = amqp.rejected(amqp.error(MESSAGE_LOCK_LOST, text))
            if not settled:
                self.send_disposition(amqp.SENDER, number, outcome)

    # Frames to the client

    def _send(self, body: bytes) -> None:
        self._connection.send(self._channel, body)

    def _flow(
        self,
        handle: int | None = None,
        delivery_count: int | None = None,
        credit: int | None = None,
        *,
        drain: bool = False,
    ) -> bytes:
        return amqp.flow(
            next_incoming_id=self._next_incoming_id,
            incoming_window=INCOMING_WINDOW,
            next_outgoing_id=self._next_outgoing_id,
            outgoing_window=INCOMING_WINDOW,
            handle=handle,
            delivery_count=delivery_count,
            link_credit=credit,
            drain=drain,
        )

    def send_flow(
        self, handle: int, delivery_count: int, credit: int, *, drain: bool = False
    ) -> None:
        self._send(self._flow(handle, delivery_count, credit, drain=drain))

    def send_disposition(self, role: bool, delivery_id: int, state: bytes) -> None:
        self._send(amqp.disposition(role, delivery_id, state))

    def can_send(self) -> bool:
        """Whether the client's window and the socket take another delivery."""
        return self._peer_window > 0 and not self._held_back and self._connection.writable

    def send_transfer(self, link: Link, tag: bytes, payload: bytes, *, settled: bool) -> int:
        """Sends one delivery in as many frames as it needs; returns its delivery id."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id += 1
        head = partial(
            amqp.transfer, link.handle, delivery_id, tag, message_format=0, settled=settled
        )
        room = self._connection.peer_max_frame_size - amqp.HEADER_SIZE - len(head(more=True))
        position = 0
        while True:
            chunk = payload[position : position + room]
            position += room
            more = position < len(payload)
            self._held_back.append(head(more=more) + chunk)
            if not more:
                break
        self._send_held_back()
        return delivery_id

    def _send_held_back(self) -> None:
        while self._held_back and self._peer_window > 0:
            self._peer_window -= 1
            self._next_outgoing_id += 1
            self._send(self._held_back.popleft())

    def confirm_receiver(self, link: OutgoingLink) -> None:
        """Answers the attach of a receiver, for a session as soon as its lock is held."""
        limit = link.hub.queue.options.max_message_size
        if link.hold is not None:
            self._send(attaching.session_reply(link.attach, link.hold, limit))
        else:
            self._send(attaching.reply(link.attach, max_message_size=limit))

    def respond(self, address: str, response: bytes) -> None:
        link = self._responses.get(address)
        if link is None:
            _LOG.warning("No response link for %s: the answer is dropped.", address)
        else:
            link.send(response)

    def refuse(self, attach: Attach, error: QueueError) -> None:
        self._links.pop(attach.handle, None)
        self._send(attaching.refusal(attach))
        self._send(amqp.detach(attach.handle, amqp.error(error.condition, error.description)))

    def detach(self, link: Link, error: bytes) -> None:
        """The broker ends the link; its deliveries stay known, so that late settlements of them
        are answered with the lost lock."""
        self._links.pop(link.handle, None)
        self._forget(link)
        self._send(amqp.detach(link.handle, error))

    def pump(self) -> None:
        for link in list(self._links.values()):
            if isinstance(link, SendingLink):
                link.pump()

    def closed(self) -> None:
        links, self._links = self._links, {}
        for link in links.values():
            self._forget(link)


def _path(address: str) -> str:
    path = urlsplit(address).path if "://" in address else address
    return path.strip("/").lower()
