"""Flow 3, Salesforce → F&O: a won opportunity becomes one sales order, and the order is never changed.

Failure policy: retry 3×, then review, visible on the Opportunity (spec 1). The root is the account. An
opportunity that is amended, re-opened or deleted after its order exists is reported for review; so is an
order whose amounts are not those of the opportunity, after its number was written back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.errors import RecordNeedsReview
from integration.flows.account_customers import AccountCustomers
from integration.flows.flow import Flow, Write
from integration.flows.gone.families import MergedCustomers
from integration.flows.gone.reading import STAMP
from integration.flows.numbers import qualified
from integration.flows.order_checks import judge, review
from integration.flows.order_customers import Purchase, for_order
from integration.flows.order_decisions import WantedOrder, decide_order, order_of
from integration.flows.order_gone import DeletedOrders, keeping_buyers
from integration.flows.order_status import ERROR, NUMBER_FIELD, ORDERED, REVIEW, STATUS, OrderStatus
from integration.flows.order_writes import OrderWriter
from integration.flows.outcomes import Moved, Skipped
from integration.flows.sales_orders import Order, OrderMatch, OrderWrite, SalesOrders
from integration.flows.sources import DELETED, available_fields
from integration.mapping.orders import flat, order_mapping
from integration.mapping.values import number_of
from integration.salesforce.ids import is_id
from integration.salesforce.soql import in_list, select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.errors import SystemName
    from integration.flows.accounts import AccountFlow
    from integration.flows.context import FlowContext
    from integration.flows.flow import Record
    from integration.recovery.decisions import EndState

OBJECT = "Opportunity"
LINE_ITEMS = "OpportunityLineItems"
_READ = ("Id", "IsDeleted", STAMP, "IsWon", "AccountId", "Amount", NUMBER_FIELD, STATUS, ERROR)


class OrderFlow(Flow[WantedOrder, OrderMatch]):
    name = "orders"
    systems: tuple[SystemName, ...] = ("salesforce", "d365")

    def __init__(self, context: FlowContext, accounts: AccountFlow) -> None:
        settings = context.settings
        self.policy = context.policy(self.name)
        self._salesforce = context.salesforce
        self._since = settings.orders.since
        self._tolerance = settings.orders.amount_tolerance
        self._mapping = order_mapping(
            context.customisation, settings.orders, default_company=settings.d365.company
        )
        self._one_company = self._mapping.companies.is_single_company
        self._customers = AccountCustomers(context, accounts)
        self._orders = SalesOrders(context.d365, settings)
        self._writer = OrderWriter(context.d365, context.intents, self._orders, settings)
        self._status = OrderStatus(context.salesforce)
        self._merged = MergedCustomers(context)
        self._deleted = DeletedOrders(context)

    async def read(self, keys: list[str]) -> Mapping[str, Record | Skipped | Moved | Exception]:
        """One query for opportunities and their lines, those in the recycle bin included."""
        ids = [key for key in keys if is_id(key)]  # Salesforce refuses a query for anything else
        found: dict[str, Record | Skipped | Moved | Exception] = {}
        if not ids:
            return found
        fields = self._mapping.source_fields(
            await available_fields(self._salesforce, OBJECT),
            await available_fields(self._salesforce, "Account"),
        )
        lines = select(LINE_ITEMS, self._mapping.line_fields(), order_by=("SortOrder", "Id"))
        query = select(
            OBJECT, tuple(dict.fromkeys((*_READ, *fields))),
            children=(lines,), where=in_list("Id", ids),
        )  # fmt: skip
        async for row in self._salesforce.query(query, include_deleted=True):
            children = await self._salesforce.children(row, LINE_ITEMS)
            items = [flat(child) for child in children if not child.get("IsDeleted")]
            found[row["Id"]] = {**flat(row), LINE_ITEMS: items}
        return found

    def root_of(self, record: Record) -> str:
        return str(record.get("AccountId") or record["Id"])

    def wanted(self, record: Record) -> WantedOrder | Skipped:
        named = record.get(NUMBER_FIELD) or None
        no_order: str | None = None
        if record.get("IsDeleted"):
            if self._deleted.ignored:
                return Skipped(DELETED)
            no_order = DELETED
        elif not record.get("IsWon"):
            no_order = "not-won"
        elif not named:
            won = self._mapping.won_on(record)
            if won is None:
                field = self._mapping.won_date_field
                raise review("no-won-date", f"{field} does not say when the opportunity was won")
            if won < self._since:
                return Skipped("before-cut-over")
        account = record.get("AccountId")
        if not account and no_order is None:
            raise review("no-account", "the opportunity has no account, so nobody can be invoiced")
        mapped = self._mapping.map(record, record[LINE_ITEMS])
        amount = record.get("Amount")
        return WantedOrder(
            str(record["Id"]),
            Purchase(
                str(account or ""), str(record.get("Account.Name") or account), mapped.company
            ),
            mapped,
            named,
            None if amount is None else number_of(amount),
            bool(named) and record.get(STATUS) == ORDERED,
            no_order,
            str(record.get(STAMP) or ""),
        )

    async def find(
        self, wanted: Mapping[str, WantedOrder]
    ) -> Mapping[str, OrderMatch | Exception | None]:
        found = await self._orders.find({key: want.sought for key, want in wanted.items()})
        found = await self._deleted.add_told(wanted, found)
        return await keeping_buyers(self._merged, wanted, found)

    def compare(self, wanted: WantedOrder, current: OrderMatch | None) -> Write | Skipped | None:
        try:
            return decide_order(wanted, current or OrderMatch())
        except RecordNeedsReview:
            if wanted.no_order == DELETED:
                self._deleted.tells(wanted)
            raise

    async def write(
        self, changes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Skipped | Exception]:
        writes = {key: each for key, each in changes.items() if isinstance(each, OrderWrite)}
        waiting = {key: each.purchase for key, each in writes.items() if each.buyer is None}
        answers: dict[str, Record | Skipped | Exception] = {}
        if waiting:
            held = {each.account_id: buckets[key] for key, each in waiting.items()}
            ends = await self._customers.ensure(held)
            for key, each in waiting.items():
                answers[key] = for_order(each, ends[each.account_id])
        ready = {key: each for key, each in writes.items() if key not in waiting}
        for key, end in (await self._writer.write(ready, buckets)).items():
            answers[key] = {"order": end} if isinstance(end, Order) else end
        return answers

    def back(self, record: Record, written: Record | None, current: OrderMatch | None) -> Record:
        """Number, status and error text, as far as the Opportunity holds others."""
        order = order_of(written, current)
        if order is None:
            return {}
        problem = self.unresolved(record, written, current)
        fields = {
            NUMBER_FIELD: qualified(order.company, order.number, one_company=self._one_company),
            STATUS: REVIEW if problem else ORDERED,
            ERROR: problem.description if problem else None,
        }
        return {
            name: value for name, value in fields.items() if (record.get(name) or None) != value
        }

    async def write_back(self, fields: Mapping[str, Record]) -> Mapping[str, Exception]:
        return await self._status.write(fields)

    def unresolved(
        self, record: Record, written: Record | None, current: OrderMatch | None
    ) -> RecordNeedsReview | None:
        """In what the order and the opportunity do not agree."""
        order = order_of(written, current)
        wanted = self.wanted(record)
        if order is None or isinstance(wanted, Skipped):
            return None
        return judge(
            wanted.mapped,
            order,
            current.buyer if current else None,
            amount=wanted.amount,
            tolerance=self._tolerance,
            agreed_before=wanted.agreed_before,
        )

    async def ended(self, key: str, end: EndState) -> None:
        await self._status.tell(key, end)

    async def kept(self, key: str, end: EndState) -> None:
        await self._deleted.kept(key, end)
