"""Sums over variants: exact, per warehouse, and of nothing."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.d365.values import json_dumps, json_loads
from integration.errors import ContractError
from integration.flows.stock_levels import QUANTITIES, item_stock, same_item

PRODUCT = {"ItemNumber": "D0001", "InventoryUnitSymbol": "ea"}
quantities = st.decimals(-(10**10), 10**10, places=6)
rows = st.builds(
    lambda warehouse, values: {
        "InventorySiteId": warehouse[0],
        "InventoryWarehouseId": warehouse,
        **dict(zip(QUANTITIES.values(), values, strict=True)),
    },
    st.sampled_from(["11", "12", "21"]),
    st.tuples(*[quantities] * len(QUANTITIES)),
)


def row(warehouse: str = "11", **values: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(QUANTITIES.values(), 0)
    return {"InventorySiteId": "1", "InventoryWarehouseId": warehouse, **zeros, **values}


@given(st.lists(rows, max_size=12))
def test_sums_are_exact_and_survive_the_wire(given_rows: list[dict[str, Any]]) -> None:
    level = item_stock(PRODUCT, given_rows, "usmf")
    wire = json_loads(json_dumps(level.model_dump()))
    for name, column in QUANTITIES.items():
        assert Decimal(wire[name]) == sum((each[column] for each in given_rows), Decimal(0))
        assert wire[name] == sum((each[name] for each in wire["warehouses"]), Decimal(0))
    places = [(each["site"], each["warehouse"]) for each in wire["warehouses"]]
    assert places == sorted({(r["InventorySiteId"], r["InventoryWarehouseId"]) for r in given_rows})


def test_tenths_do_not_pass_through_binary_numbers() -> None:
    parts = [row(OnHandQuantity=Decimal("0.1")), row(OnHandQuantity=Decimal("0.2"))]
    text = json_dumps(item_stock(PRODUCT, parts, "usmf").model_dump())
    assert text.count('"onHand":0.3,') == 2  # the item and its one warehouse


def test_an_item_without_stock_has_zeros() -> None:
    level = item_stock(PRODUCT, [], "usmf")
    assert [getattr(level, name) for name in QUANTITIES] == [0] * 5
    assert level.warehouses == []
    assert level.unit == "ea"


@pytest.mark.parametrize("broken", [{"OnHandQuantity": "3"}, {"InventoryWarehouseId": None}])
def test_a_row_of_another_shape_is_no_number(broken: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        item_stock(PRODUCT, [row(**broken)], "usmf")


def test_items_are_the_same_as_for_dynamics() -> None:
    assert same_item("d0001  ") == same_item("D0001")
    assert same_item(" D0001") != same_item("D0001")
