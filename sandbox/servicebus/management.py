"""Requests on `$cbs` and `$management` (Service Bus contract 3.1 and 3.7)."""

from collections.abc import Callable
from typing import Any

from sandbox.servicebus import encoding as enc
from sandbox.servicebus import performatives as amqp
from sandbox.servicebus.entries import Entry, SessionHold
from sandbox.servicebus.hub import QueueHub
from sandbox.servicebus.message import (
    APPLICATION_PROPERTIES,
    PROPERTIES,
    VALUE,
    Message,
    parse_message,
)
from sandbox.servicebus.options import (
    ARGUMENT_ERROR,
    MESSAGE_LOCK_LOST,
    MESSAGE_NOT_FOUND,
    NOT_IMPLEMENTED,
    SESSION_LOCK_LOST,
    QueueError,
)
from sandbox.servicebus.sessions import Queue

_OK, _NO_CONTENT = 200, 204
_STATUS_BY_CONDITION = {
    MESSAGE_NOT_FOUND: 404,
    MESSAGE_LOCK_LOST: 410,
    SESSION_LOCK_LOST: 410,
    NOT_IMPLEMENTED: 501,
}
# A last-updated-time at or above this asks for every session (the year 9999).
_ALL_SESSIONS_MS = 253_402_200_000_000

Body = dict[str, Any]
Result = tuple[int, bytes]


def answer_token(request: Message) -> bytes:
    """Any token is taken. `$cbs` spells its status properties differently from `$management`."""
    status = (enc.string("status-code"), enc.int32(_OK))
    description = (enc.string("status-description"), enc.string("OK"))
    return _response(request, [status, description], enc.NULL)


def answer(hub: QueueHub, request: Message) -> bytes:
    properties = request.application_properties
    operation = str(properties.get("operation", "")).removeprefix("com.microsoft:")
    holder = properties.get("associated-link-name")
    try:
        handler = _OPERATIONS.get(operation)
        if handler is None:
            raise QueueError(NOT_IMPLEMENTED, f"The operation '{operation}' is not served.")
        try:
            status, body = handler(hub, request.value or {}, holder)
        except (KeyError, TypeError, AttributeError) as exc:
            text = f"The body of '{operation}' is not as expected: {exc!r}."
            raise QueueError(ARGUMENT_ERROR, text) from exc
    except QueueError as exc:
        code = _STATUS_BY_CONDITION.get(exc.condition, 400)
        status_properties = _status(code, exc.description)
        status_properties.append((enc.string("errorCondition"), enc.symbol(exc.condition)))
        return _response(request, status_properties, enc.map_of(()))
    hub.changed()
    return _response(request, _status(status, "OK"), body)


def _status(code: int, description: str) -> list[tuple[bytes, bytes]]:
    return [
        (enc.string("statusCode"), enc.int32(code)),
        (enc.string("statusDescription"), enc.string(description)),
    ]


def _response(request: Message, properties: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The correlation-id repeats the request's message-id with its AMQP type."""
    message_properties = [enc.NULL] * 13
    message_properties[5] = request.raw_message_id
    return b"".join(
        (
            enc.described(PROPERTIES, enc.list_of(*message_properties)),
            enc.described(APPLICATION_PROPERTIES, enc.map_of(properties)),
            enc.described(VALUE, body),
        )
    )


def _body(**values: bytes) -> bytes:
    """A response map; `lock_token` stands for the key `lock-token`."""
    return enc.map_of((enc.string(k.replace("_", "-")), v) for k, v in values.items())


def _hold(queue: Queue, body: Body, holder: str | None) -> SessionHold | None:
    """The caller's hold when the request names a session. Raises `QueueError` (lock lost)."""
    session_id = body.get("session-id")
    if session_id is None or not queue.options.requires_session:
        return None
    return queue.held_session(session_id, holder)


def _renew_lock(hub: QueueHub, body: Body, _holder: str | None) -> Result:
    ends = [hub.queue.renew(token) for token in body["lock-tokens"]]
    return _OK, _body(expirations=enc.timestamp_array(ends))


def _renew_session_lock(hub: QueueHub, body: Body, holder: str | None) -> Result:
    hold = hub.queue.held_session(body["session-id"], holder)
    return _OK, _body(expiration=enc.timestamp(hub.queue.renew_session(hold)))


def _get_session_state(hub: QueueHub, body: Body, holder: str | None) -> Result:
    hold = hub.queue.held_session(body["session-id"], holder)
    return _OK, _body(session_state=enc.binary(hub.queue.session_state(hold.session_id)))


def _set_session_state(hub: QueueHub, body: Body, holder: str | None) -> Result:
    hold = hub.queue.held_session(body["session-id"], holder)
    state = body.get("session-state")
    hub.queue.set_session_state(
        hold.session_id, state.encode() if isinstance(state, str) else state
    )
    return _OK, enc.map_of(())


def _peek(hub: QueueHub, body: Body, _holder: str | None) -> Result:
    entries = hub.queue.peek(
        body["from-sequence-number"], body["message-count"], body.get("session-id")
    )
    if not entries:
        return _NO_CONTENT, enc.map_of(())
    return _OK, _messages(entries)


def _messages(entries: list[Entry]) -> bytes:
    items = []
    for entry in entries:
        fields = {"message": enc.binary(entry.encode())}
        if entry.lock is not None:
            fields["lock_token"] = enc.uuid(entry.lock.token)
        items.append(_body(**fields))
    return _body(messages=enc.list_of(*items))


def _schedule(hub: QueueHub, body: Body, _holder: str | None) -> Result:
    hub.raise_if_refused()
    numbers = hub.queue.enqueue(parse_message(item["message"]) for item in body["messages"])
    return _OK, _body(sequence_numbers=enc.int64_array(numbers))


def _cancel_scheduled(hub: QueueHub, body: Body, _holder: str | None) -> Result:
    hub.queue.cancel_scheduled(body["sequence-numbers"])
    return _OK, enc.map_of(())


def _receive_deferred(hub: QueueHub, body: Body, holder: str | None) -> Result:
    hold = _hold(hub.queue, body, holder)
    lock = body.get("receiver-settle-mode") == amqp.RECEIVER_SETTLES_SECOND
    entries = hub.queue.receive_deferred(body["sequence-numbers"], hold, lock=lock)
    return _OK, _messages(entries)


def _update_disposition(hub: QueueHub, body: Body, holder: str | None) -> Result:
    _hold(hub.queue, body, holder)
    status = body["disposition-status"]
    settle: Callable[[Any], None]
    if status == "suspended":
        reason, text = body.get("deadletter-reason"), body.get("deadletter-description")

        def settle(token: Any) -> None:
            hub.queue.dead_letter(token, reason, text)
    else:
        settle = {
            "completed": hub.queue.complete,
            "abandoned": hub.queue.abandon,
            "defered": hub.queue.defer,
        }[status]
    for token in body["lock-tokens"]:
        settle(token)
    return _OK, enc.map_of(())


def _list_sessions(hub: QueueHub, body: Body, _holder: str | None) -> Result:
    since_ms: int = body.get("last-updated-time", _ALL_SESSIONS_MS)
    everything = since_ms >= _ALL_SESSIONS_MS
    skip, top = body.get("skip", 0), body.get("top", 100)
    ids = hub.queue.session_ids(None if everything else since_ms / 1000)[skip : skip + top]
    if not ids:
        return _NO_CONTENT, enc.map_of(())
    return _OK, _body(sessions_ids=enc.string_array(ids), skip=enc.int32(skip + len(ids)))


_OPERATIONS: dict[str, Callable[[QueueHub, Body, str | None], Result]] = {
    "renew-lock": _renew_lock,
    "renew-session-lock": _renew_session_lock,
    "get-session-state": _get_session_state,
    "set-session-state": _set_session_state,
    "peek-message": _peek,
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel_scheduled,
    "receive-by-sequence-number": _receive_deferred,
    "update-disposition": _update_disposition,
    "get-message-sessions": _list_sessions,
}
