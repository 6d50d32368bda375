"""`PUT /sandbox/stock`: on-hand per item, site, warehouse and product dimensions (F&O contract 5.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.d365.lookups import company_of, values_of
from sandbox.d365.money import exact, number
from sandbox.d365.pricing import DIMENSIONS
from sandbox.d365.seed import upsert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment

_SHORT = {
    "color": "ProductColorId",
    "configuration": "ProductConfigurationId",
    "size": "ProductSizeId",
    "style": "ProductStyleId",
    "version": "ProductVersionId",
}
_QUANTITIES = ("on_hand", "reserved", "ordered", "reserved_ordered", "on_order")


def set_stock(environment: Environment, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`: company, item, warehouse, the quantities on_hand, reserved, ordered, reserved_ordered and
    on_order (0 by default), and the product dimensions color, configuration, size, style, version.

    The site is the warehouse's. Returns the row; raises ValueError for an unknown item or warehouse.
    """
    unknown = set(given) - {"company", "item", "warehouse", *_QUANTITIES, *_SHORT, *DIMENSIONS}
    if unknown:
        raise ValueError(f"stock has no {sorted(unknown)}")
    company = company_of(environment, given)
    product = values_of(environment, "ReleasedProductsV2", company, str(given.get("item")))
    warehouse = values_of(environment, "Warehouses", company, str(given.get("warehouse")))
    on_hand, reserved, ordered, reserved_ordered, on_order = (
        exact(given.get(name, 0)) for name in _QUANTITIES
    )
    available = on_hand - reserved
    available_ordered = ordered - reserved_ordered
    row = {
        "dataAreaId": company,
        "ItemNumber": product["ItemNumber"],
        "ProductName": product["SearchName"],
        "InventorySiteId": warehouse["OperationalSiteId"],
        "InventoryWarehouseId": warehouse["WarehouseId"],
        "AreWarehouseManagementProcessesUsed": warehouse["AreWarehouseManagementProcessesUsed"],
        "OnHandQuantity": number(on_hand),
        "ReservedOnHandQuantity": number(reserved),
        "AvailableOnHandQuantity": number(available),
        "OrderedQuantity": number(ordered),
        "ReservedOrderedQuantity": number(reserved_ordered),
        "AvailableOrderedQuantity": number(available_ordered),
        "OnOrderQuantity": number(on_order),
        "TotalAvailableQuantity": number(available + available_ordered),
    }
    for short, name in _SHORT.items():
        row[name] = str(given.get(short, given.get(name, "")))
    upsert(environment, "WarehousesOnHandV2", row)
    return row
