"""Salesforce and F&O as dicts of tables, with the real account and contact flows between them."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from integration.d365.batch import Operation, OperationResult
from integration.d365.errors import EtagConflict, RecordExists
from integration.d365.filters import Filter
from integration.flows.accounts import AccountFlow
from integration.flows.contacts import ContactFlow
from integration.flows.context import FlowContext
from integration.flows.engine import converge
from integration.flows.outcomes import Outcome
from integration.mapping.customisation import load_customisation
from integration.salesforce.collections import RowResult
from integration.state.intents import CreateIntents
from tests.unit.account_support import (
    BUCKET,
    FIELDS,
    NEVER_TOUCHED,
    MemoryStore,
    account_id,
    settings_of,
)

if TYPE_CHECKING:
    from integration.d365.client import D365Client
    from integration.errors import IntegrationError
    from integration.salesforce.client import SalesforceClient

NUMBER_FIELD = "D365_Contact_Number__c"
ID, NUMBER, PARTY = "SalesforceContactId", "ContactPersonId", "AssociatedPartyNumber"
CONTACT_FIELDS = (
    "Id", "AccountId", "FirstName", "LastName", "Email", "Phone", "MobilePhone", "Title",
    "Department", "MailingStreet", "MailingCity", "MailingPostalCode", "MailingState",
    "MailingCountry", NUMBER_FIELD, "CreatedDate", "SystemModstamp",
)  # fmt: skip
KEYS = {"CustomersV3": "CustomerAccount", "ContactPersons": NUMBER}
IDS = {"CustomersV3": "SalesforceAccountId", "ContactPersons": ID}
_EQUAL = re.compile(r"(\w+) eq '((?:[^']|'')*)'")


def contact_id(number: int) -> str:
    return f"003Aa{number:010}IAA"


A, B = account_id(1), account_id(2)
C, D, E = contact_id(1), contact_id(2), contact_id(3)


class TwoObjects:
    """The Salesforce client with accounts and contacts."""

    def __init__(self) -> None:
        self.fields = {"Account": FIELDS, "Contact": CONTACT_FIELDS}
        self.tables: dict[str, dict[str, dict[str, Any]]] = {"Account": {}, "Contact": {}}
        self.gone: dict[str, dict[str, Any]] = {}
        self.row_errors: dict[str, IntegrationError] = {}
        self.calls: Counter[str] = Counter()

    def add(self, object_name: str, key: str, **values: Any) -> dict[str, Any]:
        empty = dict.fromkeys(self.fields[object_name])
        row = {**empty, **NEVER_TOUCHED, "Id": key, **values}
        self.tables[object_name][key] = row
        return row

    async def describe(self, object_name: str) -> dict[str, Any]:
        return {"fields": [{"name": name} for name in self.fields[object_name]]}

    async def retrieve(
        self, object_name: str, ids: Iterable[str], fields: Iterable[str]
    ) -> dict[str, dict[str, Any]]:
        self.calls["retrieve"] += 1
        rows, names = self.tables[object_name], list(fields)
        return {key: {name: rows[key][name] for name in names} for key in ids if key in rows}

    async def query(
        self, soql: str, *, include_deleted: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        assert include_deleted
        for key, row in self.gone.items():
            if key in soql:
                yield {"Id": key, "IsDeleted": True, "MasterRecordId": None, **row}

    async def update_many(
        self, object_name: str, records: Sequence[Mapping[str, Any]]
    ) -> list[RowResult]:
        self.calls["update"] += 1
        results = []
        for record in records:
            if error := self.row_errors.get(record["Id"]):
                results.append(RowResult(None, error=error))
            else:
                self.tables[object_name][record["Id"]].update(record)
                results.append(RowResult(record["Id"]))
        return results


class TwoSets:
    """The F&O client with customers and contact persons; text is compared without regard to case.

    `errors` answer a write of this Salesforce id (or number); `no_answer` is raised by the next writing
    batches, which were executed nevertheless where `commits`; `meanwhile` happens before one write.
    """

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {name: [] for name in KEYS}
        self.errors: dict[str, OperationResult] = {}
        self.no_answer: IntegrationError | None = None
        self.commits = False
        self.meanwhile: list[Callable[[], object]] = []
        self.calls: Counter[str] = Counter()
        self.filters: list[str] = []

    def add_customer(self, number: str, account: str = "", **values: Any) -> dict[str, Any]:
        own = {"PartyNumber": f"P-{number}", "SalesforceAccountId": account, **values}
        return self._insert("CustomersV3", {"CustomerAccount": number, **own})

    def add_person(
        self, number: str, party: str, contact: str = "", **values: Any
    ) -> dict[str, Any]:
        return self._insert("ContactPersons", {NUMBER: number, PARTY: party, ID: contact, **values})

    def persons(self) -> list[dict[str, Any]]:
        return self.tables["ContactPersons"]

    def _insert(self, entity_set: str, values: dict[str, Any]) -> dict[str, Any]:
        row = {"dataAreaId": "usmf", "@odata.etag": 'W/"1"', **values}
        self.tables[entity_set].append(row)
        return row

    async def query(
        self, entity_set: str, *, filter: Filter, select: Sequence[str]
    ) -> AsyncIterator[dict[str, Any]]:
        self.calls["read"] += 1
        for row in self._rows(entity_set, filter, select):
            yield row

    def _rows(self, entity_set: str, filter: Filter, select: Sequence[str]) -> list[dict[str, Any]]:
        self.filters.append(filter.text)
        names = [*select, "@odata.etag"]
        return [
            {name: row.get(name, "") for name in names}
            for row in self.tables[entity_set]
            if _holds(filter.text, row)
        ]

    async def batch(self, items: Sequence[Operation]) -> list[OperationResult]:
        if items[0].is_read:
            self.calls["read"] += 1
            return [self._read(item) for item in items]
        self.calls["write"] += 1
        if self.meanwhile:
            self.meanwhile.pop()()
        if self.no_answer is not None:
            if self.commits:
                for item in items:
                    self._write(item)
            raise self.no_answer
        return [self._write(item) for item in items]

    def _read(self, item: Operation) -> OperationResult:
        assert item.query is not None
        assert item.query.filter is not None
        rows = self._rows(item.entity_set, item.query.filter, item.query.select or ())
        return OperationResult(200, {"value": rows})

    def _write(self, item: Operation) -> OperationResult:
        body, number = dict(item.body or {}), KEYS[item.entity_set]
        key = str(item.key[number] if item.key else body[IDS[item.entity_set]])
        if key in self.errors:
            return self.errors[key]
        rows = self.tables[item.entity_set]
        if item.key is None:
            if number in body:
                return OperationResult(400, error=RecordExists("manual number", system="d365"))
            given = f"{number[:3].upper()}-{len(rows) + 1:06}"
            party = {"PartyNumber": f"P-{given}"} if item.entity_set == "CustomersV3" else {}
            return OperationResult(
                201, dict(self._insert(item.entity_set, {number: given, **party, **body}))
            )
        named = (item.key["dataAreaId"], key)
        row = next(row for row in rows if (row["dataAreaId"], row[number]) == named)
        if item.etag != row["@odata.etag"]:
            return OperationResult(412, error=EtagConflict("changed", system="d365"))
        row.update(body, **{"@odata.etag": row["@odata.etag"] + "+"})
        return OperationResult(204)


def _holds(text: str, row: dict[str, Any]) -> bool:
    def value(match: re.Match[str]) -> str:
        wanted = match[2].replace("''", "'").casefold()
        return str(str(row.get(match[1]) or "").casefold() == wanted)

    expression = _EQUAL.sub(value, text)
    assert not set(re.findall(r"\w+", expression)) - {"True", "False", "and", "or"}, text
    return bool(eval(expression))


class ContactWorld:
    def __init__(self, mapping: str | None = None, **settings: str) -> None:
        self.salesforce, self.d365, self.store = TwoObjects(), TwoSets(), MemoryStore()
        self.now = datetime(2025, 3, 1, 12, tzinfo=UTC)
        app = settings_of(**settings)
        context = FlowContext(
            app,
            load_customisation(mapping),
            cast("SalesforceClient", self.salesforce),
            cast("D365Client", self.d365),
            CreateIntents(self.store, quarantine=app.app.create_quarantine, clock=lambda: self.now),
        )
        self.flow = ContactFlow(context, AccountFlow(context))

    def account(self, key: str = A, name: str = "Acme", **values: Any) -> None:
        """An account that the customer `US-<its number>` belongs to, with party `P-US-<number>`."""
        self.salesforce.add("Account", key, Name=name, CurrencyIsoCode="EUR", **values)
        number = f"US-{int(key[5:15])}"
        self.d365.add_customer(number, key, OrganizationName=name)

    def contact(self, key: str = C, last: str = "Lee", **values: Any) -> dict[str, Any]:
        row = {"AccountId": A, "FirstName": "Ann", "LastName": last, **values}
        return self.salesforce.add("Contact", key, **row)

    async def run(self, *keys: str, dry: bool = False) -> dict[str, Outcome]:
        return await converge(self.flow, dict.fromkeys(keys, BUCKET), dry=dry)

    def wait(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    def number_of(self, key: str) -> Any:
        return self.salesforce.tables["Contact"][key][NUMBER_FIELD]
