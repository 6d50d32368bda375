"""Sales orders and their lines (F&O contract 3.4, 5.4, 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.d365.rules.base import Rules, Write

if TYPE_CHECKING:
    from sandbox.d365.store import Row

_FROM_CUSTOMER = {
    "SalesOrderName": "OrganizationName",
    "DeliveryAddressName": "OrganizationName",
    "LanguageId": "LanguageId",
    "CurrencyCode": "SalesCurrencyCode",
    "PaymentTermsName": "PaymentTerms",
    "DeliveryTermsCode": "DeliveryTerms",
    "SalesTaxGroupCode": "SalesTaxGroup",
    "DefaultShippingSiteId": "SiteId",
    "DefaultShippingWarehouseId": "WarehouseId",
    "DeliveryAddressStreet": "AddressStreet",
    "DeliveryAddressCity": "AddressCity",
    "DeliveryAddressZipCode": "AddressZipCode",
    "DeliveryAddressStateId": "AddressState",
    "DeliveryAddressCountryRegionId": "AddressCountryRegionId",
    "DeliveryAddressCountryRegionISOCode": "AddressCountryRegionISOCode",
}
LINES = "SalesOrderLinesV3"
HEADERS = "SalesOrderHeadersV2"


class SalesOrderRules(Rules):
    def default_row(self, write: Write) -> None:
        if write.old is not None:
            return
        store = write.environment.store
        account = write.get("OrderingCustomerAccountNumber")
        customer = store.get("CustomersV3", write.company, account) if account else None
        if customer is not None:
            write.set_unless_given("InvoiceCustomerAccountNumber", account)
            defaults = write.environment.model.entities["CustomersV3"].defaults
            for target, source in _FROM_CUSTOMER.items():
                # limited to the order's own length: a customer name may be longer
                value = customer.values.get(source, defaults[source])
                write.set_unless_given(target, value[: write.entity.properties[target].length])
        today = write.environment.today()
        write.set_unless_given("RequestedShippingDate", today)
        write.set_unless_given("RequestedReceiptDate", today)
        write.set("OrderCreationDateTime", write.environment.now())

    def before_delete(self, write: Write) -> None:
        store = write.environment.store
        for row in order_lines(write, write.get("SalesOrderNumber")):
            store.delete(store.tables[LINES], store.tables[LINES].key_of(row.values))


class SalesLineRules(Rules):
    def default_row(self, write: Write) -> None:
        store = write.environment.store
        number = write.get("SalesOrderNumber")
        if write.old is None and number:
            header = store.get(HEADERS, write.company, number)
            assert header is not None  # its reference was validated
            self._inherit(write, header)
            position = 1 + max(
                (r.values.get("LineCreationSequenceNumber", 0) for r in order_lines(write, number)),
                default=0,
            )
            write.set_unless_given("LineCreationSequenceNumber", position)
            write.set_unless_given("LineNumber", position)
        quantity, price = write.get("OrderedSalesQuantity"), write.get("SalesPrice")
        calculated = write.get("CalculateLineAmount") == "Yes" and "LineAmount" not in write.given
        if calculated and (
            write.old is None or write.changed("OrderedSalesQuantity", "SalesPrice")
        ):
            unit = write.get("SalesPriceQuantity") or 1
            gross = quantity * (price / unit - write.get("LineDiscountAmount"))
            amount = round(gross * (1 - write.get("LineDiscountPercentage") / 100), 2)
            write.set("LineAmount", amount)

    def validate_write(self, write: Write) -> list[str]:
        if not write.get("ItemNumber") or write.get("ShippingSiteId"):
            return []
        product = write.environment.store.get(
            "ReleasedProductsV2", write.company, write.get("ItemNumber")
        )
        if product is not None and product.values.get("ProductType") == "Service":
            return []
        return ["Inventory dimension Site is mandatory and must consequently be specified."]

    def after_write(self, write: Write) -> None:
        if write.old is not None:
            return
        store = write.environment.store
        table = store.tables[HEADERS]
        header = store.get(HEADERS, write.company, write.get("SalesOrderNumber"))
        assert header is not None
        if header.values.get("SalesOrderStatus", "None") == "None":
            values = {**header.values, "SalesOrderStatus": "Backorder"}
            store.update(table, table.key_of(values), values)

    @staticmethod
    def _inherit(write: Write, header: Row) -> None:
        store = write.environment.store
        for name, source in (
            ("ShippingSiteId", "DefaultShippingSiteId"),
            ("ShippingWarehouseId", "DefaultShippingWarehouseId"),
            ("CurrencyCode", "CurrencyCode"),
            ("DeliveryAddressName", "DeliveryAddressName"),
            ("RequestedShippingDate", "RequestedShippingDate"),
            ("RequestedReceiptDate", "RequestedReceiptDate"),
        ):
            inherited: Any = header.values.get(source)
            if inherited is not None:
                write.set_unless_given(name, inherited)
        product = store.get("ReleasedProductsV2", write.company, write.get("ItemNumber"))
        if product is not None:
            write.set_unless_given("SalesUnitSymbol", product.values.get("SalesUnitSymbol", ""))
            write.set_unless_given("SalesPrice", product.values.get("SalesPrice", 0))
            write.set_unless_given("LineDescription", product.values.get("SearchName", ""))


def order_lines(write: Write, number: str) -> list[Row]:
    rows = write.environment.store.tables[LINES].find("SalesOrderNumber", number)
    return [row for row in rows if row.values.get("dataAreaId") == write.company]
