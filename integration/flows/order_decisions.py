"""What becomes of an opportunity, given what F&O holds: create, complete, leave alone, or ask a person.

Pure. An order that was reported to the Opportunity is never written again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.flows.numbers import company_and_number
from integration.flows.order_checks import existing_agree, missing_lines, orderable, review
from integration.flows.outcomes import Skipped
from integration.flows.sales_orders import LINES, Order, OrderMatch, OrderWrite, Sought
from integration.flows.sources import DELETED
from integration.mapping.tables import Change

if TYPE_CHECKING:
    from decimal import Decimal

    from integration.flows.flow import Record
    from integration.flows.order_customers import Purchase
    from integration.mapping.orders import MappedOrder


@dataclass(frozen=True, slots=True)
class WantedOrder:
    """An opportunity in F&O's terms. `no_order` says why there must be none; an order that exists all the
    same is then for a person, who is told once for each `stamp` of a deleted opportunity."""

    opportunity_id: str
    purchase: Purchase
    mapped: MappedOrder
    named: str | None
    amount: Decimal | None
    agreed_before: bool
    no_order: str | None = None
    stamp: str = ""

    @property
    def sought(self) -> Sought:
        company, number = company_and_number(self.named) if self.named else (None, None)
        if self.no_order:
            return Sought(company or self.purchase.company, number)
        return Sought(
            company or self.purchase.company,
            number,
            self.purchase.account_id,
            tuple(dict.fromkeys(line.item for line in self.mapped.lines if line.item)),
        )


def decide_order(wanted: WantedOrder, match: OrderMatch) -> OrderWrite | Skipped | None:
    """What to write. Raises RecordNeedsReview where a person must decide."""
    order = _own_order(wanted, match)
    if wanted.no_order:
        if order is None or order.is_canceled or match.told:
            return Skipped(wanted.no_order)
        gone = wanted.no_order == DELETED
        raise review(
            "deleted-after-order" if gone else "no-longer-won",
            f"the opportunity {'was deleted' if gone else 'is not won any more'}, but sales order"
            f" {order.number} in {order.company} exists and was not changed; cancel it in"
            " Dynamics 365 or win the opportunity again",
        )
    if order is None:
        if problem := orderable(wanted.mapped, match.items):
            raise problem
        return _write_of(wanted, match)
    if order.company != wanted.purchase.company:
        raise review(
            "other-company",
            f"sales order {order.number} is in {order.company}, the account belongs to"
            f" {wanted.purchase.company or 'none'}",
        )
    missing = missing_lines(wanted.mapped, order)
    completable = not (wanted.named or order.others or order.is_canceled)
    if missing and completable and existing_agree(wanted.mapped, order, match.buyer):
        if problem := orderable(wanted.mapped, match.items):
            raise problem
        return _write_of(wanted, match, order)
    return None  # an order that was reported is never changed; `unresolved` says what differs


def _own_order(wanted: WantedOrder, match: OrderMatch) -> Order | None:
    """The one order of the opportunity, None where there is none. Never guesses."""
    if len(match.by_id) > 1:
        orders = ", ".join(f"{order.number} in {order.company}" for order in match.by_id)
        raise review("several-orders", f"sales orders {orders} all carry this opportunity")
    order = match.order
    if wanted.named is None:
        return order
    number = wanted.sought.number
    if order is not None:
        if order.number.casefold() != str(number).casefold():
            raise review(
                "order-number-differs",
                f"the opportunity names sales order {wanted.named}, but order {order.number} in"
                f" {order.company} carries it",
            )
        return order
    if wanted.no_order and match.by_number is None:
        return None
    if match.by_number is None:
        raise review(
            "order-gone",
            f"the opportunity names sales order {wanted.named}, which does not exist; clear"
            " the order number here to have a new one made",
        )
    raise review(
        "order-of-other-opportunity",
        f"the opportunity names sales order {wanted.named}, which does not carry it",
    )


def _write_of(wanted: WantedOrder, match: OrderMatch, order: Order | None = None) -> OrderWrite:
    """The whole order, or the lines that a half-made one lacks."""
    header: Record | None = None
    lines = wanted.mapped.lines
    if order is None:
        header = {**(match.buyer.header() if match.buyer else {}), **wanted.mapped.header}
    else:
        lines = tuple(missing_lines(wanted.mapped, order))
    changes = [Change(name, None, value) for name, value in (header or {}).items()]
    changes += [Change(f"{LINES}[{line.id}]", None, line.item) for line in lines]
    return OrderWrite(
        "create" if order is None else "update",
        {change.field: change.new for change in changes},
        differences=tuple(changes),
        purchase=wanted.purchase,
        buyer=match.buyer,
        header=header,
        lines=tuple(line.values for line in lines),
        order=order,
    )


def order_of(written: Record | None, current: OrderMatch | None) -> Order | None:
    """The order as it is now: as written, or as found where nothing had to be written."""
    if written:
        order: Order = written["order"]
        return order
    return current.order if current else None
