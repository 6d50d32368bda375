"""The fields by which records in Salesforce are upserted, referred to, or told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.cli.checks.needs import mapped_accounts
from integration.flows.invoice_rows import KEY as INVOICE_KEY
from integration.flows.order_status import NUMBER_FIELD
from integration.flows.pricebook_changes import ENTRY_KEY
from integration.mapping.invoices import INVOICE, LINE
from integration.mapping.price_books import STANDARD
from integration.mapping.products import EXTERNAL_ID

if TYPE_CHECKING:
    from integration.mapping.customisation import Customisation
    from integration.settings import Settings

_NUMBER = 20  # characters of a number in F&O (F&O contract 5)
_COMPANY = len("usmf|")  # before it, where there are several companies
_INVOICE = len("usmf|freetext|") + _NUMBER + 1 + _NUMBER  # company, kind, number, voucher
_LINE = len("|99999")
_CURRENCY = len("|") + len("|USD")


@dataclass(frozen=True, slots=True)
class KeyNeed:
    """`length`: characters that it must hold. Not `external`: only read and written, yet unique."""

    object: str
    field: str
    length: int
    external: bool = True
    cased: bool = False


def key_needs(settings: Settings, customisation: Customisation) -> list[KeyNeed]:
    salesforce, books = settings.salesforce, customisation.prices.books
    one_company = mapped_accounts(settings, customisation).companies.is_single_company
    number = _NUMBER + (0 if one_company else _COMPANY)
    book = max(len(name) for name in (STANDARD, *books))
    return [
        KeyNeed("Account", salesforce.customer_number_field, number),
        KeyNeed("Contact", salesforce.contact_number_field, number, external=False),
        KeyNeed("Opportunity", NUMBER_FIELD, number),
        KeyNeed("Product2", EXTERNAL_ID, _NUMBER, cased=True),
        KeyNeed("PricebookEntry", ENTRY_KEY, book + _NUMBER + _CURRENCY),
        KeyNeed(INVOICE, INVOICE_KEY, _INVOICE),
        KeyNeed(LINE, INVOICE_KEY, _INVOICE + _LINE),
    ]
