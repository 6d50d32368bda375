"""Won opportunity → sales order: the tables of the header and of the lines.

An existing order is never changed by the app, so every line of the tables counts on creation only. Fields
of related records are named as SOQL names them (`Account.Name`) and are read from a flat record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from integration.mapping import codes, transforms
from integration.mapping.tables import Condition, FieldRule, MappingTable
from integration.mapping.values import is_empty

if TYPE_CHECKING:
    from integration.mapping.registry import Books
    from integration.mapping.transform import Transform
    from integration.settings import OrderSettings

NUMBER = "SalesOrderNumber"
ITEM, QUANTITY = "ItemNumber", "OrderedSalesQuantity"
ACCOUNT, PRODUCT = "Account.", "Product2."
ITEM_FIELDS = ("Product2.D365_Item_Number__c", "Product2.ProductCode")
NONE = "none"
_SHIPPING = ("Account.ShippingStreet", "Account.ShippingCity", "Account.ShippingPostalCode")
_COUNTRY = ("Account.ShippingCountryCode", "Account.ShippingCountry")
# Exist only in orgs with multi-currency or with state and country picklists.
_OPTIONAL = frozenset(
    {"CurrencyIsoCode", "Account.ShippingCountryCode", "Account.ShippingStateCode"}
)
_NUMBER_LENGTH = 20  # of SalesOrderNumber and CustomerRequisitionNumber (F&O contract 5.4)


def header_table(orders: OrderSettings, books: Books) -> MappingTable:
    t = transforms
    own_number = orders.numbering == "opportunity-id"
    rules: list[FieldRule] = [
        FieldRule("Id", NUMBER if own_number else orders.id_field, codes.salesforce_id(),
                  required=True,
                  note="identifies the order; it is SalesOrderNumber with ORDER_NUMBERING=opportunity-id"),
        _said("OrderingCustomerAccountNumber", "the account's customer"),
        _said("InvoiceCustomerAccountNumber", "the invoice account of that customer, or itself"),
        _said("LanguageId", "the customer's"),
        FieldRule("CurrencyIsoCode", "CurrencyCode", codes.currency(),
                  note="the customer's where the org has one currency"),
    ]  # fmt: skip
    if orders.date_field != NONE:
        rules += _dates(orders.date_field, "ORDER_DATE_FIELD")
    if orders.po_number_field != NONE:
        rules.append(
            FieldRule(orders.po_number_field, "CustomerRequisitionNumber", t.direct(),
                      max_length=_NUMBER_LENGTH, note="ORDER_PO_NUMBER_FIELD; never cut")
        )  # fmt: skip
    if orders.prices_include_tax != "customer":
        answer = t.constant("Yes" if orders.prices_include_tax == "yes" else "No")
        rules.append(
            FieldRule((), "ArePricesIncludingSalesTax", answer, note="ORDER_PRICES_INCLUDE_TAX")
        )
    for value, target, setting in (
        (orders.site, "DefaultShippingSiteId", "ORDER_SITE"),
        (orders.warehouse, "DefaultShippingWarehouseId", "ORDER_WAREHOUSE"),
    ):
        if value:
            rules.append(FieldRule((), target, t.constant(value), note=setting))
    if orders.delivery_address == "account-shipping":
        rules += _delivery_address(books)
    return MappingTable(
        "order headers", "Opportunity", "SalesOrderHeadersV2",
        tuple(replace(rule, on="create") for rule in rules), ("dataAreaId", NUMBER), _OPTIONAL,
    )  # fmt: skip


def line_table(orders: OrderSettings) -> MappingTable:
    t = transforms
    rules: list[FieldRule] = [
        FieldRule("Id", orders.line_id_field, codes.salesforce_id(), required=True,
                  note="identifies the line, whatever its position"),
        FieldRule(ITEM_FIELDS, ITEM, t.direct(), required=True, max_length=20,
                  note="exact, upper and lower case count; must exist in the company"),
        FieldRule("Quantity", QUANTITY, t.decimal_(orders.quantity_decimals), required=True,
                  note="must not round to 0"),
        FieldRule("UnitPrice", "SalesPrice", replace(t.number(), empty=""), required=True),
        FieldRule((), "SalesPriceQuantity", t.constant(1), note="Salesforce prices one unit"),
        FieldRule("Discount", "LineDiscountPercentage", t.number()),
    ]  # fmt: skip
    if orders.unit_field != NONE:
        unit = t.mapped(orders.units) if orders.units else t.direct()
        rules.append(
            FieldRule(
                PRODUCT + orders.unit_field,
                "SalesUnitSymbol",
                unit,
                max_length=10,
                note="ORDER_UNIT_FIELD and ORDER_UNITS; otherwise the item's own sales unit",
            )
        )
    if orders.line_date_field != NONE:
        rules += _dates(orders.line_date_field, "ORDER_LINE_DATE_FIELD")
    return MappingTable(
        "order lines", "OpportunityLineItem", "SalesOrderLines",
        tuple(replace(rule, on="create") for rule in rules), ("dataAreaId", "InventoryLotId"),
    )  # fmt: skip


def _said(target: str, note: str) -> FieldRule:
    """A field whose value comes from the customer in F&O, for the documentation."""
    return FieldRule((), target, transforms.direct(), note=note)


def _dates(source: str, setting: str) -> list[FieldRule]:
    # Empty sends nothing, so that F&O keeps its own default.
    day = replace(transforms.date(), empty="")
    return [
        FieldRule(source, target, day)
        for target in ("RequestedShippingDate", "RequestedReceiptDate")
    ]


def _delivery_address(books: Books) -> list[FieldRule]:
    t = transforms
    state = codes.state(10, books.states, books.countries)
    parts: tuple[tuple[str | tuple[str, ...], str, Transform], ...] = (
        ("Account.Name", "DeliveryAddressName", t.cut(60)),
        ("Account.ShippingStreet", "DeliveryAddressStreet", t.cut_lines(250)),
        ("Account.ShippingCity", "DeliveryAddressCity", t.cut(60)),
        ("Account.ShippingPostalCode", "DeliveryAddressZipCode", t.cut(10)),
        (("Account.ShippingStateCode", "Account.ShippingState"), "DeliveryAddressStateId", state),
        (_COUNTRY, "DeliveryAddressCountryRegionId", codes.country(books.countries)),
        ((), "IsDeliveryAddressOrderSpecific", t.constant("Yes")),
    )
    shipped = Condition(
        "accounts with a shipping address",
        lambda record: any(not is_empty(record.get(name)) for name in _SHIPPING),
        _SHIPPING,
    )
    return [
        FieldRule(source, target, transform, condition=shipped,
                  beside=_COUNTRY if target == "DeliveryAddressStateId" else (),
                  note="ORDER_DELIVERY_ADDRESS")
        for source, target, transform in parts
    ]  # fmt: skip
