"""Sales order lines: defaults of the header and the item, price, amount (F&O contract 5.5)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import update_conflict
from sandbox.d365.money import exact, number, rounded
from sandbox.d365.pricing import DIMENSIONS, Price, Sought, find_price
from sandbox.d365.rules.base import Rules, Write
from sandbox.d365.rules.sales_orders import HEADERS, LINES, order_lines, refresh_header

if TYPE_CHECKING:
    from sandbox.d365.store import Row

PRODUCTS = "ReleasedProductsV2"
ORDER_SETTINGS = "ProductDefaultOrderSettings"
_FROM_HEADER = {
    "ShippingSiteId": "DefaultShippingSiteId",
    "ShippingWarehouseId": "DefaultShippingWarehouseId",
    "CurrencyCode": "CurrencyCode",
    "DeliveryAddressName": "DeliveryAddressName",
    "DeliveryModeCode": "DeliveryModeCode",
    "DeliveryTermsId": "DeliveryTermsCode",
    "SalesTaxGroupCode": "SalesTaxGroupCode",
    "RequestedShippingDate": "RequestedShippingDate",
    "RequestedReceiptDate": "RequestedReceiptDate",
}
_PRICE_DEPENDS_ON = ("ItemNumber", "OrderedSalesQuantity", "SalesUnitSymbol", *DIMENSIONS)


class SalesLineRules(Rules):
    def default_row(self, write: Write) -> None:
        header = self._header(write)
        if header is None or not write.get("ItemNumber"):
            return  # refused as mandatory afterwards
        if write.old is None:
            self._lock_header(write)
            self._take_over_header(write, header)
            self._take_over_item(write)
        self._set_price(write, header)
        if write.get("CalculateLineAmount") == "Yes":
            write.set("LineAmount", line_amount(write))

    def validate_write(self, write: Write) -> list[str]:
        if write.old is not None and write.old.values.get("SalesOrderLineStatus") == "Invoiced":
            return ["The sales order line is invoiced and cannot be changed."]
        reasons = []
        item = write.get("ItemNumber")
        store = write.environment.store
        settings = store.get(ORDER_SETTINGS, write.company, item) if item else None
        if settings and settings.values.get("IsSalesProcessingStopped") == "Yes":
            reasons.append(f"Item number {item} is stopped for sales orders.")
        if not write.get("OrderedSalesQuantity"):
            reasons.append("Field 'Quantity' must be filled in.")
        if item and not write.get("ShippingSiteId") and not _is_service(write, item):
            reasons.append(
                "Inventory dimension Site is mandatory and must consequently be specified."
            )
        return reasons

    def after_write(self, write: Write) -> None:
        refresh_header(write.environment, write.company, write.get("SalesOrderNumber"))

    def before_delete(self, write: Write) -> None:
        if write.get("SalesOrderLineStatus") == "Invoiced":
            raise write.refuse("The sales order line is invoiced and cannot be deleted.")

    def after_delete(self, write: Write) -> None:
        refresh_header(write.environment, write.company, write.get("SalesOrderNumber"))

    @staticmethod
    def _header(write: Write) -> Row | None:
        order = write.get("SalesOrderNumber")
        return write.environment.store.get(HEADERS, write.company, order) if order else None

    @staticmethod
    def _lock_header(write: Write) -> None:
        """Lines of one order written at the same time collide on its header (contract 3.4, 6)."""
        pending = write.environment.pending_conflicts
        if pending.get(LINES, 0) > 0:
            pending[LINES] -= 1
            header = write.environment.model.entities[HEADERS]
            raise update_conflict(write.entity.aot_name, header.table_label)

    @staticmethod
    def _take_over_header(write: Write, header: Row) -> None:
        for name, source in _FROM_HEADER.items():
            inherited: Any = header.values.get(source)
            if inherited is not None:
                write.set_unless_given(name, inherited)
        lines = order_lines(write.environment, write.company, write.get("SalesOrderNumber"))
        position = 1 + max(
            (row.values.get("LineCreationSequenceNumber", 0) for row in lines), default=0
        )
        write.set_unless_given("LineCreationSequenceNumber", position)
        write.set_unless_given("LineNumber", position)

    @staticmethod
    def _take_over_item(write: Write) -> None:
        product = write.environment.store.get(PRODUCTS, write.company, write.get("ItemNumber"))
        if product is None:
            return
        for name, source in (
            ("SalesUnitSymbol", "SalesUnitSymbol"),
            ("LineDescription", "SearchName"),
            ("SalesTaxItemGroupCode", "SalesSalesTaxItemGroupCode"),
        ):
            write.set_unless_given(name, product.values.get(source, ""))

    def _set_price(self, write: Write, header: Row) -> None:
        """A given price stays, unless the environment lets its own price policy win."""
        overruled = write.environment.settings.price_overrides
        if write.old is None:
            searched = overruled or "SalesPrice" not in write.given
        else:
            searched = overruled and write.changed("SalesPrice", *_PRICE_DEPENDS_ON)
        if not searched:
            return
        price = self._find_price(write, header)
        write.set("SalesPrice", number(price.amount))
        write.set("SalesPriceQuantity", number(price.per))

    @staticmethod
    def _find_price(write: Write, header: Row) -> Price:
        place = {name: str(write.get(name)) for name in DIMENSIONS}
        place["PriceSiteId"] = write.get("ShippingSiteId")
        place["PriceWarehouseId"] = write.get("ShippingWarehouseId")
        sought = Sought(
            company=write.company,
            item=write.get("ItemNumber"),
            customer=header.values.get("OrderingCustomerAccountNumber", ""),
            group=header.values.get("PriceCustomerGroupCode", ""),
            currency=write.get("CurrencyCode"),
            unit=write.get("SalesUnitSymbol"),
            quantity=abs(exact(write.get("OrderedSalesQuantity"))),
            on=write.environment.today(),
            place=place,
        )
        return find_price(write.environment, sought)


def line_amount(write: Write) -> int | float:
    """quantity × (price / price unit − discount) × (1 − discount percentage), to the cent."""
    per = exact(write.get("SalesPriceQuantity")) or Decimal(1)
    unit = exact(write.get("SalesPrice")) / per - exact(write.get("LineDiscountAmount"))
    share = 1 - exact(write.get("LineDiscountPercentage")) / 100
    return number(rounded(exact(write.get("OrderedSalesQuantity")) * unit * share))


def _is_service(write: Write, item: str) -> bool:
    product = write.environment.store.get(PRODUCTS, write.company, item)
    return product is not None and product.values.get("ProductType") == "Service"
