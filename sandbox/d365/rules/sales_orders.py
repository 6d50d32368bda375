"""Sales order headers (F&O contract 3.4, 5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.d365.money import exact, number, rounded
from sandbox.d365.rules.addresses import iso_code, require_state
from sandbox.d365.rules.base import Rules, Write
from sandbox.d365.rules.customers import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.d365.environment import Environment
    from sandbox.d365.store import Row

LINES = "SalesOrderLinesV3"
HEADERS = "SalesOrderHeadersV2"
CUSTOMERS = "CustomersV3"
ALWAYS_ON_HOLD = ("All",)  # the states of CustVendorBlocked in which no order is taken
_FROM_CUSTOMER = {
    "LanguageId": "LanguageId",
    "CurrencyCode": "SalesCurrencyCode",
    "PaymentTermsName": "PaymentTerms",
    "DeliveryTermsCode": "DeliveryTerms",
    "DeliveryModeCode": "DeliveryMode",
    "SalesTaxGroupCode": "SalesTaxGroup",
    "PriceCustomerGroupCode": "DiscountPriceGroupId",
    "DefaultShippingSiteId": "SiteId",
    "DefaultShippingWarehouseId": "WarehouseId",
}
_ADDRESS_FROM_CUSTOMER = {
    "DeliveryAddressStreet": "AddressStreet",
    "DeliveryAddressStreetNumber": "AddressStreetNumber",
    "DeliveryAddressCity": "AddressCity",
    "DeliveryAddressZipCode": "AddressZipCode",
    "DeliveryAddressStateId": "AddressState",
    "DeliveryAddressCountryRegionId": "AddressCountryRegionId",
}


class SalesOrderRules(Rules):
    def default_row(self, write: Write) -> None:
        if write.old is None:
            self._take_over_customer(write)
            today = write.environment.today()
            write.set_unless_given("RequestedShippingDate", today)
            write.set_unless_given("RequestedReceiptDate", today)
            write.set("OrderCreationDateTime", write.environment.now())
        country = write.get("DeliveryAddressCountryRegionId")
        write.set("DeliveryAddressCountryRegionISOCode", iso_code(write, country))
        if write.changed("DeliveryAddressStateId", "DeliveryAddressCountryRegionId"):
            require_state(write, "DeliveryAddressStateId", country)

    def validate_write(self, write: Write) -> list[str]:
        if write.old is not None:
            return []
        store = write.environment.store
        accounts = ("OrderingCustomerAccountNumber", "InvoiceCustomerAccountNumber")
        for account in dict.fromkeys(write.get(name) for name in accounts):
            customer = store.get(CUSTOMERS, write.company, account) if account else None
            if customer and customer.values.get("OnHoldStatus") in ALWAYS_ON_HOLD:
                return [f"Customer account {account} is on hold, no transactions are allowed."]
        return []

    def after_write(self, write: Write) -> None:
        if write.old is not None:
            refresh_header(write.environment, write.company, write.get("SalesOrderNumber"))

    def before_delete(self, write: Write) -> None:
        store = write.environment.store
        number_ = write.get("SalesOrderNumber")
        if write.get("SalesOrderStatus") == "Invoiced":
            raise write.refuse(f"Sales order {number_} is invoiced and cannot be deleted.")
        table = store.tables[LINES]
        for row in order_lines(write.environment, write.company, number_):
            store.delete(table, table.key_of(row.values))

    @staticmethod
    def _take_over_customer(write: Write) -> None:
        account = write.get("OrderingCustomerAccountNumber")
        store = write.environment.store
        customer = store.get(CUSTOMERS, write.company, account) if account else None
        if customer is None:
            return
        defaults = store.tables[CUSTOMERS].entity.defaults
        values = {**defaults, **customer.values}
        _default(write, "InvoiceCustomerAccountNumber", values["InvoiceAccount"] or account)
        for target in ("SalesOrderName", "DeliveryAddressName"):
            _default(write, target, name_of(values))
        for target, source in _FROM_CUSTOMER.items():
            _default(write, target, values[source])
        if not write.changed(*_ADDRESS_FROM_CUSTOMER):
            for target, source in _ADDRESS_FROM_CUSTOMER.items():
                _default(write, target, values[source])


def _default(write: Write, name: str, value: str) -> None:
    """Limited to the order's own length: a customer's name may be longer."""
    write.set_unless_given(name, value[: write.entity.properties[name].length])


def order_lines(environment: Environment, company: str, order: str) -> list[Row]:
    rows = environment.store.tables[LINES].find("SalesOrderNumber", order)
    return [row for row in rows if row.values.get("dataAreaId") == company]


def refresh_header(environment: Environment, company: str, order: str) -> None:
    """Status and totals of an order follow its lines; nothing is written when nothing changes."""
    header = environment.store.get(HEADERS, company, order)
    if header is None:
        return
    table = environment.store.tables[HEADERS]
    lines = order_lines(environment, company, order)
    derived: dict[str, Any] = {"SalesOrderStatus": _status(lines)}
    invoiced = derived["SalesOrderStatus"] == "Invoiced"
    derived["SalesOrderProcessingStatus"] = "Invoiced" if invoiced else "Active"
    if environment.settings.order_totals:
        total = sum((exact(row.values.get("LineAmount", 0)) for row in lines), exact(0))
        share = exact(header.values.get("TotalDiscountPercentage", 0)) / 100
        discount = rounded(total * share)
        derived["OrderTotalAmount"] = number(total - discount)
        derived["OrderTotalDiscountAmount"] = number(discount)
        derived["AreTotalsCalculated"] = "Yes" if lines else "No"
    old = {name: header.values.get(name, table.entity.defaults[name]) for name in derived}
    if old != derived:
        values = {**header.values, **derived}
        environment.store.update(table, table.key_of(values), values)


def _status(lines: Iterable[Row]) -> str:
    """None without lines, Invoiced once every line is, else Backorder (shown as open order)."""
    states = {row.values.get("SalesOrderLineStatus", "Backorder") for row in lines}
    if not states:
        return "None"
    return "Invoiced" if states == {"Invoiced"} else "Backorder"
