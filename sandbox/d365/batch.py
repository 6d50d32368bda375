"""Runs a `$batch`: independent operations one by one, changesets all or nothing (F&O contract 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.d365.errors import ODataError, bad_request
from sandbox.d365.messages import Reply, Session, error_reply, json_reply
from sandbox.d365.multipart import BatchItem, BatchPart, BatchReply

if TYPE_CHECKING:
    from sandbox.d365.service import DataService
    from sandbox.d365.throttle import Throttle
    from sandbox.web import Control, Fault


class BatchRunner:
    """Faults marked `inner` and the throttle mode `inner` hit single operations."""

    def __init__(self, service: DataService, control: Control, throttle: Throttle) -> None:
        self._service = service
        self._control = control
        self._throttle = throttle

    def run(self, parts: list[BatchPart], session: Session) -> BatchReply:
        settings = self._service.environment.settings
        answer = BatchReply()
        for part in parts:
            if isinstance(part, list):
                failed = self._changeset(part, session, answer)
            else:
                reply = self._operation(part, session)
                answer.add(reply, part.content_id)
                failed = reply.status >= 400
            if failed and settings.batch_stops_at_first_error:
                break
        return answer

    def _operation(self, item: BatchItem, session: Session) -> Reply:
        return self._refusal(item) or self._service.execute(item.operation, session)

    def _changeset(self, items: list[BatchItem], session: Session, answer: BatchReply) -> bool:
        """Adds one reply per operation, or a single one for the whole set; returns whether it failed."""
        replies: list[tuple[Reply, str | None]] = []
        failure: Reply
        try:
            with self._service.environment.store.transaction():
                for item in items:
                    replies.append((self._atomic(item, session), item.content_id))
            answer.add_changeset(replies)
            return False
        except _Refused as refused:
            failure = refused.reply
        except ODataError as error:
            failure = error_reply(error)
        content_id = items[len(replies)].content_id
        if self._service.environment.settings.changeset_failure == "wrapped":
            answer.add_changeset([(failure, content_id)])
        else:
            answer.add(failure, content_id)
        return True

    def _atomic(self, item: BatchItem, session: Session) -> Reply:
        if item.operation.method == "GET":
            raise bad_request("A changeset cannot hold a GET request.")
        refusal = self._refusal(item)
        if refusal is not None:
            raise _Refused(refusal)
        return self._service.perform(item.operation, session)

    def _refusal(self, item: BatchItem) -> Reply | None:
        operation = item.operation
        fault = self._control.inner_fault(operation.method, f"/data/{operation.path}")
        if fault is not None and fault.status is not None:
            return _fault_reply(fault)
        return self._throttle.inner_refusal()


class _Refused(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def _fault_reply(fault: Fault) -> Reply:
    assert fault.status is not None
    if fault.body is None:
        return Reply(fault.status, b"", dict(fault.headers))
    if isinstance(fault.body, str):
        return Reply(
            fault.status, fault.body.encode(), {"content-type": "text/html", **fault.headers}
        )
    return json_reply(fault.status, fault.body, fault.headers)


def operation_count(parts: list[BatchPart]) -> int:
    return sum(len(part) if isinstance(part, list) else 1 for part in parts)
