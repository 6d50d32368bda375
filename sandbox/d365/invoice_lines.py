"""The lines of an invoice on their way from an order, or from a clerk's request, into the tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.d365.money import exact, number, rounded
from sandbox.d365.pricing import DIMENSIONS
from sandbox.d365.rules.sales_orders import LINES, order_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment


@dataclass(frozen=True)
class Line:
    """`amount` is without tax; `lot` and `order_line` (the row's values) are empty for free text."""

    text: str
    quantity: Decimal
    price: Decimal
    amount: Decimal
    tax: Decimal = Decimal(0)
    lot: str = ""
    order_line: Mapping[str, Any] = field(default_factory=dict)

    def taxed(self, percent: Decimal) -> Line:
        return replace(self, tax=rounded(self.amount * percent / 100))

    @property
    def discount(self) -> Decimal:
        if not self.order_line:
            return Decimal(0)
        per = exact(self.order_line["SalesPriceQuantity"]) or Decimal(1)
        return rounded(self.quantity * self.price / per) - self.amount

    def sales_invoice_values(self, environment: Environment, company: str) -> dict[str, Any]:
        """Columns of SalesInvoiceV2Lines."""
        line = self.order_line
        product = environment.store.get("ReleasedProductsV2", company, line["ItemNumber"])
        known = product.values if product else {}
        return {
            "ProductNumber": known.get("ProductNumber") or line["ItemNumber"],
            "ProductName": known.get("SearchName") or line["LineDescription"],
            "ProductDescription": line["LineDescription"],
            "InvoicedQuantity": number(self.quantity),
            "SalesUnitSymbol": line["SalesUnitSymbol"],
            "SalesPrice": number(self.price),
            "LineAmount": number(self.amount),
            "LineTotalTaxAmount": number(self.tax),
            "LineTotalDiscountAmount": number(self.discount),
            "InventorySiteId": line["ShippingSiteId"],
            "InventoryWarehouseId": line["ShippingWarehouseId"],
            **{name: line[name] for name in DIMENSIONS},
        }


def order_invoice_lines(
    environment: Environment, company: str, order: str, wanted: Any, sign: Decimal
) -> list[Line]:
    """`sign` -1 credits what was invoiced. Raises ValueError when nothing is left to invoice or credit."""
    defaults = environment.store.tables[LINES].entity.defaults
    rows = [{**defaults, **row.values} for row in order_lines(environment, company, order)]
    quantities = _wanted(wanted, {exact(row["LineNumber"]) for row in rows})
    lines = []
    for row in sorted(rows, key=lambda row: exact(row["LineNumber"])):
        if quantities is not None and exact(row["LineNumber"]) not in quantities:
            continue
        done, charged = environment.invoiced.get(
            (company, row["InventoryLotId"]), (Decimal(0), Decimal(0))
        )
        ordered, total = exact(row["OrderedSalesQuantity"]), exact(row["LineAmount"])
        left = done if sign < 0 else ordered - done
        quantity = (quantities or {}).get(exact(row["LineNumber"])) or left
        if not left:
            continue
        if abs(quantity) > abs(left):
            raise ValueError(f"line {row['LineNumber']} has only {left} left")
        # the last part takes what rounding left over
        rest = charged if sign < 0 else total - charged
        amount = rest if quantity == left else rounded(total * quantity / ordered)
        price = exact(row["SalesPrice"])
        lot, text = row["InventoryLotId"], row["LineDescription"]
        lines.append(Line(text, sign * quantity, price, sign * amount, lot=lot, order_line=row))
    if not lines:
        raise ValueError(f"sales order {order} of {company} has nothing left to invoice")
    return lines


def _wanted(given: Any, known: set[Decimal]) -> dict[Decimal, Decimal | None] | None:
    if given is None:
        return None
    quantities = {
        exact(line["line"]): exact(line["quantity"]) if "quantity" in line else None
        for line in given
    }
    if not set(quantities) <= known:
        raise ValueError(f"the order has the lines {sorted(known)}")
    return quantities


def free_text_lines(given: Mapping[str, Any], sign: Decimal) -> list[Line]:
    """Lines of a clerk's request, or one line for its `amount`; raises ValueError without either."""
    wanted = given.get("lines") or ([{"amount": given["amount"]}] if "amount" in given else [])
    if not wanted:
        raise ValueError("a free text invoice needs lines or an amount")
    lines = []
    for line in wanted:
        quantity = exact(line.get("quantity", 1))
        if "amount" in line:
            amount = rounded(exact(line["amount"]))
            price = exact(line.get("price", number(rounded(amount / quantity))))
        else:
            price = exact(line["price"])
            amount = rounded(quantity * price)
        text = str(line.get("text", "Services"))
        lines.append(Line(text, sign * quantity, price, sign * amount))
    return lines
