"""Product2 and PricebookEntry: the writer against the Salesforce stand-in, in this process."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.errors import IntegrationError, RecordRejected
from integration.flows.pricebook_changes import EntryWrites, Org, WantedItem, add_entry_writes
from integration.flows.pricebook_reader import Entry
from integration.flows.pricebook_writer import CollectionsPriceTarget
from integration.salesforce.client import SalesforceClient
from integration.salesforce.repeats import CallRetries
from integration.settings import SalesforceSettings
from sandbox.salesforce import SalesforceStandIn
from sandbox.salesforce.server import new_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "http://org.test"
COLUMNS = ("D365_Item_Number__c", "ProductCode", "Name", "IsActive")
KEY = new_key()


class Line(httpx.ASGITransport):
    """Runs the next write to a path and then loses the answer."""

    lose_answer_to = ""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        lost = self.lose_answer_to
        if request.method == "PATCH" and lost and lost in request.url.path:
            self.lose_answer_to = ""
            raise httpx.ReadError("connection lost")
        return answer


class Target:
    def __init__(self, org: SalesforceStandIn, http: httpx.AsyncClient, transport: Line) -> None:
        self.org, self.http, self.transport = org, http, transport
        self.calls: list[httpx.Request] = []
        settings = SalesforceSettings(
            login_url=URL,
            client_id=org.client_id,
            auth="client_credentials",
            client_secret=org.client_secret,
        )
        self.client = SalesforceClient(settings, http, retries=CallRetries(tries=2, delay=0))

    def target(self, **options: Any) -> CollectionsPriceTarget:
        return CollectionsPriceTarget(self.client, ["standard", "Direct Sales"], COLUMNS, **options)

    def writes(self) -> list[list[dict[str, Any]]]:
        return [
            json.loads(call.content)["records"] for call in self.calls if call.method == "PATCH"
        ]

    def rows(self, name: str) -> list[dict[str, Any]]:
        return list(self.org.org.store.tables[name].rows.values())

    def entries(self) -> dict[str, tuple[float, bool]]:
        return {
            str(row.get("D365_Key__c")): (row["UnitPrice"], row["IsActive"])
            for row in self.rows("PricebookEntry")
        }

    async def put(self, route: str, body: Any, method: str = "PUT") -> Any:
        answer = await self.http.request(method, f"{URL}/sandbox/{route}", json=body)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture
async def org() -> AsyncIterator[Target]:
    standin = SalesforceStandIn(private_key_pem=KEY)

    async def note(request: httpx.Request) -> None:
        found.calls.append(request)

    transport = Line(standin.app)
    async with httpx.AsyncClient(
        transport=transport, base_url=URL, event_hooks={"request": [note]}
    ) as http:
        found = Target(standin, http, transport)
        yield found


def wanted(item: str, *, active: bool = True, name: str = "Pump", **prices: str) -> WantedItem:
    books = {"standard": "standard", "direct": "Direct Sales"}
    keys = {
        (books[key.split("_")[0]], key.split("_")[1].upper()): Decimal(price)
        for key, price in prices.items()
    }
    fields = {"D365_Item_Number__c": item, "ProductCode": item, "Name": name, "IsActive": active}
    return WantedItem(item, fields, keys)


async def test_the_standard_price_goes_before_the_custom_one(org: Target) -> None:
    pushed = await org.target().push([wanted("A", direct_usd="2", standard_usd="1.25")])
    assert pushed.confirmed == {"A"}
    assert org.entries() == {"standard|A|USD": (1.25, True), "Direct Sales|A|USD": (2, True)}
    assert [[row.get("D365_Key__c") for row in call] for call in org.writes()] == [
        [None], ["standard|A|USD"], ["Direct Sales|A|USD"],
    ]  # fmt: skip
    assert dict(pushed.counts) == {"products_created": 1, "prices_created": 2}


async def test_what_is_in_step_is_not_written(org: Target) -> None:
    items = [wanted("A", standard_usd="1.25", direct_usd="2.5")]
    await org.target().push(items)
    org.calls.clear()
    pushed = await org.target().push(items)
    assert org.writes() == []
    assert pushed.confirmed == {"A"}


async def test_an_update_carries_only_what_may_be_updated(org: Target) -> None:
    await org.target().push([wanted("A", standard_usd="1.25")])
    org.calls.clear()
    await org.target().push([wanted("A", standard_usd="1.26")])
    [[row]] = org.writes()
    assert set(row) == {"attributes", "id", "UnitPrice"}


async def test_two_hundred_rows_travel_in_one_call(org: Target) -> None:
    items = [wanted(f"I{number}", standard_usd="1") for number in range(200)]
    pushed = await org.target().push(items)
    assert len(org.writes()) == 2
    assert len(pushed.confirmed) == 200


async def test_a_price_that_ended_is_deactivated_and_returns(org: Target) -> None:
    await org.target().push([wanted("A", standard_usd="1", direct_usd="2")])
    pushed = await org.target().push([wanted("A")])
    assert org.entries() == {"standard|A|USD": (1, False), "Direct Sales|A|USD": (2, False)}
    assert pushed.counts["prices_updated"] == 2
    await org.target().push([wanted("A", standard_usd="1", direct_usd="2")])
    assert org.entries() == {"standard|A|USD": (1, True), "Direct Sales|A|USD": (2, True)}


async def test_an_inactive_product_keeps_its_entries_and_a_new_one_is_not_made(org: Target) -> None:
    await org.target().push([wanted("A", standard_usd="1")])
    pushed = await org.target().push([wanted("A", active=False), wanted("B", active=False)])
    assert [(row["ProductCode"], row["IsActive"]) for row in org.rows("Product2")] == [("A", False)]
    assert org.entries() == {"standard|A|USD": (1, True)}
    assert pushed.counts["skipped:inactive-unknown"] == 1
    assert pushed.confirmed == {"A", "B"}


async def test_one_refused_product_holds_up_no_other(org: Target) -> None:
    rule = {"object": "Product2", "field": "Name", "regex": "Bad", "message": "no"}
    await org.put("validation-rules", [rule])
    pushed = await org.target().push(
        [wanted("A", name="Bad", standard_usd="1"), wanted("B", standard_usd="2")]
    )
    assert pushed.confirmed == {"B"}
    assert org.entries() == {"standard|B|USD": (2, True)}
    assert [failure.key for failure in pushed.failures] == ["A"]


async def test_without_its_standard_price_a_custom_one_is_not_sent(org: Target) -> None:
    rule = {
        "object": "PricebookEntry",
        "field": "D365_Key__c",
        "regex": "standard.*USD",
        "message": "no",
    }
    await org.put("validation-rules", [rule])
    prices = {"standard_usd": "1", "direct_usd": "2", "standard_eur": "3", "direct_eur": "4"}
    pushed = await org.target().push([wanted("A", **prices)])
    assert set(org.entries()) == {"standard|A|EUR", "Direct Sales|A|EUR"}
    assert [(f.key, f.reason) for f in pushed.failures][1] == (
        "Direct Sales|A|USD", "standard-price",
    )  # fmt: skip
    assert pushed.confirmed == set()


async def test_a_lost_answer_to_an_insert_doubles_nothing_and_is_no_failure(org: Target) -> None:
    items = [wanted("A", standard_usd="1", direct_usd="2")]
    org.transport.lose_answer_to = "sobjects/PricebookEntry"
    try:
        pushed = await org.target().push(items)
    except IntegrationError:  # the repeated insert is an update of create-only fields
        pushed = await org.target().push(items)
    assert pushed.confirmed == {"A"}
    assert pushed.failures == []
    assert len(org.rows("PricebookEntry")) == 2
    assert org.transport.lose_answer_to == ""  # it was lost


async def test_a_price_book_that_is_missing_ends_the_job(org: Target) -> None:
    target = CollectionsPriceTarget(org.client, ["standard", "Nowhere"], COLUMNS)
    with pytest.raises(RecordRejected, match="'Nowhere' is not there"):
        await target.push([wanted("A", standard_usd="1")])
    assert org.writes() == []


async def test_dry_counts_the_differences_and_writes_nothing(org: Target) -> None:
    await org.target().push([wanted("A", standard_usd="1")])
    org.calls.clear()
    items = [wanted("A", standard_usd="2"), wanted("B", standard_usd="1", direct_usd="2")]
    pushed = await org.target(dry=True).push(items)
    assert org.writes() == []
    assert dict(pushed.counts) == {"products_differing": 1, "prices_differing": 3}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (Entry("1", "standard|A|USD", Decimal("1.00"), True, False), {}),
        (Entry("1", "standard|A|USD", Decimal("2"), True, False), {"UnitPrice": Decimal(1)}),
        (Entry("1", "standard|A|USD", Decimal("1"), False, False), {"IsActive": True}),
        (Entry("1", "", Decimal("1"), True, False), {"D365_Key__c": "standard|A|USD"}),
        (
            Entry("1", "standard|A|USD", Decimal("1"), True, True),
            {"UseStandardPrice": False, "UnitPrice": Decimal(1)},
        ),
    ],
)
def test_only_the_difference_of_an_entry_is_written(entry: Entry, expected: dict[str, Any]) -> None:
    writes = EntryWrites()
    org = Org({"standard": "01s"}, currencies=True)
    add_entry_writes(writes, wanted("A", standard_usd="1"), "01t", {("01s", "USD"): entry}, org)
    assert [write.values for write in writes.standard] == (
        [{"Id": "1", **expected}] if expected else []
    )


def test_an_entry_of_a_person_that_no_rule_wants_is_left_alone() -> None:
    writes = EntryWrites()
    entry = Entry("1", "", Decimal(1), True, False)
    add_entry_writes(
        writes, wanted("A"), "01t", {("01s", "USD"): entry}, Org({"standard": "01s"}, True)
    )
    assert (writes.standard, writes.custom, writes.closing) == ([], [], [])


def test_an_org_of_one_currency_is_not_sent_the_field() -> None:
    writes = EntryWrites()
    org = Org({"standard": "01s"}, currencies=False)
    add_entry_writes(writes, wanted("A", standard_usd="1"), "01t", {}, org)
    assert "CurrencyIsoCode" not in writes.standard[0].values
    entry = Entry("1", "standard|A|USD", Decimal(1), True, False)
    again = EntryWrites()
    add_entry_writes(again, wanted("A", standard_usd="1"), "01t", {("01s", ""): entry}, org)
    assert again.standard == []
