"""One client connection: protocol headers, SASL, frames, open and close.

Trusted clients on the loopback interface only: no TLS, tokens are not checked. All output of one
turn of the event loop goes out in one write.
"""

import asyncio
import logging
import struct
from collections.abc import Callable

from sandbox.servicebus import administration
from sandbox.servicebus import performatives as amqp
from sandbox.servicebus.decoding import DecodeError
from sandbox.servicebus.hub import QueueHub
from sandbox.servicebus.options import DECODE_ERROR
from sandbox.servicebus.session import Session

_LOG = logging.getLogger(__name__)

MAX_FRAME_SIZE = 64 * 1024
CHANNEL_MAX = 255
# MSSBCBS is the name the .NET SDK asks for; both mean that the token comes by $cbs.
SASL_MECHANISMS = ["MSSBCBS", "ANONYMOUS"]
_SASL_OK, _SASL_FAILED = 0, 1


class Connection(asyncio.Protocol):
    """`find_hub` resolves an entity path; `on_lost` is told when the connection is gone."""

    def __init__(
        self,
        find_hub: Callable[[str], QueueHub | None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.find_hub = find_hub
        self.peer_max_frame_size = 512  # until the peer's open says otherwise
        self.writable = True
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._sessions: dict[int, Session] = {}
        self._expects_header = True
        self._close_sent = False
        self._out: list[bytes] = []
        self._flush_handle: asyncio.Handle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._expects_header and self._buffer.startswith(administration.METHOD):
            self._administer()
            return
        try:
            self._read_frames()
        except DecodeError as exc:
            self.shut_down(DECODE_ERROR, str(exc))
        except Exception:
            # One client's surprise must not take the broker away from the others.
            _LOG.exception("The connection failed.")
            self.shut_down("amqp:internal-error", "The broker failed; see its log.")
        self._flush()

    def _administer(self) -> None:
        if administration.is_complete(self._buffer):
            self._out.append(administration.answer(bytes(self._buffer), self.find_hub))
            self._end()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        for session in self._sessions.values():
            session.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        for handle in (self._flush_handle, self._heartbeat):
            if handle is not None:
                handle.cancel()
        self._flush_handle = self._heartbeat = self._transport = None
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.closed()
        self._on_lost(self)

    # Reading

    def _read_frames(self) -> None:
        while len(self._buffer) >= amqp.HEADER_SIZE and not self._close_sent:
            if self._expects_header:
                header = bytes(self._buffer[: amqp.HEADER_SIZE])
                del self._buffer[: amqp.HEADER_SIZE]
                self._on_header(header)
                continue
            size, offset, kind, channel = struct.unpack_from(">IBBH", self._buffer)
            if size > MAX_FRAME_SIZE or size < amqp.HEADER_SIZE or offset < 2:
                raise DecodeError(f"A frame of {size} bytes is outside the allowed sizes.")
            if len(self._buffer) < size:
                return
            body = bytes(self._buffer[offset * 4 : size])
            del self._buffer[:size]
            if body:
                self._on_frame(kind, channel, body)

    def _on_header(self, header: bytes) -> None:
        self._expects_header = False
        if header == amqp.SASL_HEADER:
            self._out.append(amqp.SASL_HEADER)
            self._out.append(amqp.frame(0, amqp.sasl_mechanisms(SASL_MECHANISMS), kind=1))
        elif header == amqp.AMQP_HEADER:
            self._out.append(amqp.AMQP_HEADER)
        else:
            # The specification's answer to an unsupported protocol: one's own header, then close.
            self._out.append(amqp.SASL_HEADER)
            self._end()

    def _on_frame(self, kind: int, channel: int, body: bytes) -> None:
        frame = amqp.parse_frame(body)
        if frame.code == amqp.SASL_INIT and kind == 1:
            known = frame.fields[0] in SASL_MECHANISMS
            outcome = amqp.sasl_outcome(_SASL_OK if known else _SASL_FAILED)
            self._out.append(amqp.frame(0, outcome, kind=1))
            self._expects_header = True
        elif frame.code == amqp.OPEN:
            self._on_open(frame)
        elif frame.code == amqp.BEGIN:
            self._sessions[channel] = Session(self, channel, peer_window=frame.fields[2])
        elif frame.code == amqp.CLOSE:
            self.send(0, amqp.close())
            self._end()
        elif (session := self._sessions.get(channel)) is None:
            raise DecodeError(f"Channel {channel} has no session.")
        elif frame.code == amqp.END:
            del self._sessions[channel]
            session.closed()
            self.send(channel, amqp.end())
        else:
            session.receive(frame, body)

    def _on_open(self, frame: amqp.Frame) -> None:
        self.peer_max_frame_size = frame.fields[2] or 2**32 - 1
        idle_ms = frame.fields[4]
        self.send(0, amqp.open_("sandbox-servicebus", MAX_FRAME_SIZE, CHANNEL_MAX))
        if idle_ms:
            self._beat(idle_ms / 2000)

    def _beat(self, seconds: float) -> None:
        """Empty frames at half the time after which the client would give up."""
        self._write(amqp.EMPTY_FRAME)
        self._heartbeat = asyncio.get_running_loop().call_later(seconds, self._beat, seconds)

    # Writing

    def send(self, channel: int, body: bytes) -> None:
        self._write(amqp.frame(channel, body))

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        if self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    # Ending

    def shut_down(self, condition: str, description: str) -> None:
        """Says why, then closes."""
        if not self._close_sent:
            self.send(0, amqp.close(amqp.error(condition, description)))
            self._end()

    def _end(self) -> None:
        self._close_sent = True
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Resets the connection without a word, as a broken network would."""
        self._close_sent = True
        if self._transport is not None:
            self._transport.abort()
