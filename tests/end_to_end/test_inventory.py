"""Flow 5 through the real host: Salesforce asks for stock, F&O answers or a clear error does."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.stack import FUNCTION_KEY

if TYPE_CHECKING:
    import httpx

    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(world: World, path: str, *, key: str = FUNCTION_KEY, **query: Any) -> httpx.Response:
    url = f"{world.sandbox.app_url}/api/inventory{path}"
    return await world.sandbox.http.get(url, params=query, headers={"x-functions-key": key})


async def stock(
    world: World, item: str, *rows: tuple[str, str, float], company: str = "usmf"
) -> None:
    """(warehouse, colour, on hand) each."""
    url = f"{world.sandbox.d365.url}/sandbox/state/"
    product = {
        "dataAreaId": company,
        "ItemNumber": item,
        "ProductNumber": item.strip(),
        "InventoryUnitSymbol": "ea",
    }
    on_hand = [
        {
            "dataAreaId": company,
            "ItemNumber": item,
            "InventorySiteId": warehouse[0],
            "InventoryWarehouseId": warehouse,
            "ProductColorId": colour,
            "OnHandQuantity": quantity,
            "AvailableOnHandQuantity": quantity,
            "TotalAvailableQuantity": quantity,
        }
        for warehouse, colour, quantity in rows
    ]
    for entity_set, body in (("ReleasedProductsV2", product), ("WarehousesOnHandV2", on_hand)):
        (await world.sandbox.http.post(url + entity_set, json=body)).raise_for_status()


def json_of(answer: httpx.Response, status: int = 200) -> Any:
    import json

    assert answer.status_code == status, answer.text
    return json.loads(answer.text, parse_float=Decimal)


def batches(world: World) -> int:
    return len(world.d365.to("$batch"))


async def test_one_item_is_summed_over_its_variants_in_one_call(world: World) -> None:
    await stock(world, "E2E-1", ("11", "Red", 0.1), ("11", "Blue", 0.2), ("24", "Red", 5))
    answer = json_of(await ask(world, "/E2E-1"))
    assert (answer["onHand"], answer["unit"], answer["company"]) == (Decimal("5.3"), "ea", "usmf")
    assert [(w["warehouse"], w["onHand"]) for w in answer["warehouses"]] == [
        ("11", Decimal("0.3")),
        ("24", 5),
    ]
    assert len(world.d365.calls) == 1
    assert world.d365.writes_to_d365() == []


async def test_many_items_of_one_warehouse_and_company(world: World) -> None:
    for item, quantity in (("E2E-2", 7), ("E2E,3", 8), (" E2E-4", 9)):
        await stock(world, item, ("11", "", quantity), ("24", "", 100), company="demf")
    answer = await ask(
        world, "", items="E2E-2, E2E-4", item="E2E,3", company="DEMF", warehouse="11"
    )
    found = [(each["itemNumber"], each["onHand"]) for each in json_of(answer)["items"]]
    assert found == [("E2E,3", 8), ("E2E-2", 7), (" E2E-4", 9)]


async def test_a_leading_blank_in_the_path_is_part_of_the_number(world: World) -> None:
    await stock(world, " E2E-5", ("11", "", 3))
    assert json_of(await ask(world, "/%20E2E-5"))["itemNumber"] == " E2E-5"
    assert "'E2E-5'" in json_of(await ask(world, "/E2E-5"), 404)["detail"]


async def test_refusals_name_their_cause(world: World) -> None:
    assert (await ask(world, "/D0001", key="wrong")).status_code == 401
    for path, query, status, says in (
        ("", {}, 400, "items: name at least one"),
        ("/D0001", {"company": "toolong"}, 400, "company"),
        ("/D0001", {"warehous": "11"}, 400, "warehous: not a parameter"),
        ("", {"item": ["D0001", "NOPE-1", "NOPE-2"]}, 404, "'NOPE-1', 'NOPE-2'"),
    ):
        answer = await ask(world, path, **query)
        assert says in json_of(answer, status)["detail"]
        assert answer.headers["content-type"].startswith("application/problem+json")


async def test_many_people_asking_at_once_cost_one_call(world: World) -> None:
    await stock(world, "E2E-6", ("11", "", 6))
    await world.put("d365", "latency", {"per_call_ms": 300})
    try:
        answers = await asyncio.gather(*[ask(world, "/E2E-6") for _ in range(25)])
    finally:
        await world.put("d365", "latency", {})
    assert {json_of(answer)["onHand"] for answer in answers} == {6}
    assert batches(world) == 1


async def test_throttling_is_answered_with_the_time_that_dynamics_names(world: World) -> None:
    await world.put("d365", "throttle", {"mode": "resource", "retry_after": 9})
    answer = await ask(world, "/D0002")
    assert answer.headers["retry-after"] == "9"
    assert "throttling" in json_of(answer, 503)["detail"]
    await world.put("d365", "throttle", {})
    world.forget_calls()
    again = await ask(world, "/D0003")  # not before the time
    assert again.status_code == 503
    assert 1 <= int(again.headers["retry-after"]) <= 9
    assert world.d365.calls == []


async def test_a_slow_dynamics_is_answered_before_salesforce_gives_up(world: World) -> None:
    await world.run_with(STOCK_TIMEOUT_SECONDS="2")
    assert (await ask(world, "/D0001")).status_code == 200  # signed in, all imported
    world.forget_calls()
    await world.fault("d365", latency_ms=9000, count=1)
    started = time.monotonic()
    answer = await ask(world, "/D0002")
    assert time.monotonic() - started < 8
    assert answer.headers["retry-after"] == "5"
    assert "too slow" in json_of(answer, 503)["detail"]
    assert batches(world) <= 1


async def test_an_outage_is_answered_at_once_and_heals_by_itself(world: World) -> None:
    await world.run_with(STOCK_TIMEOUT_SECONDS="2")
    await world.fault("d365", status=503, body="<html>down</html>", count=None)
    assert json_of(await ask(world, "/D0002"), 503)["detail"] == (
        "F&O cannot be reached or is too slow"
    )
    await world.no_faults()
    assert json_of(await ask(world, "/D0002"))["onHand"] == 0


async def test_the_document_is_served_without_a_key(world: World) -> None:
    answer = await world.sandbox.http.get(f"{world.sandbox.app_url}/api/openapi.json")
    document = json_of(answer)
    assert document["servers"] == [{"url": world.sandbox.app_url}]
    assert "/api/inventory/{item_number}" in document["paths"]
