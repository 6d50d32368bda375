"""Judges an opportunity and its order: may it be ordered, and do both still say the same?

Pure. Everything that is said here is read by a salesperson on the Opportunity, so it names lines by their
product and amounts as they stand on both sides.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

from integration.d365.values import decode_decimal
from integration.errors import RecordNeedsReview
from integration.flows.sales_orders import CUSTOMER
from integration.mapping.order_tables import ITEM, QUANTITY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from integration.flows.order_customers import Buyer
    from integration.flows.sales_orders import Order
    from integration.mapping.orders import MappedLine, MappedOrder

# With these the description is written for salespeople.
Reason = Literal[
    "no-lines",
    "not-orderable",
    "unknown-items",
    "no-account",
    "no-won-date",
    "amounts-differ",
    "changed-after-order",
    "deleted-after-order",
    "no-longer-won",
    "several-orders",
    "other-company",
    "order-gone",
    "order-number-differs",
    "order-of-other-opportunity",
]
REASONS: frozenset[str] = frozenset(get_args(Reason))
_MOST_NAMED = 20  # sentences; a description holds 4,096 characters


def review(reason: Reason, sentences: Sequence[str] | str) -> RecordNeedsReview:
    """One error of one or several sentences."""
    if isinstance(sentences, str):
        sentences = [sentences]
    named = [sentence[:1].upper() + sentence[1:] for sentence in sentences[:_MOST_NAMED]]
    if more := len(sentences) - len(named):
        named.append(f"And {more} more")
    return RecordNeedsReview(". ".join(named) + ".", reason=reason, system="d365")


def orderable(mapped: MappedOrder, items: Collection[str]) -> RecordNeedsReview | None:
    """Why no order can be made of it; everything at once."""
    if not mapped.lines:
        return review("no-lines", "the opportunity has no products, so there is nothing to order")
    if problems := mapped.all_problems():
        return review("not-orderable", problems)
    if missing := list(_missing_items(mapped, items)):
        return review("unknown-items", missing)
    return None


def _missing_items(mapped: MappedOrder, items: Collection[str]) -> Iterator[str]:
    spelled = {item.casefold(): item for item in items}
    for line in mapped.lines:
        if line.item in items:
            continue
        other = spelled.get(line.item.casefold())
        hint = f", but {other} does; upper and lower case must agree" if other else ""
        yield (
            f"{line.label}: item {line.item} does not exist in company {mapped.company} of"
            f" Dynamics 365{hint}"
        )


def missing_lines(mapped: MappedOrder, order: Order) -> list[MappedLine]:
    return [line for line in mapped.lines if line.id not in order.lines]


def changes(mapped: MappedOrder, order: Order, buyer: Buyer | None) -> list[str]:
    """What the opportunity says and its order does not, the amounts aside."""
    found = list(mapped.all_problems())
    if order.is_canceled:
        found.append("the order was canceled in Dynamics 365")
    customer = str(order.header.get(CUSTOMER) or "")
    if buyer is not None and customer.casefold() != buyer.number.casefold():
        found.append(
            f"the order is for customer {customer}, the account's customer is {buyer.number}"
        )
    currency = mapped.header.get("CurrencyCode")
    ordered = order.header.get("CurrencyCode")
    if currency and ordered and currency != ordered:
        found.append(f"the currency is {currency} here and {ordered} in the order")
    for line in mapped.lines:
        rows = order.lines.get(line.id, ())
        if not rows:
            found.append(f"{line.label} is not in the order")
        elif len(rows) > 1:
            found.append(f"{line.label} is {len(rows)} times in the order")
        else:
            found += _line_changes(line, rows[0])
    known = {line.id for line in mapped.lines}
    for key, rows in order.lines.items():
        if key not in known:
            names = ", ".join(str(row.get(ITEM)) for row in rows)
            found.append(f"the order holds item {names}, which was removed here")
    return found


def existing_agree(mapped: MappedOrder, order: Order, buyer: Buyer | None) -> bool:
    """Whether a half-made order holds what it holds rightly, so that its missing lines may be added."""
    there = tuple(line for line in mapped.lines if line.id in order.lines)
    return not changes(replace(mapped, lines=there, problems=()), order, buyer)


def _line_changes(line: MappedLine, row: dict[str, Any]) -> Iterator[str]:
    if line.item and row.get(ITEM) != line.item:
        yield f"{line.label} is item {line.item} here and {row.get(ITEM)} in the order"
    ordered = decode_decimal(row.get(QUANTITY))
    if line.quantity is not None and ordered != line.quantity:
        yield f"{line.label}: the quantity is {line.quantity:f} here and {ordered:f} in the order"


def amount_differences(
    mapped: MappedOrder, order: Order, amount: Decimal | None, tolerance: Decimal
) -> list[str]:
    """Lines, and the sum, whose amounts are further apart than the tolerance."""
    found: list[str] = []
    total = Decimal(0)
    for line in mapped.lines:
        ordered = sum(
            (decode_decimal(row.get("LineAmount")) for row in order.lines.get(line.id, ())),
            Decimal(0),
        )
        total += ordered
        if line.total is not None and abs(ordered - line.total) > tolerance:
            found.append(
                f"{line.label}: the amount is {_money(line.total)} here and {_money(ordered)} in"
                " the order"
            )
    if amount is not None and abs(total - amount) > tolerance:
        found.append(
            f"the opportunity's amount is {_money(amount)}, the order's lines add up to"
            f" {_money(total)}"
        )
    return found


def judge(
    mapped: MappedOrder,
    order: Order,
    buyer: Buyer | None,
    *,
    amount: Decimal | None,
    tolerance: Decimal,
    agreed_before: bool,
) -> RecordNeedsReview | None:
    """What a person must decide about an order that exists. `agreed_before` tells that both sides were
    found equal once, so whatever differs now was changed since."""
    changed = changes(mapped, order, buyer)
    amounts = amount_differences(mapped, order, amount, tolerance)
    if not changed and not amounts:
        return None
    if not changed and not agreed_before:
        return review("amounts-differ", [f"sales order {order.number} exists", *amounts])
    head = f"sales order {order.number} was not changed, but no longer agrees with the opportunity"
    return review("changed-after-order", [head, *changed, *amounts])


def _money(value: Decimal) -> str:
    """At least two decimals."""
    exponent = value.as_tuple().exponent
    return f"{value:.2f}" if isinstance(exponent, int) and exponent > -2 else f"{value:f}"
