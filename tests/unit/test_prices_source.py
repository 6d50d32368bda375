"""Items with their agreements as one stream: the reader against the F&O stand-in, in this process."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.d365.client import D365Client
from integration.errors import RecordRejected, Unreachable
from integration.flows.products import ODataPriceSource
from sandbox.d365 import D365StandIn
from tests.contract.d365_standin import BASE, CLIENT, new_entra
from tests.unit.test_d365_support import AccessToken, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.flows.pricing.source import SourceItem

SELECT = ("dataAreaId", "ItemNumber", "SalesPrice")


class EntraCredential:
    def __init__(self, entra: Any) -> None:
        self._entra = entra

    def get_token(self, *scopes: str) -> AccessToken:
        return AccessToken(self._entra.issue_token(CLIENT, BASE), int(time.time()) + 3600)

    def close(self) -> None: ...


class Source:
    def __init__(self, http: httpx.AsyncClient, client: D365Client) -> None:
        self.http, self.client = http, client
        self.calls: list[str] = []

    async def put(self, name: str, *rows: dict[str, Any]) -> None:
        answer = await self.http.post(f"/sandbox/state/{name}", json=list(rows))
        assert answer.is_success, answer.text

    async def items(self, *items: str, company: str = "usmf") -> None:
        rows = [{"dataAreaId": company, "ItemNumber": i, "ProductNumber": i} for i in items]
        await self.put("ReleasedProductsV2", *rows)

    def source(
        self, *companies: str, sales_stop: bool = False, page: int = 100
    ) -> ODataPriceSource:
        given = companies or ("usmf",)
        return ODataPriceSource(self.client, given, SELECT, sales_stop=sales_stop, page=page)

    async def agreements(self, *items: str, company: str = "usmf") -> None:
        """One each, with prices 1, 2, …"""
        rows = [
            {"dataAreaId": company, "ItemNumber": item, "RecordId": number, "Price": number}
            for number, item in enumerate(items, next(RECORDS) * 1000)
        ]
        await self.put("SalesPriceAgreements", *rows)


ENTRA = new_entra()
RECORDS = itertools.count(1)


@pytest.fixture
async def d365() -> AsyncIterator[Source]:
    standin = D365StandIn(entra=ENTRA)

    async def note(request: httpx.Request) -> None:
        if "/data/" in request.url.path:
            found.calls.append(f"{request.method} {request.url.path.rsplit('/', 1)[1]}")

    transport = httpx.ASGITransport(standin.app)
    async with httpx.AsyncClient(
        transport=transport, base_url=BASE, event_hooks={"request": [note]}
    ) as http:
        client = D365Client(settings(), http, credential=EntraCredential(ENTRA), tries=1)
        found = Source(http, client)
        await http.delete("/sandbox/state/ReleasedProductsV2")
        await http.delete("/sandbox/state/SalesPriceAgreements")
        yield found
        await client.close()


async def read(
    source: ODataPriceSource, after: str = "", until: str | None = None
) -> list[SourceItem]:
    """All items of a range."""
    stream, items = source.open(after, until), []
    while batch := await stream.next():
        items += batch
    assert await stream.next() == []
    return items


def names(items: list[SourceItem]) -> list[str]:
    return [each.item for each in items]


def counts(items: list[SourceItem]) -> dict[str, int]:
    """Agreements by item."""
    return {each.item: len(each.agreements) for each in items}


@pytest.mark.parametrize("page", [2, 3, 5, 100])
async def test_every_item_comes_once_in_the_order_of_f_and_o(d365: Source, page: int) -> None:
    await d365.items("b2", "A1", "C3", "a05", "Z9")
    assert names(await read(d365.source(page=page))) == ["a05", "A1", "b2", "C3", "Z9"]


async def test_a_small_table_costs_one_call_for_each_set(d365: Source) -> None:
    await d365.items("A", "B")
    await read(d365.source(sales_stop=True))
    assert d365.calls == [
        "GET ReleasedProductsV2",
        "GET SalesPriceAgreements",
        "GET ProductDefaultOrderSettings",
    ]


async def test_calls_follow_the_number_of_rows(d365: Source) -> None:
    items = [f"I{number:03}" for number in range(200)]
    await d365.items(*items)
    await d365.agreements(*[item for item in items for _ in range(5)])
    assert counts(await read(d365.source(page=50))) == dict.fromkeys(items, 5)
    # 4 full pages of products, 21 of agreements (each gives back its last item), and the ends of both
    assert d365.calls.count("GET ReleasedProductsV2") <= 5
    assert d365.calls.count("GET SalesPriceAgreements") <= 24


@pytest.mark.parametrize("page", [2, 3, 4, 100])
async def test_an_item_of_several_companies_comes_whole(d365: Source, page: int) -> None:
    await d365.items("A", "B", "C", company="demf")
    await d365.items("B", "C", "D")
    await d365.items("A", "E", company="frrt")
    found = await read(d365.source("usmf", "demf", page=page))
    assert names(found) == ["A", "B", "C", "D"]
    assert [row["dataAreaId"] for row in found[0].rows] == ["demf"]
    assert [row["dataAreaId"] for row in found[1].rows] == ["usmf", "demf"]


@pytest.mark.parametrize("page", [1, 2, 100])
async def test_a_range_ends_with_its_last_key(d365: Source, page: int) -> None:
    await d365.items("A", "B", "C", "D")
    await d365.agreements("A", "C", "D")
    assert counts(await read(d365.source(page=page), "A", "C")) == {"B": 0, "C": 1}


async def test_agreements_and_stops_reach_their_items(d365: Source) -> None:
    await d365.items("A", "B", "C")
    await d365.agreements("A", "b", "B", "C")
    await d365.agreements("B", company="demf")
    await d365.put(
        "ProductDefaultOrderSettings",
        {"dataAreaId": "usmf", "ItemNumber": "B", "IsSalesProcessingStopped": "Yes"},
        {"dataAreaId": "usmf", "ItemNumber": "A", "IsSalesProcessingStopped": "No"},
    )
    found = await read(d365.source(sales_stop=True, page=2))
    assert counts(found) == {"A": 1, "B": 2, "C": 1}
    assert [each.stopped for each in found] == [set(), {"usmf"}, set()]


@pytest.mark.parametrize("page", [2, 3, 5, 8, 100])
@pytest.mark.parametrize(
    ("items", "agreed"),
    [
        ("ABCDEFGH", ""),
        ("ABCDEFGH", "H"),
        ("ABCDEFGH", "HHHHHHHHHH"),
        ("ABCDEFGH", "AAAABBBBBBBBBCEEEEEEEEEEEEEGHHH"),
        ("BDFH", "AAACCCEEEGGGIII"),  # of items that are not released here
        ("BDFHJLNPRT", "AAAAAAAABCCCCCCCCDEEEEEEEESUUU"),
        ("A", "BCDEFGHIJKLMNOP"),
        ("Z", "BCDEFGHIJKLMNOPZ"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AZZ"),
    ],
)
async def test_wherever_the_pages_end_each_item_has_its_agreements(
    d365: Source, items: str, agreed: str, page: int
) -> None:
    await d365.items(*items)
    if agreed:
        await d365.agreements(*agreed)
    expected = {item: agreed.count(item) for item in items}
    assert counts(await read(d365.source(page=page))) == expected


async def test_a_stream_goes_on_after_trouble(d365: Source) -> None:
    await d365.items("A", "B", "C")
    await d365.agreements("A", "B", "C")
    stream = d365.source(page=2).open("", None)
    fault = {"path": "/data/SalesPriceAgreements", "status": 503, "count": 1}
    await d365.http.post("/sandbox/faults", json=fault)
    with pytest.raises(Unreachable):
        await stream.next()
    found = []
    while batch := await stream.next():
        found += batch
    assert counts(found) == {"A": 1, "B": 1, "C": 1}
    assert d365.calls.count("GET ReleasedProductsV2") == 2  # the page it had is not read again


async def test_an_item_with_a_star_is_read_but_bounds_no_page(d365: Source) -> None:
    await d365.items("A", "B*", "C")
    assert names(await read(d365.source(page=2))) == ["A", "B*", "C"]
    await d365.items("B*1", "B*2")
    with pytest.raises(RecordRejected):
        await read(d365.source(page=2))


async def test_no_items_cost_one_call(d365: Source) -> None:
    assert await read(d365.source()) == []
    assert d365.calls == ["GET ReleasedProductsV2"]
