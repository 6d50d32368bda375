"""How much of an item there is: the answer of the stock check, and the sums it is made of.

F&O keeps on-hand stock per product variant (size, colour, …) and warehouse; people in Salesforce ask for the
item, so the variants of a warehouse are summed. The models are also the schemas of the OpenAPI document, so
their names and members are Apex identifiers. Quantities are in the item's inventory unit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from integration.d365.values import decode_decimal
from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ITEM = "ItemNumber"
UNIT = "InventoryUnitSymbol"
SITE = "InventorySiteId"
WAREHOUSE = "InventoryWarehouseId"
QUANTITIES = {
    "onHand": "OnHandQuantity",
    "reserved": "ReservedOnHandQuantity",
    "available": "AvailableOnHandQuantity",
    "ordered": "OrderedQuantity",
    "totalAvailable": "TotalAvailableQuantity",
}

# On the wire a JSON number with all its digits; a schema has no better word for it.
Quantity = Annotated[Decimal, WithJsonSchema({"type": "number", "format": "double"})]


class WarehouseStock(BaseModel):
    """The stock of one item in one warehouse, all its variants together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: str
    warehouse: str
    onHand: Quantity = Field(description="physically there")
    reserved: Quantity = Field(description="of that, reserved")
    available: Quantity = Field(description="of that, free")
    ordered: Quantity = Field(description="on its way in")
    totalAvailable: Quantity = Field(description="free, with what is on its way in")


class ItemStock(BaseModel):
    """The stock of one item: the sums over the warehouses, and each warehouse that F&O knows stock of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    itemNumber: str = Field(description="as F&O writes it; leading blanks belong to it")
    company: str = Field(description="legal entity, lower case")
    unit: str = Field(description="inventory unit of the quantities")
    onHand: Quantity = Field(description="physically there")
    reserved: Quantity = Field(description="of that, reserved")
    available: Quantity = Field(description="of that, free")
    ordered: Quantity = Field(description="on its way in")
    totalAvailable: Quantity = Field(description="free, with what is on its way in")
    warehouses: list[WarehouseStock]


class StockAnswer(BaseModel):
    """The stock of several items, in the order asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: list[ItemStock]


def same_item(number: str) -> str:
    """What F&O compares: without regard to case and trailing blanks; leading blanks are data."""
    return number.rstrip().casefold()


def item_stock(
    product: Mapping[str, Any], on_hand: Iterable[Mapping[str, Any]], company: str
) -> ItemStock:
    """`product` is the item's row of ReleasedProductsV2, `on_hand` its rows of WarehousesOnHandV2.

    Raises ContractError for rows that hold something else.
    """
    sums: dict[tuple[str, str], dict[str, Decimal]] = {}
    for row in on_hand:
        place = (_text(row, SITE), _text(row, WAREHOUSE))
        sums[place] = _plus(sums.get(place), row)
    total = {name: sum((each[name] for each in sums.values()), Decimal(0)) for name in QUANTITIES}
    return ItemStock(
        itemNumber=_text(product, ITEM),
        company=company,
        unit=_text(product, UNIT),
        warehouses=[
            WarehouseStock(site=site, warehouse=warehouse, **sums[site, warehouse])
            for site, warehouse in sorted(sums)
        ],
        **total,
    )


def _plus(sums: dict[str, Decimal] | None, row: Mapping[str, Any]) -> dict[str, Decimal]:
    return {
        name: (sums[name] if sums else Decimal(0)) + decode_decimal(row.get(column))
        for name, column in QUANTITIES.items()
    }


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise ContractError(f"a row has no {column}", system="d365")
    return value
