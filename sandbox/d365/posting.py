"""Posts invoices and payments as the F&O clerk does in the user interface (F&O contract 5.8, 7.3).

An invoice of a sales order becomes rows of SalesInvoiceHeadersV2 and SalesInvoiceV2Lines, a free text
invoice rows of FreeTextInvoiceHeaders and FreeTextInvoiceLines; both become a customer transaction.
A request that makes no sense ends in ValueError and leaves nothing written.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.d365.invoice_lines import Line, free_text_lines, order_invoice_lines
from sandbox.d365.invoice_rows import PostedInvoice, write_free_text_invoice, write_sales_invoice
from sandbox.d365.lookups import company_of, next_document, values_of
from sandbox.d365.money import converted, exact, number, rounded
from sandbox.d365.receivables import (
    TRANSACTIONS,
    Transaction,
    day_of,
    due_date,
    invoice_transaction,
    open_amount,
    settle,
    write_transaction,
)
from sandbox.d365.rules.sales_orders import HEADERS, LINES, refresh_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment

CUSTOMERS = "CustomersV3"
NO_INVOICES = ("Invoice", "All")  # states of CustVendorBlocked


def post_invoice(environment: Environment, given: Mapping[str, Any]) -> PostedInvoice:
    """`given`: company, sales_order or customer, lines, date, credit_note, tax_percent, currency.

    Lines of an order invoice: {"line": 1, "quantity": 2}, all that is left by default. Lines of a free
    text invoice: {"text": "Freight", "quantity": 1, "price": 20} or {"text": …, "amount": 20}; instead
    of lines an `amount`.
    """
    company = company_of(environment, given)
    sign = Decimal(-1 if given.get("credit_note") else 1)
    order_number = str(given.get("sales_order") or "")
    order: dict[str, Any] = {}
    if order_number:
        order = values_of(environment, HEADERS, company, order_number)
        account = order["InvoiceCustomerAccountNumber"] or order["OrderingCustomerAccountNumber"]
        lines = order_invoice_lines(environment, company, order_number, given.get("lines"), sign)
    else:
        account = str(given.get("customer") or "")
        lines = free_text_lines(given, sign)
    customer = values_of(environment, CUSTOMERS, company, account)
    if customer["OnHoldStatus"] in NO_INVOICES:
        raise ValueError(f"customer {account} is on hold for invoices")
    percent = exact(given.get("tax_percent", 0))
    lines = [line.taxed(percent) for line in lines]
    terms = order.get("PaymentTermsName") or _terms(environment, company, customer)
    day = day_of(given.get("date"))
    currency = str(
        order.get("CurrencyCode") or given.get("currency") or customer["SalesCurrencyCode"]
    )
    accounting = environment.companies[company].currency
    tax = sum((line.tax for line in lines), Decimal(0))
    amount = sum((line.amount for line in lines), tax)
    kind = ("CIV", "ARP") if order_number else ("FTI", "FTV")
    invoice = PostedInvoice(
        company,
        customer["CustomerAccount"],
        next_document(environment, company, "CCN" if sign < 0 else kind[0]),
        next_document(environment, company, kind[1]),
        order_number,
        currency,
        day,
        due_date(environment, company, terms, day),
        amount,
        tax,
        converted(amount, currency, accounting),
        converted(tax, currency, accounting),
    )
    if order_number:
        write_sales_invoice(environment, invoice, order, terms, lines)
        if sign > 0:
            _mark_invoiced(environment, invoice, lines)
    else:
        write_free_text_invoice(environment, invoice, customer, terms, lines)
    write_transaction(
        environment,
        Transaction(
            company,
            invoice.account,
            "Sales" if order_number else "Cust",
            invoice.voucher,
            amount,
            currency,
            day,
            invoice.due,
            invoice.number,
            terms,
            "Credit note" if sign < 0 else "Invoice",
        ),
    )
    return invoice


def post_payment(environment: Environment, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`: company, customer, amount, invoice, date, currency. A refund has a negative amount.

    Without an invoice the payment stays open on the account.
    """
    company = company_of(environment, given)
    customer = values_of(environment, CUSTOMERS, company, str(given.get("customer") or ""))
    account, amount = customer["CustomerAccount"], rounded(exact(given.get("amount")))
    if not amount:
        raise ValueError("a payment needs an amount")
    owed, named = None, str(given.get("invoice") or "")
    if named:
        owed = invoice_transaction(environment, company, account, named)
    default = owed.values["CurrencyCode"] if owed else customer["SalesCurrencyCode"]
    payment = Transaction(
        company,
        account,
        "Payment",
        next_document(environment, company, "ARPM"),
        -amount,
        str(given.get("currency") or default),
        day_of(given.get("date")),
        text="Payment",
    )
    key = write_transaction(environment, payment)
    answer: dict[str, Any] = {"company": company, "customer": account, "voucher": payment.voucher}
    if owed is not None:
        source = owed.values["SourceKey"]
        answer["settled"] = number(settle(environment, source, key, company))
        left = environment.store.get(TRANSACTIONS, company, source)
        assert left is not None
        answer["open"] = number(open_amount(left))
    return answer


def _mark_invoiced(environment: Environment, invoice: PostedInvoice, lines: list[Line]) -> None:
    table = environment.store.tables[LINES]
    for line in lines:
        key = (invoice.company, line.lot)
        quantity, amount = environment.invoiced.get(key, (Decimal(0), Decimal(0)))
        environment.invoiced[key] = (quantity + line.quantity, amount + line.amount)
        row = environment.store.get(LINES, *key)
        assert row is not None
        if quantity + line.quantity == exact(row.values.get("OrderedSalesQuantity", 0)):
            values = {**row.values, "SalesOrderLineStatus": "Invoiced"}
            environment.store.update(table, table.key_of(values), values)
    refresh_header(environment, invoice.company, invoice.order)


def _terms(environment: Environment, company: str, customer: Mapping[str, Any]) -> str:
    """The customer's terms of payment, else those of its group."""
    group = environment.store.get("CustomerGroups", company, customer["CustomerGroupId"])
    default = group.values.get("PaymentTermId", "") if group else ""
    return str(customer["PaymentTerms"] or default)
