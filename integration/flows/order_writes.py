"""Writes sales orders so that a crash between any two calls leaves one order that can be completed.

With numbers of our own, header and lines are one changeset, and F&O refuses a second order of that number.
With a number sequence the header comes first and the missing lines follow in one changeset; since neither
has a key that F&O could check, both are announced as an intent before (design, idea 5).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from integration.d365.batch import ChangeSet, Operation, OperationResult, operations_of
from integration.d365.errors import RecordExists
from integration.d365.literals import COMPANY
from integration.errors import (
    ContractError,
    CreatePending,
    IntegrationError,
    OutcomeUnknown,
    RecordBusy,
    RecordRejected,
    Unreachable,
)
from integration.flows.announcing import Announcements
from integration.flows.pace import WritePace
from integration.flows.sales_orders import HEADERS, LINES, Order
from integration.mapping.order_tables import NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from integration.d365.batch import Item
    from integration.d365.client import D365Client
    from integration.flows.flow import Record
    from integration.flows.sales_orders import OrderWrite, SalesOrders
    from integration.settings import Settings
    from integration.state.intents import CreateIntents

Written = dict[str, "Order | Exception"]


class OrderWriter:
    def __init__(
        self, client: D365Client, intents: CreateIntents, orders: SalesOrders, settings: Settings
    ) -> None:
        self._client = client
        self._announcements = Announcements(intents, "orders")
        self._orders = orders
        self._pace = WritePace(settings.d365.batch_size)
        self._quarantine = settings.app.create_quarantine.total_seconds()

    async def write(
        self,
        writes: Mapping[str, OrderWrite],
        buckets: Mapping[str, str],
    ) -> Written:
        """The order as it is now, or the error, per opportunity id."""
        whole: dict[str, OrderWrite] = {}
        stepwise: dict[str, OrderWrite] = {}
        for key, write in writes.items():
            in_one = write.header is not None and self._orders.own_number
            (whole if in_one else stepwise)[key] = write
        answers: Written = {}
        if whole:
            answers |= await self._whole(whole)
        if stepwise:
            answers |= await self._stepwise(stepwise, buckets)
        return answers

    async def _whole(self, writes: Mapping[str, OrderWrite]) -> Written:
        items: dict[str, Item] = {}
        answers: Written = {}
        for key, write in writes.items():
            company = write.purchase.company
            try:
                lines = [_line(row, company, key) for row in write.lines]
                items[key] = ChangeSet([_header(write), *lines])
            except RecordRejected as error:  # a value that cannot be sent
                answers[key] = error
        for key, results in (await self._send(items)).items():
            failed = _first_error(results)
            if failed is not None and _is_unanswered(failed):
                # A repeat is safe: a second order of this number is refused.
                answers[key] = Unreachable(str(failed.error), system="d365")
            elif failed is not None and failed.error is not None:
                answers[key] = _told(failed.error)
            else:
                header, *rows = (result.body for result in results)
                answers[key] = self._checked(key, header, rows, writes[key])
        return answers

    async def _stepwise(
        self,
        writes: Mapping[str, OrderWrite],
        buckets: Mapping[str, str],
    ) -> Written:
        held = {key: buckets[key] for key in writes}
        answers: Written = dict(await self._announcements.announce(held))
        headers: dict[str, Record] = {
            key: write.order.header
            for key, write in writes.items()
            if key not in answers and write.order is not None
        }
        new = {k: w for k, w in writes.items() if k not in answers and w.header is not None}
        answers |= await self._headers(new, headers)
        rest = {key: write for key, write in writes.items() if key in headers}
        answers |= await self._lines(rest, headers)
        running = {key for key, each in answers.items() if isinstance(each, CreatePending)}
        await self._announcements.settle(held, held.keys() - running)
        return answers

    async def _headers(
        self,
        writes: Mapping[str, OrderWrite],
        headers: dict[str, Record],
    ) -> Written:
        """Adds to `headers` what was made; the errors are returned."""
        answers: Written = {}
        items: dict[str, Item] = {}
        for key, write in writes.items():
            try:
                items[key] = _header(write)
            except RecordRejected as error:
                answers[key] = error
        for key, [result] in (await self._send(items)).items():
            if result.error is not None:
                answers[key] = self._step_error(result)
            elif str(result.body.get(self._orders.id_field, "")).casefold() != key.casefold():
                answers[key] = ContractError(
                    f"{HEADERS}: order {result.body.get(NUMBER)} was created but does not carry the"
                    f" opportunity's id; is {self._orders.id_field} public and writable?",
                    system="d365",
                )
            else:
                headers[key] = result.body
        return answers

    async def _lines(
        self, writes: Mapping[str, OrderWrite], headers: Mapping[str, Record]
    ) -> Written:
        answers: Written = {}
        items: dict[str, Item] = {}
        for key, write in writes.items():
            number = str(headers[key][NUMBER])
            try:
                lines = [_line(row, write.purchase.company, number) for row in write.lines]
                items[key] = ChangeSet(lines)
            except RecordRejected as error:
                answers[key] = error
        for key, results in (await self._send(items)).items():
            failed = _first_error(results)
            if failed is not None:
                answers[key] = self._step_error(failed)
            else:
                rows = [result.body for result in results]
                answers[key] = self._checked(key, headers[key], rows, writes[key])
        return answers

    async def _send(self, items: Mapping[str, Item]) -> dict[str, Sequence[OperationResult]]:
        """The results of each order; an error of a whole call is the result of all its operations."""
        answers: dict[str, Sequence[OperationResult]] = {}
        for part in self._parts(items):
            operations = sum(len(operations_of(item)) for item in part.values())
            started = time.monotonic()
            try:
                self._pace.begin(operations)
                results = await self._client.batch(list(part.values()))
            except IntegrationError as error:
                results = [OperationResult(None, error=error)] * operations
            else:
                self._pace.learn(operations, time.monotonic() - started)
            for key, item in part.items():
                count = len(operations_of(item))
                answers[key], results = results[:count], results[count:]
        return answers

    def _parts(self, items: Mapping[str, Item]) -> Iterable[dict[str, Item]]:
        """So many orders as one call may hold; an order with more lines than that travels alone."""
        size = self._pace.size
        part: dict[str, Item] = {}
        used = 0
        for key, item in items.items():
            count = len(operations_of(item))
            if part and used + count > size:
                yield part
                part, used = {}, 0
            part[key] = item
            used += count
        if part:
            yield part

    def _step_error(self, result: OperationResult) -> Exception:
        """Of a create without a key that F&O checks: no answer means that it may still be running."""
        error = result.error or OutcomeUnknown("no answer", system="d365")
        if _is_unanswered(result):
            return CreatePending(str(error), retry_after=self._quarantine, system="d365")
        return _told(error)

    def _checked(
        self, key: str, header: Record, rows: Sequence[Record], write: OrderWrite
    ) -> Order | Exception:
        """The whole order, if each line that came back carries the id that was sent."""
        field = self._orders.line_id_field
        for sent, row in zip(write.lines, rows, strict=True):
            if str(row.get(field) or "").casefold() != str(sent[field]).casefold():
                return ContractError(
                    f"{LINES}: a line of order {header.get(NUMBER)} was created but does not carry"
                    f" its line item's id; is {field} public and writable?",
                    system="d365",
                )
        before: list[Record] = []
        if write.order is not None:
            before = [row for rows_ in write.order.lines.values() for row in rows_]
        return Order.of(header, [*before, *rows], field)


def _header(write: OrderWrite) -> Operation:
    body = {COMPANY: write.purchase.company, **(write.header or {})}
    return Operation("POST", HEADERS, body=body)


def _line(row: Mapping[str, Any], company: str, number: str) -> Operation:
    return Operation("POST", LINES, body={COMPANY: company, NUMBER: number, **row})


def _first_error(results: Sequence[OperationResult]) -> OperationResult | None:
    return next((result for result in results if result.error is not None), None)


def _is_unanswered(result: OperationResult) -> bool:
    """A status, even 500, means it is over."""
    return isinstance(result.error, OutcomeUnknown) and result.status is None


def _told(error: Exception) -> Exception:
    if isinstance(error, RecordExists):
        return RecordBusy(error.description, reason="already-exists", system="d365")
    return error
