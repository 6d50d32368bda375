"""What Salesforce should hold of each customer and invoice, and how it is remembered.

An entry of the fingerprints is `company|number` for a customer and `company|kind|number|voucher` for an
invoice. Its digest says what was last confirmed; that of a customer ends with the day of its last payment,
because an older payment is not read again; that of a paid invoice ends with `!`: nothing more to expect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.d365.business_keys import CustomerKey, InvoiceKey
from integration.flows.numbers import company_and_number, qualified
from integration.flows.payment_writing import ACCOUNT, WantedRow
from integration.mapping.invoices import INVOICE, STATUS
from integration.mapping.payments import LAST_PAYMENT, Balance, invoice_values
from integration.state.fingerprints import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from integration.flows.flow import Record
    from integration.flows.payment_reading import CustomerBalance, Window
    from integration.mapping.companies import CompanyRule

FINAL = "!"
_BAR = ":"


class PaymentRows:
    def __init__(self, companies: CompanyRule, currencies: Mapping[str, str]) -> None:
        """`currencies`: company → its accounting currency."""
        self._one_company = companies.is_single_company
        self._only = companies.companies[0] if self._one_company else None
        self._currencies = {company.lower(): code for company, code in currencies.items()}

    def of_customer(
        self, found: CustomerBalance, window: Window, known: str = ""
    ) -> list[WantedRow]:
        """The account first, then its invoices. `known`: the digest of the account so far."""
        rows = [self._account(found.key, found.balance, known, found.account)]
        for (kind, number, voucher), transactions in found.balance.invoices.items():
            wanted_kind: Any = kind
            key = InvoiceKey(found.key.company, wanted_kind, number, voucher).text
            rows.append(self.of_invoice(key, transactions, window.today))
        return rows

    def of_invoice(self, key: str, transactions: Sequence[Record], today: date) -> WantedRow:
        values = invoice_values(transactions, today)
        end = FINAL if values[STATUS] == "Paid" else ""
        return WantedRow(INVOICE, key, values, key, digest(_texts(values)) + end)

    def of_nothing(self, key: CustomerKey, window: Window, known: str = "") -> WantedRow:
        """A customer that owes nothing and paid nothing lately."""
        return self._account(key, Balance(window.today, window.paid_from), known)

    def account_key(self, key: CustomerKey) -> str:
        return qualified(key.company, key.number, one_company=self._one_company)

    def customer_of(self, named: str) -> CustomerKey | None:
        """The customer that an account names, None where its company cannot be told."""
        company, number = company_and_number(named)
        company = company or self._only
        return CustomerKey(company, number) if company and number else None

    def _account(
        self,
        key: CustomerKey,
        balance: Balance,
        known: str,
        account: CustomerKey | None = None,
    ) -> WantedRow:
        values = balance.account_values(self._currencies.get(key.company))
        texts = _texts({n: v for n, v in values.items() if n != LAST_PAYMENT})
        paid_on = max(str(values.get(LAST_PAYMENT) or ""), known.partition(_BAR)[2])
        after = f"{digest(texts)}{_BAR}{paid_on}"
        return WantedRow(ACCOUNT, self.account_key(account or key), values, key.text, after)


def is_customer(entry: str) -> bool:
    return entry.count("|") == 1  # bars inside of a part are escaped


def _texts(values: Mapping[str, object]) -> list[list[str]]:
    return sorted([name, str(value)] for name, value in values.items())
