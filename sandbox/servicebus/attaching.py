"""Reading an attach and writing its reply (Service Bus contract 3.2 and 3.6)."""

from dataclasses import dataclass
from typing import Any

from sandbox.servicebus import encoding as enc
from sandbox.servicebus import performatives as amqp
from sandbox.servicebus.decoding import Described, decode, split_list
from sandbox.servicebus.entries import SessionHold
from sandbox.servicebus.options import NOT_IMPLEMENTED, QueueError

SESSION_FILTER = "com.microsoft:session-filter"
DEFAULT_SESSION_WAIT_SECONDS = 60.0
_FILTER_FIELD = 7
_DOTNET_TICKS_AT_UNIX_EPOCH = 621_355_968_000_000_000


@dataclass(frozen=True, slots=True)
class Attach:
    """`role` is the client's. `source` and `target` are raw, because the reply repeats them."""

    name: str
    handle: int
    role: bool
    snd_settle_mode: int | None
    rcv_settle_mode: int | None
    source: bytes
    target: bytes
    source_address: str | None
    target_address: str | None
    initial_delivery_count: int
    wants_session: bool
    session_id: str | None
    wait_seconds: float

    @property
    def client_receives(self) -> bool:
        return self.role == amqp.RECEIVER

    @property
    def address(self) -> str | None:
        """The broker's end of the link."""
        return self.source_address if self.client_receives else self.target_address


def parse_attach(frame: amqp.Frame, body: bytes) -> Attach:
    raw = amqp.raw_fields(body, amqp.ATTACH)
    name, handle, role, snd, rcv, source, target = frame.fields[:7]
    filters = _terminus_field(source, _FILTER_FIELD) or {}
    wanted = filters.get(SESSION_FILTER)
    properties = frame.fields[13] or {}
    wait_ms = properties.get("com.microsoft:timeout")
    return Attach(
        name=name,
        handle=handle,
        role=role,
        snd_settle_mode=snd,
        rcv_settle_mode=rcv,
        source=raw[5],
        target=raw[6],
        source_address=_terminus_field(source, 0),
        target_address=_terminus_field(target, 0),
        initial_delivery_count=frame.fields[9] or 0,
        wants_session=SESSION_FILTER in filters,
        session_id=wanted.value if isinstance(wanted, Described) else wanted,
        wait_seconds=DEFAULT_SESSION_WAIT_SECONDS if wait_ms is None else wait_ms / 1000,
    )


def _terminus_field(terminus: Any, index: int) -> Any:
    if not isinstance(terminus, Described) or terminus.descriptor not in (
        amqp.SOURCE,
        amqp.TARGET,
    ):
        return None
    return terminus.value[index] if index < len(terminus.value) else None


def reply(
    attach: Attach,
    *,
    max_message_size: int | None,
    source: bytes | None = None,
    properties: bytes = enc.NULL,
) -> bytes:
    return amqp.attach(
        name=attach.name,
        handle=attach.handle,
        role=not attach.role,
        snd_settle_mode=attach.snd_settle_mode,
        rcv_settle_mode=attach.rcv_settle_mode,
        source=attach.source if source is None else source,
        target=attach.target,
        initial_delivery_count=0 if attach.client_receives else None,
        max_message_size=max_message_size,
        properties=properties,
    )


def sender_reply(attach: Attach, max_message_size: int) -> bytes:
    limit = (enc.symbol("com.microsoft:max-message-batch-size"), enc.ulong(max_message_size))
    return reply(attach, max_message_size=max_message_size, properties=enc.map_of([limit]))


def session_reply(attach: Attach, hold: SessionHold, max_message_size: int) -> bytes:
    """The filter carries the real session id as a plain string, the lock end is .NET ticks."""
    fields = split_list(attach.source, 3)
    filters = [(enc.symbol(SESSION_FILTER), enc.string(hold.session_id))]
    fields[_FILTER_FIELD] = enc.map_of(filters)
    ticks = round(hold.locked_until * 1e7) + _DOTNET_TICKS_AT_UNIX_EPOCH
    locked_until = (enc.symbol("com.microsoft:locked-until-utc"), enc.int64(ticks))
    return reply(
        attach,
        max_message_size=max_message_size,
        source=enc.described(amqp.SOURCE, enc.list_of(*fields)),
        properties=enc.map_of([locked_until]),
    )


def refusal(attach: Attach) -> bytes:
    """Null source and target: only then does the SDK see the following detach as a refusal."""
    return amqp.attach(
        name=attach.name,
        handle=attach.handle,
        role=not attach.role,
        snd_settle_mode=attach.snd_settle_mode,
        rcv_settle_mode=attach.rcv_settle_mode,
        source=enc.NULL,
        target=enc.NULL,
        initial_delivery_count=0 if attach.client_receives else None,
        max_message_size=None,
    )


def address_of(attach: Attach) -> str:
    """Raises `QueueError` for a terminus without an address, such as a transaction coordinator."""
    address = attach.address
    if address is None or decode(attach.source)[0] is None or decode(attach.target)[0] is None:
        raise QueueError(NOT_IMPLEMENTED, "Only links to queues and their $management are served.")
    return address
