"""Salesforce and F&O as two dicts behind the methods of their clients that the account flow calls."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from integration.d365.batch import Operation, OperationResult
from integration.d365.errors import EtagConflict, RecordExists
from integration.d365.filters import Filter
from integration.flows.accounts import AccountFlow
from integration.flows.context import FlowContext
from integration.flows.engine import converge
from integration.flows.outcomes import Outcome
from integration.mapping.customisation import load_customisation
from integration.salesforce.collections import RowResult
from integration.settings import (
    AppSettings,
    AzureSettings,
    D365Settings,
    OrderSettings,
    RetrySettings,
    SalesforceSettings,
    Settings,
    WebhookSettings,
)
from integration.state.intents import CreateIntents
from tests.unit.state_support import MemoryStore

if TYPE_CHECKING:
    from integration.d365.client import D365Client
    from integration.errors import IntegrationError
    from integration.salesforce.client import SalesforceClient

ID, NUMBER, COMPANY = "SalesforceAccountId", "CustomerAccount", "dataAreaId"
NUMBER_FIELD = "D365_Customer_Number__c"
FIELDS = (
    "Id", "Name", "BillingStreet", "BillingCity", "BillingPostalCode", "BillingState",
    "BillingCountry", "Phone", "Website", "CurrencyIsoCode", NUMBER_FIELD, "CreatedDate",
    "SystemModstamp",
)  # fmt: skip
NEVER_TOUCHED = dict.fromkeys(("CreatedDate", "SystemModstamp"), "2025-01-31T10:00:00.000+0000")
BUCKET = "bucket-001"


def account_id(number: int) -> str:
    return f"001Aa{number:010}IAA"


A, B, C = account_id(1), account_id(2), account_id(3)


def settings_of(**changes: str) -> Settings:
    """Settings that are complete; `changes` are settings of the app by their names."""
    return Settings(
        app=AppSettings(**changes),  # type: ignore[arg-type]
        salesforce=SalesforceSettings(
            client_id="c",
            auth="client_credentials",
            client_secret="s",
            org_ids="00DAa0000000001MAA",
        ),  # type: ignore[arg-type]
        d365=D365Settings(base_url="https://d365.test", company="usmf", auth="managed_identity"),  # type: ignore[arg-type]
        webhook=WebhookSettings(),
        azure=AzureSettings(ServiceBus="x", AzureWebJobsStorage="UseDevelopmentStorage=true"),  # type: ignore[arg-type]
        retry=RetrySettings(),  # type: ignore[arg-type]
        orders=OrderSettings(ORDERS_SINCE="2025-01-01"),  # type: ignore[call-arg]
    )


class MemorySalesforce:
    def __init__(self) -> None:
        self.accounts: dict[str, dict[str, Any]] = {}
        self.gone: dict[str, dict[str, Any]] = {}
        self.row_errors: dict[str, IntegrationError] = {}
        self.query_error: IntegrationError | None = None
        self.queries: list[str] = []

    def add(self, key: str, name: str = "Acme", **values: Any) -> None:
        self.accounts[key] = {
            **dict.fromkeys(FIELDS), **NEVER_TOUCHED, "Id": key, "Name": name,
            "CurrencyIsoCode": "EUR", **values,
        }  # fmt: skip

    async def describe(self, object_name: str) -> dict[str, Any]:
        return {"fields": [{"name": name} for name in FIELDS]}

    async def retrieve(
        self, object_name: str, ids: Iterable[str], fields: Iterable[str]
    ) -> dict[str, dict[str, Any]]:
        return {
            key: {name: self.accounts[key][name] for name in fields}
            for key in ids
            if key in self.accounts
        }

    async def query(
        self, soql: str, *, include_deleted: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        assert include_deleted
        self.queries.append(soql)
        if self.query_error is not None:
            raise self.query_error
        for key, row in self.gone.items():
            if key in soql:
                yield {"Id": key, "IsDeleted": True, "MasterRecordId": None, **row}

    async def update_many(
        self, object_name: str, records: Sequence[Mapping[str, Any]]
    ) -> list[RowResult]:
        results = []
        for record in records:
            key = record["Id"]
            if error := self.row_errors.get(key):
                results.append(RowResult(None, error=error))
            else:
                self.accounts[key].update(record)
                results.append(RowResult(key))
        return results


class MemoryD365:
    """Compares text without regard to case, numbers customers itself, knows ETags.

    `batch_error` is raised by the next batches; with `commits` the batch was executed nevertheless.
    `errors` are by operation and account id (or number), each with the status of its answer.
    """

    def __init__(self) -> None:
        self.customers: list[dict[str, Any]] = []
        self.batch_error: IntegrationError | None = None
        self.commits = False
        self.errors: dict[str, tuple[int | None, IntegrationError]] = {}
        self.filters: list[str] = []
        self.batches: list[list[Operation]] = []
        self.loses_id = False
        self.after_reads: list[Callable[[], None]] = []

    def add(self, number: str, account: str | None = None, **values: Any) -> dict[str, Any]:
        row = {
            COMPANY: "usmf", NUMBER: number, ID: account or "", "OrganizationName": "Acme",
            "@odata.etag": 'W/"1"', **values,
        }  # fmt: skip
        self.customers.append(row)
        return row

    async def query(
        self, entity_set: str, *, filter: Filter, select: Sequence[str]
    ) -> AsyncIterator[dict[str, Any]]:
        for row in self._rows(filter, select):
            yield row

    def _rows(self, filter: Filter, select: Sequence[str] | None) -> list[dict[str, Any]]:
        self.filters.append(filter.text)
        terms = re.findall(r"(\w+) eq '((?:[^']|'')*)'(?: or |$)", filter.text)
        wanted = [(name, value.replace("''", "'").casefold()) for name, value in terms]
        names = [*(select or ()), "@odata.etag"]
        found = [
            {name: row.get(name) for name in names}
            for row in self.customers
            if any(str(row.get(name, "")).casefold() == value for name, value in wanted)
        ]
        if self.after_reads:
            self.after_reads.pop(0)()
        return found

    async def batch(self, items: Sequence[Operation]) -> list[OperationResult]:
        self.batches.append(list(items))
        if any(operation.is_read for operation in items):
            return [self._read(operation) for operation in items]
        if self.batch_error is not None:
            if self.commits:
                for operation in items:
                    self._apply(operation)
            raise self.batch_error
        return [self._apply(operation) for operation in items]

    def _read(self, operation: Operation) -> OperationResult:
        assert operation.query is not None
        assert operation.query.filter is not None
        rows = self._rows(operation.query.filter, operation.query.select)
        return OperationResult(200, {"value": rows})

    def _apply(self, operation: Operation) -> OperationResult:
        body = dict(operation.body or {})
        key = str(operation.key[NUMBER] if operation.key else body[ID])
        if key in self.errors:
            status, error = self.errors[key]
            return OperationResult(status, error=error)
        if operation.method == "POST":
            return self._create(body)
        assert operation.key is not None
        named = (operation.key[COMPANY], key)
        row = next(row for row in self.customers if (row[COMPANY].lower(), row[NUMBER]) == named)
        if operation.etag != row["@odata.etag"]:
            return OperationResult(412, error=EtagConflict("changed", system="d365"))
        row.update(body, **{"@odata.etag": row["@odata.etag"] + "+"})
        return OperationResult(204)

    def _create(self, body: dict[str, Any]) -> OperationResult:
        number = body.pop(NUMBER, None) or f"US-{len(self.customers) + 1:06}"
        if any(row[NUMBER].casefold() == number.casefold() for row in self.customers):
            return OperationResult(400, error=RecordExists("exists", system="d365"))
        if self.loses_id:
            del body[ID]
        row = self.add(number, **{"account": body.pop(ID, None), **body})
        return OperationResult(201, dict(row))


class World:
    """Both systems with the real flow, engine and intents between them."""

    def __init__(self, mapping: str | None = None, **settings: str) -> None:
        self.salesforce = MemorySalesforce()
        self.d365 = MemoryD365()
        self.store = MemoryStore()
        self.now = datetime(2025, 3, 1, 12, tzinfo=UTC)
        app = settings_of(**settings)
        intents = CreateIntents(
            self.store, quarantine=app.app.create_quarantine, clock=lambda: self.now
        )
        self.flow = AccountFlow(
            FlowContext(
                app,
                load_customisation(mapping),
                cast("SalesforceClient", self.salesforce),
                cast("D365Client", self.d365),
                intents,
            )
        )

    async def run(self, *keys: str, dry: bool = False) -> dict[str, Outcome]:
        return await converge(self.flow, dict.fromkeys(keys, BUCKET), dry=dry)

    def wait(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    def intents(self) -> set[str]:
        document = self.store.documents.get(f"intents/customers/{BUCKET}.json")
        return set(json.loads(document.body)) if document else set()

    def number_of(self, key: str) -> Any:
        return self.salesforce.accounts[key][NUMBER_FIELD]
