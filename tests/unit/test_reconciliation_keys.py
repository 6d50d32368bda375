"""How changed records are found: windows and pages that can neither skip a row nor read one for ever."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from integration.errors import ContractError
from integration.flows.drift_report import as_text, counted, listed, new_entity, new_report
from integration.flows.reconcile_keys import D365Keys, Ref, SalesforceKeys, Window
from integration.flows.reconcile_sides import build_sides
from integration.state.ledger import Ledger, LedgerEntry
from tests.unit.account_support import A, B, C, settings_of
from tests.unit.test_state_ledger import ENTRY, MemoryStore

SINCE, UNTIL = datetime(2025, 3, 1, 11, tzinfo=UTC), datetime(2025, 3, 1, 12, tzinfo=UTC)
WINDOW = Window(SINCE, UNTIL)


class Client:
    """Answers every query with the same rows and remembers how it was asked."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = list(rows)
        self.asked: list[Any] = []

    async def query_all_rows(
        self, soql: str, *, include_deleted: bool = False
    ) -> list[dict[str, Any]]:
        self.asked.append(soql)
        return self.rows

    async def query(self, entity_set: str, **options: Any) -> AsyncIterator[dict[str, Any]]:
        self.asked.append((entity_set, options))
        for row in self.rows:
            yield row


def row(key: str, at: str = "2025-03-01T11:30:00.000+0000", **values: Any) -> dict[str, Any]:
    return {"Id": key, "SystemModstamp": at, **values}


async def test_salesforce_rows_are_paged_by_time_and_id() -> None:
    client = Client(row(A), row(B, AccountId=C))
    keys = SalesforceKeys(cast("Any", client), "contacts", "Contact", root="AccountId")
    page = await keys.page(WINDOW, None, 2)
    assert page.refs == [
        Ref("contacts", "salesforce", "Contact", A, A),
        Ref("contacts", "salesforce", "Contact", B, C),
    ]
    assert page.after == {"at": "2025-03-01T11:30:00.000+0000", "id": B}
    assert (await keys.page(WINDOW, page.after, 3)).after is None
    assert client.asked == [
        "SELECT Id,SystemModstamp,AccountId FROM Contact WHERE (SystemModstamp <="
        " 2025-03-01T12:00:00Z) AND (SystemModstamp >= 2025-03-01T11:00:00Z)"
        " ORDER BY SystemModstamp,Id LIMIT 2",
        "SELECT Id,SystemModstamp,AccountId FROM Contact WHERE (SystemModstamp <="
        " 2025-03-01T12:00:00Z) AND (SystemModstamp > 2025-03-01T11:30:00Z OR (SystemModstamp ="
        f" 2025-03-01T11:30:00Z AND Id > '{B}')) ORDER BY SystemModstamp,Id LIMIT 3",
    ]


async def test_a_full_run_asks_without_a_lower_bound() -> None:
    client = Client()
    await SalesforceKeys(cast("Any", client), "accounts", "Account").page(
        Window(None, UNTIL), None, 5
    )
    assert ">=" not in client.asked[0]


def numbers(client: Client, **options: Any) -> D365Keys:
    def refs(row: dict[str, Any]) -> list[Ref]:
        return [Ref("f", "d365", "O", str(row["Number"]))]

    return D365Keys(cast("Any", client), "f", ("f",), "Set", "Number", refs, **options)


async def test_rows_of_fo_are_paged_by_company_and_number() -> None:
    client = Client(*({"dataAreaId": "usmf", "Number": number} for number in ("1", "1", "2*")))
    keys = numbers(client, date_field="Date", days=35)
    page = await keys.page(WINDOW, None, 3)
    assert [ref.key for ref in page.refs] == ["1", "2*"]
    assert page.after == {"company": "usmf", "number": "1"}
    await keys.page(WINDOW, page.after, 3)
    (_, first), (_, second) = client.asked
    assert str(first["filter"]) == "Date ge 2025-01-25T12:00:00Z"
    assert str(second["filter"]) == (
        "(Date ge 2025-01-25T12:00:00Z and (dataAreaId gt 'usmf' or (dataAreaId eq 'usmf' and"
        " Number gt '1')))"
    )
    assert first["orderby"] == ("dataAreaId", "Number")


async def test_a_page_that_no_filter_can_follow_is_an_error_not_an_endless_loop() -> None:
    client = Client({"dataAreaId": "usmf", "Number": "*"})
    with pytest.raises(ContractError, match="RECONCILE_PAGE"):
        await numbers(client).page(WINDOW, None, 1)


async def test_a_customer_is_compared_by_its_account_and_by_itself() -> None:
    client = Client(
        {"dataAreaId": "USMF", "CustomerAccount": "7", "SalesforceAccountId": A[:15]},
        {"dataAreaId": "usmf", "CustomerAccount": "8", "SalesforceAccountId": ""},
    )
    sides = build_sides([], settings_of(), cast("Any", client), cast("Any", client))
    source = next(source for source in sides.sources if source.name == "customers")
    page = await source.page(WINDOW, None, 10)
    assert [(ref.flow, ref.key) for ref in page.refs] == [
        ("customers", "usmf|7"), ("accounts", A), ("customers", "usmf|8"),
    ]  # fmt: skip


async def test_only_posted_free_text_invoices_with_a_number_are_compared() -> None:
    client = Client(
        {"dataAreaId": "usmf", "FreeTextNumber": "1", "IsPosted": "Yes"},
        {"dataAreaId": "usmf", "FreeTextNumber": "", "IsPosted": "No"},
        {"dataAreaId": "usmf", "FreeTextNumber": "2", "IsPosted": "No"},
    )
    sides = build_sides([], settings_of(), cast("Any", client), cast("Any", client))
    source = next(source for source in sides.sources if source.name == "free text invoices")
    page = await source.page(WINDOW, None, 10)
    assert [(ref.object, ref.key) for ref in page.refs] == [("FreeTextInvoice", "usmf|freetext|1")]


async def test_the_ledger_is_read_in_pages() -> None:
    ledger = Ledger(MemoryStore())
    for key in ("a", "b", "c"):
        await ledger.record(LedgerEntry(**{**_fields(ENTRY), "key": key}))
    first, after = await ledger.page("", 2)
    assert after is not None
    last, end = await ledger.page(after, 2)
    assert ([entry.key for entry in first], [entry.key for entry in last], end) == (
        ["a", "b"], ["c"], None,
    )  # fmt: skip


def _fields(entry: LedgerEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in LedgerEntry.__dataclass_fields__}


def test_the_text_says_what_differed_and_what_could_not_be_compared() -> None:
    report = new_report("R1", "2025-03-01T12:00:00+00:00", full=False)
    entity = new_entity("Account rows", None)
    report["entities"]["accounts"] = entity
    counted(entity["skipped"], "person-account")
    change = {"flow": "accounts", "key": A, "operation": "update", "fields": ["Phone"]}
    for _ in range(150):
        listed(entity["differences"], change)
    report["counts"].append({"name": "products", "salesforce": 4, "d365": 5})
    report["not_compared"]["payments"] = "this app has no such job"
    text = as_text(report)
    assert f"different  accounts {A}: update Phone" in text
    assert text.count("different  ") == 100
    assert "INCOMPLETE" in text
    assert "count of products: Salesforce 4, F&O 5: DIFFERENT" in text
    assert "NOT COMPARED payments: this app has no such job" in text
