"""What single entities do beyond keys, lengths and references."""

from sandbox.d365.rules.base import Rules, Write
from sandbox.d365.rules.contacts import ContactRules
from sandbox.d365.rules.customers import CustomerRules
from sandbox.d365.rules.sales_lines import SalesLineRules
from sandbox.d365.rules.sales_orders import SalesOrderRules

RULES: dict[str, Rules] = {
    "CustomersV3": CustomerRules(),
    "ContactPersons": ContactRules(),
    "SalesOrderHeadersV2": SalesOrderRules(),
    "SalesOrderLinesV3": SalesLineRules(),
}

__all__ = ["RULES", "Rules", "Write"]
