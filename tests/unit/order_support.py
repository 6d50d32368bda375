"""Salesforce and F&O as tables behind the methods of their clients that the order flow calls."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from integration.d365.batch import Item, Operation, OperationResult, operations_of
from integration.d365.errors import RecordExists
from integration.d365.filters import Filter
from integration.flows.accounts import AccountFlow
from integration.flows.context import FlowContext
from integration.flows.engine import converge
from integration.flows.orders import OrderFlow
from integration.flows.outcomes import Outcome
from integration.mapping.customisation import load_customisation
from integration.salesforce.collections import RowResult
from integration.settings import GoneSettings, OrderSettings, Settings
from integration.state.aliases import Aliases
from integration.state.gone import GoneNotes
from integration.state.intents import CreateIntents
from tests.unit.account_support import BUCKET, FIELDS, MemoryStore, settings_of

if TYPE_CHECKING:
    from integration.d365.client import D365Client
    from integration.errors import IntegrationError
    from integration.salesforce.client import SalesforceClient

ACCOUNT = "001Aa0000000001IAA"
SHIPPING = ("Street", "City", "PostalCode", "State", "Country")
ACCOUNT_FIELDS = (*FIELDS, *(f"Shipping{part}" for part in SHIPPING))
OPPORTUNITY_FIELDS = (
    "Id", "IsDeleted", "IsWon", "AccountId", "Name", "Amount", "CloseDate", "CurrencyIsoCode",
    "D365_Order_Number__c", "D365_Status__c", "D365_Error__c",
)  # fmt: skip
LINE_ID, ORDER_ID = "SalesforceLineId", "SalesforceOpportunityId"
HEADERS, LINES = "SalesOrderHeadersV2", "SalesOrderLines"


def opportunity_id(number: int) -> str:
    return f"006Aa{number:010}IAA"


def line_id(number: int) -> str:
    return f"00kAa{number:010}IAA"


A, B = opportunity_id(1), opportunity_id(2)


def orders(**changes: str) -> OrderSettings:
    return OrderSettings(ORDERS_SINCE="2025-01-01", **changes)  # type: ignore[arg-type,call-arg]


class MemorySalesforce:
    """`records` by object and id; `calls` names the object of each call."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, dict[str, Any]]] = {
            "Account": {}, "Opportunity": {}, "OpportunityLineItem": {},
        }  # fmt: skip
        self.calls: list[str] = []
        self.row_errors: dict[str, IntegrationError] = {}

    async def describe(self, object_name: str) -> dict[str, Any]:
        known = {"Account": ACCOUNT_FIELDS, "Opportunity": OPPORTUNITY_FIELDS}[object_name]
        return {"fields": [{"name": name} for name in known]}

    async def retrieve(
        self, object_name: str, ids: Iterable[str], fields: Iterable[str]
    ) -> dict[str, dict[str, Any]]:
        self.calls.append(f"retrieve {object_name}")
        table = self.records[object_name]
        names = list(fields)
        return {
            key: {name: table[key].get(name) for name in names}
            for key in ids
            if key in table and not table[key].get("IsDeleted")
        }

    async def query(
        self, soql: str, *, include_deleted: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        assert include_deleted
        self.calls.append("query")
        object_name = re.findall(r"FROM (\w+) WHERE", soql)[-1]
        for key, row in self.records[object_name].items():
            if key in soql:
                yield self._opportunity(row) if object_name == "Opportunity" else dict(row)

    def _opportunity(self, row: dict[str, Any]) -> dict[str, Any]:
        account = self.records["Account"].get(row["AccountId"] or "")
        lines = [
            {"attributes": {}, **line}
            for line in self.records["OpportunityLineItem"].values()
            if line["OpportunityId"] == row["Id"]
        ]
        found = {
            "attributes": {},
            **row,
            "Account": {"attributes": {}, **account} if account else None,
        }
        return {**found, "OpportunityLineItems": {"records": lines} if lines else None}

    async def children(self, row: Mapping[str, Any], relationship: str) -> list[dict[str, Any]]:
        return (row[relationship] or {"records": []})["records"]

    async def update_many(
        self, object_name: str, records: Sequence[Mapping[str, Any]]
    ) -> list[RowResult]:
        self.calls.append(f"update {object_name}")
        results = []
        for record in records:
            key = record["Id"]
            error = self.row_errors.get(key)
            if error is None:
                self.records[object_name][key].update(record)
            results.append(RowResult(None if error else key, error=error))
        return results


class MemoryD365:
    """Rows by entity set, changesets that happen together, amounts as F&O calculates them.

    `answers` are for the next batches of writes, one each: an error that is raised (executed before if
    `commits`), or a result for every operation. `reprice` changes a line as a price rule would.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {
            "CustomersV3": [], HEADERS: [], LINES: [], "ReleasedProductsV2": [],
        }  # fmt: skip
        self.reads = 0
        self.batches: list[list[Item]] = []
        self.answers: list[IntegrationError | OperationResult | None] = []
        self.commits = False
        self.reprice: Callable[[dict[str, Any]], None] = lambda line: None
        self.before_write: Callable[[], None] = lambda: None

    async def query(
        self, entity_set: str, *, filter: Filter, select: Sequence[str]
    ) -> AsyncIterator[dict[str, Any]]:
        self.reads += 1
        for row in self._matching(entity_set, filter):
            yield row

    def _matching(self, entity_set: str, filter: Filter) -> list[dict[str, Any]]:
        terms = [
            re.findall(r"(\w+) eq '((?:[^']|'')*)'", term) for term in filter.text.split(" or ")
        ]
        return [
            dict(row)
            for row in self.rows[entity_set]
            if any(
                all(str(row.get(n, "")).casefold() == v.replace("''", "'").casefold() for n, v in t)
                for t in terms
            )
        ]

    async def batch(self, items: Sequence[Item]) -> list[OperationResult]:
        operations = [each for item in items for each in operations_of(item)]
        if operations[0].is_read:
            self.reads += 1
            return [
                OperationResult(200, {"value": self._matching(each.entity_set, each.query.filter)})  # type: ignore[union-attr,arg-type]
                for each in operations
            ]
        self.batches.append(list(items))
        self.before_write()
        answer = self.answers.pop(0) if self.answers else None
        if answer is None:
            return [result for item in items for result in self._apply(item)]
        if self.commits:
            for item in items:
                self._apply(item)
        if isinstance(answer, OperationResult):
            return [answer] * len(operations)
        raise answer

    def _apply(self, item: Item) -> list[OperationResult]:
        before = {name: list(rows) for name, rows in self.rows.items()}
        results = [self._write(each) for each in operations_of(item)]
        if failed := next((each for each in results if each.error), None):
            self.rows = before
            return [failed] * len(results)
        return results

    def _write(self, operation: Operation) -> OperationResult:
        row = dict(operation.body or {})
        entity_set = operation.entity_set
        rows = self.rows[entity_set]
        if operation.method == "PATCH":
            return OperationResult(204)
        if entity_set == HEADERS:
            row.setdefault("SalesOrderNumber", f"SO-{len(rows) + 1:06}")
            if any(each["SalesOrderNumber"] == row["SalesOrderNumber"] for each in rows):
                return OperationResult(400, error=RecordExists("already exists", system="d365"))
        elif entity_set == LINES:
            row["InventoryLotId"] = f"LOT-{len(rows) + 1}"
            self.reprice(row)
            share = 1 - Decimal(row.get("LineDiscountPercentage", 0)) / 100
            amount = row["OrderedSalesQuantity"] * row["SalesPrice"] * share
            row["LineAmount"] = amount.quantize(Decimal("0.01"))
        else:
            row.setdefault("CustomerAccount", f"US-{len(rows) + 1:06}")
        rows.append(row)
        return OperationResult(201, dict(row))


class World:
    """Both systems with the real flows, engine and intents between them."""

    def __init__(self, mapping: str | None = None, **settings: str) -> None:
        self.salesforce = MemorySalesforce()
        self.d365 = MemoryD365()
        self.store = MemoryStore()
        self.now = datetime(2025, 3, 1, 12, tzinfo=UTC)
        own = {name[6:].lower(): text for name, text in settings.items() if name[:6] == "ORDER_"}
        gone = {name[8:].lower(): text for name, text in settings.items() if name[:8] == "DELETED_"}
        app = {n: text for n, text in settings.items() if not n.startswith(("ORDER_", "DELETED_"))}
        batch_size = int(app.pop("D365_BATCH_SIZE", "100"))
        plain = settings_of(**app)
        d365 = plain.d365.model_copy(update={"batch_size": batch_size})
        self.settings: Settings = plain.model_copy(
            update={"orders": orders(**own), "d365": d365, "gone": GoneSettings(**gone)}  # type: ignore[arg-type]
        )
        intents = CreateIntents(
            self.store, quarantine=self.settings.app.create_quarantine, clock=lambda: self.now
        )
        context = FlowContext(
            self.settings,
            load_customisation(mapping),
            cast("SalesforceClient", self.salesforce),
            cast("D365Client", self.d365),
            intents,
            aliases=Aliases(self.store, cache=0),
            gone=GoneNotes(self.store, cache=0),
        )
        self.flow = OrderFlow(context, AccountFlow(context))
        for item in ("D0001", "D0002", "1000"):
            self.d365.rows["ReleasedProductsV2"].append({"dataAreaId": "usmf", "ItemNumber": item})
        self.add_account()
        self.add_customer()

    def add_account(self, key: str = ACCOUNT, **values: Any) -> None:
        row = {**dict.fromkeys(ACCOUNT_FIELDS), "Id": key, "Name": "Acme", "CurrencyIsoCode": "USD"}
        self.salesforce.records["Account"][key] = {**row, **values}

    def add_customer(self, number: str = "US-1", account: str = ACCOUNT, **values: Any) -> None:
        self.d365.rows["CustomersV3"].append(
            {
                "dataAreaId": "usmf", "CustomerAccount": number, "SalesforceAccountId": account,
                "OrganizationName": "Acme", "LanguageId": "en-US", "SalesCurrencyCode": "USD",
                **values,
            }
        )  # fmt: skip

    def add(self, key: str = A, *lines: dict[str, Any], **values: Any) -> None:
        """A won opportunity; its amount follows from its lines."""
        table = self.salesforce.records["OpportunityLineItem"]
        for line in lines:
            number = len(table) + 1
            quantity, price = Decimal(line.get("Quantity", 2)), Decimal(line.get("UnitPrice", 10))
            share = 1 - Decimal(line.get("Discount") or 0) / 100
            item = line.pop("item", "D0001")
            product = {"D365_Item_Number__c": item, "ProductCode": None, "Name": f"Product {item}"}
            table[line_id(number)] = {
                "Id": line_id(number), "OpportunityId": key, "IsDeleted": False,
                "Quantity": quantity, "UnitPrice": price, "Discount": None, "ServiceDate": None,
                "TotalPrice": (quantity * price * share).quantize(Decimal("0.01")),
                "Product2": product, **line,
            }  # fmt: skip
        amount = sum((line["TotalPrice"] for line in self.lines_of(key)), Decimal(0))
        self.salesforce.records["Opportunity"][key] = {
            **dict.fromkeys(OPPORTUNITY_FIELDS), "Id": key, "IsDeleted": False, "IsWon": True,
            "AccountId": ACCOUNT, "Name": "Big deal", "Amount": amount, "CloseDate": "2025-02-20",
            "CurrencyIsoCode": "USD", **values,
        }  # fmt: skip

    def lines_of(self, key: str) -> list[dict[str, Any]]:
        lines = self.salesforce.records["OpportunityLineItem"].values()
        return [line for line in lines if line["OpportunityId"] == key]

    def opportunity(self, key: str = A) -> dict[str, Any]:
        return self.salesforce.records["Opportunity"][key]

    async def run(self, *keys: str, dry: bool = False) -> dict[str, Outcome]:
        return await converge(self.flow, dict.fromkeys(keys or (A,), BUCKET), dry=dry)

    def wait(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    @property
    def headers(self) -> list[dict[str, Any]]:
        return self.d365.rows[HEADERS]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return self.d365.rows[LINES]

    def forget(self) -> None:
        self.d365.batches.clear()
        self.d365.reads = 0
        self.salesforce.calls.clear()
