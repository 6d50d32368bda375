"""Orders of opportunities that were deleted, and of accounts that were merged.

An order is never changed. That its opportunity is gone is reported once for each deletion. That its customer
is not the account's is no difference where the customer's own account was merged into that one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from integration.flows.customers import NUMBER
from integration.flows.gone.families import Question
from integration.flows.sales_orders import CUSTOMER, OrderMatch
from integration.flows.sources import DELETED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.flows.context import FlowContext
    from integration.flows.gone.families import MergedCustomers
    from integration.flows.order_decisions import WantedOrder
    from integration.recovery.decisions import EndState

Found = dict[str, "OrderMatch | Exception"]
_OBJECT = "Opportunity"
_REPORT = "deleted-after-order"


class DeletedOrders:
    def __init__(self, context: FlowContext) -> None:
        self.ignored = context.settings.gone.opportunities == "ignore"
        self._notes = context.gone
        self._telling: dict[str, str] = {}

    async def add_told(self, wanted: Mapping[str, WantedOrder], found: Found) -> Found:
        """Whether the deletion was reported; asked only for those that have an order."""
        answers = dict(found)
        if self._notes is None:
            return answers
        for key, match in found.items():
            want = wanted[key]
            if want.no_order != DELETED or not isinstance(match, OrderMatch) or not match.order:
                continue
            told = await self._notes.told(_OBJECT, key)
            answers[key] = replace(match, told=bool(told) and told == want.stamp)
        return answers

    def tells(self, wanted: WantedOrder) -> None:
        self._telling[wanted.opportunity_id] = wanted.stamp

    async def kept(self, key: str, end: EndState) -> None:
        stamp = self._telling.pop(key, "")
        if stamp and end.reason == _REPORT and self._notes is not None:
            await self._notes.tell(_OBJECT, key, stamp)


async def keeping_buyers(
    merged: MergedCustomers, wanted: Mapping[str, WantedOrder], found: Found
) -> Found:
    """An order of a merged account's customer has that one as its buyer. Asked only where they differ."""
    asked: dict[str, Question] = {}
    for key, match in found.items():
        if not isinstance(match, OrderMatch) or match.order is None or match.buyer is None:
            continue
        customer = str(match.order.header.get(CUSTOMER) or "")
        if customer and customer.casefold() != match.buyer.number.casefold():
            account = wanted[key].purchase.account_id
            asked[key] = Question(account, NUMBER, customer, match.order.company)
    answers = dict(found)
    for key, customer_row in (await merged.find(asked)).items():
        match = found[key]
        assert isinstance(match, OrderMatch)
        assert match.buyer is not None
        answers[key] = replace(match, buyer=replace(match.buyer, number=customer_row.number))
    return answers
