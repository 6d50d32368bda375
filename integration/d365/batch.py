"""`$batch`: many operations in one call, with an answer for each of them.

Each write outside of a ChangeSet is a changeset of its own, so that one failure stays one failure. The
outer 200 says nothing: an inner answer may be 429 or missing (F&O contract 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from integration.d365.errors import Call, translate
from integration.d365.multipart import InnerRequest, InnerResponse, ResponseGroup
from integration.d365.values import ETAG, json_dumps, json_loads
from integration.errors import (
    CallContext,
    ContractError,
    IntegrationError,
    OutcomeUnknown,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from integration.d365.literals import Key
    from integration.d365.odata import Query, Urls


@dataclass(frozen=True, slots=True)
class Operation:
    """One request inside a batch. GET reads by `key`, or rows by `query`; their next pages follow.

    Raises RecordRejected for a body that cannot be sent.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    entity_set: str
    key: Key | None = None
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    etag: str | None = None
    query: Query | None = None
    content: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.method in ("PATCH", "DELETE") and self.key is None) or (
            self.method == "POST" and self.key is not None
        ):
            raise TypeError(f"{self.method} {'needs a' if self.key is None else 'has no'} key")
        if (self.body is None) is (self.method in ("POST", "PATCH")):
            raise TypeError(f"{self.method} {'needs a' if self.body is None else 'has no'} body")
        # Encoded here, so that a value that cannot be sent is the failure of its own record.
        content = None if self.body is None else json_dumps(self.body)
        object.__setattr__(self, "content", content)

    @property
    def is_read(self) -> bool:
        return self.method == "GET"

    def call(self) -> Call:
        return Call(
            f"{self.method} {self.entity_set}",
            safe_to_repeat=self.is_read,
            names_record=self.key is not None,
        )

    def request(self, content_id: int, urls: Urls, *, use_etag: bool) -> InnerRequest:
        if self.key is not None:
            url = urls.record(self.entity_set, self.key, self.query)
        else:
            url = urls.rows(self.entity_set, self.query)
        etag = self.etag if use_etag else None
        return InnerRequest(content_id, self.method, url, self.content, etag)


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Writes that happen together or not at all, in this order."""

    operations: Sequence[Operation]

    def __post_init__(self) -> None:
        if not self.operations or any(operation.is_read for operation in self.operations):
            raise TypeError("a changeset holds writes only, and at least one")


@dataclass(frozen=True, slots=True)
class OperationResult:
    """`status` is None when no answer is known. `error` is set unless the operation certainly succeeded;
    for a GET of a missing key it is RecordMissing."""

    status: int | None
    body: Any = field(default=None, repr=False)
    etag: str | None = None
    error: IntegrationError | None = None

    @property
    def succeeded(self) -> bool:
        return self.error is None


Item = Operation | ChangeSet


def operations_of(item: Item) -> Sequence[Operation]:
    return item.operations if isinstance(item, ChangeSet) else (item,)


def split(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Groups of at most `size` operations, in order; a changeset is never divided."""
    group: list[Item] = []
    used = 0
    for item in items:
        count = len(operations_of(item))
        if group and used + count > size:
            yield group
            group, used = [], 0
        group.append(item)
        used += count
    if group:
        yield group


def assign(items: Sequence[Item], groups: Sequence[ResponseGroup]) -> list[ResponseGroup | None]:
    """Which group of answers belongs to which item; None where there is none.

    Content-IDs (1, 2, … over all operations) decide; a group without them belongs to the item after
    the one before it, since a server answers in order and may stop early.
    """
    owner: dict[int, int] = {}
    for index, item in enumerate(items):
        for _ in operations_of(item):
            owner[len(owner) + 1] = index
    found: list[ResponseGroup | None] = [None] * len(items)
    following = 0
    for group in groups:
        known = next((owner[number] for number in group.content_ids() if number in owner), None)
        index = following if known is None else known
        if index < len(items) and found[index] is None:
            found[index] = group
        following = index + 1
    return found


def results(
    item: Item,
    first_id: int,
    group: ResponseGroup | None,
    *,
    throttle_cap: float,
    context: CallContext,
) -> list[OperationResult]:
    """One result for each operation of `item`, whose Content-IDs start at `first_id`."""
    operations = operations_of(item)
    answers = group.responses if group else []
    failed = next((answer for answer in answers if answer.status >= 300), None)
    if failed:  # of a changeset nothing was written then, whatever the other answers say
        return [_failure(operation, failed, throttle_cap, context) for operation in operations]
    by_id = {answer.content_id: answer for answer in answers if answer.content_id is not None}
    in_order = len(answers) == len(operations) and len(by_id) < len(answers)
    return [
        _success(operation, answers[index] if in_order else by_id.get(first_id + index), context)
        for index, operation in enumerate(operations)
    ]


def _failure(
    operation: Operation, answer: InnerResponse, throttle_cap: float, context: CallContext
) -> OperationResult:
    error = translate(
        answer.status,
        answer.body,
        answer.headers,
        operation.call(),
        throttle_cap=throttle_cap,
        request_id=context.request_id,
    )
    if error.context.activity_id is None:  # the id of the outer call then
        error.context = CallContext(
            error.context.operation, answer.status, context.request_id, context.activity_id
        )
    return OperationResult(answer.status, error=error)


def _success(
    operation: Operation, answer: InnerResponse | None, context: CallContext
) -> OperationResult:
    if answer is None:
        return OperationResult(None, error=unknown(operation, "the batch holds no answer", context))
    if not answer.body:
        if operation.method in ("GET", "POST"):
            error = unknown(operation, "the answer is empty", context)
            return OperationResult(answer.status, error=error)
        return OperationResult(answer.status, etag=answer.headers.get("etag"))
    try:
        body = json_loads(answer.body)
    except ContractError:
        error = unknown(operation, "the answer cannot be read", context)
        return OperationResult(answer.status, error=error)
    if operation.is_read and operation.key is not None and not operation.key.matches(body):
        error = ContractError(f"{operation.call().operation}: another record", system="d365")
        return OperationResult(answer.status, error=error)
    etag = body.get(ETAG) if isinstance(body, dict) else None
    return OperationResult(answer.status, body, etag or answer.headers.get("etag"))


def unknown(operation: Operation, why: str, context: CallContext) -> IntegrationError:
    """A read failed harmlessly, a write may have happened."""
    kind = Unreachable if operation.is_read else OutcomeUnknown
    return kind(f"{operation.call().operation}: {why}", system="d365", context=context)


def call_failed(operation: Operation, error: IntegrationError, *, begun: bool) -> OperationResult:
    """The result of an operation whose whole call failed, or was not begun because an earlier one did."""
    if not isinstance(error, OutcomeUnknown):
        return OperationResult(None, error=error)
    if begun:
        return OperationResult(
            None, error=unknown(operation, "no answer to its batch", error.context)
        )
    why = f"{operation.call().operation}: not sent, the call before it got no answer"
    return OperationResult(None, error=Unreachable(why, system="d365", context=error.context))
