"""Writes a posted invoice into the tables a client reads (F&O contract 5.8)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.d365.money import number
from sandbox.d365.receivables import noon
from sandbox.d365.rules.customers import name_of
from sandbox.d365.seed import upsert

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment
    from sandbox.d365.invoice_lines import Line


@dataclass(frozen=True)
class PostedInvoice:
    """`order` is empty for a free text invoice; amounts include tax and are negative on credit notes."""

    company: str
    account: str
    number: str
    voucher: str
    order: str
    currency: str
    day: datetime.date
    due: datetime.date
    amount: Decimal
    tax: Decimal
    accounting_amount: Decimal
    accounting_tax: Decimal

    def to_json(self) -> dict[str, Any]:
        return {
            "company": self.company,
            "customer": self.account,
            "invoice": self.number,
            "voucher": self.voucher,
            "sales_order": self.order,
            "currency": self.currency,
            "date": self.day.isoformat(),
            "due_date": self.due.isoformat(),
            "amount": number(self.amount),
            "tax": number(self.tax),
        }


def write_sales_invoice(
    environment: Environment,
    invoice: PostedInvoice,
    order: Mapping[str, Any],
    terms: str,
    lines: list[Line],
) -> None:
    key = {
        "dataAreaId": invoice.company,
        "InvoiceNumber": invoice.number,
        "InvoiceDate": noon(invoice.day),
        "LedgerVoucher": invoice.voucher,
    }
    header = {
        **key,
        "SalesOrderNumber": invoice.order,
        "InvoiceCustomerAccountNumber": invoice.account,
        "CustomersOrderReference": order["CustomersOrderReference"],
        "ContactPersonId": order["ContactPersonId"],
        "CurrencyCode": invoice.currency,
        "PaymentTermsName": terms,
        "DeliveryTermsCode": order["DeliveryTermsCode"],
        "DeliveryModeCode": order["DeliveryModeCode"],
        "TotalInvoiceAmount": number(invoice.amount),
        "TotalTaxAmount": number(invoice.tax),
        "TotalDiscountAmount": number(sum((line.discount for line in lines), Decimal(0))),
    }
    for name in ("Street", "StreetNumber", "City", "ZipCode", "CountryRegionId"):
        header[f"InvoiceAddress{name}"] = order[f"DeliveryAddress{name}"]
    header["InvoiceAddressState"] = order["DeliveryAddressStateId"]
    header["InvoiceAddressCountryRegionISOCode"] = order["DeliveryAddressCountryRegionISOCode"]
    upsert(environment, "SalesInvoiceHeadersV2", header)
    for position, line in enumerate(lines, 1):
        values = line.sales_invoice_values(environment, invoice.company)
        values["LineCreationSequenceNumber"] = position
        values["CurrencyCode"] = invoice.currency
        upsert(environment, "SalesInvoiceV2Lines", {**key, **values})


def write_free_text_invoice(
    environment: Environment,
    invoice: PostedInvoice,
    customer: Mapping[str, Any],
    terms: str,
    lines: list[Line],
) -> None:
    identifier = environment.store.new_record_id()
    header = {
        "dataAreaId": invoice.company,
        "InvoiceIdentifier": identifier,
        "FreeTextNumber": invoice.number,
        "IsPosted": "Yes",
        "InvoiceName": name_of(customer),
        "CustomerAccount": invoice.account,
        "InvoiceAccount": invoice.account,
        "CustomerGroup": customer["CustomerGroupId"],
        "CurrencyCode": invoice.currency,
        "LanguageId": customer["LanguageId"],
        "TermsOfPayment": terms,
        "InvoiceDate": noon(invoice.day),
        "DueDate": noon(invoice.due),
    }
    upsert(environment, "FreeTextInvoiceHeaders", header)
    for position, line in enumerate(lines, 1):
        values = {
            "dataAreaId": invoice.company,
            "ParentRecId": identifier,
            "LineNumber": position,
            "Description": line.text,
            "Quantity": number(line.quantity),
            "UnitPrice": number(line.price),
            "TransactionCurrencyAmount": number(line.amount),
            "SalesTaxAmount": number(line.tax),
            "CurrencyCode": invoice.currency,
        }
        upsert(environment, "FreeTextInvoiceLines", values)
