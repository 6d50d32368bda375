"""Pages of items and agreements: the reader against the F&O stand-in, in this process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.d365.client import D365Client
from integration.errors import RecordRejected
from integration.flows.products import ODataPriceSource
from sandbox.d365 import D365StandIn
from tests.contract.d365_standin import BASE, CLIENT, new_entra
from tests.unit.test_d365_support import AccessToken, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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

    def source(self, *companies: str, sales_stop: bool = False) -> ODataPriceSource:
        given = companies or ("usmf",)
        return ODataPriceSource(self.client, given, SELECT, sales_stop=sales_stop)


ENTRA = new_entra()


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


async def names(source: ODataPriceSource, limit: int) -> list[list[str]]:
    """The items of all pages."""
    pages, after = [], ""
    while True:
        page = await source.page(after, None, limit)
        pages.append([each.item for each in page.items])
        if not page.more:
            return pages
        after = pages[-1][-1]


async def test_pages_hold_every_item_once_in_the_order_of_f_and_o(d365: Source) -> None:
    await d365.items("b2", "A1", "C3", "a05", "Z9")
    assert await names(d365.source(), 2) == [["a05", "A1"], ["b2", "C3"], ["Z9"]]
    assert await names(d365.source(), 5) == [["a05", "A1", "b2", "C3", "Z9"]]


async def test_a_page_costs_two_calls(d365: Source) -> None:
    await d365.items("A", "B")
    await d365.source(sales_stop=True).page("", None, 10)
    assert d365.calls == ["GET ReleasedProductsV2", "POST $batch"]


async def test_an_item_of_several_companies_comes_whole(d365: Source) -> None:
    await d365.items("A", "B", "C", company="demf")
    await d365.items("B", "C", "D")
    await d365.items("A", "E", company="frrt")
    source = d365.source("usmf", "demf")
    for limit in (1, 2, 3):
        pages = await names(source, limit)
        assert [item for page in pages for item in page] == ["A", "B", "C", "D"]
        assert max(map(len, pages)) <= limit
    [first, second, *_] = (await source.page("", None, 4)).items
    assert [row["dataAreaId"] for row in first.rows] == ["demf"]
    assert [row["dataAreaId"] for row in second.rows] == ["usmf", "demf"]


async def test_a_range_ends_with_its_last_key(d365: Source) -> None:
    await d365.items("A", "B", "C", "D")
    page = await d365.source().page("A", "C", 10)
    assert ([each.item for each in page.items], page.more) == (["B", "C"], False)


async def test_agreements_and_stops_reach_their_items(d365: Source) -> None:
    await d365.items("A", "B", "C")
    common = {"dataAreaId": "usmf", "Price": 1.05}
    await d365.put(
        "SalesPriceAgreements",
        {**common, "RecordId": 1, "ItemNumber": "A"}, {**common, "RecordId": 2, "ItemNumber": "b"},
        {**common, "RecordId": 3, "ItemNumber": "B"}, {**common, "RecordId": 4, "ItemNumber": "C"},
        {**common, "RecordId": 5, "ItemNumber": "B", "dataAreaId": "demf"},
    )  # fmt: skip
    await d365.put(
        "ProductDefaultOrderSettings",
        {"dataAreaId": "usmf", "ItemNumber": "B", "IsSalesProcessingStopped": "Yes"},
        {"dataAreaId": "usmf", "ItemNumber": "A", "IsSalesProcessingStopped": "No"},
    )
    page = await d365.source(sales_stop=True).page("", None, 2)
    assert [[row["RecordId"] for row in each.agreements] for each in page.items] == [[1], [2, 3]]
    assert [each.stopped for each in page.items] == [set(), {"usmf"}]
    assert str(page.items[0].agreements[0]["Price"]) == "1.05"


async def test_an_item_with_a_star_is_read_but_bounds_no_page(d365: Source) -> None:
    await d365.items("A", "B*", "C")
    assert await names(d365.source(), 2) == [["A"], ["B*", "C"]]
    await d365.items("B*1", "B*2")
    with pytest.raises(RecordRejected):
        await names(d365.source(), 2)


async def test_no_items_is_an_empty_page_of_one_call(d365: Source) -> None:
    page = await d365.source().page("", None, 5)
    assert (page.items, page.more) == ([], False)
    assert d365.calls == ["GET ReleasedProductsV2"]
