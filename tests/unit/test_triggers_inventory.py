"""The stock check as Salesforce calls it: what is asked, what is answered, and every refusal."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import azure.functions as func
import pytest
import pytest_asyncio

import integration.wiring
from integration.triggers.inventory import inventory
from tests.unit.test_stock_support import Dynamics, checking
from tests.unit.trigger_support import MemoryQueues, app_with


@pytest_asyncio.fixture
async def dynamics() -> AsyncIterator[Dynamics]:
    dynamics, before = Dynamics(), integration.wiring._app
    async with checking(dynamics, STOCK_MAX_ITEMS="3") as (check, settings):
        integration.wiring._app = app_with(settings, MemoryQueues(), stock=check)
        yield dynamics
        integration.wiring._app = before


async def ask(query: str = "", item: str | None = None) -> func.HttpResponse:
    """`query` as it stands in the URL; `item` as the host hands it over."""
    path = "" if item is None else f"/{quote(item)}"
    request = func.HttpRequest(
        "GET",
        f"https://app.test/api/inventory{path}?{query}",
        route_params={} if item is None else {"item_number": item},
        body=b"",
    )
    return await inventory(request)


def body_of(response: func.HttpResponse, status: int = 200) -> Any:
    assert response.status_code == status, response.get_body()
    kind = "application/json" if status == 200 else "application/problem+json"
    assert response.mimetype == kind
    return json.loads(response.get_body(), parse_float=Decimal)


async def test_one_item_is_answered_as_one_object(dynamics: Dynamics) -> None:
    await dynamics.stock("D0001", "11", 0.1, ProductColorId="Red")
    await dynamics.stock("D0001", "11", 0.2, ProductColorId="Blue")
    quantities = {
        "onHand": Decimal("0.3"),
        "reserved": 0,
        "available": Decimal("0.3"),
        "ordered": 0,
        "totalAvailable": Decimal("0.3"),
    }
    assert body_of(await ask(item="D0001")) == {
        "itemNumber": "D0001",
        "company": "usmf",
        "unit": "ea",
        **quantities,
        "warehouses": [{"site": "1", "warehouse": "11", **quantities}],
    }


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("items=D0002,D0001", ["D0002", "D0001"]),
        ("item=D0002&item=D0001", ["D0002", "D0001"]),
        ("items=D0001&items=D0002,D0003", ["D0001", "D0002", "D0003"]),
        ("items=D0001,d0001,D0002", ["D0001", "D0002"]),
        ("item=A%2C1&items=%20D0001,D0002", ["A,1", " D0001", "D0002"]),
        ("items=D0001%2CD0002", ["D0001", "D0002"]),
        ("ITEMS=D0001&code=key&clientId=default&site=&company=", ["D0001"]),
    ],
)
async def test_many_items_are_answered_in_the_order_asked(
    dynamics: Dynamics, query: str, numbers: list[str]
) -> None:
    await dynamics.item("A,1")
    await dynamics.item(" D0001")
    answer = body_of(await ask(query))
    assert [each["itemNumber"] for each in answer["items"]] == numbers
    assert dynamics.calls == 1


async def test_a_slash_and_a_leading_blank_in_the_path_belong_to_the_number(
    dynamics: Dynamics,
) -> None:
    await dynamics.item(" A/1")
    assert body_of(await ask(item=" A%2F1"))["itemNumber"] == " A/1"


async def test_company_site_and_warehouse_narrow_the_answer(dynamics: Dynamics) -> None:
    await dynamics.stock("D0001", "11", 1)
    await dynamics.stock("D0001", "24", 2)
    await dynamics.stock("D0001", "24", 4, dataAreaId="demf")
    for query, expected in (
        ("", 3),
        ("site=2", 2),
        ("warehouse=11", 1),
        ("site=1&warehouse=24", 0),
        ("company=DEMF", 4),
    ):
        answer = body_of(await ask(query, "D0001"))
        assert answer["onHand"] == expected, query


@pytest.mark.parametrize(
    ("query", "item", "says"),
    [
        ("", None, "items: name at least one"),
        ("items=", None, "items: is empty"),
        ("items=A,,B", None, "items: is empty"),
        ("item=%20", None, "item: is empty"),
        ("", " ", "item_number: is empty"),
        ("items=A,B,C,D", None, "items: 4 are more than 3"),
        ("items=A", "B", "the path names the item already"),
        ("item=" + "A" * 101, None, "item: is longer than 100"),
        ("", "D*", "item_number: '*' is a wildcard"),
        ("warehouse=1*", "D0001", "warehouse: '*' is a wildcard"),
        ("company=usmf1", "D0001", "company: is 1 to 4"),
        ("company=us'f", "D0001", "company: is 1 to 4"),
        ("site=1&site=2", "D0001", "site: is given 2 times"),
        ("wearhouse=11", "D0001", "wearhouse: not a parameter"),
    ],
)
async def test_bad_input_is_named(
    dynamics: Dynamics, query: str, item: str | None, says: str
) -> None:
    problem = body_of(await ask(query, item), 400)
    assert says in problem["detail"]
    assert dynamics.calls == 0


async def test_unknown_items_are_named(dynamics: Dynamics) -> None:
    problem = body_of(await ask("items=D0001,D9998,D9999"), 404)
    assert problem["detail"] == "not released in company usmf: 'D9998', 'D9999'"
    assert problem["title"] == "Not Found"


async def test_throttling_tells_when_to_ask_again(dynamics: Dynamics) -> None:
    dynamics.fault(status=429, headers={"Retry-After": "37.2"}, body={})
    response = await ask(item="D0001")
    assert response.headers["Retry-After"] == "38"  # not a moment too early
    assert "throttling" in body_of(response, 503)["detail"]


async def test_an_unreachable_dynamics_is_told_without_its_text(dynamics: Dynamics) -> None:
    dynamics.fault(status=503, body="<html>secret host name</html>", count=None)
    response = await ask(item="D0001")
    assert int(response.headers["Retry-After"]) > 0
    assert body_of(response, 503)["detail"] == "F&O cannot be reached or is too slow"


async def test_what_waiting_does_not_heal_is_a_bad_gateway(dynamics: Dynamics) -> None:
    dynamics.fault(status=403, body={}, count=None)
    assert "forbidden" in body_of(await ask(item="D0001"), 502)["detail"]


async def test_without_settings_the_caller_hears_nothing_of_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(integration.wiring, "_app", None)
    monkeypatch.delenv("D365_BASE_URL", raising=False)
    response = await ask(item="D0001")
    assert body_of(response, 503)["detail"] == "the app is not configured"
    assert "D365_BASE_URL" in caplog.text


def test_the_route_needs_a_key_and_takes_both_forms() -> None:
    binding: dict[str, Any] = inventory._function.get_trigger().get_dict_repr()
    assert binding["route"] == "inventory/{item_number?}"
    assert str(binding["authLevel"]).lower().endswith("function")
    assert [str(method).lower() for method in binding["methods"]] == ["get"]
