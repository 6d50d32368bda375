"""Sales orders in F&O as the target of opportunities: finds them by what identifies them.

An opportunity's order is the one whose number is the opportunity's id, or that carries the id in a field
of its header, looked up across all companies. Its lines carry the ids of the line items, so that nothing
depends on their position. Writing is in `order_writes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from integration.d365.filters import Filter, eq
from integration.d365.literals import COMPANY
from integration.errors import RecordRejected
from integration.flows.customers import ENTITY_SET as CUSTOMERS
from integration.flows.customers import NUMBER as CUSTOMER_NUMBER
from integration.flows.flow import Write
from integration.flows.order_customers import FIELDS, pick_buyer
from integration.flows.reading import key_of, rows_of_sets
from integration.mapping.order_tables import ITEM, NUMBER, QUANTITY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from integration.d365.client import D365Client
    from integration.flows.flow import Record
    from integration.flows.order_customers import Buyer, Purchase
    from integration.settings import OrderSettings, Settings

HEADERS, LINES, PRODUCTS = "SalesOrderHeadersV2", "SalesOrderLines", "ReleasedProductsV2"
CUSTOMER, ORDER_STATUS = "OrderingCustomerAccountNumber", "SalesOrderStatus"


@dataclass(frozen=True, slots=True)
class Order:
    """`lines` by the id of their line item; lines that a clerk added carry none and are `others`."""

    company: str
    number: str
    header: Record
    lines: Mapping[str, tuple[Record, ...]]
    others: tuple[Record, ...]

    @property
    def is_canceled(self) -> bool:
        return self.header.get(ORDER_STATUS) == "Canceled"

    @classmethod
    def of(cls, header: Record, lines: Iterable[Record], line_id_field: str) -> Order:
        company, number = key_of(header, HEADERS, NUMBER)
        by_id: dict[str, tuple[Record, ...]] = {}
        others: list[Record] = []
        for line in lines:
            if key := str(line.get(line_id_field) or ""):
                by_id[key] = (*by_id.get(key, ()), line)
            else:
                others.append(line)
        return cls(company, number, header, by_id, tuple(others))


@dataclass(frozen=True, slots=True)
class Sought:
    """What one opportunity asks of F&O. `number` is the order it names, in `company`; `items` are those
    that must exist in `company` before anything is written."""

    company: str
    number: str | None = None
    account_id: str | None = None
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderMatch:
    """Orders that carry the opportunity, in any company; the one it names; who buys; items that exist;
    whether the opportunity's deletion was told."""

    by_id: tuple[Order, ...] = ()
    by_number: Order | None = None
    buyer: Buyer | None = None
    items: frozenset[str] = frozenset()
    told: bool = False

    @property
    def order(self) -> Order | None:
        """The order that `compare` accepted."""
        return self.by_id[0] if self.by_id else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderWrite(Write):
    """`header` is None where the order exists and only `lines` are missing (operation "update").

    Without `buyer` it cannot be sent yet: the account's customer must be made first.
    """

    purchase: Purchase
    buyer: Buyer | None
    header: Record | None
    lines: tuple[Record, ...]
    order: Order | None = field(default=None, repr=False)


class SalesOrders:
    def __init__(self, client: D365Client, settings: Settings) -> None:
        orders: OrderSettings = settings.orders
        self._client = client
        self._account_field = settings.d365.salesforce_id_field
        self._terms = settings.d365.filter_terms
        self.own_number = orders.numbering == "opportunity-id"
        self.id_field = NUMBER if self.own_number else orders.id_field
        self.line_id_field = orders.line_id_field
        self._select: dict[str, Sequence[str]] = {
            HEADERS: tuple(
                dict.fromkeys(
                    (COMPANY, NUMBER, self.id_field, CUSTOMER, "CurrencyCode", ORDER_STATUS)
                )
            ),
            LINES: (
                COMPANY, NUMBER, "InventoryLotId", self.line_id_field, ITEM, QUANTITY, "LineAmount",
            ),
            CUSTOMERS: (COMPANY, CUSTOMER_NUMBER, self._account_field, *FIELDS),
            PRODUCTS: (COMPANY, ITEM),
        }  # fmt: skip

    async def find(self, sought: Mapping[str, Sought]) -> dict[str, OrderMatch | Exception]:
        """What F&O holds, per opportunity id: one call, and a second for lines of orders just found."""
        answers: dict[str, OrderMatch | Exception] = {}
        terms: dict[str, dict[str, Filter]] = {HEADERS: {}, LINES: {}, CUSTOMERS: {}, PRODUCTS: {}}

        def ask(entity_set: str, *wanted: Filter) -> None:
            terms[entity_set] |= {term.text: term for term in wanted}

        for key, want in sought.items():
            try:
                named = [eq(NUMBER, want.number)] if want.number else []
            except RecordRejected as error:  # a number with `*` would match other orders
                answers[key] = error
                continue
            ask(HEADERS, eq(self.id_field, key), *named)
            ask(LINES, *([eq(NUMBER, key)] if self.own_number else []), *named)
            if want.account_id:
                ask(CUSTOMERS, eq(self._account_field, want.account_id))
            ask(
                PRODUCTS,
                *(eq(COMPANY, want.company) & eq(ITEM, i) for i in want.items if _plain(i)),
            )
        rows = await self._rows({name: list(asked.values()) for name, asked in terms.items()})
        known = {line_term.text for line_term in terms[LINES].values()}
        late = {
            term.text: term
            for header in rows[HEADERS]
            if (term := eq(NUMBER, str(header[NUMBER]))).text not in known
        }
        rows[LINES] += (await self._rows({LINES: list(late.values())}))[LINES]
        orders = self._orders(rows)
        items: dict[str, set[str]] = {}
        for row in rows[PRODUCTS]:
            items.setdefault(str(row[COMPANY]).lower(), set()).add(str(row[ITEM]))
        for key, want in sought.items():
            if key not in answers:
                answers[key] = OrderMatch(
                    tuple(o for o in orders if _same(o.header.get(self.id_field), key)),
                    next((o for o in orders if o.company == want.company
                          and _same(o.number, want.number)), None),
                    pick_buyer(
                        rows[CUSTOMERS], self._account_field, want.account_id, want.company
                    ) if want.account_id else None,
                    frozenset(items.get(want.company, ())),
                )  # fmt: skip
        return answers

    async def _rows(self, terms: Mapping[str, Sequence[Filter]]) -> dict[str, list[Record]]:
        asked = {name: each for name, each in terms.items() if each}
        found = await rows_of_sets(self._client, asked, self._select, per_filter=self._terms)
        return {name: found.get(name, []) for name in terms}

    def _orders(self, rows: Mapping[str, Sequence[Record]]) -> list[Order]:
        """A row that fits two terms comes twice and counts once."""
        lines: dict[tuple[str, str], dict[str, Record]] = {}
        for row in rows[LINES]:
            lines.setdefault(_key(row), {})[str(row.get("InventoryLotId"))] = row
        headers = {_key(row): row for row in rows[HEADERS]}
        return [
            Order.of(header, lines.get(key, {}).values(), self.line_id_field)
            for key, header in headers.items()
        ]


def _key(row: Record) -> tuple[str, str]:
    return str(row.get(COMPANY)).lower(), str(row.get(NUMBER)).casefold()


def _same(value: Any, wanted: str | None) -> bool:
    """F&O compares without regard to case; an 18-character id survives that (Salesforce contract 2.3)."""
    return wanted is not None and isinstance(value, str) and value.casefold() == wanted.casefold()


def _plain(item: str) -> bool:
    """An item number with `*` cannot be looked up, and so counts as missing."""
    return "*" not in item
